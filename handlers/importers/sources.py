"""What can be imported: each source's files, options and reader, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from . import azure_llm, git, history, langfuse, ndjson, openai_usage, otlp, sweagent, tau_bench, who_and_when
from .clockless import begin_at
from .errors import ImportFailed
from .found import Readable, Reader


class Option(NamedTuple):
    """A choice that a source leaves to the caller; `parse` turns its text into what the reader takes."""

    name: str
    help: str
    required: bool = False
    default: str | None = None
    parse: Callable[[str], Any] = str


class Source(NamedTuple):
    """One kind of file. A folder stands for the files in it, at any depth, whose names match `patterns`.

    `read(file, name, **options)` gives what it finds in one open file; `name` is the file's, without its suffix.
    `notes(**options)` says what the caller may not expect of these options. A source without `patterns` reads a folder
    as one thing, and `opened` says how.
    """

    description: str
    read: Reader
    patterns: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    notes: Callable[..., list[str]] = lambda **options: []
    opened: Callable[[Path], AbstractContextManager[Readable]] = partial(open, mode="rb")

    def files(self, paths: Sequence[Path]) -> list[Path]:
        """The files to read, in the order in which they are named. Raises `ImportFailed`."""
        return [file for path in paths for file in self._files(Path(path))]

    def parsed(self, given: Mapping[str, str | None]) -> dict[str, Any]:
        """What the reader takes, from the options as texts; None is an option not given. Raises `ImportFailed`."""
        known = {option.name: option for option in self.options}
        for name in given.keys() - known.keys():
            raise ImportFailed("there is no such option", _choices("options", known), where=f"--{name}")
        return {name: _parsed(option, given.get(name)) for name, option in known.items()}

    def _files(self, path: Path) -> list[Path]:
        if path.is_file():
            return [path]
        if path.exists() and not path.is_dir():
            raise ImportFailed("it is neither a file nor a folder", "save what it gives as a file", path=str(path))
        if not path.is_dir():
            raise ImportFailed("there is no such file or folder", "check the path", path=str(path))
        if not self.patterns:
            return [path]
        found = sorted(file for pattern in self.patterns for file in path.rglob(pattern) if file.is_file())
        if not found:
            wanted = " or ".join(self.patterns)
            raise ImportFailed(f"the folder has no {wanted}", "name the files, or another folder", path=str(path))
        return found


def source_named(name: str) -> Source:
    """The source of that name. Raises `ImportFailed`."""
    if name not in SOURCES:
        nearest = get_close_matches(name, SOURCES, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else _choices("sources", SOURCES)
        raise ImportFailed("there is no such source", hint, where=name)
    return SOURCES[name]


def _parsed(option: Option, given: str | None) -> Any:
    text = option.default if given is None else given
    if not text:
        if option.required:
            raise ImportFailed("this option is needed", option.help, where=f"--{option.name}")
        return None
    try:
        return option.parse(text)
    except ValueError as error:
        raise ImportFailed(str(error), "correct the option", where=f"--{option.name}") from None


def _choices(what: str, names: Mapping[str, object]) -> str:
    return f"the {what} are {', '.join(names)}" if names else f"it has no {what}"


def _time(published: str) -> Option:
    return Option("time", "When the runs took place: the files don't say.", default=published, parse=begin_at)


SOURCES: dict[str, Source] = {
    "azure-llm": Source(
        "Azure's LLM inference traces (CSV): model calls with their tokens, priced.",
        azure_llm.read,
        patterns=("*.csv",),
        options=(
            Option("provider", "Whose prices count, as in `openai`.", required=True),
            Option("model", "The model to reckon with, as in `gpt-4o`.", required=True),
            Option("agent", "The agent that made the calls; none unless given."),
        ),
        notes=azure_llm.notes,
    ),
    "tau-bench": Source(
        "τ-bench trajectories (a JSON array): runs with messages, tool calls and rewards.",
        tau_bench.read,
        patterns=("*.json",),
        options=(
            Option("agent", "The agent that ran; from the file's name unless given."),
            Option("skill", "What its reward is a measure of; from the file's name unless given."),
            _time(tau_bench.PUBLISHED),
        ),
    ),
    "who-and-when": Source(
        "Who&When's failed multi-agent runs (one JSON file each): steps and failure attribution.",
        who_and_when.read,
        patterns=("*.json",),
        options=(_time(who_and_when.PUBLISHED),),
    ),
    "sweagent": Source(
        "SWE-agent's trajectories (one .traj file each): runs with messages, commands and cost.",
        sweagent.read,
        patterns=("*.traj",),
        options=(
            Option("agent", "The agent that ran.", default=sweagent.AGENT),
            Option("provider", "Whose model it was, as in `openai`.", default=sweagent.UNKNOWN),
            Option("model", "The model it ran on; as the file says, or `unknown`, unless given."),
            _time(sweagent.PUBLISHED),
        ),
    ),
    "git": Source(
        "A git repository's commits: who changed how much, when and why.",
        git.read,
        options=(
            Option("branch", "The branch, tag or commit whose history counts; HEAD unless given."),
            Option("last", "So many of the newest commits; all unless given.", parse=git.number),
            Option("repository", "What to call it; as its remote `origin` does, or its folder, unless given."),
        ),
        opened=history.opened,
    ),
    "otlp": Source(
        "OpenTelemetry traces (OTLP requests in JSON or protobuf): model calls, tool calls and runs.",
        otlp.read,
        patterns=("*.json", "*.jsonl", "*.pb", "*.binpb"),
    ),
    "langfuse": Source(
        "Langfuse's exports (observations or traces, JSON or JSONL): model calls, tool calls and runs.",
        langfuse.read,
        patterns=("*.json", "*.jsonl"),
        options=(Option("provider", "Whose models they are, as in `openai`; guessed from their names unless given."),),
    ),
    "openai-usage": Source(
        "OpenAI's usage API (pages as JSON, grouped by model): tokens per bucket and model, priced.",
        openai_usage.read,
        patterns=("*.json", "*.jsonl"),
        options=(Option("agent", "The agent that made the calls; none unless given."),),
        notes=openai_usage.notes,
    ),
    "ndjson": Source(
        "CloudEvents, one per line, published as they stand.",
        ndjson.read,
        patterns=("*.ndjson", "*.jsonl"),
    ),
}
