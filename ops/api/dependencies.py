"""What the routes need of the application that they belong to."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import Depends, Request, Response

from ..node import Node


def _node(request: Request) -> Node:
    node = request.app.state.node
    assert isinstance(node, Node)
    return node


ServingNode = Annotated[Node, Depends(_node)]


def json(content: Any, status: int = 200) -> Response:
    """A JSON response, encoded by msgspec."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")
