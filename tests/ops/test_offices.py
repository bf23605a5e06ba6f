"""The node as a folder's office: what is over is told until it is taken, whatever goes wrong meanwhile."""

from __future__ import annotations

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pytest
from rookery.bus import BusUnavailable, Entity, History, MemoryBus
from rookery.ops.folders import NodeOffice
from rookery.ops.folders.offices import NotNow
from rookery.schemas import AssignmentCompleted, AssignmentCreated, Event


class AwayOnce(MemoryBus):
    """A bus that is away for the first who asks for a history."""

    is_away = True

    async def history(self, entity: Entity, *, facts: Collection[str] = ()) -> History:
        if self.is_away:
            self.is_away = False
            raise BusUnavailable("memory:", "it is away")
        return await super().history(entity, facts=facts)


class ReadModels:
    """Read models that stand still, and in which one assignment is over."""

    asked = 0

    def vector(self) -> dict[str, int]:
        return {"local": 2}

    def sql(self, *_: Any, **__: Any) -> Any:
        self.asked += 1
        return SimpleNamespace(records=lambda: [{"assignment_id": "as-1"}])


async def test_a_node_tells_what_is_over_until_nobody_asks_for_it_any_more() -> None:
    async with AwayOnce() as bus:
        for data in (AssignmentCreated(kind="add"), AssignmentCompleted(agent_id="adder", result=3)):
            await bus.publish(Event.of(data, subject="as-1", source="/people/ada"))
        read_models = ReadModels()
        node: Any = SimpleNamespace(bus=bus, projections=read_models)
        office = NodeOffice(node)
        with pytest.raises(NotNow):
            await office.over(["as-1", "as-2"])
        for _ in range(2):  # as where the disk was full when the first answer was to be written down
            assert [(one.assignment_id, one.result) for one in await office.over(["as-1", "as-2"])] == [("as-1", 3)]
        asked = read_models.asked
        assert await office.over(["as-2"]) == []
        assert read_models.asked == asked
