"""What is near what, what leads where, and what belongs together."""

from __future__ import annotations

import pytest
from pyoxigraph import Quad, Store
from rookery.projections import QueryRefused
from rookery.projections.graph.algorithms import communities, iris_of, neighbours, path, stats
from rookery.projections.graph.names import event_iri, rk, thing

from .small_world import world


def test_neighbours_are_things_not_classes_texts_or_events() -> None:
    found = neighbours(world(), name="agent/ada", depth=1, limit=10)
    assert [node["name"] for node in found["nodes"]] == ["agent/ada", "agent/bob", "run/r1"]
    assert found["nodes"][0] == {
        "id": "urn:rookery:agent:ada",
        "name": "agent/ada",
        "label": 'Ada "the first"',
        "types": ["Agent"],
        "distance": 0,
    }
    assert not found["truncated"]


def test_an_edge_says_which_events_are_behind_it_or_that_it_was_inferred() -> None:
    edges = {edge["label"]: edge for edge in neighbours(world(), name="agent/ada", depth=1, limit=10)["edges"]}
    assert (edges["involved"]["events"], edges["involved"]["inferred"]) == (["local:1"], False)
    assert (edges["worksWith"]["events"], edges["worksWith"]["inferred"]) == ([], True)


def test_each_step_of_depth_goes_one_edge_further_and_the_limit_is_told() -> None:
    assert "task/t/1" not in [one["name"] for one in neighbours(world(), name="agent/ada", depth=1, limit=9)["nodes"]]
    further = neighbours(world(), name="agent/ada", depth=2, limit=9)["nodes"]
    assert {one["name"]: one["distance"] for one in further}["task/t/1"] == 2
    limited = neighbours(world(), name="agent/ada", depth=2, limit=2)
    assert (len(limited["nodes"]), limited["truncated"]) == (2, True)
    ids = {node["id"] for node in limited["nodes"]}
    assert all({edge["source"], edge["target"]} <= ids for edge in limited["edges"])


def test_a_path_is_a_shortest_one_whichever_way_its_edges_point() -> None:
    found = path(world(), start="agent/bob", end="task/t/1")
    assert [node["name"] for node in found["nodes"]] == ["agent/bob", "run/r1", "task/t/1"]
    assert (found["length"], len(found["edges"])) == (2, 2)
    assert path(world(), start="agent/bob", end="agent/bob")["length"] == 0


def test_there_may_be_no_path() -> None:
    found = path(world(), start="agent/ada", end="agent/eve")
    assert (found["length"], found["nodes"], found["edges"]) == (None, [], [])


def test_communities_hold_together_and_are_the_same_every_time() -> None:
    store = Store()
    for n, (one, other) in enumerate(
        [(f"{team}{i}", f"{team}{j}") for team in "ab" for i in range(5) for j in range(i)]
    ):
        store.add(Quad(thing("agent", one), rk("worksWith"), thing("agent", other), event_iri("local", n + 1)))
    store.add(Quad(thing("agent", "a0"), rk("worksWith"), thing("agent", "b0"), event_iri("local", 99)))
    found = communities(store, limit=10)
    assert [one["size"] for one in found["communities"]] == [5, 5]
    teams = {node["name"][6]: node["community"] for node in found["nodes"]}
    assert all(node["community"] == teams[node["name"][6]] for node in found["nodes"])
    assert communities(store, limit=10) == found
    assert len(communities(store, limit=1)["nodes"]) == 5


def test_an_empty_graph_has_no_communities() -> None:
    assert communities(Store(), limit=5)["communities"] == []


def test_stats_count_classes_and_properties() -> None:
    found = stats(world())
    assert found["classes"] == [{"name": rk("Agent").value, "count": 1}]
    assert {"name": rk("involved").value, "count": 3} in found["properties"]


@pytest.mark.parametrize(
    ("name", "iri"),
    [
        ("agent/coder 7", "urn:rookery:agent:coder%207"),
        ("model/openai/gpt-4o", "urn:rookery:model:openai:gpt-4o"),
        ("urn:rookery:agent:ada", "urn:rookery:agent:ada"),
        ("https://example.org/a", "https://example.org/a"),
    ],
)
def test_a_thing_is_named_in_short_or_by_its_iri(name: str, iri: str) -> None:
    assert iri in iris_of(name)


@pytest.mark.parametrize("name", ["", "ada", "<urn:a>", "urn:a b", "/", "agent/nobody"])
def test_what_names_nothing_is_refused(name: str) -> None:
    with pytest.raises(QueryRefused):
        neighbours(world(), name=name, depth=1, limit=5)
