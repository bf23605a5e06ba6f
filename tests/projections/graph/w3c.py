"""W3C's SPARQL 1.1 query tests, run as our queries are: its manifests, and what it takes for an answer to be right."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple

from pyoxigraph import (
    BlankNode,
    DefaultGraph,
    Literal,
    NamedNode,
    Quad,
    QueryBoolean,
    QueryResultsFormat,
    QuerySolutions,
    RdfFormat,
    Store,
    Triple,
    parse,
    parse_query_results,
    serialize,
)
from rdflib import Graph
from rdflib.compare import isomorphic
from rookery.projections import QueryRefused
from rookery.projections.graph.sparql import Query, answer, read

FOLDERS = (
    "aggregates",
    "bind",
    "bindings",
    "cast",
    "construct",
    "csv-tsv-res",
    "exists",
    "functions",
    "grouping",
    "json-res",
    "negation",
    "project-expression",
    "property-path",
    "service",
    "subquery",
    "syntax-fed",
    "syntax-query",
)
ROWS_MAX = 100_000
RS = "http://www.w3.org/2001/sw/DataAccess/tests/result-set#"
NUMBERS = {"integer", "decimal", "double", "float"}
XSD = "http://www.w3.org/2001/XMLSchema#"

ENTRIES = """
PREFIX mf: <http://www.w3.org/2001/sw/DataAccess/tests/test-manifest#>
PREFIX qt: <http://www.w3.org/2001/sw/DataAccess/tests/test-query#>
SELECT ?test ?kind ?action ?query ?data ?result (GROUP_CONCAT(COALESCE(STR(?graph), ""); SEPARATOR=" ") AS ?graphs) {
  ?manifest mf:entries/rdf:rest*/rdf:first ?test . ?test a ?kind ; mf:action ?action .
  OPTIONAL { ?action qt:query ?query }
  OPTIONAL { ?action qt:data ?data }
  OPTIONAL { ?action qt:graphData ?graph }
  OPTIONAL { ?test mf:result ?result }
} GROUP BY ?test ?kind ?action ?query ?data ?result ORDER BY ?test"""


class Case(NamedTuple):
    """One test of the suite. Places are files."""

    name: str
    kind: str
    query: Path
    data: Path | None
    graphs: list[Path]
    result: Path | None


class Wrong(Exception):
    """An answer is not the one that the suite wants."""


def cases(suite: Path) -> Iterator[Case]:
    """The tests in a folder that holds the suite."""
    for folder in FOLDERS:
        manifest, store = suite / folder / "manifest.ttl", Store()
        store.load(path=manifest, base_iri=manifest.as_uri())
        found = store.query(ENTRIES, prefixes={"rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#"})
        assert isinstance(found, QuerySolutions)
        for row in found:
            action, query, data, result = (_path(row[name]) for name in ("action", "query", "data", "result"))
            yield Case(
                name=f"{folder}/{_text(row['test']).rpartition('#')[2]}",
                kind=_text(row["kind"]).rpartition("#")[2],
                query=query or action or manifest,
                data=data,
                graphs=[_file(one) for one in _text(row["graphs"]).split()],
                result=result,
            )


def run(case: Case) -> None:
    """Run one test. Raises `Wrong`, or whatever the query raises."""
    text = f"BASE <{case.query.as_uri()}>\n{case.query.read_text()}"
    if "Negative" in case.kind:
        _must_be_refused(text)
    elif "Syntax" in case.kind:
        _ask(Store(), read(text))
    else:
        assert case.result
        _compare(_store(case), read(text), case.result)


def _must_be_refused(text: str) -> None:
    try:
        _ask(Store(), read(text))
    except QueryRefused:
        return
    raise Wrong("it should be refused")


def _ask(store: Store, query: Query, media_type: str | None = None) -> bytes:
    return answer(store, query, media_type or query.formats[0], rows_max=ROWS_MAX)


def _store(case: Case) -> Store:
    store = Store()
    for path, graph in [(case.data, DefaultGraph()), *((one, NamedNode(one.as_uri())) for one in case.graphs)]:
        if path:
            for quad in parse(path=path, base_iri=path.as_uri(), rename_blank_nodes=True):
                store.add(Quad(quad.subject, quad.predicate, quad.object, graph))
    return store


def _compare(store: Store, query: Query, expected: Path) -> None:
    if query.gives_triples:
        got = Graph().parse(_ask(store, query, "application/n-triples"), format="nt")
        if not isomorphic(got, Graph().parse(expected)):
            raise Wrong(f"other triples: {got.serialize(format='nt')}")
    elif expected.suffix == ".csv":
        got_rows, want_rows = _csv(_ask(store, query, "text/csv").decode()), _csv(expected.read_text())
        if got_rows != want_rows:
            raise Wrong(f"{got_rows} instead of {want_rows}")
    else:
        media_type = "text/tab-separated-values" if expected.suffix == ".tsv" else query.formats[0]
        form = QueryResultsFormat.from_media_type(media_type)
        assert form
        got_results, want = parse_query_results(_ask(store, query, media_type), form), _results(expected)
        _compare_results(got_results, want)


def _compare_results(got: QuerySolutions | QueryBoolean, want: QuerySolutions | QueryBoolean | list[Row]) -> None:
    if isinstance(got, QueryBoolean):
        assert isinstance(want, QueryBoolean)
        if bool(got) != bool(want):
            raise Wrong(f"{bool(got)}")
        return
    got_rows, want_rows = _rows(got), want if isinstance(want, list) else _rows(want)
    if Counter(map(frozenset, got_rows)) != Counter(map(frozenset, want_rows)) and not isomorphic(
        _as_graph(got_rows), _as_graph(want_rows)
    ):
        raise Wrong(f"{got_rows} instead of {want_rows}")


Row = list[tuple[str, Any]]


def _rows(found: Any) -> list[Row]:
    """The solutions, each as its bindings, with numbers written in one way."""
    names = [variable.value for variable in found.variables]
    return [[(name, _normal(row[name])) for name in names if row[name] is not None] for row in found]


def _results(path: Path) -> Any:
    if path.suffix == ".ttl":
        return list(_rows_in_turtle(path))
    form = QueryResultsFormat.from_extension(path.suffix[1:])
    return parse_query_results(path=path, format=form)


def _rows_in_turtle(path: Path) -> Iterator[Row]:
    store = Store()
    store.load(path=path, base_iri=path.as_uri())
    for solution in store.quads_for_pattern(None, NamedNode(f"{RS}solution"), None):
        bindings = [quad.object for quad in store.quads_for_pattern(solution.object, NamedNode(f"{RS}binding"), None)]
        yield [
            (_text(_object(store, one, "variable")), _normal(_object(store, one, "value")))
            for one in sorted(bindings, key=str)
        ]


def _object(store: Store, subject: Any, name: str) -> Any:
    return next(iter(store.quads_for_pattern(subject, NamedNode(RS + name), None))).object


def _as_graph(rows: Iterable[Row]) -> Graph:
    """Rows as triples, so that isomorphism decides which blank nodes may stand for one another."""
    triples = [
        Triple(
            BlankNode(f"row{number}"),
            NamedNode(f"urn:column:{name}"),
            BlankNode(f"x{term.value}") if isinstance(term, BlankNode) else term,
        )
        for number, row in enumerate(rows)
        for name, term in [("row", Literal("")), *row]
    ]
    return Graph().parse(serialize(triples, format=RdfFormat.N_TRIPLES), format="nt")


def _normal(term: Any) -> Any:
    if not isinstance(term, Literal) or term.datatype.value.removeprefix(XSD) not in NUMBERS:
        return term
    try:
        kind = term.datatype.value.removeprefix(XSD)
        value = float(term.value) if kind in {"double", "float"} else Decimal(term.value).normalize()
        return Literal(f"{value:.10g}" if kind in {"double", "float"} else f"{value:f}", datatype=term.datatype)
    except (ValueError, InvalidOperation):
        return term


def _csv(text: str) -> Counter[Any]:
    """Rows of CSV, whatever the order of their columns; it has no names for blank nodes that would mean anything."""
    rows = csv.DictReader(io.StringIO(text, newline=""))
    return Counter(
        tuple(sorted((name, "_:" if cell.startswith("_:") else _plain_number(cell)) for name, cell in row.items()))
        for row in rows
    )


def _plain_number(cell: str) -> str:
    try:
        return f"{float(cell):.10g}"
    except ValueError:
        return cell


def _text(term: Any) -> str:
    return str(term.value)


def _path(term: Any) -> Path | None:
    return _file(term.value) if isinstance(term, NamedNode) else None


def _file(iri: str) -> Path:
    return Path(iri.removeprefix("file://"))
