"""What a node tells Prometheus: both formats, by every reader, of the node and of the colony."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from msgspec import structs
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from rookery.ops.bench.node_process import NodeProcess
from rookery.ops.colony import Watch
from rookery.ops.data_folder import DataFolder
from rookery.ops.metrics import KEEP_SECONDS, Metrics
from rookery.ops.node import Node, running_node
from rookery.ops.settings import Settings
from rookery.projections import QueryFailed
from rookery.schemas import encode, new_id

from .history import history
from .test_alert_rules import RULES

PATHS = ["/metrics", "/hobby/metrics/prometheus"]
OPENMETRICS = "application/openmetrics-text"
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.fixture
def http(node: NodeProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=node.node.url, timeout=60, trust_env=False) as http:
        yield http


def series(text: str, name: str) -> dict[tuple[str, ...], float]:
    """The series of one metric, by their labels' values."""
    families = parse_text(text)
    return {tuple(one.labels.values()): one.value for family in families for one in family.samples if one.name == name}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("text/plain", "text/plain"),
        ("text/html,application/xhtml+xml", "text/plain"),
        (OPENMETRICS, OPENMETRICS),
        (f"{OPENMETRICS}; version=1.0.0", OPENMETRICS),
        (PROMETHEUS, OPENMETRICS),
        (f"{OPENMETRICS}; version=nonsense", OPENMETRICS),
        ("text/plain; version=; escaping", "text/plain"),
        (f"{OPENMETRICS};q=0.1, text/plain", "text/plain"),
        (", ;;=, q=1", "text/plain"),
    ],
)
def test_the_format_is_the_one_that_was_asked_for(http: httpx.Client, path: str, accept: str, media_type: str) -> None:
    answer = http.get(path, headers={"accept": accept})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].partition(";")[0] == media_type
    parse = parse_openmetrics if media_type == OPENMETRICS else parse_text
    names = [family.name for family in parse(answer.text)]
    assert len(names) == len(set(names))
    assert "rookery_node_ready" in names


def test_promtool_finds_nothing_to_say_of_a_scrape(http: httpx.Client) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool: install Prometheus (Debian: apt-get install prometheus) to check a scrape")
    http.post("/events", content=b"\n".join(map(encode, history())), headers={"content-type": "application/x-ndjson"})
    text = http.get("/metrics").text
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_metric_that_the_rules_name_is_in_a_scrape(http: httpx.Client) -> None:
    found = {sample.name for family in parse_text(http.get("/metrics").text) for sample in family.samples}
    about_node, _ = RULES.read_text().split("- name: rookery-colony")
    named = set(re.findall(r"expr: .*?\b(rookery_\w+)", about_node))
    assert named
    assert named <= found


def test_requests_are_counted_by_route_and_never_by_path(http: httpx.Client) -> None:
    for number in range(20):
        http.get(f"/no/such/{number}")
        http.get(f"/query/unheard-of-{number}")
    http.request("BREW", "/health")
    found = series(http.get("/metrics").text, "rookery_http_requests_total")
    assert found["GET", "none", "404"] == 20
    assert found["GET", "/query/{name}", "404"] == 20
    assert found["other", "/health", "405"] == 1
    assert not [labels for labels in found if "unheard" in labels[1] or "such" in labels[1]]


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Counting(Watch):
    """Counts how often it is asked to look, and fails when it is told to."""

    looks = 0
    fails = False

    def look(self):  # type: ignore[no-untyped-def]
        self.looks += 1
        if self.fails:
            raise QueryFailed("the read models are busy")
        return super().look()


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Node]:
    """A node in this process."""
    settings = Settings(data=tmp_path / "data", nats_port=0)
    with DataFolder(settings.data) as folder:
        async with running_node(folder, settings) as node:
            await node.projector.wait_for(node.log.vector())
            yield node


async def test_the_node_says_what_it_took(running: Node) -> None:
    events = history()
    await running.take([encode(event) for event in events])
    text = (await Metrics(running).text()).decode()
    assert series(text, "rookery_log_events_total") == {("local",): len(events) + 1}
    assert series(text, "rookery_ingest_events_total") == {(): len(events) + 1}
    assert series(text, "rookery_projection_lag_events")["read_models",] == 0
    assert series(text, "rookery_folded_events_total")["read_models",] == len(events) + 1
    assert series(text, "rookery_append_duration_seconds_count")[()] >= 1
    assert series(text, "rookery_fold_duration_seconds_count")["read_models",] >= 1
    assert series(text, "rookery_ingest_state") == {("starting",): 0, ("running",): 1, ("failing",): 0, ("failed",): 0}
    assert series(text, "rookery_colony_events_total") == {(): len(events) + 1}
    assert series(text, "rookery_bus_connected") == {(): 1}
    assert set(series(text, "rookery_disk_free_bytes")) >= {("data",), ("log",)}
    assert series(text, "rookery_duckdb_memory_bytes")["in_memory_table",] > 0
    assert series(text, "process_resident_memory_bytes")[()] > 0


async def test_all_who_scrape_share_one_look(running: Node) -> None:
    clock, watch = Clock(), Counting(running.projections)
    metrics = Metrics(running, watch=watch, clock=clock)
    await asyncio.gather(*(metrics.text() for _ in range(20)))
    clock.seconds += KEEP_SECONDS - 1
    await metrics.text()
    assert watch.looks == 1
    clock.seconds += 1
    await metrics.text()
    assert watch.looks == 2


async def test_while_the_read_models_fail_the_figures_stay_as_they_were(running: Node) -> None:
    clock, watch = Clock(), Counting(running.projections)
    metrics = Metrics(running, watch=watch, clock=clock)
    await metrics.text()
    watch.fails = True
    clock.seconds += 600
    text = (await metrics.text()).decode()
    assert series(text, "rookery_colony_events_total") == {(): 1}
    assert series(text, "rookery_look_age_seconds") == {(): 600}
    assert series(text, "rookery_looks_failed_total") == {(): 1}


async def test_a_node_that_never_got_an_answer_still_tells_about_itself(running: Node) -> None:
    watch = Counting(running.projections)
    watch.fails = True
    text = (await Metrics(running, watch=watch).text()).decode()
    assert series(text, "rookery_node_ready") == {(): 1}
    assert series(text, "rookery_colony_events_total") == {}


async def test_dead_letters_are_counted(running: Node) -> None:
    unknown = structs.replace(history()[0], id=new_id(), type="gizmo.turned")
    receipt = await running.bus.publish(unknown)
    await running.ingest.wait_for(receipt.sequence)
    text = (await Metrics(running).text()).decode()
    assert series(text, "rookery_dead_letters") == {(): 1}
