"""The knowledge graph: who did what with what, what was learnt from it, and which event says so."""

from .errors import GraphLocked, GraphUnusable, PastGraphNotMade
from .graph import Graph
from .names import PREFIXES
from .ontology import ONTOLOGY_FILE, SHAPES_FILE

__all__ = ["ONTOLOGY_FILE", "PREFIXES", "SHAPES_FILE", "Graph", "GraphLocked", "GraphUnusable", "PastGraphNotMade"]
