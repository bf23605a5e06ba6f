"""The knowledge graph over HTTP: SPARQL by its protocol, what is near a thing, and the graph itself as RDF."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse
from pyoxigraph import NamedNode

from ...projections import QueryRefused
from ...projections.graph.algorithms import DEPTH_MAX, NODES_MAX
from ...projections.graph.exchange import IMPORT_BYTES_MAX, SUFFIXES
from ...projections.graph.sparql import TRIPLES, read
from .bodies import read_body
from .dependencies import OpenLanes, ServingNode, json, unless_gone
from .negotiation import preferred
from .parameters import refuse_unknown
from .past import AsOf, Vector, as_of, dated
from .waiting import until_visible

QUERY_BYTES_MAX = 256 * 1024
QUERY_GRAPHS_MAX = 100
COMMUNITIES_MAX = 100
NODE_CHARS_MAX = 2_000

FORM = "application/x-www-form-urlencoded"
SPARQL_QUERY = "application/sparql-query"
SPARQL_UPDATE = "application/sparql-update"

# What some clients call a format by.
ALIASES = {
    "application/json": "application/sparql-results+json",
    "application/xml": "application/sparql-results+xml",
    "text/xml": "application/sparql-results+xml",
}
SPARQL_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Rows as SPARQL results in JSON, XML, CSV or TSV; triples as Turtle, JSON-LD and the like.",
        "content": {
            "application/sparql-results+json": {
                "example": {
                    "head": {"vars": ["agent"]},
                    "results": {"bindings": [{"agent": {"type": "uri", "value": "urn:rookery:agent:coder-7"}}]},
                }
            },
            "text/turtle": {"example": "<urn:rookery:agent:coder-7> a rk:Agent ."},
        },
    }
}

router = APIRouter(tags=["graph"])

Depth = Annotated[int, Query(ge=1, le=DEPTH_MAX, description="How many edges away.")]
NodesMax = Annotated[int, Query(ge=1, le=NODES_MAX, description="At most so many nodes.")]
WaitFor = Annotated[str | None, Query(description="Answer when the graph holds this event, as in `local:41`.")]
Name = Annotated[str, Query(max_length=NODE_CHARS_MAX, description="`agent/coder-7`, or an IRI.")]


@router.get("/sparql", responses=SPARQL_ANSWERS)
async def sparql(
    request: Request,
    node: ServingNode,
    query: Annotated[str, Query(description="A SPARQL 1.1 query.", examples=["SELECT ?agent {?agent a rk:Agent}"])],
    wait_for: WaitFor = None,
    moment: AsOf = None,
) -> Response:
    """What a SPARQL 1.1 query answers over the knowledge graph, whose named graphs are what each event says.

    The default graph is the union of all of them, unless FROM or default-graph-uri choose some. The prefixes rk, prov,
    rdf, rdfs, owl, xsd and schema need not be declared. Updates and SERVICE are refused.
    """
    await until_visible(node, wait_for, projector=node.graph_projector)
    return await _sparql(request, node, moment, _parameters(request.url.query))


@router.post("/sparql", responses=SPARQL_ANSWERS)
async def sparql_posted(
    request: Request, node: ServingNode, lanes: OpenLanes, wait_for: WaitFor = None, moment: AsOf = None
) -> Response:
    """The same, with the query as the body, `application/sparql-query`, or in a form, as the SPARQL protocol has it.

    A form may have `as_of` in it: clients put there whatever they send along.
    """
    await until_visible(node, wait_for, projector=node.graph_projector)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == SPARQL_UPDATE:
        raise QueryRefused("this is a SPARQL update; the graph is made from the log, so it can only be asked")
    if kind not in (FORM, SPARQL_QUERY):
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send {SPARQL_QUERY}, or a form as {FORM}")
    body = _text(await read_body(request, bytes_max=QUERY_BYTES_MAX))
    sent = _parameters(body) if kind == FORM else {"query": [body]}
    refuse_unknown(request, sent)
    if moment is None and "as_of" in sent:
        moment = await as_of(node, lanes, sent["as_of"][-1])
    return await _sparql(request, node, moment, _parameters(request.url.query) | sent)


@router.get("/graph/neighbours/{name:path}")
async def neighbours(
    request: Request, node: ServingNode, name: str, depth: Depth = 1, limit: NodesMax = 100, moment: AsOf = None
) -> Response:
    """What is near a thing, `agent/coder-7` or an IRI: nodes, nearest first, and edges with the events behind each."""
    return await _ask(request, node, moment, "neighbours", name=name, depth=depth, limit=limit)


@router.get("/graph/path")
async def path(
    request: Request, node: ServingNode, start: Annotated[Name, Query(alias="from")], to: Name, moment: AsOf = None
) -> Response:
    """A shortest way from one thing to another, whichever way the edges point; no nodes where there is none."""
    return await _ask(request, node, moment, "path", start=start, end=to)


@router.get("/graph/communities")
async def communities(
    request: Request,
    node: ServingNode,
    limit: Annotated[int, Query(ge=1, le=COMMUNITIES_MAX)] = 20,
    moment: AsOf = None,
) -> Response:
    """The things that have more to do with each other than with others, the largest groups first."""
    return await _ask(request, node, moment, "communities", limit=limit)


@router.get("/graph/stats")
async def stats(request: Request, node: ServingNode, moment: AsOf = None) -> Response:
    """How much there is of what: quads, things of each class, statements with each property."""
    return await _ask(request, node, moment, "stats")


@router.get("/graph")
async def graph(
    request: Request,
    node: ServingNode,
    about: Annotated[Name | None, Query(description="Only what is said of this IRI.")] = None,
    moment: AsOf = None,
) -> Response:
    """The graph as Turtle, N-Triples, RDF/XML; or JSON-LD, TriG, N-Quads, with the event that each statement is of."""
    media_type = _chosen(request, list(TRIPLES))
    iri = _iri(about) if about is not None else None
    parts = await node.graph_workers.export(as_of=moment, media_type=media_type, about=iri)
    return dated(StreamingResponse(parts, media_type=media_type), moment)


@router.post("/graph")
async def graph_imported(request: Request, node: ServingNode, lanes: OpenLanes) -> Response:
    """Take in reference data, Turtle, JSON-LD, N-Triples or RDF/XML, as a named graph of its own.

    It is no fact of the log: no event says so. It is kept beside the graph, and one that is made anew has it too.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in SUFFIXES:
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send one of {', '.join(SUFFIXES)}")
    body = await read_body(request, bytes_max=IMPORT_BYTES_MAX)
    await node.graph_workers.check(body, media_type)
    imported = await lanes.imports.run(lambda: node.graph_imports.add(body, media_type, node.graph.store))
    return json(imported._asdict(), HTTPStatus.CREATED)


async def _ask(request: Request, node: ServingNode, moment: Vector | None, kind: str, **options: Any) -> Response:
    async def answer() -> Response:
        answered = await node.graph_workers.ask(kind, as_of=moment, **options)
        return dated(Response(answered, media_type="application/json"), moment)

    return await unless_gone(request, answer())


async def _sparql(
    request: Request, node: ServingNode, moment: Vector | None, parameters: dict[str, list[str]]
) -> Response:
    if "update" in parameters:
        raise QueryRefused("this is a SPARQL update; the graph is made from the log, so it can only be asked")
    if len(texts := parameters.get("query", [])) != 1:
        raise QueryRefused(f"there are {len(texts)} queries; send one, as the parameter query")
    query = read(texts[0])
    media_type = _chosen(request, query.formats)

    async def answer() -> Response:
        answered = await node.graph_workers.ask(
            "sparql",
            as_of=moment,
            text=query.text,
            media_type=media_type,
            rows_max=node.settings.query_rows_max,
            default_graphs=_graphs(parameters, "default-graph-uri"),
            named_graphs=_graphs(parameters, "named-graph-uri"),
        )
        return dated(Response(answered, media_type=media_type), moment)

    return await unless_gone(request, answer())


def _chosen(request: Request, formats: Sequence[str]) -> str:
    """The format that the client likes best. Raises 406."""
    aliases = [alias for alias, name in ALIASES.items() if name in formats]
    accept = ", ".join(request.headers.getlist("accept"))
    chosen = preferred(accept, [*formats, *aliases])
    if chosen is None:
        raise HTTPException(
            HTTPStatus.NOT_ACCEPTABLE, f"{accept[:200]!r} is not offered; there are {', '.join(formats)}"
        )
    return ALIASES.get(chosen, chosen) if chosen in aliases else chosen


def _graphs(parameters: dict[str, list[str]], name: str) -> list[str]:
    """The IRIs of graphs that the client names. Raises `QueryRefused`."""
    given = parameters.get(name, [])
    if len(given) > QUERY_GRAPHS_MAX:
        raise QueryRefused(f"{name} names {len(given):,} graphs; there may be {QUERY_GRAPHS_MAX}")
    return [_iri(one) for one in given]


def _iri(text: str) -> str:
    try:
        return NamedNode(text).value
    except ValueError:
        raise QueryRefused(f"{text[:200]!r} is no IRI") from None


def _parameters(encoded: str) -> dict[str, list[str]]:
    try:
        return parse_qs(encoded, keep_blank_values=True, errors="strict", max_num_fields=2 * QUERY_GRAPHS_MAX)
    except (ValueError, UnicodeDecodeError) as error:
        raise QueryRefused(f"the parameters can't be read: {error}") from None


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise QueryRefused(f"the query is not UTF-8: {error}") from None
