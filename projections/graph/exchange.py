"""Exchange: the graph written out as RDF, and reference data, such as documents and ontologies, taken in beside facts.

What is taken in is no fact of the log. Each file is kept under the hash of its content, as is what it says, in a named
graph of its own; a graph that is made anew loads the files again.
"""

from __future__ import annotations

import io
import logging
import os
from base64 import b64decode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from pyoxigraph import BlankNode, DefaultGraph, NamedNode, Quad, RdfFormat, Store, Triple, parse, serialize

from ..errors import QueryRefused
from .names import BOOKKEEPING, URN
from .patterns import merged, said
from .sparql import PREFIXES, TRIPLES

IMPORT_BYTES_MAX = 16 * 1024 * 1024
IMPORTS_MAX = 1_000
IMPORTS_BYTES_MAX = 256 * 1024 * 1024

SUFFIXES = {
    "text/turtle": ".ttl",
    "application/ld+json": ".jsonld",
    "application/n-triples": ".nt",
    "application/rdf+xml": ".rdf",
}
_MEDIA_TYPES = {suffix: media_type for media_type, suffix in SUFFIXES.items()}

logger = logging.getLogger(__name__)


class Imported(NamedTuple):
    """A file of reference data: the named graph that it became, and how many triples it has."""

    graph: str
    triples: int


def export(store: Store, output: Any, *, media_type: str, about: str | None = None) -> None:
    """Write the graph, or the statements that `about` is subject or object of, to the file-like `output`.

    Formats that know named graphs say which event each statement is from; the others have statements alone.
    """
    form = TRIPLES[media_type]
    if form.supports_datasets:
        quads = (quad for quad in said(_quads(store, about, None)) if quad.graph_name != BOOKKEEPING)
        serialize(quads, output, form, prefixes=PREFIXES)
    else:
        triples = (quad.triple for quad in _quads(store, about, DefaultGraph()))
        serialize(triples, output, form, prefixes=PREFIXES)


def check(content: str, media_type: str) -> dict[str, int]:
    """How many triples a file has, whose bytes are in base64. Raises `QueryRefused`.

    A small file can need any amount of memory, or nest so deeply that it ends whoever reads it: so a process that may
    end reads it first.
    """
    quads = _parsed(b64decode(content), media_type, "0" * 64)
    if any(_is_nested(term) for quad in quads for term in (quad.subject, quad.object)):
        raise QueryRefused("a triple in it is about a triple that is about a triple itself; one within another is all")
    return {"triples": len(quads)}


class Imports:
    """The folder of reference data. Call it from one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.added = 0

    def add(self, content: bytes, media_type: str, store: Store) -> Imported:
        """Load a checked file into the graph, and keep it. What is there already stays so. Raises `QueryRefused`."""
        name = sha256(content).hexdigest()
        path = self.folder / f"{name}{SUFFIXES[media_type]}"
        quads = _parsed(content, media_type, name)
        if not path.exists():
            self._ensure_room(len(content))
            self._keep(path, content)
        store.extend(merged(quads))
        self.added += 1
        return Imported(_graph(name).value, len(quads))

    def load(self, store: Store) -> int:
        """Load every kept file that the graph lacks; returns how many these were."""
        missing = [path for path in self._paths() if not store.contains_named_graph(_graph(path.stem))]
        for path in missing:
            try:
                store.extend(merged(_parsed(path.read_bytes(), _MEDIA_TYPES[path.suffix], path.stem)))
            except (QueryRefused, OSError) as error:
                logger.warning("%s is not in the graph: %s", path, error)
        return len(missing)

    def _paths(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*") if path.suffix in _MEDIA_TYPES)

    def _ensure_room(self, size_bytes: int) -> None:
        paths = self._paths()
        kept_bytes = sum(path.stat().st_size for path in paths)
        if len(paths) >= IMPORTS_MAX or kept_bytes + size_bytes > IMPORTS_BYTES_MAX:
            raise QueryRefused(
                f"{len(paths):,} files of reference data are kept, {kept_bytes:,} bytes; "
                f"there may be {IMPORTS_MAX:,} and {IMPORTS_BYTES_MAX:,} bytes"
            )

    def _keep(self, path: Path, content: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)


def _quads(store: Store, about: str | None, graph: DefaultGraph | None) -> Iterator[Quad]:
    if about is None:
        yield from store.quads_for_pattern(None, None, None, graph)
        return
    node = NamedNode(about)
    yield from store.quads_for_pattern(node, None, None, graph)
    yield from (quad for quad in store.quads_for_pattern(None, None, node, graph) if quad.subject != node)


def _parsed(content: bytes, media_type: str, name: str) -> list[Quad]:
    """What a file says, as quads of the named graph that is its own. Raises `QueryRefused`."""
    graph = _graph(name)
    form = RdfFormat.from_media_type(media_type)
    assert form is not None
    try:
        found = parse(io.BytesIO(content), form, base_iri=graph.value, without_named_graphs=True)
        quads = [Quad(_own(quad.subject, name), quad.predicate, _own(quad.object, name), graph) for quad in found]
    except (SyntaxError, ValueError, OSError) as error:
        raise QueryRefused(f"this is no {media_type} that can be read: {error}") from None
    if not quads:
        raise QueryRefused("there is not one statement in it")
    return quads


def _own(term: Any, name: str) -> Any:
    """The term; a blank node gets a name that no other file's has."""
    return BlankNode(f"i{name[:16]}x{term.value}") if isinstance(term, BlankNode) else term


def _is_nested(term: Any) -> bool:
    return isinstance(term, Triple) and (isinstance(term.subject, Triple) or isinstance(term.object, Triple))


def _graph(name: str) -> NamedNode:
    return NamedNode(f"{URN}import:{name}")
