"""The kit's rival: the agent that one writes with nats-py alone, saying as much of its work as the kit does."""

from __future__ import annotations

import asyncio
import time

import nats
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, RetentionPolicy, StreamConfig

from ...schemas import (
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentStarted,
    Event,
    EventData,
    RunCompleted,
    RunStarted,
    decode,
    encode,
    new_id,
    subject_of,
)

NAME = "four js.publish and an ack for each task (nats-py)"
AGENT_ID = "plain"
FETCH_SECONDS = 5.0


async def tasks_per_second(url: str, tasks: int, concurrency: int) -> float:
    """Do so many tasks that were given before, so many at once, and nothing in each."""
    connection = await nats.connect(url)
    stream = connection.jetstream()
    await stream.add_stream(StreamConfig("EVENTS", subjects=["evt.>"]))
    await stream.add_stream(StreamConfig("WORK", subjects=["work.>"], retention=RetentionPolicy.WORK_QUEUE))
    for number in range(tasks):
        await stream.publish("work.any.nothing", encode(_says(AssignmentCreated(kind="nothing"), f"as-{number}")))
    began = time.perf_counter()
    await _work_off(stream, tasks, concurrency)
    taken = time.perf_counter() - began
    await connection.close()
    return tasks / taken


async def _work_off(stream: JetStreamContext, tasks: int, concurrency: int) -> None:
    consumer = await stream.pull_subscribe("work.any.nothing", "plain", config=ConsumerConfig(ack_wait=30))
    while tasks:
        found = await consumer.fetch(min(tasks, concurrency), timeout=FETCH_SECONDS)
        await asyncio.gather(*(_do(stream, message) for message in found))
        tasks -= len(found)


async def _do(stream: JetStreamContext, message: Msg) -> None:
    task, run_id = decode(message.data).subject, new_id()
    for event in (
        _says(RunStarted(agent_id=AGENT_ID, assignment_id=task), run_id),
        _says(AssignmentStarted(agent_id=AGENT_ID, run_id=run_id), task),
        _says(RunCompleted(agent_id=AGENT_ID), run_id),
        _says(AssignmentCompleted(agent_id=AGENT_ID), task),
    ):
        await stream.publish(subject_of(event), encode(event), headers={"Nats-Msg-Id": event.id}, timeout=60)
    await message.ack_sync(timeout=60)


def _says(data: EventData, subject: str) -> Event:
    return Event.of(data, subject=subject, source=f"/agents/{AGENT_ID}")
