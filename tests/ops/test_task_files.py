"""Task files: what their names and contents say, and that any bytes are a task or a bad one."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rookery.ops.folders import task_files as files
from rookery.ops.folders.task_files import BadTask, is_task_name, wanted_in


def test_front_matter_and_names_say_what_a_text_is_for(tmp_path: Path) -> None:
    named = wanted_in(tmp_path, "code.review--fix.md", b"Look at it.")
    assert (named.capability, named.input) == ("code.review", "Look at it.")
    text = b'---\ncapability: code.review\nagent_id: "7"\ntimeout_seconds: 9.5\n---\n\n# Look\n'
    written = wanted_in(tmp_path, "fix.md", text)
    assert (written.capability, written.agent_id, written.timeout_seconds) == ("code.review", "7", 9.5)
    assert written.input == "# Look\n"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(name=st.text(min_size=1).map(lambda text: text + ".md"), content=st.binary(max_size=200))
def test_any_bytes_are_a_task_or_a_bad_one(tmp_path: Path, name: str, content: bytes) -> None:
    try:
        wanted = wanted_in(tmp_path, name, content)
    except BadTask:
        return
    assert wanted.id


def test_outcomes_are_no_tasks() -> None:
    assert is_task_name("a.b.json")
    for name in ("a.json", "a.md", "a.txt"):
        for outcome in ("result", "error"):
            path = files.outcome_path(Path("/f"), name, outcome)  # type: ignore[arg-type]
            assert not is_task_name(path.name)
