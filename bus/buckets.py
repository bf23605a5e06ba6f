"""Key-value and object buckets on JetStream: nats-py's, behind our protocols and errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.errors import Error as NatsError
from nats.js import errors as js_errors
from nats.js.client import JetStreamContext
from nats.js.kv import KeyValue as NatsKeyValue
from nats.js.object_store import ObjectStore as NatsObjectStore

from .connection import Connection
from .contract import Entry
from .errors import InvalidKey, KeyNotFound, ObjectDamaged, ObjectNotFound, RevisionConflict, TooLarge

KEY_TIMEOUT_SECONDS = 10.0
OBJECT_TIMEOUT_SECONDS = 120.0


async def key_value(connection: Connection, bucket: str, replicas: int) -> JetStreamKeyValue:
    """See `Bus.key_value`; `replicas` is how many servers keep a bucket that is made."""
    context = connection.client.jetstream()
    async with _within(connection, KEY_TIMEOUT_SECONDS):
        try:
            found = await context.key_value(bucket)
        except js_errors.NotFoundError:
            # Any replica answers direct reads, and one that lags doesn't know what was just put.
            found = await context.create_key_value(bucket=bucket, direct=replicas == 1, replicas=replicas)
    return JetStreamKeyValue(connection, bucket, found)


async def objects(connection: Connection, bucket: str, replicas: int) -> JetStreamObjects:
    """See `Bus.objects`; `replicas` is how many servers keep a bucket that is made."""
    context: JetStreamContext = connection.client.jetstream()
    async with _within(connection, KEY_TIMEOUT_SECONDS):
        try:
            found = await context.object_store(bucket)
        except js_errors.NotFoundError:
            found = await context.create_object_store(bucket, replicas=replicas)
    return JetStreamObjects(connection, bucket, found)


class JetStreamKeyValue:
    """A JetStream key-value bucket."""

    def __init__(self, connection: Connection, bucket: str, store: NatsKeyValue) -> None:
        self._connection = connection
        self._bucket = bucket
        self._store = store

    async def get(self, key: str) -> Entry:
        """See `KeyValue.get`."""
        async with self._call(key):
            found = await self._store.get(key)
        return Entry(key, found.value or b"", found.revision or 0)

    async def put(self, key: str, value: bytes, *, expected_revision: int | None = None) -> int:
        """See `KeyValue.put`."""
        limit_bytes = self._connection.max_payload_bytes
        if len(value) > limit_bytes:
            raise TooLarge(f"the value of {key!r}", len(value), limit_bytes, "put it into an object bucket")
        try:
            async with self._call(key):
                if expected_revision is None:
                    return await self._store.put(key, value)
                if expected_revision == 0:
                    return await self._store.create(key, value)
                return await self._store.update(key, value, last=expected_revision)
        except js_errors.KeyWrongLastSequenceError:
            raise RevisionConflict(self._bucket, key, expected_revision or 0) from None

    async def delete(self, key: str) -> None:
        """See `KeyValue.delete`."""
        async with self._call(key):
            await self._store.delete(key)

    async def keys(self) -> list[str]:
        """See `KeyValue.keys`."""
        async with self._call(""):
            try:
                return sorted(await self._store.keys())
            except js_errors.NoKeysError:
                return []

    @asynccontextmanager
    async def _call(self, key: str) -> AsyncIterator[None]:
        async with _within(self._connection, KEY_TIMEOUT_SECONDS):
            try:
                yield
            except js_errors.KeyNotFoundError:
                raise KeyNotFound(self._bucket, key) from None
            except js_errors.InvalidKeyError:
                raise InvalidKey(key) from None


class JetStreamObjects:
    """A JetStream object bucket."""

    def __init__(self, connection: Connection, bucket: str, store: NatsObjectStore) -> None:
        self._connection = connection
        self._bucket = bucket
        self._store = store

    async def get(self, name: str) -> bytes:
        """See `ObjectStore.get`."""
        async with self._call(name):
            return (await self._store.get(name)).data or b""

    async def put(self, name: str, content: bytes) -> None:
        """See `ObjectStore.put`."""
        async with self._call(name):
            await self._store.put(name, content)

    async def delete(self, name: str) -> None:
        """See `ObjectStore.delete`."""
        async with self._call(name):
            await self._store.delete(name)

    async def names(self) -> list[str]:
        """See `ObjectStore.names`."""
        async with self._call(""):
            try:
                return sorted(info.name for info in await self._store.list(ignore_deletes=True) if info.name)
            except js_errors.NotFoundError:
                return []

    @asynccontextmanager
    async def _call(self, name: str) -> AsyncIterator[None]:
        async with _within(self._connection, OBJECT_TIMEOUT_SECONDS):
            try:
                yield
            except js_errors.DigestMismatchError:
                raise ObjectDamaged(self._bucket, name) from None
            except js_errors.NotFoundError:
                raise ObjectNotFound(self._bucket, name) from None


@asynccontextmanager
async def _within(connection: Connection, timeout_seconds: float) -> AsyncIterator[None]:
    """Bound nats-py's waiting, and say in our words that the bus is away."""
    try:
        async with asyncio.timeout(timeout_seconds):
            await connection.ready()
            yield
    except TimeoutError:
        raise connection.unavailable(f"no answer within {timeout_seconds:g} s") from None
    except js_errors.KeyWrongLastSequenceError:
        raise
    except NatsError as error:
        raise connection.unavailable(str(error)) from None
