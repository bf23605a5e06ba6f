"""The client of a running node's HTTP API that the command line uses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import httpx
import msgspec

from ..schemas import InvalidInput, RookeryError

CONNECT_SECONDS_MAX = 60.0
UPLOAD_BYTES = 2**20
NO_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class NodeUnreachable(RookeryError):
    """No node answers at the URL."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        super().__init__(f"no node answers at {url} ({reason}); start one with `rookery up`, or name one with --url")


class InvalidUrl(InvalidInput):
    """What should be a node's URL isn't one."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        super().__init__(f"{url!r} is not a node's URL ({reason}); one looks like http://127.0.0.1:8800")


class RequestFailed(RookeryError):
    """The node answered with a problem. `problem` is its details object."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.problem = problem
        super().__init__(str(problem.get("detail") or f"the node answered {status}"))


class RequestRefused(RequestFailed, InvalidInput):
    """The node says that the request itself is at fault."""


class Fetched(NamedTuple):
    """An answer's bytes. `truncated`: there was more than its limit let through."""

    content: bytes
    truncated: bool
    media_type: str


class Client:
    """A node's HTTP API, one method for each way to ask. Raises `NodeUnreachable` and `RequestFailed`."""

    def __init__(self, url: str, *, timeout_seconds: float = 60.0) -> None:
        self.url = url.rstrip("/")
        # A TLS context takes longer to make than most answers: only where there is TLS.
        tls = self.url.startswith("https:")
        try:
            self._http = httpx.Client(base_url=self.url, timeout=timeout_seconds, trust_env=False, verify=tls)
        except httpx.InvalidURL as error:
            raise InvalidUrl(url, str(error)) from None

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON at `path`."""
        return self._request("GET", path, params=_given(parameters))

    def post(self, path: str, content: bytes, *, content_type: str = "application/json", **parameters: Any) -> Any:
        """What the node answers to `content`."""
        return self._request(
            "POST",
            path,
            content=content,
            headers={"content-type": content_type},
            params=_given(parameters),
            timeout=httpx.Timeout(CONNECT_SECONDS_MAX, read=None),  # the node bounds how long it works
        )

    def upload(self, path: str, file: Path) -> Any:
        """What the node answers to the file's content, which it is sent in pieces."""
        with file.open("rb") as content:
            return self._request(
                "POST",
                path,
                content=iter(lambda: content.read(UPLOAD_BYTES), b""),
                headers={"content-type": "application/octet-stream"},
                timeout=httpx.Timeout(CONNECT_SECONDS_MAX, read=None),
            )

    def patch(self, path: str, content: bytes) -> Any:
        """Change what is at `path`; the JSON that tells of it."""
        return self._request("PATCH", path, content=content, headers={"content-type": "application/json"})

    def delete(self, path: str, **parameters: Any) -> Any:
        """Have what is at `path` end, or go; the JSON that tells of it."""
        return self._request("DELETE", path, params=_given(parameters))

    def fetch(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        **parameters: Any,
    ) -> Fetched:
        """What the node answers, as it is."""
        timeout = httpx.Timeout(CONNECT_SECONDS_MAX, read=None)
        asked = {"params": _given(parameters), "headers": headers, "timeout": timeout}
        response = self._send(method, path, content=content, **asked)
        truncated = response.headers.get("rookery-truncated") == "true"
        return Fetched(response.content, truncated, response.headers.get("content-type", "").partition(";")[0])

    def publish(self, payloads: list[bytes], *, wait: str = "visible") -> dict[str, Any]:
        """Publish events; the answer counts new ones and duplicates, and lists refusals."""
        body = b"\n".join(payloads)
        try:
            answer = self.post("/events", body, content_type="application/x-ndjson", wait=wait)
        except RequestRefused as refused:
            if "refusals" not in refused.problem:
                raise
            answer = refused.problem
        assert isinstance(answer, dict)
        return answer

    def follow(self, *, after: str | None = None, **parameters: Any) -> Iterator[tuple[str, bytes]]:
        """The log's events from `after` on and those to come, each behind the position that goes on from it.

        Goes on by itself where the node finds it too slow, and ends when the node does.
        """
        position = after
        while True:
            for kind, place, data in self._frames(after=position, **parameters):
                if kind == "slow":
                    position = msgspec.json.decode(data)["position"] or position
                    break
                if kind == "failed":
                    raise RequestFailed(HTTPStatus.OK, msgspec.json.decode(data))
                position = place
                yield place, data
            else:
                return

    def lines(self, path: str, *, accept: str = "*/*", **parameters: Any) -> Iterator[bytes]:
        """The lines at `path`, as they come: NDJSON, unless something else is asked for."""
        try:
            with self._http.stream(
                "GET",
                path,
                params=_given(parameters),
                headers={"accept": accept},
                timeout=httpx.Timeout(CONNECT_SECONDS_MAX, read=None),
            ) as response:
                if response.is_error:
                    response.read()
                    self._raise(response)
                pending = b""
                for chunk in response.iter_raw():
                    *whole, pending = (pending + chunk).split(b"\n")
                    yield from whole
        except httpx.TransportError as error:
            raise NodeUnreachable(self.url, _reason(error)) from None

    def save(self, path: str, target: Path, *, accept: str = "*/*", **parameters: Any) -> int:
        """Make a file of what is at `path`, whole or not at all; returns its size in bytes."""
        beside = target.with_name(f".{target.name}.new")
        try:
            asked = self._http.build_request("GET", path, params=_given(parameters), headers={"accept": accept})
            with contextlib.closing(self._http.send(asked, stream=True)) as response, beside.open("wb") as file:
                if response.is_error:
                    response.read()
                    self._raise(response)
                for chunk in response.iter_raw():
                    file.write(chunk)
            beside.replace(target)
        except httpx.TransportError as error:
            raise NodeUnreachable(self.url, _reason(error)) from None
        except OSError as error:  # of the file that was asked for, and not of the one beside it
            raise OSError(error.errno, error.strerror, str(target)) from None
        finally:
            beside.unlink(missing_ok=True)
        return target.stat().st_size

    def _frames(self, **parameters: Any) -> Iterator[tuple[str, str, bytes]]:
        """Server-Sent Events: kind, id and data of each."""
        fields: dict[bytes, bytes] = {}
        for line in self.lines("/events", accept="text/event-stream", **parameters):
            name, _, value = line.partition(b": ")
            if line:
                fields[name] = value
                continue
            if b"data" in fields:
                yield fields[b"event"].decode(), fields.get(b"id", b"").decode(), fields[b"data"]
            fields = {}

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise NodeUnreachable(self.url, _reason(error)) from None
        if response.is_error:
            self._raise(response)
        return response

    def _request(self, method: str, path: str, **options: Any) -> Any:
        response = self._send(method, path, **options)
        try:
            return msgspec.json.decode(response.content)
        except NO_JSON:
            raise self._stranger(response) from None

    def _raise(self, response: httpx.Response) -> None:
        try:
            problem = msgspec.json.decode(response.content, type=dict[str, Any])
        except NO_JSON:
            raise self._stranger(response) from None
        raise (RequestRefused if response.is_client_error else RequestFailed)(response.status_code, problem)

    def _stranger(self, response: httpx.Response) -> NodeUnreachable:
        return NodeUnreachable(self.url, f"status {response.status_code}, and not from Rookery")


def _given(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value not in (None, (), [])}


def _reason(error: httpx.TransportError) -> str:
    return str(error) or type(error).__name__
