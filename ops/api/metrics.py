"""Metrics for Prometheus."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from ..metrics import Metrics
from .negotiation import preferred

EXAMPLE = """\
# HELP rookery_node_ready 1 when every subsystem is ready.
# TYPE rookery_node_ready gauge
rookery_node_ready 1.0
# HELP rookery_model_cost_usd_total What the calls of known price cost, by model. A float, for graphs and alerts: …
# TYPE rookery_model_cost_usd_total counter
rookery_model_cost_usd_total{gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o"} 12.5
"""
TEXT = "text/plain"
OPENMETRICS = "application/openmetrics-text"
UTF_8 = "charset=utf-8"

router = APIRouter(tags=["metrics"])


async def _metrics(request: Request) -> Metrics:
    metrics = request.app.state.metrics
    assert isinstance(metrics, Metrics)
    return metrics


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "description": "The metrics, as text or, where `Accept` asks for it, as OpenMetrics.",
            "content": {
                TEXT: {"schema": {"type": "string"}, "example": EXAMPLE},
                OPENMETRICS: {"schema": {"type": "string"}, "example": EXAMPLE + "# EOF\n"},
            },
        }
    },
)
@router.get("/hobby/metrics/prometheus", response_class=Response, summary="Metrics, under their old path")
async def prometheus(request: Request, metrics: Annotated[Metrics, Depends(_metrics)]) -> Response:
    """What the node is doing and what the colony has done, as Prometheus scrapes it.

    The figures about the colony are at most some seconds old, and shared by all who scrape. Money is a float here,
    because that is all that Prometheus knows; the exact amounts are at `/query/cost_by_model` and its like.
    """
    accept = ", ".join(request.headers.getlist("accept"))
    if preferred(accept, [TEXT, OPENMETRICS]) == OPENMETRICS:
        return Response(await metrics.openmetrics(), headers={"content-type": f"{OPENMETRICS}; version=1.0.0; {UTF_8}"})
    return Response(await metrics.text(), headers={"content-type": f"{TEXT}; version=0.0.4; {UTF_8}"})
