"""Traffic: HTTP requests counted by route, method and status, all of which are bounded."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator

from prometheus_client import Metric
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..families import counter, gauge, histogram
from ..timings import Timings

# Paths come from clients; only the routes' templates are few.
NO_ROUTE = "none"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "other"
FAILED = 500


class Traffic:
    """What has been asked of one node's API. Written in the event loop, read in any thread."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.seconds: defaultdict[tuple[str, str], Timings] = defaultdict(Timings)

    def count(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request whose answer has begun."""
        route = getattr(scope.get("route"), "path", NO_ROUTE)
        method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
        self.requests[route, method, str(status)] += 1
        self.seconds[route, method].observe(seconds)

    def families(self) -> Iterator[Metric]:
        """The requests as metrics."""
        yield gauge("http_requests_in_flight", "HTTP requests that are being answered.", [], [([], self.in_flight)])
        yield counter(
            "http_requests",
            "HTTP requests, by the route's template, method and status.",
            ["route", "method", "status"],
            list(self.requests.items()),
        )
        yield histogram(
            "http_request_duration_seconds",
            "From a request to the beginning of its answer. Answers that go on, as live events do, are not waited for.",
            ["route", "method"],
            list(self.seconds.items()),
        )


class TrafficMiddleware:
    """Counts every HTTP request into `traffic`, at some three microseconds each."""

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self._app = app
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and count when the answer begins."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        answered = False

        async def counting(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start" and not answered:
                answered = True
                self._traffic.count(scope, message["status"], time.perf_counter() - began)
            await send(message)

        self._traffic.in_flight += 1
        try:
            await self._app(scope, receive, counting)
        except BaseException:
            if not answered:
                self._traffic.count(scope, FAILED, time.perf_counter() - began)
            raise
        finally:
            self._traffic.in_flight -= 1
