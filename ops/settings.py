"""The settings of a node: one frozen object, from defaults, `rookery.toml`, `ROOKERY_*` and options, in that order."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from ..schemas import InvalidInput

CONFIG_FILE = "rookery.toml"
ENVIRONMENT_PREFIX = "ROOKERY_"
METAVARS = {int: "INTEGER", float: "NUMBER", str: "TEXT", type(None): "TEXT", tuple: "TEXT"}

Port = Annotated[int, Meta(ge=0, le=65_535)]
Days = Annotated[float, Meta(ge=0, le=36_500)]
Place = Annotated[str, Meta(min_length=1)]
_NATS_SERVER = "(nats|tls|ws|wss)://[^,]+"
NAME = "[a-z0-9][a-z0-9_-]{0,62}"
NatsUrl = Annotated[str, Meta(pattern=f"^{_NATS_SERVER}(,{_NATS_SERVER})*$")]
Names = Annotated[str, Meta(pattern=f"^{NAME}(,{NAME})*$")]
LocalWork = Annotated[str, Meta(pattern="^[^=\\s]+=.")]
SEPARATORS = {"bridges": ";", "peers": ",", "watch": ",", "card_hosts": ",", "local_work": ";"}
PublicUrl = Annotated[str, Meta(pattern=r"^https?://[^\s/]+(/[^\s?#]*)?$")]
HostName = Annotated[str, Meta(pattern=r"^[0-9A-Za-z.:_-]{1,253}$")]
PeerUrl = Annotated[str, Meta(pattern="^(https?|nats|tls|wss?)://.")]


class InvalidSettings(InvalidInput):
    """A setting has a value that it cannot have: `where` names the file, variable or option."""

    def __init__(self, where: str, reason: str) -> None:
        self.where = where
        self.reason = reason
        super().__init__(f"{where}: {reason}")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a node is told. Each field is a key of `rookery.toml` and, in capitals, a variable `ROOKERY_…`."""

    data: Annotated[Path, Meta(description="The folder that holds the log, the bus's store and the read models.")] = (
        Path("rookery-data")
    )
    origin: Annotated[
        str,
        Meta(
            pattern=f"^{NAME}$",
            description="This bus's name in its events' addresses, `origin:n`: a-z, 0-9, - and _, at most 63.",
        ),
    ] = "local"
    host: Annotated[str, Meta(min_length=1, description="The address that the HTTP API listens on.")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="The HTTP API's port; 0 takes any that is free.")] = 8800
    nats_port: Annotated[Port, Meta(description="The embedded nats-server's port; 0 takes any that is free.")] = 4222
    nats_url: Annotated[
        NatsUrl | None,
        Meta(
            description="A NATS server to use instead of the embedded one, as in `nats://host:4222`; of a cluster, all "
            "of its servers, with commas between."
        ),
    ] = None
    nats_credentials: Annotated[
        Path | None, Meta(description="A NATS `.creds` file, or a file with an nkey's seed, to show to that server.")
    ] = None
    nats_replicas: Annotated[
        Literal[1, 3, 5] | None,
        Meta(description="How many servers of the cluster keep each event; without it, as many as do."),
    ] = None
    spokes: Annotated[
        Names | None,
        Meta(description="The spokes whose events this node, a hub's, takes in as well, with commas between."),
    ] = None
    nats_server: Annotated[
        Path | None, Meta(description="The nats-server binary (2.12 or newer) to use instead of the packaged one.")
    ] = None
    event_bytes_max: Annotated[
        int,
        Meta(ge=1024, le=8 * 1024 * 1024, description="The largest event that the embedded bus takes, in bytes."),
    ] = 1024 * 1024
    segment_events_max: Annotated[
        int, Meta(ge=1, description="How many events a segment of the log holds before it is sealed.")
    ] = 65_536
    query_seconds_max: Annotated[
        float, Meta(gt=0, le=86_400, description="How long a query of read models or graph may run, in seconds.")
    ] = 30.0
    duckdb_memory_mib: Annotated[
        int,
        Meta(
            ge=256,
            le=16 * 2**20,
            description="How much memory read models and their queries may hold, in MiB; what needs more goes to disk.",
        ),
    ] = 1_024
    query_rows_max: Annotated[int, Meta(ge=1, description="How many rows a query may return.")] = 100_000
    snapshot_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="How often the snapshot file is written where something is new, in seconds; 0: when asked.",
        ),
    ] = 60.0
    archive: Annotated[
        Place | None, Meta(description="Where the log is archived: a folder, or `s3://bucket/prefix`.")
    ] = None
    archive_hours: Annotated[
        float,
        Meta(ge=0, le=8_760, description="How often the log is archived, in hours; 0: when asked."),
    ] = 1.0
    archive_keep_days: Annotated[
        Days | None,
        Meta(
            description="For how many days archived segments stay in the data folder, too; without it, for ever.",
        ),
    ] = None
    verify_megabytes_per_second: Annotated[
        float,
        Meta(
            ge=0,
            le=10_000,
            description="How fast the log is verified, round after round, in the background; 0: when asked.",
        ),
    ] = 1.0
    agent_evict_seconds: Annotated[
        float,
        Meta(
            gt=0,
            le=3_650 * 86_400,
            description="How long an agent that was declared dead stays on the list before it is evicted, in seconds.",
        ),
    ] = 86_400.0
    peers: Annotated[
        tuple[PeerUrl, ...],
        Meta(
            description="Nodes whose logs are copied here, as in `http://host:8800` or, on this node's own bus, "
            "`nats:///north`; more than one with commas."
        ),
    ] = ()
    watch: Annotated[
        tuple[Path, ...],
        Meta(
            description="Folders that are queues: a task file that is dropped is given, and its result lands beside "
            "it; more than one with commas."
        ),
    ] = ()
    bridges: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(
            description="Endpoints that the node invokes for agents which registered with them: URLs (`/*` for all "
            "beneath), command lines, folders; more than one with `;` between."
        ),
    ] = ()
    public_url: Annotated[
        PublicUrl | None,
        Meta(
            description="Where others reach the HTTP API: for agent cards to say, and the name that a proxy hands on. "
            "Without it, cards say where they were asked for."
        ),
    ] = None
    card_hosts: Annotated[
        tuple[HostName, ...],
        Meta(
            description="Hosts whose agent cards are taken although they have no public address, and that cards of "
            "other hosts may name; more than one with commas."
        ),
    ] = ()
    sync_seconds: Annotated[
        float, Meta(gt=0, le=86_400, description="How often each peer is asked for what this log lacks, in seconds.")
    ] = 2.0

    assignments_max: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="How many tasks an agent is given at once where it is chosen for them and doesn't say itself.",
        ),
    ] = 5
    local_work: Annotated[
        tuple[LocalWork, ...],
        Meta(
            description="What the node does itself where no agent that is alive can: `capability=command`; more than "
            "one with semicolons."
        ),
    ] = ()

    @classmethod
    def load(
        cls,
        options: Mapping[str, Any] | None = None,
        *,
        environment: Mapping[str, str] = os.environ,
        folder: Path | None = None,
    ) -> Settings:
        """The settings in force: options over environment over `rookery.toml` over defaults.

        Options that are None count as not given. Raises `InvalidSettings`.
        """
        found = _from_file((folder or Path.cwd()) / CONFIG_FILE)
        found |= _from_environment(environment)
        found |= {
            name: (value, f"--{name.replace('_', '-')}") for name, value in (options or {}).items() if value is not None
        }
        return _convert(found)

    @property
    def own_origins(self) -> tuple[str, ...]:
        """The origins that this node writes itself: its bus's, and its spokes'. All others are copied from peers."""
        return (self.origin, *self.spoke_names)

    @property
    def spoke_names(self) -> list[str]:
        """The spokes, one by one."""
        return self.spokes.split(",") if self.spokes else []

    @property
    def url(self) -> str:
        """Where the HTTP API of a node with these settings answers."""
        return f"http://{self.host}:{self.port}"


class Described(NamedTuple):
    """One setting as users meet it, under three names. `metavar` is what it takes, `default` may be empty."""

    name: str
    variable: str
    option: str
    metavar: str
    default: str
    description: str


@cache
def described() -> tuple[Described, ...]:
    """Every setting, for `--help` and the documentation."""
    return tuple(_described(field) for field in msgspec.structs.fields(Settings))


def misspelt(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that look like a setting's and aren't, each with the setting that was probably meant."""
    names = [setting.variable for setting in described()]
    strangers = [name for name in environment if name.startswith(ENVIRONMENT_PREFIX) and name not in names]
    meant = {name: get_close_matches(name, names, n=1, cutoff=0.9) for name in strangers}
    return {name: nearest[0] for name, nearest in meant.items() if nearest}


def _described(field: msgspec.structs.FieldInfo) -> Described:
    default = "" if field.default in (None, ()) else str(field.default)
    return Described(
        name=field.name,
        variable=f"{ENVIRONMENT_PREFIX}{field.name.upper()}",
        option=f"--{field.name.replace('_', '-')}",
        metavar={int: "INTEGER", float: "NUMBER", str: "TEXT", type(None): "TEXT", tuple: "TEXT"}.get(
            type(field.default), "PATH"
        ),
        default=default,
        description=str(field.type.__metadata__[-1].description),
    )


def _description(name: str) -> str:
    """What a setting is for; empty if there is none of that name."""
    return next((setting.description for setting in described() if setting.name == name), "")


Found = dict[str, tuple[Any, str]]


def _from_file(path: Path) -> Found:
    try:
        document = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidSettings(str(path), str(error)) from None
    return {name: (value, f"{path}: {name}") for name, value in document.items()}


def _from_environment(environment: Mapping[str, str]) -> Found:
    return {
        setting.name: (environment[setting.variable], setting.variable)
        for setting in described()
        if environment.get(setting.variable)
    }


def _convert(found: Found) -> Settings:
    found = {name: (_listed(name, value), where) for name, (value, where) in found.items()}
    for name, (value, where) in found.items():
        try:
            msgspec.convert({name: value}, Settings, strict=False, dec_hook=_path)
        except msgspec.ValidationError as error:
            raise InvalidSettings(where, _reason(name, value, str(error))) from None
    return msgspec.convert({name: value for name, (value, _) in found.items()}, Settings, strict=False, dec_hook=_path)


def _listed(name: str, value: Any) -> Any:
    """Of a setting that has several values, those in a text."""
    if name not in SEPARATORS or not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(SEPARATORS[name]) if part.strip()]


def _reason(name: str, value: Any, fault: str) -> str:
    if name not in Settings.__struct_fields__:
        nearest = get_close_matches(name, Settings.__struct_fields__, n=1)
        return f"there is no such setting; {f'did you mean {nearest[0]!r}?' if nearest else 'see `rookery up --help`'}"
    return f"{value!r} won't do ({fault.partition(' - at ')[0]}). {_description(name)}"


def _path(kind: type, value: Any) -> Any:
    if kind is not Path:
        return value
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("expected a path")
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError(str(error)) from None
