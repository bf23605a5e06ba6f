"""OpenTelemetry: spans of model calls, tools and agents, read as Rookery's events."""

from .errors import MalformedSpans, TooManySpans
from .from_json import spans_in_json
from .from_protobuf import spans_in_protobuf
from .spans import SPANS_MAX, Span
from .translation import Rejection, Told, Translation, Translator

__all__ = [
    "SPANS_MAX",
    "MalformedSpans",
    "Rejection",
    "Span",
    "Told",
    "TooManySpans",
    "Translation",
    "Translator",
    "spans_in_json",
    "spans_in_protobuf",
]
