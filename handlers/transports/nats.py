"""NATS: an agent of the kit is given the task by name over the work stream, and its result is waited for."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from ...bus import Bus, BusError, CommandFailed, NoResponder, RequestTimedOut
from ...schemas import AssignmentCreated, InvalidInput, RookeryError, derived_id, escape
from ..agent import NoResult, TaskFailed
from ..agent.assigning import RESULT_TIMEOUT_SECONDS, assign, created, result_of
from ..agent.presence import ANSWER_SECONDS
from ..assignments import ASSIGNMENTS, Cancel
from ..reactions import Command, Decider
from .calls import Call, Endpoint, shortened
from .errors import AgentFailed, Lost, Refused, TimedOut, Unreachable

SOURCE = "/nodes/transports"
CALL_OFF_SECONDS = 2.0


class NatsTransport:
    """One agent on this bus. What it is given is an assignment like any other, of which the record tells."""

    def __init__(self, endpoint: Endpoint, bus: Bus) -> None:
        self._endpoint = endpoint
        self._bus = bus

    async def invoke(self, call: Call) -> Any:
        """See `Transport.invoke`. The same task again is given again only in name: what came of it is told."""
        await self.check()
        task = AssignmentCreated(
            kind=call.capability,
            skill=call.capability,
            agent_id=self._endpoint.address,
            timeout_seconds=call.timeout_seconds,
            input=call.input,
        )
        # An assignment of its own: the one that asks may be under way under the task's id.
        assignment_id = derived_id(call.id, str(call.attempt), "invoked", self._endpoint.address)
        seconds = call.timeout_seconds or RESULT_TIMEOUT_SECONDS
        try:
            event = created(task, assignment_id, source=SOURCE, traceparent=call.traceparent)
            await assign(self._bus, event)
            return await result_of(self._bus, assignment_id, timeout_seconds=seconds)
        except asyncio.CancelledError:
            await self._call_off(assignment_id)
            raise
        except TaskFailed as error:
            raise AgentFailed(self._endpoint, f"failed: {shortened(error.reason)}") from None
        except NoResult as error:
            await self._call_off(assignment_id)
            raise TimedOut(self._endpoint, error.timeout_seconds) from None
        except InvalidInput as error:
            raise Refused(self._endpoint, f"can't be given this: {error}") from None
        except BusError as error:
            raise Lost(self._endpoint, f"can't be asked: {error}") from None

    async def check(self) -> None:
        """Whether an agent at work answers to the name."""
        subject = f"cmd.agent.greet.{escape(self._endpoint.address)}"
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._bus.request(subject, b"", timeout_seconds=ANSWER_SECONDS)
        except (NoResponder, RequestTimedOut, CommandFailed, TimeoutError):
            raise Unreachable(self._endpoint, "is not at work: nobody answers to its name on the bus") from None
        except BusError as error:
            raise Unreachable(self._endpoint, f"can't be asked: {error}") from None

    async def _call_off(self, assignment_id: str) -> None:
        """Nobody waits for it any more. Where that can't be said, it ends in its own time."""
        decider = Decider(self._bus, ASSIGNMENTS, source=SOURCE)
        cancel = Cancel(reason="nobody waits for it any more")
        with contextlib.suppress(RookeryError, TimeoutError):
            async with asyncio.timeout(CALL_OFF_SECONDS):
                await decider.handle(Command.of(cancel, subject=assignment_id, source=SOURCE))

    async def close(self) -> None:
        """See `Transport.close`."""
