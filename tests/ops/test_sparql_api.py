"""The knowledge graph over HTTP and on the command line, asked by the clients that people use."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from rdflib import Dataset, Graph
from rdflib.plugins.stores.sparqlstore import SPARQLStore
from rookery.ops.bench.node_process import NodeProcess, node_process
from rookery.ops.client import Client
from rookery.schemas import AgentRegistered, Event, MessageRecorded, RunStarted, encode
from SPARQLWrapper import CSV, JSON, POST, TURTLE, XML, SPARQLWrapper

from .conftest import Rookery

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # rdflib and SPARQLWrapper warn of their own code

AGENTS = "SELECT DISTINCT ?agent ?name {?agent a rk:Agent ; rdfs:label ?name} ORDER BY ?name"
AGENTS_DECLARED = f"""PREFIX rk: <https://rookery.dev/ns#>
PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
{AGENTS}"""  # clients that parse what they send want its prefixes
QUERY = {"content-type": "application/sparql-query"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node whose graph knows two agents that met in a run."""
    events = [
        Event.of(AgentRegistered(name="Ada"), subject="ada", source="/people/operator"),
        Event.of(AgentRegistered(name="Bob"), subject="bob", source="/people/operator"),
        Event.of(RunStarted(task="Review"), subject="r1", source="/people/operator"),
        Event.of(
            MessageRecorded(run_id="r1", agent_id="ada", role="assistant", step=0), subject="m1", source="/agents/ada"
        ),
        Event.of(
            MessageRecorded(run_id="r1", agent_id="bob", role="assistant", step=0), subject="m2", source="/agents/bob"
        ),
    ]
    with node_process(tmp_path_factory.mktemp("node"), "--query-seconds-max=3", "--query-rows-max=5000") as running:
        with Client(running.node.url) as client:
            client.publish([encode(event) for event in events])
            client.get("/sparql", query="ASK {}", wait_for=f"local:{client.get('/status')['events']}")
        yield running


@pytest.fixture
def http(node: NodeProcess) -> Iterator[httpx.Client]:
    """Plain HTTP to the node."""
    with httpx.Client(base_url=node.node.url, timeout=30, trust_env=False) as client:
        yield client


def wrapped(node: NodeProcess, query: str, form: str) -> SPARQLWrapper:
    wrapper = SPARQLWrapper(f"{node.node.url}/sparql")
    wrapper.setQuery(query)
    wrapper.setReturnFormat(form)
    return wrapper


@pytest.mark.parametrize("method", ["GET", POST])
def test_sparqlwrapper_gets_rows_in_json_xml_and_csv(node: NodeProcess, method: str) -> None:
    wrapper = wrapped(node, AGENTS_DECLARED, JSON)
    wrapper.setMethod(method)
    rows = wrapper.query().convert()["results"]["bindings"]
    assert [row["name"]["value"] for row in rows] == ["Ada", "Bob"]
    for form, names in ((XML, lambda got: got.toxml()), (CSV, lambda got: got.decode())):
        wrapper.setReturnFormat(form)
        assert "Ada" in names(wrapper.query().convert())


def test_sparqlwrapper_gets_triples_in_turtle(node: NodeProcess) -> None:
    got = wrapped(node, "DESCRIBE <urn:rookery:agent:ada>", TURTLE).query().convert()
    assert len(Graph().parse(got, format="turtle")) > 2


def test_rdflibs_sparqlstore_asks_the_node_as_if_it_were_a_graph(node: NodeProcess) -> None:
    graph = Graph(SPARQLStore(f"{node.node.url}/sparql"))
    rows = list(graph.query(AGENTS_DECLARED))
    assert [str(row.name) for row in rows] == ["Ada", "Bob"]


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "application/sparql-results+json"),
        ("application/json", "application/sparql-results+json"),
        ("application/sparql-results+xml", "application/sparql-results+xml"),
        ("text/csv;q=0.5, text/tab-separated-values", "text/tab-separated-values; charset=utf-8"),
        ("text/csv", "text/csv; charset=utf-8"),
    ],
)
def test_rows_come_in_the_format_that_is_liked_best(http: httpx.Client, accept: str, content_type: str) -> None:
    answer = http.get("/sparql", params={"query": AGENTS}, headers={"accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, content_type)
    assert "Ada" in answer.text


def test_a_query_comes_as_parameter_form_or_body(http: httpx.Client) -> None:
    got = http.get("/sparql", params={"query": AGENTS}).json()
    assert http.post("/sparql", data={"query": AGENTS}).json() == got
    assert http.post("/sparql", content=AGENTS, headers=QUERY).json() == got


def test_graphs_may_be_named_in_the_request(http: httpx.Client) -> None:
    graphs = http.post("/sparql", data={"query": "SELECT DISTINCT ?g {GRAPH ?g {?s a rk:Agent}} ORDER BY ?g"}).json()
    event = graphs["results"]["bindings"][0]["g"]["value"]
    one = {"query": "SELECT ?s {?s a rk:Agent}", "default-graph-uri": event}
    assert len(http.get("/sparql", params=one).json()["results"]["bindings"]) == 1
    named = http.post("/sparql", params={"default-graph-uri": "urn:none"}, content=AGENTS, headers=QUERY)
    assert named.json()["results"]["bindings"] == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("INSERT DATA {<urn:a> <urn:b> 1}", "can only be asked"),
        ("DROP ALL", "can only be asked"),
        ("SELECT * {SERVICE SILENT <http://127.0.0.1:1/> {?s ?p ?o}}", "SERVICE"),
        ("SELECT * {?s ?p", "the query is wrong"),
        ("hello", "SELECT, ASK, CONSTRUCT or DESCRIBE"),
        ("SELECT * {?a ?b ?c . ?d ?e ?f . ?g ?h ?i} ORDER BY ?a ?f ?i", "was stopped"),
        ("SELECT (COUNT(*) AS ?n) {?a ?b ?c . ?d ?e ?f . ?g ?h ?i}", "query_seconds_max"),
        ("SELECT * {?a ?b ?c . ?d ?e ?f} LIMIT 6000", "query_rows_max"),
        ("SELECT * {" + "{" * 5_000 + "}" * 5_000 + "}", ""),
    ],
)
def test_a_query_that_may_not_be_is_refused_and_the_node_goes_on(http: httpx.Client, query: str, said: str) -> None:
    refused = http.post("/sparql", content=query, headers=QUERY)
    assert refused.status_code == 400
    assert refused.headers["content-type"] == "application/problem+json"
    assert said in refused.json()["detail"]
    assert http.get("/sparql", params={"query": AGENTS}).status_code == 200


@pytest.mark.parametrize(
    ("path", "request_", "status"),
    [
        ("/sparql", {"method": "GET"}, 422),
        ("/sparql", {"method": "GET", "params": [("query", "ASK {}"), ("query", "ASK {}")]}, 400),
        ("/sparql", {"method": "GET", "params": {"query": "ASK {}", "default-graph-uri": "no iri"}}, 400),
        ("/sparql", {"method": "GET", "params": {"query": "ASK {}"}, "headers": {"accept": "image/png"}}, 406),
        ("/sparql", {"method": "GET", "params": {"query": "ASK {}", "wait_for": "local:999999999"}}, 422),
        ("/sparql", {"method": "POST", "data": {"update": "DROP ALL"}}, 400),
        ("/sparql", {"method": "POST", "content": b"", "headers": FORM}, 400),
        ("/sparql", {"method": "POST", "content": b"\xff", "headers": QUERY}, 400),
        ("/sparql", {"method": "POST", "content": b"ASK {}", "headers": {"content-type": "text/plain"}}, 415),
        ("/sparql", {"method": "POST", "content": b"D", "headers": {"content-type": "application/sparql-update"}}, 400),
        ("/sparql", {"method": "POST", "content": b"ASK {} #" + b" " * 300_000, "headers": QUERY}, 413),
        ("/graph/neighbours/agent/nobody", {"method": "GET"}, 400),
        ("/graph/neighbours/agent/ada", {"method": "GET", "params": {"depth": 4}}, 422),
        ("/graph/path", {"method": "GET", "params": {"from": "agent/ada"}}, 422),
        ("/graph/communities", {"method": "GET", "params": {"limit": 0}}, 422),
        ("/graph", {"method": "GET", "headers": {"accept": "image/png"}}, 406),
        ("/graph", {"method": "GET", "params": {"about": "no iri"}}, 400),
        ("/graph", {"method": "POST", "content": b"<urn:a", "headers": {"content-type": "text/turtle"}}, 400),
        ("/graph", {"method": "POST", "content": b"1", "headers": {"content-type": "text/html"}}, 415),
    ],
)
def test_bad_requests_are_refused_with_what_is_allowed(
    http: httpx.Client, path: str, request_: dict[str, object], status: int
) -> None:
    refused = http.request(url=path, **request_)  # type: ignore[arg-type]
    assert refused.status_code == status
    assert refused.json()["detail"]


def test_neighbours_and_paths_are_answered_with_nodes_and_edges(http: httpx.Client) -> None:
    near = http.get("/graph/neighbours/agent/ada", params={"depth": 2}).json()
    assert {"agent/ada", "run/r1", "agent/bob"} <= {node["name"] for node in near["nodes"]}
    assert any(event.startswith("local:") for edge in near["edges"] for event in edge["events"])
    way = http.get("/graph/path", params={"from": "agent/ada", "to": "urn:rookery:agent:bob"}).json()
    assert [node["name"] for node in way["nodes"]] == ["agent/ada", "run/r1", "agent/bob"]
    assert http.get("/graph/communities").json()["communities"]


@pytest.mark.parametrize(
    "media_type", ["text/turtle", "application/ld+json", "application/trig", "application/n-quads"]
)
def test_the_graph_is_exported_in_what_rdflib_reads(http: httpx.Client, media_type: str) -> None:
    answer = http.get("/graph", headers={"accept": media_type})
    form = {"application/ld+json": "json-ld"}.get(media_type, media_type)
    triples = set(
        Dataset(default_union=True).parse(io.BytesIO(answer.content), format=form).triples((None, None, None))
    )
    (row,) = http.get("/sparql", params={"query": "SELECT (COUNT(*) AS ?n) {SELECT DISTINCT * {?s ?p ?o}}"}).json()[
        "results"
    ]["bindings"]
    assert 0 <= int(row["n"]["value"]) - len(triples) < 20  # the graph's notes to itself are not exported


def names_then(answer: httpx.Response) -> list[str]:
    return [row["name"]["value"] for row in answer.raise_for_status().json()["results"]["bindings"]]


def test_every_route_of_the_graph_answers_as_of_a_moment(http: httpx.Client) -> None:
    then = {"as_of": "local:2"}
    asked = [
        http.get("/sparql", params={"query": AGENTS} | then),
        http.post("/sparql", params=then, content=AGENTS, headers=QUERY),
        http.post("/sparql", data={"query": AGENTS} | then),
    ]
    assert [names_then(answer) for answer in asked] == [["Ada"]] * 3
    near = http.get("/graph/neighbours/agent%2Fada", params=then)
    assert [node["name"] for node in near.json()["nodes"]] == ["agent/ada", "registration/local/2"]
    assert http.get("/graph/path", params={"from": "agent/ada", "to": "agent/bob"} | then).status_code == 400
    stats = [http.get("/graph/stats", params=params) for params in (then, {})]
    assert 0 < stats[0].json()["triples"] < stats[1].json()["triples"]
    groups = http.get("/graph/communities", params=then)
    assert [group["size"] for group in groups.json()["communities"]] == [2]
    exported = http.get("/graph", params=then)
    assert "Ada" in exported.text
    assert "Bob" not in exported.text
    dated = {answer.headers.get("rookery-as-of") for answer in (*asked, near, stats[0], groups, exported)}
    assert dated == {"local:2"}
    assert "rookery-as-of" not in stats[1].headers


def test_before_the_first_event_the_graph_has_its_ontology_and_nothing_else(http: httpx.Client) -> None:
    answer = http.get("/sparql", params={"query": AGENTS, "as_of": "2001-01-01"})
    assert (names_then(answer), answer.headers["rookery-as-of"]) == ([], "start")


@pytest.mark.parametrize("moment", ["local:99", "berlin:1", "tomorrow", "2126-01-01", ""])
@pytest.mark.parametrize("path", ["/graph/stats", "/graph", "/sparql?query=ASK+%7B%7D"])
def test_a_moment_that_never_was_is_refused(http: httpx.Client, path: str, moment: str) -> None:
    refused = http.get(httpx.URL(path).copy_merge_params({"as_of": moment}))
    assert (refused.status_code, refused.json()["error"]) == (422, "InvalidMoment")


def test_sparql_and_graph_look_back_on_the_command_line(rookery: Rookery, tmp_path: Path) -> None:
    assert rookery("sparql", AGENTS, "--as-of", "local:2", "--csv").out.endswith(":ada,Ada\n")
    assert "run/r1" not in rookery("graph", "neighbours", "agent/ada", "--as-of", "local:4").out
    assert rookery("graph", "path", "agent/ada", "agent/bob", "--as-of", "local:4").err.endswith(
        "nothing leads from agent/ada to agent/bob\n"
    )
    assert rookery("graph", "communities", "--as-of", "start", "--json").json["communities"] == []
    assert "rk:Agent" not in rookery("graph", "stats", "--as-of", "start").out
    written = tmp_path / "then.ttl"
    assert rookery("graph", "export", written, "--as-of", "local:2").code == 0
    assert "Bob" not in written.read_text()
    assert rookery("sparql", AGENTS, "--as-of", "local:99").code == 2


def test_sparql_prints_tables_json_csv_and_turtle(rookery: Rookery, tmp_path: Path) -> None:
    assert rookery("sparql", AGENTS, "--json").json == [
        {"agent": "urn:rookery:agent:ada", "name": "Ada"},
        {"agent": "urn:rookery:agent:bob", "name": "Bob"},
    ]
    assert rookery("sparql", "SELECT ?type {<urn:rookery:agent:ada> a ?type}").out.find("rk:Agent") > 0
    question = tmp_path / "question.rq"
    question.write_text(AGENTS)
    rows = list(csv.DictReader(io.StringIO(rookery("sparql", "--file", question, "--csv").out)))
    assert [row["name"] for row in rows] == ["Ada", "Bob"]
    assert rookery("sparql", "ASK {?s ?p ?o}").out == "true\n"
    described = rookery("sparql", "DESCRIBE <urn:rookery:agent:ada>").out
    assert len(Graph().parse(data=described, format="turtle")) > 2


def test_graph_shows_what_is_near_what(rookery: Rookery) -> None:
    assert "run/r1" in rookery("graph", "neighbours", "agent/ada").out
    assert "2 steps: agent/ada - run/r1 - agent/bob" in rookery("graph", "path", "agent/ada", "agent/bob").err
    assert rookery("graph", "communities", "--json").json["communities"]
    assert "rk:Agent" in rookery("graph", "stats").out
    assert rookery("graph", "neighbours", "agent/ada", "--csv").out.startswith("distance,name,label,types\n")


def test_graph_writes_files_and_takes_them_in(rookery: Rookery, tmp_path: Path) -> None:
    written = tmp_path / "ada.jsonld"
    assert rookery("graph", "export", written, "--about", "urn:rookery:agent:ada").code == 0
    assert json.loads(written.read_text())
    handbook = tmp_path / "handbook.ttl"
    handbook.write_text("<urn:doc:handbook> <urn:doc:about> <urn:rookery:agent:ada> .")
    imported = rookery("graph", "import", handbook, "--json").json
    assert imported["triples"] == 1
    found = rookery("sparql", "SELECT ?g {GRAPH ?g {<urn:doc:handbook> ?p ?o}}", "--json").json
    assert found == [{"g": imported["graph"]}]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sparql",), "Give one query"),
        (("sparql", "DROP ALL"), "can only be asked"),
        (("sparql", "DESCRIBE <urn:a>", "--json"), "Turtle"),
        (("sparql", AGENTS, "--json", "--csv"), "exclude"),
        (("graph", "neighbours", "nobody"), "names nothing"),
        (("graph", "export", "graph.xyz"), "known by its ending"),
        (("graph", "import", "nowhere.ttl"), "does not exist"),
    ],
)
def test_a_mistake_on_the_command_line_is_told(rookery: Rookery, arguments: tuple[str, ...], said: str) -> None:
    refused = rookery(*arguments)
    assert refused.code == 2
    assert said in refused.err
