"""`rookery graph`: what is near what in the knowledge graph, and the graph as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from ..client import Client
from .options import as_of_option, csv_option, json_option, node_option
from .output import plural, refuse_two_formats, remark, show_json, show_rows
from .sparql import shortened

MEDIA_TYPES = {
    ".ttl": "text/turtle",
    ".jsonld": "application/ld+json",
    ".trig": "application/trig",
    ".nt": "application/n-triples",
    ".nq": "application/n-quads",
    ".rdf": "application/rdf+xml",
}
READ_ENDINGS = (".ttl", ".jsonld", ".nt", ".rdf")
NODE_COLUMNS = ["distance", "name", "label", "types"]
EDGE_COLUMNS = ["source", "label", "target", "events"]


@click.group()
def graph() -> None:
    """Look around in the knowledge graph, and write it to files.

    A thing is named by its kind and id, as `agent/coder-7` or `run/run-9`, or by its IRI.

    \b
    rookery graph stats                                what it holds
    rookery graph neighbours agent/coder-7 --depth 2
    rookery graph path agent/coder-7 agent/coder-8
    rookery graph communities
    rookery graph export graph.ttl
    rookery graph import handbook.ttl

    With --as-of they look at the graph as it was then. Reference data was there always: nothing says since when.
    """


@graph.command()
@click.argument("name")
@click.option("--depth", type=click.IntRange(1, 3), default=1, show_default=True, help="How many edges away.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=100, show_default=True, help="At most so many things.")
@as_of_option
@csv_option
@json_option
@node_option
def neighbours(
    client: Client, name: str, depth: int, limit: int, as_of: str | None, as_csv: bool, as_json: bool
) -> None:
    """Print what is near the thing NAME, the nearest first, and how it is connected.

    \b
    rookery graph neighbours agent/coder-7
    rookery graph neighbours run/run-9 --depth 2 --json
    rookery graph neighbours agent/coder-7 --as-of '3 days ago'
    """
    refuse_two_formats(as_json=as_json, as_csv=as_csv)
    found = client.get(f"/graph/neighbours/{quote(name, safe='')}", depth=depth, limit=limit, as_of=as_of)
    if as_json:
        show_json(found)
        return
    show_rows(NODE_COLUMNS, [_node(node) for node in found["nodes"]], as_json=False, as_csv=as_csv)
    if not as_csv:
        click.echo()
        _show_edges(found)
    if found["truncated"]:
        remark("there is more; --limit lets more through")


@graph.command()
@click.argument("start")
@click.argument("end")
@as_of_option
@csv_option
@json_option
@node_option
def path(client: Client, start: str, end: str, as_of: str | None, as_csv: bool, as_json: bool) -> None:
    """Print a shortest way from START to END, whichever way its edges point.

    \b
    rookery graph path agent/coder-7 agent/reviewer-2
    """
    refuse_two_formats(as_json=as_json, as_csv=as_csv)
    found = client.get("/graph/path", **{"from": start, "to": end}, as_of=as_of)
    if as_json:
        show_json(found)
        return
    _show_edges(found, as_csv=as_csv)
    if found["length"] is None:
        remark(f"nothing leads from {start} to {end}" + (" as far as was looked" if found["truncated"] else ""))
    else:
        remark(f"{plural(found['length'], 'step')}: " + " - ".join(node["name"] for node in found["nodes"]))


@graph.command()
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="At most so many.")
@as_of_option
@csv_option
@json_option
@node_option
def communities(client: Client, limit: int, as_of: str | None, as_csv: bool, as_json: bool) -> None:
    """Print the groups of things that have more to do with each other than with others, the largest first.

    \b
    rookery graph communities --limit 5
    """
    refuse_two_formats(as_json=as_json, as_csv=as_csv)
    found = client.get("/graph/communities", limit=limit, as_of=as_of)
    if as_json:
        show_json(found)
        return
    members: dict[int, list[str]] = {}
    for node in found["nodes"]:
        members.setdefault(node["community"], []).append(node["name"])
    rows = [one | {"members": ", ".join(members[one["community"]])} for one in found["communities"]]
    show_rows(["community", "size", "members"], rows, as_json=False, as_csv=as_csv)


@graph.command()
@as_of_option
@csv_option
@json_option
@node_option
def stats(client: Client, as_of: str | None, as_csv: bool, as_json: bool) -> None:
    """Print how many things of each class, and statements with each property, there are."""
    refuse_two_formats(as_json=as_json, as_csv=as_csv)
    found = client.get("/graph/stats", as_of=as_of)
    if as_json:
        show_json(found)
        return
    rows = [
        {"what": what, **row}
        for what, rows in (("class", "classes"), ("property", "properties"))
        for row in found[rows]
    ]
    shown = [row | {"name": shortened(row["name"])} for row in rows]
    show_rows(["what", "name", "count"], shown, as_json=False, as_csv=as_csv)


@graph.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--about", metavar="IRI", help="Only what is said of this IRI.")
@as_of_option
@node_option
def export(client: Client, file: Path, about: str | None, as_of: str | None) -> None:
    """Write the graph to FILE, in the format of its ending: .ttl, .jsonld, .trig, .nt, .nq or .rdf.

    JSON-LD, TriG and N-Quads say which event each statement is from; the others have the statements alone.

    \b
    rookery graph export graph.ttl
    rookery graph export coder.jsonld --about urn:rookery:agent:coder-7
    rookery graph export then.trig --as-of 2026-11-17
    """
    size = client.save("/graph", file, accept=_media_type(file, tuple(MEDIA_TYPES)), about=about, as_of=as_of)
    remark(f"{size:,} bytes written to {file}")


@graph.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@node_option
def import_(client: Client, file: Path, as_json: bool) -> None:
    """Take reference data into the graph: FILE is .ttl, .jsonld, .nt or .rdf.

    It becomes a named graph of its own, and no event: the log does not have it. The node keeps the file, and loads it
    again into a graph that is made anew.

    \b
    rookery graph import handbook.ttl
    """
    imported = client.post("/graph", file.read_bytes(), content_type=_media_type(file, READ_ENDINGS))
    if as_json:
        show_json(imported)
    else:
        click.echo(f"{plural(imported['triples'], 'triple')} in <{imported['graph']}>")


def _media_type(file: Path, endings: tuple[str, ...]) -> str:
    if file.suffix not in endings:
        raise click.UsageError(f"{file.name}: a format is known by its ending, here one of {', '.join(endings)}.")
    return MEDIA_TYPES[file.suffix]


def _node(node: dict[str, Any]) -> dict[str, Any]:
    return {name: node.get(name) for name in NODE_COLUMNS} | {"types": ", ".join(node["types"])}


def _show_edges(found: dict[str, Any], *, as_csv: bool = False) -> None:
    names = {node["id"]: node["name"] for node in found["nodes"]}
    rows = [
        {
            "source": names[edge["source"]],
            "label": edge["label"],
            "target": names[edge["target"]],
            "events": ", ".join(edge["events"]) or ("inferred" if edge["inferred"] else None),
        }
        for edge in found["edges"]
    ]
    show_rows(EDGE_COLUMNS, rows, as_json=False, as_csv=as_csv)
