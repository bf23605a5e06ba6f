"""Topologies: ready-to-run configuration for nats-servers and nodes in more than one place.

What is written is one folder a machine: the server's configuration, who may do what there, the keys of those who live
there, and the node's `rookery.toml`. Written again with more names, keys that are there stay.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import NamedTuple

import msgspec
import nkeys

from ..handlers.agent.presence import BUCKET
from ..handlers.agent.profile import check_agent_id
from ..schemas import InvalidInput, derived_id, escape
from .nats_server import DEFAULT_PORT, MAX_PAYLOAD_BYTES
from .settings import NAME

# Beside a server's own port, so that servers on one machine have ports of their own.
ROUTE_PORT_OFFSET = 2_000
LEAF_PORT_OFFSET = 3_200
CLUSTER_SERVERS = (3, 5)
LOOPBACK = "127.0.0.1"
ORIGIN = re.compile(NAME)
HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
KEYS_OF_OTHERS = ("node", "leaf")  # in the folder where an agent's key lies under its name

_KEY_FILE_MODE = 0o600


class Site(NamedTuple):
    """A machine: the name of what runs there, and where its nats-server listens."""

    name: str
    host: str
    port: int

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://{self.host}:{self.port}"

    def address(self, offset: int = 0) -> str:
        """Host and port, as nats-server wants them."""
        return f"{self.host}:{self.port + offset}"


class Written(msgspec.Struct, frozen=True):
    """A folder that was written: where its server listens (empty: it has none), and whether a node lives there."""

    name: str
    folder: Path
    listens: str
    has_node: bool


class _Conf(Template):
    """`@name` stands for a value; `$NAME` is nats-server's own way to say so."""

    delimiter = "@"


def sites(texts: Sequence[str]) -> list[Site]:
    """What `NAME`, `NAME=HOST` and `NAME=HOST:PORT` say: without a host, this machine and the next port."""
    found = [_site(text, DEFAULT_PORT + index) for index, text in enumerate(texts)]
    if len({site.name for site in found}) < len(found):
        raise InvalidInput("two of the names are the same: each node is an origin of its own")
    if len({site.address() for site in found}) < len(found):
        raise InvalidInput("two of them are at the same host and port: give each its own, as in north=10.1.0.1:4222")
    return found


def write_hub(folder: Path, hub: Site, spokes: Sequence[Site], agents: Sequence[str] = ()) -> list[Written]:
    """Write the folders of a hub and its spokes; the agent `north/coder-7` works in the north, others at the hub."""
    command = " ".join(["rookery topology hub", hub.name, *(spoke.name for spoke in spokes)])
    at_home = _at_home(agents, hub, spokes)
    seeds = {spoke.name: _seed(folder / spoke.name / "keys" / "leaf.nk") for spoke in spokes}
    leaves = [_user("leaf", seed, spoke=name, hub=hub.name) for name, seed in seeds.items()]
    meeting = hub.address(LEAF_PORT_OFFSET)
    for name, seed in seeds.items():
        _write(folder / name / "keys" / "leaf.conf", f'LEAF_SEED: "{seed}"\n', secret=True)
    names = ",".join(spoke.name for spoke in spokes)
    conf = _server(folder, hub, "The hub's nats-server.", command, _filled("hub", leaf=meeting), domain=hub.name)
    users = _users(folder / hub.name, at_home[hub.name], leaves)
    written = [_write_site(folder, hub, conf, users, _settings(hub.name, hub.url) | {"spokes": names})]
    for spoke in spokes:
        title, links = f"The nats-server of the spoke {spoke.name}.", _filled("spoke", name=spoke.name, hub=meeting)
        conf = _server(folder, spoke, title, command, links, domain=spoke.name)
        users = _users(folder / spoke.name, at_home[spoke.name])
        written.append(_write_site(folder, spoke, conf, users, _settings(spoke.name, spoke.url)))
    return written


def write_cluster(folder: Path, name: str, servers: Sequence[Site], agents: Sequence[str] = ()) -> list[Written]:
    """Write the folders of a cluster's servers, and one, with the cluster's name, for its node and all keys."""
    if len(servers) not in CLUSTER_SERVERS:
        raise InvalidInput(f"a cluster has 3 servers or 5, so that most of them agree when one is gone: {len(servers)}")
    if name in (server.name for server in servers):
        raise InvalidInput(f"a server can't have the cluster's name, {name!r}: choose another with --name")
    command = " ".join(["rookery topology cluster", *(server.name for server in servers)])
    password = _password(folder / name / "keys" / "route")
    routes = "\n".join(f'    "nats-route://route:{password}@{one.address(ROUTE_PORT_OFFSET)}"' for one in servers)
    users = _users(folder / name, agents)
    settings = _settings(name, ",".join(server.url for server in servers)) | {"nats_replicas": 3}
    _write(folder / name / "rookery.toml", _toml(settings))
    written = []
    for server in servers:
        own = server.address(ROUTE_PORT_OFFSET)
        links = _filled("cluster", cluster=name, route=own, password=password, routes=routes)
        title = f"The nats-server {server.name}, one of {len(servers)}."
        written.append(_write_site(folder, server, _server(folder, server, title, command, links), users))
    return [*written, Written(name, folder / name, "", has_node=True)]


def _at_home(agents: Sequence[str], hub: Site, spokes: Sequence[Site]) -> dict[str, list[str]]:
    at_home: dict[str, list[str]] = {site.name: [] for site in (hub, *spokes)}
    for text in agents:
        site, _, agent = text.rpartition("/")
        if (site or hub.name) not in at_home or not agent:
            raise InvalidInput(f"{text!r} is at home nowhere: say SITE/AGENT, with one of {', '.join(at_home)}")
        at_home[site or hub.name].append(agent)
    return at_home


def _site(text: str, port: int) -> Site:
    name, mark, address = text.partition("=")
    host, colon, given = address.rpartition(":") if ":" in address else (address, "", "")
    if not ORIGIN.fullmatch(name) or (mark and not HOST.fullmatch(host)) or (colon and not given.isdigit()):
        raise InvalidInput(
            f"{text!r} is no site: say NAME, NAME=HOST or NAME=HOST:PORT, with a name of a-z, 0-9, - and _"
        )
    return Site(name, host or LOOPBACK, int(given or (DEFAULT_PORT if mark else port)))


def _server(folder: Path, site: Site, title: str, command: str, links: str, domain: str = "") -> str:
    return _filled(
        "server",
        title=title,
        command=command,
        name=site.name,
        listen=site.address(),
        max_payload_bytes=str(MAX_PAYLOAD_BYTES),
        store=str(folder / site.name / "nats"),
        domain=f'  domain: "{domain}"\n' if domain else "",
        links=links,
    )


def _users(folder: Path, agents: Sequence[str], others: Sequence[str] = ()) -> str:
    """Who may do what: the node all, an agent what an agent does, and `others` as they say."""
    node = _public(_seed(folder / "keys" / "node.nk"))
    every = [f"    # The node, and whoever holds its key: everything.\n    {{ nkey: {node} }}\n", *others]
    for agent in agents:
        if check_agent_id(agent) in KEYS_OF_OTHERS:
            raise InvalidInput(f"no agent can be called {agent!r} here: that key is the {agent}'s own")
        token = escape(agent)
        bucket = {"bucket": BUCKET, "stream": f"KV_{BUCKET}", "claim": derived_id(agent)}
        every.append(_user("agent", _seed(folder / "keys" / f"{token}.nk"), agent=agent, token=token, **bucket))
    return f"authorization {{\n  users: [\n{''.join(every)}  ]\n}}\n"


def _user(kind: str, seed: str, **values: str) -> str:
    return _filled(kind, public=_public(seed), **values)


def _filled(kind: str, **values: str) -> str:
    return _Conf(files(__package__).joinpath("topologies", f"{kind}.conf").read_text()).substitute(values)


def _write_site(
    folder: Path, site: Site, server: str, users: str, settings: Mapping[str, object] | None = None
) -> Written:
    own = folder / site.name
    _write(own / "nats-server.conf", server, secret=True)
    _write(own / "users.conf", users)
    if settings:
        _write(own / "rookery.toml", _toml(settings))
    return Written(site.name, own, site.url, has_node=settings is not None)


def _settings(origin: str, nats_url: str) -> dict[str, object]:
    return {"origin": origin, "nats_url": nats_url, "nats_credentials": "keys/node.nk"}


def _toml(settings: Mapping[str, object]) -> str:
    shown = {name: f'"{value}"' if isinstance(value, str) else value for name, value in settings.items()}
    return "".join(f"{name} = {value}\n" for name, value in shown.items())


def _public(seed: str) -> str:
    key: str = nkeys.from_seed(seed.encode()).public_key.decode()
    return key


def _seed(path: Path) -> str:
    """The key in the file, made if there is none."""
    if not path.exists():
        _write(path, nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER).decode() + "\n", secret=True)
    return path.read_text().strip()


def _password(path: Path) -> str:
    if not path.exists():
        _write(path, secrets.token_urlsafe(24) + "\n", secret=True)
    return path.read_text().strip()


def _write(path: Path, text: str, *, secret: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = _KEY_FILE_MODE if secret else 0o644
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
