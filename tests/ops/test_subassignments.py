"""Old clients give work, ask for it and have practice distributed, under the paths and in the words that they know."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rookery.ops.client import Client, RequestRefused
from rookery.schemas import AgentRegistered, Event, encode


@pytest.fixture(scope="module", autouse=True)
def agents(node: Any) -> None:
    with Client(node.node.url) as client:
        client.publish(
            [
                encode(Event.of(AgentRegistered(name=name, capabilities=list(able)), subject=name, source="/agents/x"))
                for name, able in {"coder-7": ["review", "test"], "coder-8": ["review"]}.items()
            ]
        )


def post(client: Client, path: str, asked: dict[str, Any] | None = None, **query: Any) -> Any:
    return client.post(path, b"" if asked is None else json.dumps(asked).encode(), **query)


@pytest.mark.parametrize("in_query", [True, False])
def test_a_task_is_given_to_an_agent_by_name(client: Client, in_query: bool) -> None:
    asked: dict[str, Any] = {"agent": "coder-7", "kind": "review", "duration_minutes": 5}
    path = "/hobby/assign-to-subagent"
    told = post(client, path, **asked) if in_query else post(client, path, asked)
    assert (told["status"], told["agent"]) == ("assigned", "coder-7")
    one = client.get(f"/hobby/assignments/{told['assignment_id']}")
    assert (one["id"], one["agent"], one["kind"]) == (told["assignment_id"], "coder-7", "review")
    assert (one["status"], one["duration_minutes"]) == ("pending", 5)
    assert [each["status"] for each in one["history"]] == ["created"]
    listed = client.get("/hobby/assignments", agent="coder-7", status="pending,running")
    assert told["assignment_id"] in [each["id"] for each in listed["assignments"]]
    assert listed["total"] == len(listed["assignments"])


def test_without_an_agent_the_best_gets_it_and_why_is_told(client: Client) -> None:
    told = post(client, "/hobby/assign-to-subagent", {"kind": "test", "agent": "best"})
    assert told["agent"] == "coder-7"
    assert told["assignment"]["reasons"]["eligible"] == 1


@pytest.mark.parametrize(
    ("asked", "status", "reason"),
    [
        ({"agent": "nobody", "kind": "review"}, 404, "'nobody'"),
        ({"agent": "coder-8", "kind": "test"}, 422, "no capability 'test'"),
        ({"kind": "unheard-of"}, 409, "'unheard-of'"),
        ({"agent": "coder-8"}, 422, "kind"),
        ({"agent": "coder-8", "kind": "review", "duration_minutes": -5}, 422, "duration_minutes"),
        ({"agent": "coder-8", "kind": "review", "duration_minutes": 1e9}, 422, "duration_minutes"),
        ({"agent": "coder-8", "kind": "review", "duration_minutes": "long"}, 422, "duration_minutes"),
    ],
)
def test_what_can_not_be_is_refused_and_leaves_no_trace(
    client: Client, asked: dict[str, Any], status: int, reason: str
) -> None:
    before = client.get("/status")["events"]
    with pytest.raises(RequestRefused, match=reason) as refused:
        post(client, "/hobby/assign-to-subagent", asked)
    assert refused.value.status == status
    assert client.get("/status")["events"] == before


def test_practice_is_distributed_over_all_who_need_it(client: Client) -> None:
    told = post(client, "/hobby/distribute", num_assignments=2)
    assert (told["status"], told["created"]) == ("distributed", 2)
    assert {one["agent"] for one in told["assignments"]} == {"coder-7", "coder-8"}
    assert all(one["reasons"]["reason"] == "practice: unknown" for one in told["assignments"])


def test_an_unknown_assignment_is_not_found(client: Client) -> None:
    with pytest.raises(RequestRefused, match="nobody-knows"):
        client.get("/hobby/assignments/nobody-knows")
