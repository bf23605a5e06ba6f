"""Whatever the schemas accept arrives in DuckDB with the same values, by every way."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rookery.eventstore import Log
from rookery.projections import LoadFailed, SideCars
from rookery.projections.loader import Batch, Loader
from rookery.projections.relations import Field, relations
from rookery.projections.selection import Selection
from rookery.schemas import InvalidEvent, RunStarted, check

from .colony import Colony, fact

NASTY = [
    "",
    "\x00",
    "a\x00b",
    "é",
    "\U0001f426",
    "\ud83d\udc26",
    "\\u0000",
    '"',
    "\\",
    "\x7f",
    "\u2028",
    "x" * 5000,
    "null",
    "1",
]
texts = st.one_of(st.sampled_from(NASTY), st.text(max_size=20))
names = st.one_of(st.sampled_from([text for text in NASTY if 0 < len(text) < 200]), st.text(min_size=1, max_size=20))
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
seconds = st.one_of(
    st.floats(0, 1e11), st.integers(0, 10**11), st.sampled_from([0.1, 1e-7, 5e-7, 0.1234567, 99999999999.1234567])
)
counts = st.one_of(st.integers(0, 2**63 - 1), st.sampled_from([0, 2**53 + 1, 2**63 - 1]))
scores = st.one_of(st.floats(0, 1), st.sampled_from([0, 1, 1e-10, 0.5, 1 / 3]))
dollars = st.from_regex(r"\A[0-9]{1,12}(\.[0-9]{1,12})?\Z")

DATA: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "insight.recorded": st.fixed_dictionaries(
        {"kind": names, "text": texts},
        optional={"tags": st.lists(texts, max_size=3), "confidence": scores, "run_id": names, "skill": st.none()},
    ),
    "llm_call.completed": st.fixed_dictionaries(
        {"provider": names, "request_model": names},
        optional={
            "operation": names,
            "input_tokens": counts,
            "cost_usd": dollars,
            "duration_seconds": seconds,
            "usage_source": st.sampled_from(["provider", "estimated", "unknown"]),
        },
    ),
    "tool_call.completed": st.fixed_dictionaries(
        {"tool": names}, optional={"arguments": anything, "step": counts, "output": texts, "error": st.none() | texts}
    ),
    "run.completed": st.fixed_dictionaries(
        {}, optional={"success": st.booleans(), "reward": st.floats(-1e8, 1e8), "output": texts}
    ),
    "assignment.created": st.fixed_dictionaries(
        {"kind": names}, optional={"input": anything, "timeout_seconds": seconds}
    ),
}
times = st.sampled_from(
    [
        "2026-11-20T13:53:04.530453Z",
        "2026-11-20T13:53:04Z",
        "2026-11-20T13:53:04.5Z",
        "2026-11-20T13:53:04.530453789Z",
        "2026-11-20T13:53:04.9999999Z",
        "2026-11-20t13:53:04z",
        "2026-11-20T13:53:04+00:00",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
    ]
)
strangers = st.dictionaries(
    st.sampled_from(
        ["Agent_ID", "TOOL", "Time", "ID", "extra", "N", "Data", "recordedTime", "origin", "batch", "ünknown"]
    ),
    anything,
    max_size=3,
)


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """An event as somebody may have written it, with fields and attributes that no schema names."""
    name = draw(st.sampled_from(sorted(DATA)))
    data = draw(strangers) | draw(DATA[name])
    envelope = {
        "specversion": "1.0",
        "id": draw(st.uuids()).hex,
        "source": "/agents/coder-7",
        "type": name,
        "subject": draw(names),
        "time": draw(times),
        "data": data,
    }
    strange = {key.lower(): value for key, value in draw(strangers).items() if key.lower() not in envelope | {"n": 0}}
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    text = json.dumps(strange | envelope, ensure_ascii=draw(st.booleans()), separators=separators)
    return text.encode("utf-8", "surrogatepass")


def accepted(payload: bytes) -> bool:
    try:
        check(payload)
    except InvalidEvent:
        return False
    return True


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 2})


def loaded(
    con: duckdb.DuckDBPyConnection,
    log: Log,
    scratch: Path,
    *paths: Path,
    columnar: bool = False,
    types: Iterable[str] = (),
) -> dict[int, dict[str, Any]]:
    """The rows of all relations, by n; through Python, where no files are given that DuckDB reads."""
    last = log.vector()["here"]
    loader = Loader(log, Selection.of_everything(), scratch)
    loader.prepare(con)
    loader.load(con, Batch("here", 1, last, paths, columnar, columnar, frozenset(types)))
    return {row["n"]: row for name in relations() for row in records(con.execute(f"from {name}"))}


def records(result: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [name for name, *_ in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(payloads().filter(accepted), min_size=1, max_size=8, unique_by=lambda payload: json.loads(payload)["id"])
)
def test_what_the_schemas_accept_is_loaded_with_its_values_by_every_way(
    con: duckdb.DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory, events: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    with Colony(folder, segment_events_max=len(events)) as colony:
        colony.append(events)
        colony.log.seal_full_segments()
        (segment,) = colony.log.segments("here")
        assert segment.plain
        through_python = loaded(con, colony.log, folder)
        as_it_is = loaded(con, colony.log, folder, segment.path)
        types = segment.summary().types
        of_known_types = loaded(con, colony.log, folder, segment.path, types=types)
        of_fewer_types = loaded(con, colony.log, folder, segment.path, types=["run.cancelled", *list(types)[1:]])
        side_car = SideCars(folder / "columns", colony.log).make(segment)
        as_columns = loaded(con, colony.log, folder, side_car, columnar=True)
    assert as_it_is == of_known_types == of_fewer_types == through_python
    assert as_columns == through_python
    for n, payload in enumerate(events, start=1):
        event, data = check(payload)
        record = through_python[n]
        assert (record["id"], record["type"], record["subject"]) == (event.id, event.type, event.subject)
        assert record["time"] == event.time.replace(tzinfo=None)
        for field in relations()[f"{event.entity}_{event.type.split('.')[1]}"].fields:
            assert_loaded(record[field.name], getattr(data, field.name), field)


def assert_loaded(loaded: Any, value: Any, field: Field) -> None:
    """`loaded` is what SQL should have for `value`, which is absent where it is the field's default."""
    if value is None:
        assert loaded in (None, "null")
    elif field.sql_type == "JSON":
        assert json.loads(loaded) == value
    elif isinstance(loaded, Decimal):
        assert float(loaded) == pytest.approx(float(value), rel=1e-12, abs=1e-6)
    else:
        assert loaded == value


def test_an_event_that_did_not_arrive_is_noticed(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Colony(tmp_path) as colony:
        colony.append([fact(RunStarted(), "run-1")])
        loader = Loader(colony.log, Selection.of_everything(), tmp_path)
        loader.prepare(con)
        monkeypatch.setattr("rookery.projections.lines._TIME_CHARS_MAX", 3)
        with pytest.raises(LoadFailed, match="1 events went in, 0 arrived"):
            loader.load(con, Batch("here", 1, 1))


def test_an_unloaded_batch_leaves_no_rows_in_memory(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    with Colony(tmp_path, segment_events_max=1) as colony:
        colony.append([fact(RunStarted(), "run-1")])
        colony.log.seal_full_segments()
        (segment,) = colony.log.segments("here")
        loader = Loader(colony.log, Selection.of_everything(), tmp_path)
        loader.prepare(con)
        loader.load(con, Batch("here", 1, 1, (segment.path,), types=frozenset(segment.summary().types)))
        rows = "select coalesce(sum(estimated_size), 0) from duckdb_tables()"
        assert con.execute(rows).fetchall() == [(1,)]
        loader.unload(con)
        assert con.execute(rows).fetchall() == [(0,)]
