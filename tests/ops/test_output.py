"""What commands print: tables that line up and fit, text that commands no terminal, ends that scripts understand."""

from __future__ import annotations

import errno
import fcntl
import os
import pickle
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.ops.bench.node_process import NodeProcess
from rookery.ops.cli.commands import SECTIONS
from rookery.ops.cli.exits import OutputClosed, exit_code_of
from rookery.ops.cli.output import remark, size_text
from rookery.ops.cli.table import cut, table, visible, width_of
from rookery.schemas import InvalidInput, RookeryError

from .conftest import Rookery

COMMAND = [sys.executable, "-P", "-m", "rookery.ops.cli"]


def on_a_terminal(*arguments: str, columns: int, url: str, **variables: str) -> str:
    """What the command line prints on a terminal of that width."""
    outer = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}  # another terminal
    environment = {**outer, "ROOKERY_URL": url, "TERM": "xterm", **variables}
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen([*COMMAND, *arguments], stdin=terminal, stdout=terminal, stderr=terminal, env=environment):
        os.close(terminal)
        printed = b"".join(iter(lambda: _read(screen), b""))
    os.close(screen)
    return printed.decode().replace("\r\n", "\n")


def _read(screen: int) -> bytes:
    try:
        return os.read(screen, 65_536)
    except OSError:  # the other side has been closed
        return b""


def test_wide_characters_line_up() -> None:
    rows = [{"name": "日本語", "n": 1}, {"name": "👩 at work", "n": 22}, {"name": "plain", "n": 333}]
    lines = table(["name", "n"], rows).lines
    assert {width_of(line) for line in lines} == {len("plain       333")}
    assert lines[1] == "日本語        1"


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1_023, "1,023 bytes"),
        (1_024, "1.0 KiB"),
        (2**20, "1.0 MiB"),
        (2**31, "2,048.0 MiB"),
    ],
)
def test_a_size_is_never_rounded_to_nothing(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text


def test_text_cannot_command_the_terminal() -> None:
    (_, line) = table(["text"], [{"text": "a\x1b]0;title\x07\x9b31mb\r\nc\u202e👩\u200d👧"}]).lines
    assert line == "a�]0;title��31mb  c�👩\u200d👧"


def test_what_others_say_in_errors_and_remarks_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        remark("step \x9b2J\n  two")
        raise RookeryError("a\x1b]0;title\x07\n  b\x1b[2J")

    assert exit_code_of(fail) == 1
    assert capsys.readouterr().err == "step \ufffd2J\n  two\nerror: a\ufffd]0;title\ufffd\n  b\ufffd[2J\n"


@given(st.lists(st.text(), min_size=1, max_size=5), st.integers(min_value=1, max_value=80))
@settings(max_examples=200, deadline=None)
def test_a_table_never_exceeds_the_width_nor_its_lines_their_number(texts: list[str], width: int) -> None:
    columns = [f"column {index}" for index, _ in enumerate(texts)]
    shown = table(columns, [dict(zip(columns, texts, strict=True))], width=width)
    assert shown.columns == columns[: len(shown.columns)] != []
    assert len(shown.lines) == 2
    assert all(width_of(line) <= width and "\n" not in line for line in shown.lines)


@given(st.text(), st.integers(min_value=1, max_value=20))
@settings(deadline=None)
def test_a_cut_says_that_it_is_one(text: str, width: int) -> None:
    shown = cut(visible(text), width)
    assert width_of(shown) <= width
    assert shown == visible(text) or shown.endswith("…")


def test_the_last_column_shrinks_before_it_goes() -> None:
    row = {"id": "run-9", "task": "Review the diff of the week"}
    assert table(["id", "task"], [row], width=22).lines == ["id     task", "run-9  Review the dif…"]
    assert table(["id", "task"], [row], width=15).columns == ["id"]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (RookeryError("why"), 1, "error: why\n"),
        (InvalidInput("why"), 2, "error: why\n"),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            1,
            "error: can't write the output: No space left on device\n",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "a/file"), 1, "error: a/file: Permission denied\n"),
        (OutputClosed(), 141, ""),
        (BrokenPipeError(), 141, ""),
        (KeyboardInterrupt(), 130, ""),
        (ZeroDivisionError("never"), 1, "error: Rookery failed unforeseen: ZeroDivisionError: never; please report"),
    ],
)
def test_every_fault_has_its_exit_code_and_no_traceback(error: BaseException, code: int, said: str) -> None:
    program = (
        "import sys, pickle; from rookery.ops.cli.exits import exit_code_of\n"
        "def fail(): raise pickle.loads(sys.stdin.buffer.read())\n"
        "sys.exit(exit_code_of(fail))"
    )
    done = subprocess.run([sys.executable, "-c", program], input=pickle.dumps(error), capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (code, b"")
    assert done.stderr.decode().startswith(said)
    assert "Traceback" not in done.stderr.decode()


def test_a_traceback_is_there_for_who_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOKERY_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        exit_code_of(lambda: 1 // 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ("publish", "run.started", "r\udcff"),
        ("publish", "run.started", "r", "--data", '{"task": "\udcff"}'),
        ("sql", "select '\udcff'"),
    ],
)
def test_text_that_is_not_utf_8_is_refused(rookery: Rookery, arguments: tuple[str, ...]) -> None:
    refused = rookery(*arguments)
    assert (refused.code, "is not UTF-8" in refused.err) == (2, True)


def test_a_terminal_sees_what_fits_and_is_told_of_the_rest(node: NodeProcess, rookery: Rookery) -> None:
    rookery("publish", "run.started", "run-on-a-terminal", "--data", '{"task": "日本語"}')
    printed = on_a_terminal("query", "runs", columns=40, url=node.node.url)
    *lines, remarks, _ = printed.split("\n")
    assert "run-on-a-terminal" in printed
    assert "columns not shown; --json has everything" in remarks
    assert lines[0].startswith("\x1b[1mrun_id")
    assert [line for line in lines[1:] if width_of(line) > 40] == []


def test_no_color_is_heeded(node: NodeProcess) -> None:
    assert "\x1b" in on_a_terminal("query", "nodes", columns=80, url=node.node.url)
    assert "\x1b" not in on_a_terminal("query", "nodes", columns=80, url=node.node.url, NO_COLOR="1")


def test_an_import_shows_its_progress_on_a_terminal(node: NodeProcess, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n")
    printed = on_a_terminal(
        "import", "azure-llm", str(trace), "--provider=openai", "--model=gpt-4o", columns=80, url=node.node.url
    )
    assert "━" in printed
    assert "1 event: 1 new, 0 known already\n" in printed


def test_a_closed_pipe_ends_a_command_quietly(node: NodeProcess) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [*COMMAND, "tail", "--no-follow", "--url", node.node.url]
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_answer_that_is_not_read_to_its_end_is_no_success(node: NodeProcess, unbuffered: str) -> None:
    command = [*COMMAND, "sql", "from range(100000)", "--csv", "--url", node.node.url]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.read(5) == b"range"
        process.stdout.close()
        assert process.wait() == 141


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_the_caller_closed_is_no_failure(node: NodeProcess, closed: str) -> None:
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, "publish", "run.started", "r-1", "--data", "-"]
    done = subprocess.run([*command, "--url", node.node.url], input=b"{}", capture_output=True, check=False)
    assert done.returncode == (2 if "<&-" in closed else 0)
    assert done.stderr.startswith(b"error: data: it is empty" if closed == "<&-" else b"")
    assert b"unforeseen" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("format", [(), ("--json",), ("--csv",)])
def test_a_full_disk_is_said(node: NodeProcess, format: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [*COMMAND, "sql", "from range(100000)", "--url", node.node.url, *format]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (1, b"error: can't write the output: No space left on device\n")


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("quer",), "did you mean 'query'?"),
        (("frobnicate",), "`rookery --help` lists them"),
        (("query", "a/b"), "`rookery query` lists them"),
        (("query", "runs", "--json", "--csv"), "choose one"),
        (("status", "--url", "nonsense:x"), "http://127.0.0.1:8800"),
        (("status", "--url", "ftp://host"), "http://127.0.0.1:8800"),
        (("import", "azure-llm", "no.csv"), "--provider"),
        (("publish", "run.started", "r", "--id", ""), "id"),
        (("publish", "run.started", "r", "--data", ""), "data: it is empty"),
        (("tail", "--after", "here", "--no-follow"), "local:41"),
        (("sql", ""), "give one statement"),
        (("import", "ndjson", "/dev/null"), "neither a file nor a folder"),
        (("assignments", "list", "--status", "complete"), "completed"),
        (("assign", "words.count", "--timeout", "nan"), "no finite number"),
        (("assign", "words.count", "--deadline", "inf"), "no finite number"),
        (("assignments", "distribute", "--timeout", "nan"), "no finite number"),
        (("agents", "register", "a", "--heartbeat", "1e400"), "no finite number"),
        (("archive", "--trim", "nan"), "no finite number"),
        (("replay", "--pause-max", "inf"), "no finite number"),
    ],
)
def test_a_mistake_is_told_what_would_be_right(rookery: Rookery, arguments: tuple[str, ...], advice: str) -> None:
    refused = rookery(*arguments)
    assert (refused.code, refused.out) == (2, "")
    assert advice in refused.err


def test_only_what_is_read_is_offered_for_an_import(rookery: Rookery, tmp_path: Path) -> None:
    file = tmp_path / "graph.trig"
    file.touch()
    refused = rookery("graph", "import", file)
    assert refused.code == 2
    assert ".rdf" in refused.err
    assert ", .trig" not in refused.err


@pytest.mark.parametrize("command", [("graph", "export"), ("snapshot", "--to")])
def test_a_file_that_cannot_be_written_is_named_as_it_was_given(
    rookery: Rookery, tmp_path: Path, command: tuple[str, ...]
) -> None:
    path = tmp_path / "no-folder" / "graph.ttl"
    assert rookery(*command, path).err == f"error: {path}: No such file or directory\n"


def test_a_url_may_lack_its_scheme(node: NodeProcess, rookery: Rookery) -> None:
    assert rookery("status", "--url", node.node.url.removeprefix("http://")).code == 0


def test_help_lists_every_command_and_each_shows_examples(rookery: Rookery) -> None:
    overview = rookery("--help").out
    for rows in SECTIONS.values():
        for name, row in rows.items():
            assert row.summary in overview
            assert f"\n  rookery {name}" in rookery(name, "--help").out, f"`rookery {name} --help` has no example"


def test_a_plan_is_printed_as_it_was_drawn(rookery: Rookery) -> None:
    assert "╭─ " in rookery("sql", "explain select 42").out
