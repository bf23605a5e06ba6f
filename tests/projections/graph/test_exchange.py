"""The graph as files that other programs read, and the files that it takes in."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from pyoxigraph import Store
from rdflib import Dataset, Graph, URIRef
from rdflib.compare import isomorphic
from rookery.projections import QueryRefused
from rookery.projections.graph import exchange
from rookery.projections.graph.exchange import Imports, export
from rookery.projections.graph.sparql import TRIPLES

from .small_world import world

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:rdflib")  # it warns of its own code

HANDBOOK = b'@prefix : <urn:doc:> . :handbook :says "one" , [ :says "two" ] .'
DATASETS = {"application/trig", "application/n-quads", "application/ld+json"}
FORMATS = {"application/ld+json": "json-ld", "application/rdf+xml": "xml", "application/n-triples": "nt"}


def written(store: Store, media_type: str, about: str | None = None) -> bytes:
    output = BytesIO()
    export(store, output, media_type=media_type, about=about)
    return output.getvalue()


def in_rdflib(content: bytes, media_type: str) -> Dataset:
    found = Dataset(default_union=True)
    found.parse(BytesIO(content), format=FORMATS.get(media_type, media_type))
    return found


@pytest.mark.parametrize("media_type", TRIPLES)
def test_rdflib_reads_every_format_back_as_it_was(media_type: str) -> None:
    store = world()
    found = in_rdflib(written(store, media_type), media_type)
    assert len(set(found.triples((None, None, None)))) == len({quad.triple for quad in store})
    if media_type in DATASETS:
        graphs = {str(graph.identifier) for graph in found.graphs() if len(graph)}
        assert graphs == {graph.value for graph in store.named_graphs()}


def test_json_ld_goes_to_rdflib_and_back_unchanged(tmp_path: Path) -> None:
    before = Graph().parse(written(world(), "text/turtle"), format="turtle")
    store = Store()
    Imports(tmp_path).add(before.serialize(format="json-ld").encode(), "application/ld+json", store)
    assert isomorphic(Graph().parse(written(store, "application/n-triples"), format="nt"), before)


def test_an_export_may_be_about_one_thing() -> None:
    found = in_rdflib(written(world(), "text/turtle", about="urn:rookery:agent:ada"), "text/turtle")
    ada = URIRef("urn:rookery:agent:ada")
    assert len(set(found.triples((None, None, None)))) == 4
    assert all(ada in (subject, value) for subject, _, value in found.triples((None, None, None)))


def test_what_is_taken_in_is_a_named_graph_of_its_own_and_taken_in_once(tmp_path: Path) -> None:
    store, imports = world(), Imports(tmp_path)
    before = len(store)
    imported = imports.add(HANDBOOK, "text/turtle", store)
    assert imported.triples == 3
    assert len(store) == before + 2 * 3  # in its own graph, and in what queries see
    assert imported.graph in {graph.value for graph in store.named_graphs()}
    assert imports.add(HANDBOOK, "text/turtle", store).graph == imported.graph
    assert len(list(tmp_path.iterdir())) == 1


def test_a_graph_that_is_made_anew_has_it_again_and_a_damaged_file_is_left_out(tmp_path: Path) -> None:
    first = Imports(tmp_path)
    first.add(HANDBOOK, "text/turtle", Store())
    first.add(b"<urn:a> <urn:b> <urn:c> .", "application/n-triples", Store())
    next(tmp_path.glob("*.nt")).write_bytes(b"<urn:a> <urn")
    anew = Store()
    assert Imports(tmp_path).load(anew) == 2
    assert len(anew) == 2 * 3


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"<urn:a> <urn:b", "text/turtle"),
        (b"", "text/turtle"),
        (b"\xff\xfe", "text/turtle"),
        (b'{"@context": "http://127.0.0.1:9/c", "@id": "urn:a", "b": 1}', "application/ld+json"),
        (b'[{"@id": "urn:g", "@graph": [{"@id": "urn:a", "urn:b": 1}]}]', "application/ld+json"),
        (b"<rdf:RDF", "application/rdf+xml"),
    ],
)
def test_a_file_that_cant_be_read_is_refused_and_not_kept(tmp_path: Path, content: bytes, media_type: str) -> None:
    store = Store()
    with pytest.raises(QueryRefused):
        Imports(tmp_path / "files").add(content, media_type, store)
    assert len(store) == 0
    assert not (tmp_path / "files").exists()


def test_there_is_room_for_so_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "IMPORTS_BYTES_MAX", len(HANDBOOK) + 10)
    imports = Imports(tmp_path)
    imports.add(HANDBOOK, "text/turtle", Store())
    with pytest.raises(QueryRefused, match="are kept"):
        imports.add(HANDBOOK + b" ", "text/turtle", Store())
    assert imports.add(HANDBOOK, "text/turtle", Store()).triples == 3
