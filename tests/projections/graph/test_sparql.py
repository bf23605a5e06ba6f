"""Which queries may run, and the bounds of what they answer."""

from __future__ import annotations

import socket

import pytest
from rookery.projections import QueryFailed, QueryRefused
from rookery.projections.graph.patterns import said
from rookery.projections.graph.sparql import RESULTS, TRIPLES, answer, read

from .small_world import world

ALL = "SELECT * {?s ?p ?o}"
CALLS = [
    "SELECT * {SERVICE <URL> {?s ?p ?o}}",
    "SELECT * {SERVICE SILENT <URL> {?s ?p ?o}}",
    "SELECT * {#\nseRvice <URL> {?s ?p ?o}}",
    "PREFIX : <URL> SELECT * {SERVICE:x{?s ?p ?o}}",
    "PREFIX ex: <URL> SELECT * {SERVICEex:x # here\n {?s ?p ?o}}",
    "SELECT * {?s ?p 1e5SERVICE<URL>{?s ?p ?o}}",
    "SELECT * {?s ?p trueSERVICE<URL>{?s ?p ?o}}",
    "SELECT * {?s ?p ?o FILTER(?s<?o)SERVICE<URL>{?s ?p ?o}}",
    "SELECT * {<http://x/#\\u0061> ?p ?o .SERVICE<URL>{?s ?p ?o}}",
    "SELECT * {?s ?p '''a'#'''.SERVICE<URL>{?s ?p ?o}}",
    'SELECT * {?s ?p "\\u0022 #" . SERVICE<URL>{?s ?p ?o}}',
    'SELECT * {?s ?p "a\\"#"@en.SERVICE<URL>{?s ?p ?o}}',
    "SELECT * {BIND(<URL> AS ?x)SERVICESILENT?x{?s ?p ?o}}",
    "SELECT * {FILTER(1<2)SERVICE#>\n<URL>{?s ?p ?o}}",
    "SELECT * {?s ?p ?o FILTER(?s<?o)SERVICE#>\nSILENT <URL>{?s ?p ?o}}",
    "SELECT * {FILTER('a'<'>')SERVICE<URL>{?s ?p ?o} #'\n}",
    'SELECT * {FILTER(1<2#>"""\n)SERVICE<URL>{?s ?p ?o} #"""\n}',
    "SELECT * {VALUES ?x {'''a'} SERVICE <URL>{?s ?p ?o}}",
]


@pytest.mark.parametrize("text", CALLS)
def test_no_query_that_asks_another_endpoint_gets_through_however_it_is_written(text: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(QueryRefused):
            answer(world(), read(text.replace("URL", url)), "text/csv", rows_max=10)
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize(
    "text",
    [
        "SELECT ?service {?service a 'SERVICE'}  # SERVICE <x> {}",
        "SELECT * {?s rk:service ?o ; <urn:SERVICE> 'SERVICE <x> {}'@en}",
        'SELECT * {?s ?p """ " SERVICE <urn:x> {} """}',
        "SELECT ?service {?service a <urn:a#Service> ; rk:service <http://x/it's#service> FILTER(?service<?s)}",
    ],
)
def test_the_word_service_may_be_written_where_it_is_no_keyword(text: str) -> None:
    assert answer(world(), read(text), "text/csv", rows_max=10)


@pytest.mark.parametrize("text", [f"SELECT * {{?s rk:id {'#' * 80}\n?o}}", "SELECT * {?s rk:id # a # b # c #\n ?o}"])
def test_a_line_of_number_signs_behind_a_name_is_read_like_any_comment(text: str) -> None:
    assert answer(world(), read(text), "text/csv", rows_max=100)


@pytest.mark.parametrize("text", ["SELECT * {?s ?p 'a}", 'SELECT * {?s ?p """a"}', "SELECT * {?s ?p 'a\n'}"])
def test_a_string_without_an_end_is_refused_where_it_begins(text: str) -> None:
    with pytest.raises(QueryRefused, match=r"character \d+ has no end"):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        "INSERT DATA {<urn:a> <urn:b> 1}",
        "PREFIX a: <urn:a> DELETE WHERE {?s ?p ?o}",
        "BASE <urn:a> # SELECT\n DROP ALL",
        "LOAD <http://127.0.0.1/>",
        "CLEAR DEFAULT",
        "SELECT * {?s ?p ?o} ; DROP ALL",
        "ASK {?s ?p",
        "SELECT * {?s nobody:knows ?o}",
        "SELECT (<urn:f>(1) AS ?x) {}",
        "",
        "rookery",
    ],
)
def test_updates_and_what_is_no_query_are_refused(text: str) -> None:
    store = world()
    before = len(store)
    with pytest.raises(QueryRefused):
        answer(store, read(text), "text/csv", rows_max=10)
    assert len(store) == before


@pytest.mark.parametrize("media_type", RESULTS)
def test_an_answer_with_more_rows_than_allowed_is_refused(media_type: str) -> None:
    rows = len(list(said(world())))
    assert answer(world(), read(ALL), media_type, rows_max=rows)
    with pytest.raises(QueryFailed, match="query_rows_max"):
        answer(world(), read(ALL), media_type, rows_max=rows - 1)


@pytest.mark.parametrize("media_type", TRIPLES)
def test_an_answer_with_more_triples_than_allowed_is_refused(media_type: str) -> None:
    query = read("CONSTRUCT WHERE {?s ?p ?o}")
    assert answer(world(), query, media_type, rows_max=100)
    with pytest.raises(QueryFailed, match="query_rows_max"):
        answer(world(), query, media_type, rows_max=3)


def test_the_default_graph_is_all_graphs_unless_some_are_named() -> None:
    def rows(text: str, **graphs: list[str]) -> int:
        return answer(world(), read(text), "text/csv", rows_max=100, **graphs).count(b"\n") - 1

    first = "urn:rookery:event:local:1"
    assert rows(ALL) == len(list(said(world())))
    assert rows(f"SELECT * FROM <{first}> {{?s ?p ?o}}") == 4
    assert rows(ALL, default_graphs=[first]) == 4
    assert rows(ALL, named_graphs=[first]) == 0
    assert rows("SELECT * {GRAPH ?g {?s ?p ?o}}", named_graphs=[first]) == 4
    assert rows("SELECT * FROM <urn:none> {?s ?p ?o}", default_graphs=[first]) == 4
