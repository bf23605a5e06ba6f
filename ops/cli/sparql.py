"""`rookery sparql`: asking the knowledge graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from ..client import Client
from .options import as_of_option, csv_option, json_option, node_option, standard_input
from .output import refuse_two_formats, show_rows

RESULTS_JSON = "application/sparql-results+json"
ACCEPTED = f"{RESULTS_JSON}, text/turtle"
# IRIs are long and alike: tables show them as queries write them.
PREFIXES = {
    "https://rookery.dev/ns#": "rk:",
    "http://www.w3.org/ns/prov#": "prov:",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#": "rdf:",
    "http://www.w3.org/2000/01/rdf-schema#": "rdfs:",
    "http://www.w3.org/2002/07/owl#": "owl:",
    "http://www.w3.org/2001/XMLSchema#": "xsd:",
    "https://schema.org/": "schema:",
}


@click.command()
@click.argument("query", required=False)
@click.option(
    "--file", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Read the query from a file."
)
@as_of_option
@csv_option
@json_option
@node_option
def sparql(
    client: Client, query: str | None, file: Path | None, as_of: str | None, as_csv: bool, as_json: bool
) -> None:
    """Ask the knowledge graph in SPARQL 1.1: one QUERY, or `-` for standard input.

    Every event is a named graph of what it says, and the default graph is all of them together. The prefixes rk, prov,
    rdf, rdfs, owl, xsd and schema need not be declared. Triples, of CONSTRUCT and DESCRIBE, are printed as Turtle.

    \b
    rookery sparql 'SELECT ?agent ?name {?agent a rk:Agent ; rdfs:label ?name}'
    rookery sparql 'SELECT ?event ?p ?o {GRAPH ?event {<urn:rookery:agent:coder-7> ?p ?o}}' --json
    rookery sparql 'DESCRIBE <urn:rookery:agent:coder-7>'
    rookery sparql --file question.rq --csv
    rookery sparql 'SELECT ?insight {?insight a rk:Insight}' --as-of '7 days ago'
    """
    refuse_two_formats(as_json=as_json, as_csv=as_csv)
    text = _query(query, file)
    headers = {"content-type": "application/sparql-query", "accept": ACCEPTED}
    answer = client.fetch("POST", "/sparql", content=text, headers=headers, as_of=as_of)
    if answer.media_type == RESULTS_JSON:
        _show(msgspec.json.decode(answer.content), as_json=as_json, as_csv=as_csv)
    elif as_json or as_csv:
        raise click.UsageError(
            "CONSTRUCT and DESCRIBE give triples, which are printed as Turtle: leave --json and --csv."
        )
    else:
        click.echo(answer.content, nl=False)


def shortened(iri: str) -> str:
    """An IRI as a query would write it."""
    start = next((start for start in PREFIXES if iri.startswith(start)), None)
    return PREFIXES[start] + iri.removeprefix(start) if start else iri


def _query(query: str | None, file: Path | None) -> bytes:
    if (query is None) == (file is None):
        raise click.UsageError("Give one query, as an argument or with --file.")
    if file:
        return file.read_bytes()
    return standard_input() if query == "-" else (query or "").encode()


def _show(answer: dict[str, Any], *, as_json: bool, as_csv: bool) -> None:
    if "boolean" in answer:
        click.echo("true" if answer["boolean"] else "false")
        return
    columns = answer["head"]["vars"]
    found = answer["results"]["bindings"]
    shown = _full if as_json or as_csv else _short
    rows = [{name: shown(row[name]) if name in row else None for name in columns} for row in found]
    show_rows(columns, rows, as_json=as_json, as_csv=as_csv)


def _full(term: dict[str, Any]) -> str:
    return f"_:{term['value']}" if term["type"] == "bnode" else str(term["value"])


def _short(term: dict[str, Any]) -> str:
    return shortened(_full(term)) if term["type"] == "uri" else _full(term)
