"""The sources as data: files, options, and what a mistake in them is told."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rookery.handlers.importers import SOURCES, ImportFailed
from rookery.handlers.importers.sources import source_named


def test_every_source_s_reader_takes_exactly_its_options() -> None:
    for name, source in SOURCES.items():
        _file, _name, *taken = inspect.signature(source.read).parameters.values()
        assert {parameter.name for parameter in taken} == {option.name for option in source.options}, name
        assert {parameter.kind for parameter in taken} <= {inspect.Parameter.KEYWORD_ONLY}, name


def test_every_source_and_option_says_what_it_is() -> None:
    for source in SOURCES.values():
        assert source.description.endswith(".")
        assert all(option.help.endswith(".") for option in source.options)


def test_options_become_what_the_reader_takes() -> None:
    assert SOURCES["tau-bench"].parsed({"agent": "coder-7", "skill": None}) == {
        "agent": "coder-7",
        "skill": None,
        "time": datetime(2024, 6, 17, tzinfo=UTC),
    }
    given = {"time": "2026-01-01 02:00:00+02:00"}
    assert SOURCES["who-and-when"].parsed(given) == {"time": datetime(2026, 1, 1, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("source", "options", "where", "reason"),
    [
        ("azure-llm", {"provider": "openai"}, "--model", "this option is needed"),
        ("azure-llm", {"provider": "", "model": "gpt-4o"}, "--provider", "this option is needed"),
        ("tau-bench", {"time": "yesterday"}, "--time", "expected a time"),
        ("tau-bench", {"time": "0001-01-01T00:00:00+10:00"}, "--time", "expected a time"),
        ("tau-bench", {"agnet": "x"}, "--agnet", "there is no such option"),
        ("ndjson", {"agent": "x"}, "--agent", "there is no such option"),
    ],
)
def test_options_that_cannot_be_used_fail_with_their_name(
    source: str, options: dict[str, str | None], where: str, reason: str
) -> None:
    with pytest.raises(ImportFailed, match=reason) as failed:
        SOURCES[source].parsed(options)
    assert failed.value.where == where
    assert failed.value.advice


def test_an_unknown_source_fails_with_the_nearest_or_with_all() -> None:
    with pytest.raises(ImportFailed, match="did you mean 'tau-bench'"):
        source_named("taubench")
    with pytest.raises(ImportFailed, match="the sources are azure-llm, tau-bench, "):
        source_named("?")


def test_a_folder_stands_for_its_matching_files_at_any_depth_in_a_fixed_order(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("b.json", "inner/a.json", "a.json", "README.md"):
        (tmp_path / name).write_text("[]")
    files = SOURCES["tau-bench"].files([tmp_path / "b.json", tmp_path])
    assert [str(file.relative_to(tmp_path)) for file in files] == ["b.json", "a.json", "b.json", "inner/a.json"]


def test_the_files_of_a_folder_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    names = [f"{number:02}.csv" for number in range(20)]
    for name in (*names[10:], *reversed(names[:10])):
        (tmp_path / name).write_text("")
    assert [file.name for file in SOURCES["azure-llm"].files([tmp_path])] == names


def test_paths_that_cannot_be_read_fail_with_their_name(tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match="no such file or folder") as failed:
        SOURCES["ndjson"].files([tmp_path / "missing"])
    assert failed.value.path == str(tmp_path / "missing")
    with pytest.raises(ImportFailed, match=r"the folder has no \*\.ndjson or \*\.jsonl"):
        SOURCES["ndjson"].files([tmp_path])
