"""Shell completion, asked as shells ask: through variables in the environment of the command."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from rookery.ops.bench.node_process import NodeProcess

from .conftest import Rookery

RUN = "import sys; sys.argv = ['rookery']; from rookery.ops.cli import main; sys.exit(main())"
NOBODY = "http://127.0.0.1:9"


def completions(line: str, url: str = NOBODY) -> list[str]:
    """What bash would be offered at the end of the line."""
    asked = {"_ROOKERY_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    environment = os.environ | asked | {"ROOKERY_URL": url}
    done = subprocess.run([sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [text.partition(",")[2] for text in done.stdout.splitlines() if text]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_printed_for_each_shell(rookery: Rookery, shell: str) -> None:
    printed = rookery("completion", shell)
    assert printed.code == 0
    assert f"_ROOKERY_COMPLETE={shell}_complete" in printed.out
    assert "rookery" in printed.out


def test_another_shell_is_refused_with_those_there_are(rookery: Rookery) -> None:
    refused = rookery("completion", "tcsh")
    assert (refused.code, "'bash'" in refused.err) == (2, True)


def test_commands_and_options_are_completed() -> None:
    assert completions("rookery st") == ["status"]
    assert {"--json", "--url"} <= set(completions("rookery status --"))
    assert completions("rookery completion z") == ["zsh"]


def test_names_of_read_models_are_completed_while_a_node_answers(node: NodeProcess) -> None:
    assert {"cost_by_model", "cost_by_run"} <= set(completions("rookery query cost_by_", node.node.url))
    assert completions("rookery query runs", node.node.url) == ["runs"]


def test_without_a_node_no_names_are_completed_and_nothing_is_said() -> None:
    assert completions("rookery query cost") == []
