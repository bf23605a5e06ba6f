"""SPARQL over the graph: which texts are queries that may run, and what one answers, as bytes in a format."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from pyoxigraph import (
    NamedNode,
    QueryBoolean,
    QueryResultsFormat,
    QuerySolutions,
    QueryTriples,
    RdfFormat,
    Store,
    serialize,
)

from ..errors import QueryFailed, QueryRefused
from .names import PREFIXES as GRAPH_PREFIXES

PREFIXES = {**GRAPH_PREFIXES, "schema": "https://schema.org/"}
ANSWER_BYTES_MAX = 64 * 1024 * 1024

RESULTS = {
    "application/sparql-results+json": QueryResultsFormat.JSON,
    "application/sparql-results+xml": QueryResultsFormat.XML,
    "text/csv": QueryResultsFormat.CSV,
    "text/tab-separated-values": QueryResultsFormat.TSV,
}
TRIPLES = {
    "text/turtle": RdfFormat.TURTLE,
    "application/n-triples": RdfFormat.N_TRIPLES,
    "application/ld+json": RdfFormat.JSON_LD,
    "application/rdf+xml": RdfFormat.RDF_XML,
    "application/n-quads": RdfFormat.N_QUADS,
    "application/trig": RdfFormat.TRIG,
}

# What a query's text is made of, as far as it takes to tell keywords from what looks like them. A long text takes no
# longer than it is: nothing is read in two ways, prefixes are short, and a string without an end ends the reading.
_TOKEN = re.compile(
    r"""\#[^\n\r]*
    | (?P<iri><[^<>"{}|^`\x00-\x20]*>)
    | \"\"\"(?:[^"\\]|\\.|"(?!""))*\"\"\" | '''(?:[^'\\]|\\.|'(?!''))*'''
    | (?!"{3}|'{3})(?:"(?:[^"\\\n\r]|\\.)*"|'(?:[^'\\\n\r]|\\.)*')
    | [?$]\w+
    | @[A-Za-z]+(?:-[A-Za-z0-9-]+)*
    | (?P<name>(?:\w[\w.-]{0,63}+)?:)(?:[\w.:-]|%[0-9A-Fa-f]{2}|\\.)*+(?P<braced>(?>\s|\#[^\n\r]*+)*+\{)?
    | (?P<word>[^\W\d_]\w*)
    | (?P<unended>["'])""",
    re.VERBOSE | re.DOTALL,
)
# What seems to be an IRI may be `<`, what it compares with, and a comment or a string as far as a `>` in it: then what
# follows isn't what it seems to be either, and SERVICE is looked for everywhere. `<http://` is no comparison.
_COMPARED = re.compile(r"(?!<[a-z][a-z0-9+.-]*://)[^#']*[#']", re.IGNORECASE)
_SERVICE = re.compile(r"(?<![:?$])SERVICE(?![>).,;}'\"])", re.IGNORECASE)
_PROLOGUE = {"PREFIX", "BASE", "VERSION"}
_SELECTS, _DESCRIBES = {"SELECT", "ASK"}, {"CONSTRUCT", "DESCRIBE"}
_UPDATES = {"INSERT", "DELETE", "LOAD", "CLEAR", "DROP", "CREATE", "ADD", "MOVE", "COPY", "WITH"}


class Query(NamedTuple):
    """A query's text, and whether it answers with triples."""

    text: str
    gives_triples: bool

    @property
    def formats(self) -> list[str]:
        """The media types that its answer can have, the usual one first."""
        return list(TRIPLES if self.gives_triples else RESULTS)


def read(text: str) -> Query:
    """The query in `text`; its syntax is checked as it is run. Raises `QueryRefused` for what may not run at all."""
    tokens = list(_tokens(text))
    words = [word.upper() for token in tokens if (word := token["word"])]
    form = next((word for word in words if word not in _PROLOGUE), "")
    if form in _UPDATES:
        raise QueryRefused(f"{form} is a SPARQL update; the graph is made from the log, so it can only be asked")
    if form not in _SELECTS | _DESCRIBES:
        raise QueryRefused("this is no SPARQL query: one begins with SELECT, ASK, CONSTRUCT or DESCRIBE")
    if any(_calls_away(token) for token in tokens) or (_is_ambiguous(tokens) and _SERVICE.search(text)):
        raise QueryRefused("SERVICE asks another endpoint; queries see this node's graph and nothing else")
    return Query(text, form in _DESCRIBES)


def _tokens(text: str) -> Iterator[re.Match[str]]:
    for token in _TOKEN.finditer(text):
        if token["unended"]:
            raise QueryRefused(
                f"the query is wrong: the string that begins at character {token.start() + 1} has no end"
            )
        yield token


def _is_ambiguous(tokens: list[re.Match[str]]) -> bool:
    return any(token["iri"] and _COMPARED.match(token["iri"]) for token in tokens)


def _calls_away(token: re.Match[str]) -> bool:
    """Whether a token is, or hides, the keyword SERVICE: the parser wants no space around it, as in `1e5SERVICE:x{`."""
    suspect = token["word"] or (token["braced"] and token["name"]) or ""
    return "SERVICE" in suspect.upper()


def answer(
    store: Store,
    query: Query,
    media_type: str,
    *,
    rows_max: int,
    default_graphs: list[str] | None = None,
    named_graphs: list[str] | None = None,
) -> bytes:
    """What a query answers, in one of its formats.

    Its default graph has everything that is said anywhere, each triple once, unless the query, or the caller, names
    graphs; the caller's win. Raises `QueryRefused` for a query that is wrong and `QueryFailed` for an answer that is
    too big.
    """
    named = default_graphs or named_graphs
    try:
        found = store.query(
            query.text,
            prefixes=PREFIXES,
            default_graph=[NamedNode(one) for one in default_graphs or []] if named else None,
            named_graphs=[NamedNode(one) for one in named_graphs or []] if named else None,
        )
        if isinstance(found, QueryTriples):
            return _triples(found, TRIPLES[media_type], rows_max)
        return _results(found, media_type, rows_max)
    except (SyntaxError, ValueError, RuntimeError) as error:
        raise QueryRefused(f"the query is wrong: {_shortened(str(error))}") from None


def _triples(found: QueryTriples, form: RdfFormat, rows_max: int) -> bytes:
    triples = list(islice(found, rows_max + 1))
    _refuse_more("triples", len(triples), rows_max)
    written = serialize(triples, format=form, prefixes=PREFIXES)
    assert written is not None
    return written


def _results(found: QuerySolutions | QueryBoolean, media_type: str, rows_max: int) -> bytes:
    output = _Bounded()
    found.serialize(output, RESULTS[media_type])
    written = output.getvalue()
    if isinstance(found, QuerySolutions):
        _refuse_more("rows", _rows(written, media_type, rows_max), rows_max)
    return written


def _rows(written: bytes, media_type: str, rows_max: int) -> int:
    """How many rows are written; no row takes less than a byte, so few bytes need not be looked at."""
    if len(written) <= rows_max:
        return 0
    match RESULTS[media_type]:
        case QueryResultsFormat.JSON:
            return len(json.loads(written)["results"]["bindings"])
        case QueryResultsFormat.XML:
            return written.count(b"<result>")  # text has no bare <
        case QueryResultsFormat.TSV:
            return written.count(b"\n") - 1  # and none has a bare line break
        case _:
            return sum(1 for _ in csv.reader(io.StringIO(written.decode(), newline=""))) - 1


def _refuse_more(what: str, count: int, most: int) -> None:
    if count > most:
        raise QueryFailed(f"the answer has more than {most:,} {what} (query_rows_max); ask for fewer with LIMIT")


class _Bounded(io.BytesIO):
    def write(self, chunk: object) -> int:
        """Take what is written, up to the bound. Raises `QueryFailed`."""
        assert isinstance(chunk, bytes | bytearray | memoryview)
        if self.tell() + len(chunk) > ANSWER_BYTES_MAX:
            raise QueryFailed(f"the answer takes more than {ANSWER_BYTES_MAX:,} bytes; ask for less with LIMIT")
        return super().write(chunk)


def _shortened(reason: str) -> str:
    """Where the parser stopped, without its long list of all that could have come next."""
    head, _, expected = reason.partition(": expected one of ")
    return f"{head}: it can't be read from there on" if expected else head
