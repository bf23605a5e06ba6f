"""A tool for models: what it takes, what it says of itself, and how it is done.

What a model can't see it guesses, so that descriptions say what to call first, and errors what to do instead.
"""

from __future__ import annotations

from difflib import get_close_matches
from inspect import cleandoc
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from .node_api import NodeApi, ToolFailed

SOURCE = "/clients/mcp"

Rows = Annotated[int, Meta(ge=1, le=1_000, description="At most so many.")]


class Arguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a tool takes, and how it is done. A name that it doesn't know is refused: models misspell, too."""

    async def _do(self, api: NodeApi) -> Any:
        raise AssertionError("each tool does something")


class Tool(NamedTuple):
    """One tool. `changes` says whether it changes anything, `destroys` whether it ends what others count on."""

    name: str
    title: str
    arguments: type[Arguments]
    changes: bool = False
    destroys: bool = False

    @property
    def description(self) -> str:
        """What the model reads."""
        return cleandoc(self.arguments.__doc__ or "")

    @property
    def input_schema(self) -> dict[str, Any]:
        """The arguments in JSON Schema, all in one object."""
        (schema,), definitions = msgspec.json.schema_components([self.arguments], ref_template="#/$defs/{name}")
        own = definitions.pop(schema["$ref"].rpartition("/")[2])
        shown = {name: value for name, value in own.items() if name not in ("title", "description")}
        return shown | ({"$defs": definitions} if definitions else {})

    async def call(self, api: NodeApi, arguments: dict[str, Any]) -> Any:
        """Do it. Raises `ToolFailed`."""
        return await self._read(arguments)._do(api)

    def _read(self, arguments: dict[str, Any]) -> Arguments:
        try:
            return msgspec.convert(arguments, self.arguments)
        except msgspec.ValidationError as error:
            fields = self.arguments.__struct_fields__
            strangers = [name for name in arguments if name not in fields]
            nearest = get_close_matches(strangers[0], fields, n=1) if strangers else []
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            takes = ", ".join(fields) or "nothing"
            raise ToolFailed(f"{self.name}: {error}{hint} ({self.name} takes {takes})") from None
