"""Task files: which names are tasks, what is in them, and what is written beside them.

`NAME.json` holds a task as `POST /assignments` takes it. The text of `NAME.md` or `NAME.txt` is a task's input; its
capability stands in front of a `--` in its name, or in front matter.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from ...handlers.transports.plain_files import NotPlain, read_plain, write_whole
from ...schemas import InvalidInput, derived_id
from ..assignments import Standing, Wanted

TASK_BYTES_MAX = 512 * 1024
# What is written beside it has a name that is longer by up to 18 bytes, of the 255 that there may be.
NAME_BYTES_MAX = 230
OUTCOME_BYTES_MAX = 2 * 1024 * 1024
NAME_IN_EVENT_CHARACTERS_MAX = 200

Outcome = Literal["result", "error"]

_TEXTS = (".md", ".txt")
_OUTCOMES: tuple[Outcome, ...] = ("result", "error")
_ENDINGS = tuple(f".{outcome}.json" for outcome in _OUTCOMES)
_FENCE = "---"


class BadTask(InvalidInput):
    """A file that was dropped is no task; the reason says what to do."""


class Stamp(NamedTuple):
    """What changes when somebody writes to a file."""

    size_bytes: int
    changed_ns: int
    inode: int


class TaskFile(NamedTuple):
    """A file as it was read: its name, and the hash of its bytes."""

    name: str
    sha256: str


def is_task_name(name: str) -> bool:
    """Whether a file of this name is a task. What begins with a dot is being written, or somebody's own."""
    if name.startswith(".") or not name.endswith((".json", *_TEXTS)) or name.endswith(_ENDINGS):
        return False
    return len(os.fsencode(name)) <= NAME_BYTES_MAX


def outcome_name(name: str, outcome: Outcome) -> str:
    """What a task's outcome is called: `fix.result.json` beside `fix.json`, `fix.md.result.json` beside `fix.md`."""
    return f"{name.removesuffix('.json')}.{outcome}.json"


def outcome_path(folder: Path, name: str, outcome: Outcome) -> Path:
    """Where the outcome of a task lands."""
    return folder / outcome_name(name, outcome)


class Found(NamedTuple):
    """What is in a folder: the task files, and the names of the outcomes."""

    tasks: dict[str, Stamp]
    outcomes: set[str]

    def has_outcome(self, name: str) -> bool:
        """Whether one lies beside the task."""
        return any(outcome_name(name, outcome) in self.outcomes for outcome in _OUTCOMES)


def found_in(folder: Path) -> Found:
    """What is there; links and folders are among the tasks, to be refused. Raises `OSError`."""
    found = Found({}, set())
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_ENDINGS):
                found.outcomes.add(entry.name)
            elif is_task_name(entry.name):
                try:
                    one = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                found.tasks[entry.name] = Stamp(one.st_size, one.st_mtime_ns, one.st_ino)
    return found


def read(folder: Path, name: str) -> bytes:
    """The bytes of a task file. Raises `BadTask` for what can't be read, and `FileNotFoundError`."""
    try:
        return read_plain(folder / name, TASK_BYTES_MAX)
    except FileNotFoundError:
        raise
    except NotPlain as error:
        raise BadTask(str(error)) from None
    except OSError as error:
        raise BadTask(f"it can't be read: {error.strerror}") from None


def hash_of(content: bytes) -> str:
    """What tells a file's content from another's."""
    return hashlib.sha256(content).hexdigest()


def wanted_in(folder: Path, name: str, content: bytes) -> Wanted:
    """The task that a file is. Raises `BadTask`.

    Without an `id` of its own it has one that derives from the folder, the name and the content: the same file again
    is the same assignment.
    """
    if readable(name) != name:
        raise BadTask("its name is not UTF-8")
    text = _text(content)
    fields = _from_text(name, text) if name.endswith(_TEXTS) else _from_json(text)
    fields.setdefault("id", derived_id("folder", str(folder), name, hash_of(content)))
    metadata = fields.get("metadata")
    if metadata is None or isinstance(metadata, dict):
        fields["metadata"] = {"file": name[:NAME_IN_EVENT_CHARACTERS_MAX]} | (metadata or {})
    try:
        return msgspec.convert(fields, Wanted)
    except msgspec.ValidationError as error:
        raise BadTask(
            f"{error}; a task has `capability`, and may have `input`, `agent_id`, `timeout_seconds`"
        ) from None


def readable(name: str) -> str:
    """A file's name, as it can be shown and recorded: bytes that are not UTF-8 are replaced."""
    return os.fsencode(name).decode(errors="replace")


def known_outcome(folder: Path, name: str) -> str | None:
    """The hash of the content that the outcome beside a file is of; None where there is none that can be read."""
    for outcome in _OUTCOMES:
        try:
            content = read_plain(outcome_path(folder, name, outcome), OUTCOME_BYTES_MAX)
            told = msgspec.json.decode(content, type=dict[str, Any])
        except (OSError, NotPlain, msgspec.MsgspecError, UnicodeDecodeError):
            continue
        if isinstance(found := told.get("sha256"), str):
            return found
    return None


def write_outcome(folder: Path, file: TaskFile, outcome: Outcome, told: dict[str, Any]) -> None:
    """Put the outcome beside the task, whole or not at all; an earlier one is replaced. Raises `OSError`."""
    content = msgspec.json.format(msgspec.json.encode(told | {"sha256": file.sha256}), indent=2)
    write_whole(outcome_path(folder, file.name, outcome), content + b"\n")
    outcome_path(folder, file.name, "error" if outcome == "result" else "result").unlink(missing_ok=True)


def told_of(standing: Standing) -> tuple[Outcome, dict[str, Any]]:
    """What is written of an assignment that is over."""
    told = {
        "assignment_id": standing.assignment_id,
        "status": standing.status,
        "agent_id": standing.agent_id,
        "ended_at": standing.ended_at,
        "duration_seconds": standing.duration_seconds,
    }
    if standing.status == "completed":
        return "result", told | {"result": standing.result}
    reason = standing.error or f"it was {standing.status.replace('_', ' ')}"
    return "error", told | {"error": reason}


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadTask(f"it is not UTF-8 ({error.reason} at byte {error.start})") from None


def _from_json(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadTask(f"it is no JSON object: {error}") from None


def _from_text(name: str, text: str) -> dict[str, Any]:
    fields, body = _front_matter(text)
    before, dashes, _ = name.partition("--")
    if dashes:
        fields.setdefault("capability", before)
    if not fields.get("capability"):
        example = f"code.review--{name}"
        raise BadTask(f"it does not say what is to be done: name it as in {example}, or begin it with front matter")
    return {"input": body} | fields


def _front_matter(text: str) -> tuple[dict[str, Any], str]:
    """`key: value` lines between two lines of three dashes, and the text behind them."""
    lines = text.splitlines(keepends=True)
    if not lines or lines[0].rstrip() != _FENCE:
        return {}, text
    end = next((at for at, line in enumerate(lines[1:], 1) if line.rstrip() == _FENCE), None)
    if end is None:
        raise BadTask("its front matter has no end: a line with three dashes")
    fields: dict[str, Any] = {}
    for line in lines[1:end]:
        key, colon, value = line.partition(":")
        if not colon:
            raise BadTask(f"its front matter takes lines as in `capability: code.review`, not {line.strip()!r:.100}")
        fields[key.strip()] = _value(value.strip())
    return fields, "".join(lines[end + 1 :]).lstrip("\n")


def _value(text: str) -> Any:
    """A number where it is one; what is quoted is text."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    try:
        return float(text)
    except ValueError:
        return text
