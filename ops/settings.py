"""The settings of a node: one frozen object, from defaults, `rookery.toml`, `ROOKERY_*` and options, in that order."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ..schemas import InvalidInput

CONFIG_FILE = "rookery.toml"
ENVIRONMENT_PREFIX = "ROOKERY_"

Port = Annotated[int, Meta(ge=0, le=65_535)]


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
            pattern="^[a-z0-9][a-z0-9_-]{0,62}$",
            description="This bus's name in the addresses `origin:n` of its events.",
        ),
    ] = "local"
    host: Annotated[str, Meta(description="The address that the HTTP API listens on.")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="The HTTP API's port; 0 takes any that is free.")] = 8800
    nats_port: Annotated[Port, Meta(description="The embedded nats-server's port; 0 takes any that is free.")] = 4222
    nats_url: Annotated[
        str | None, Meta(description="A NATS server to use instead of the embedded one, as in `nats://host:4222`.")
    ] = None
    nats_server: Annotated[
        Path | None, Meta(description="The nats-server binary (2.12 or newer) to use instead of the packaged one.")
    ] = None
    event_bytes_max: Annotated[
        int, Meta(ge=1024, le=8 * 1024 * 1024, description="The largest event that the embedded bus takes.")
    ] = 1024 * 1024
    segment_events_max: Annotated[
        int, Meta(ge=1, description="How many events a segment of the log holds before it is sealed.")
    ] = 65_536
    query_seconds_max: Annotated[float, Meta(gt=0, description="How long a query may run.")] = 30.0
    query_rows_max: Annotated[int, Meta(ge=1, description="How many rows a query may return.")] = 100_000

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
    def url(self) -> str:
        """Where the HTTP API of a node with these settings answers."""
        return f"http://{self.host}:{self.port}"


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
    names = {f"{ENVIRONMENT_PREFIX}{name.upper()}": name for name in Settings.__struct_fields__}
    return {name: (environment[variable], variable) for variable, name in names.items() if environment.get(variable)}


def _convert(found: Found) -> Settings:
    for name, (value, where) in found.items():
        try:
            msgspec.convert({name: value}, Settings, strict=False, dec_hook=_path)
        except msgspec.ValidationError as error:
            raise InvalidSettings(where, str(error).partition(" - at ")[0]) from None
    return msgspec.convert({name: value for name, (value, _) in found.items()}, Settings, strict=False, dec_hook=_path)


def _path(kind: type, value: Any) -> Any:
    return Path(value).expanduser() if kind is Path else value
