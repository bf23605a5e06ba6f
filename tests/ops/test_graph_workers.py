"""Questions about the graph in processes of their own: what they see, and how they end."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pyoxigraph import Literal, NamedNode, Quad, Store
from rookery.ops import graph_workers
from rookery.ops.graph_copies import Copies, Copy
from rookery.ops.graph_workers import GraphWorkers, Worker
from rookery.ops.lanes import TooBusy
from rookery.projections import QueryFailed, QueryRefused
from rookery.projections.graph.patterns import merged

from .graph_processes import processes

TRIPLES = 100_000
SECONDS_MAX = 4.0  # more than an easy question takes on a busy machine
COUNT = "SELECT (COUNT(*) AS ?n) {?s ?p ?o}"
EXPLODING = "SELECT * {?a ?b ?c . ?d ?e ?f . ?g ?h ?i} ORDER BY ?a ?f ?i"
ENDLESS = "SELECT (COUNT(*) AS ?n) {?a ?b ?c . ?d ?e ?f . ?g ?h ?i}"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store on disk with so many triples that a careless query explodes."""
    store = Store(tmp_path_factory.mktemp("graph") / "store")
    store.bulk_extend(
        merged(
            Quad(
                NamedNode(f"urn:run:{n // 4}"),
                NamedNode(f"urn:p:{n % 4}"),
                Literal(n % 1_000),
                NamedNode(f"urn:event:{n}"),
            )
            for n in range(TRIPLES)
        )
    )
    return store


@pytest.fixture
async def workers(store: Store, tmp_path: Path) -> AsyncIterator[GraphWorkers]:
    """Workers over `store`, which is taken to have changed whenever its size has."""
    workers = GraphWorkers(lambda: store, lambda: len(store), tmp_path / "copies", seconds_max=SECONDS_MAX)
    yield workers
    await workers.close()
    assert not any((tmp_path / "copies").glob("*"))
    assert processes() == []


async def ask(workers: GraphWorkers, text: str, rows_max: int = 1_000) -> str:
    return (await workers.ask("sparql", text=text, media_type="text/csv", rows_max=rows_max)).decode()


async def kill_idle(workers: GraphWorkers) -> None:
    (worker,) = workers._idle
    worker._process.kill()
    while worker.is_alive:
        await asyncio.sleep(0.005)


async def test_a_worker_answers_and_stays_for_the_next_question(workers: GraphWorkers) -> None:
    assert await ask(workers, COUNT) == f"n\r\n{TRIPLES}\r\n"
    (first,) = processes()
    assert await ask(workers, COUNT) == f"n\r\n{TRIPLES}\r\n"
    assert processes() == [first]


async def test_a_question_sees_all_that_was_there_when_it_was_asked(workers: GraphWorkers, store: Store) -> None:
    quad = Quad(NamedNode("urn:new"), NamedNode("urn:p"), Literal("new"))
    for change in (store.add, store.remove, store.add, store.remove):
        change(quad)
        assert await ask(workers, COUNT) == f"n\r\n{len(store) - TRIPLES}\r\n"


async def test_a_query_that_needs_too_much_memory_is_ended_and_its_memory_is_free_again(workers: GraphWorkers) -> None:
    with pytest.raises(QueryFailed, match=r"memory|longer"):
        await ask(workers, EXPLODING)
    assert processes() == []
    assert await ask(workers, COUNT) == f"n\r\n{TRIPLES}\r\n"


async def test_a_query_that_takes_too_long_is_ended(store: Store, tmp_path: Path) -> None:
    workers = GraphWorkers(lambda: store, lambda: 0, tmp_path / "copies", seconds_max=0.5)
    with pytest.raises(QueryFailed, match=r"longer than 0.5 s \(query_seconds_max\)"):
        await ask(workers, ENDLESS)
    await workers.close()
    assert processes() == []


async def test_a_query_nested_too_deeply_ends_its_process_and_nothing_else(workers: GraphWorkers) -> None:
    with pytest.raises((QueryFailed, QueryRefused)):
        await ask(workers, "SELECT * {" + "{" * 50_000 + "}" * 50_000 + "}")
    assert await ask(workers, COUNT)


async def test_a_query_whose_client_leaves_is_ended(workers: GraphWorkers) -> None:
    await ask(workers, COUNT)
    (process,) = processes()
    idle_seconds = process.cpu_times().user
    asking = asyncio.create_task(ask(workers, ENDLESS))
    while process.cpu_times().user < idle_seconds + 0.1:
        await asyncio.sleep(0.005)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert process not in processes()
    assert await ask(workers, COUNT)


async def test_a_copy_stays_for_who_waits_for_a_worker_while_the_graph_changes(
    workers: GraphWorkers, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, waits, may_begin = Worker.start, asyncio.Event(), asyncio.Event()

    async def late() -> Worker:
        waits.set()
        await may_begin.wait()
        return await start()

    monkeypatch.setattr(Worker, "start", late)
    first = asyncio.create_task(ask(workers, COUNT))
    await waits.wait()
    monkeypatch.setattr(Worker, "start", start)
    quad = Quad(NamedNode("urn:new"), NamedNode("urn:p"), Literal("new"))
    store.add(quad)
    assert await ask(workers, COUNT) == f"n\r\n{TRIPLES + 1}\r\n"
    may_begin.set()
    assert await first == f"n\r\n{TRIPLES}\r\n"
    store.remove(quad)


async def test_a_copy_that_is_made_for_nobody_any_more_is_not_left_lying(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies, begun, may_end = Copies(lambda: store, lambda: 0, tmp_path / "copies"), threading.Event(), threading.Event()
    make = copies._make

    def slow() -> Copy:
        begun.set()
        may_end.wait()
        return make()

    monkeypatch.setattr(copies, "_make", slow)
    asking = asyncio.create_task(copies.current())
    await asyncio.to_thread(begun.wait)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    may_end.set()
    copy = await copies.current()
    assert list((tmp_path / "copies").iterdir()) == [copy.path]
    copies.close()
    assert not any((tmp_path / "copies").iterdir())


async def test_a_worker_that_was_ended_while_idle_is_replaced(workers: GraphWorkers) -> None:
    await ask(workers, COUNT)
    await kill_idle(workers)
    assert await ask(workers, COUNT) == f"n\r\n{TRIPLES}\r\n"


async def test_a_copy_that_cant_be_read_is_made_again_for_who_asks_next(workers: GraphWorkers, tmp_path: Path) -> None:
    await ask(workers, COUNT)
    await kill_idle(workers)
    (copy,) = (tmp_path / "copies").iterdir()
    shutil.rmtree(copy)
    copy.mkdir()
    with pytest.raises(QueryFailed, match="can't be read"):
        await ask(workers, COUNT)
    assert await ask(workers, COUNT) == f"n\r\n{TRIPLES}\r\n"


LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
BOMBS = {
    "text/turtle": "<urn:a> <urn:b> " + "<<( <urn:a> <urn:b> " * 100_000 + "<urn:c>" + " )>>" * 100_000 + " .",
    "application/n-triples": "<urn:a> <urn:b> <<( <urn:a> <urn:b> <<( <urn:a> <urn:b> <urn:c> )>> )>> .",
    "application/rdf+xml": f'<!DOCTYPE x [<!ENTITY a0 "lollollol">{LAUGHS}]>'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:e="urn:e:">'
    '<rdf:Description rdf:about="urn:a"><e:p>&a9;</e:p></rdf:Description></rdf:RDF>',
}


@pytest.mark.parametrize("media_type", BOMBS)
async def test_a_file_that_would_end_whoever_reads_it_is_read_by_a_worker_first(
    workers: GraphWorkers, media_type: str
) -> None:
    with pytest.raises((QueryFailed, QueryRefused), match=r"memory|longer|triple"):
        await workers.check(BOMBS[media_type].encode(), media_type)
    await workers.check(b"<urn:a> <urn:b> <urn:c> .", "text/turtle")


async def test_a_refused_query_costs_no_process(workers: GraphWorkers) -> None:
    await ask(workers, COUNT)
    before = processes()
    with pytest.raises(QueryRefused):
        await ask(workers, "SELECT * {")
    assert processes() == before


async def test_other_questions_go_on_beside_one_that_explodes(workers: GraphWorkers) -> None:
    slow = asyncio.create_task(ask(workers, ENDLESS))
    answers = [await ask(workers, COUNT) for _ in range(3)]
    assert set(answers) == {f"n\r\n{TRIPLES}\r\n"}
    with pytest.raises(QueryFailed):
        await slow


async def test_as_many_wait_as_there_is_room_for(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_workers, "QUESTIONS_WAITING_MAX", 2)
    workers = GraphWorkers(lambda: store, lambda: 0, tmp_path / "copies", seconds_max=SECONDS_MAX, workers_max=1)
    answers = await asyncio.gather(*(ask(workers, COUNT) for _ in range(4)), return_exceptions=True)
    assert [type(answer) for answer in answers].count(TooBusy) == 1
    await workers.close()


async def test_an_export_comes_in_parts_and_ends_its_worker_if_it_is_left(workers: GraphWorkers) -> None:
    parts = [part async for part in await workers.export(media_type="application/n-quads")]
    assert len(parts) > 1
    assert b"".join(parts).count(b"\n") == TRIPLES
    left = await workers.export(media_type="application/n-quads")
    assert await anext(left)
    await left.aclose()


async def test_questions_about_shape_are_answered_too(workers: GraphWorkers) -> None:
    assert json.loads(await workers.ask("stats"))["triples"] == TRIPLES
    with pytest.raises(QueryRefused):
        await workers.ask("neighbours", name="agent/nobody", depth=1, limit=5)


async def test_a_store_that_cant_be_copied_is_a_failure_of_the_question(tmp_path: Path) -> None:
    workers = GraphWorkers(Store, lambda: 0, tmp_path / "copies", seconds_max=SECONDS_MAX)
    with pytest.raises(QueryFailed, match="can't be asked now"):
        await ask(workers, COUNT)
    await workers.close()
