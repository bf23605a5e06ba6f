"""docs/howto/prove.md: its few lines of Python accept what is true, and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nacl.exceptions import BadSignatureError
from rookery.eventstore import Log, Proof, Signer
from rookery.eventstore.proofs import prove
from rookery.eventstore.signing import new_seed, signed
from rookery.tests.eventstore.deliveries import mixed

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "prove.md").read_text()
(PROGRAM,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
LINES_MAX = 40

SIGNER, OTHER = Signer(new_seed()), Signer(new_seed())

Json = dict[str, Any]


@pytest.fixture(scope="module")
def true(tmp_path_factory: pytest.TempPathFactory) -> Json:
    with Log.open(tmp_path_factory.mktemp("log"), segment_events_max=8, signer=SIGNER) as log:
        log.append("here", mixed(60))
        log.seal_full_segments()
        proof: Json = json.loads(msgspec.json.encode(prove(log, "here", 11)))
        return proof


def run(proof: Json, folder: Path, *trusted: str) -> subprocess.CompletedProcess[str]:
    (folder / "check.py").write_text(PROGRAM)
    (folder / "proof.json").write_text(json.dumps(proof))
    command = [sys.executable, "check.py", "proof.json", *trusted]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def check() -> Callable[..., str]:
    names: Json = {}
    exec(PROGRAM.rpartition("print(")[0], names)
    found: Callable[..., str] = names["check"]
    return found


def test_it_is_short_and_needs_nothing_else(true: Json, tmp_path: Path) -> None:
    assert len([line for line in PROGRAM.splitlines() if line.strip()]) <= LINES_MAX
    done = run(true, tmp_path, SIGNER.public)
    assert (done.returncode, done.stdout) == (0, true["head"] + "\n"), done.stderr
    assert run({**true, "n": 12}, tmp_path).returncode == 1


def entry_changed(proof: Json, at: int, **members: Any) -> Json:
    lines = list(proof["manifest"])
    lines[at] = json.dumps(json.loads(lines[at]) | members, separators=(",", ":"))
    return {**proof, "manifest": lines}


def headed(proof: Json) -> Json:
    return {**proof, "head": sha256(proof["manifest"][-1].encode()).hexdigest()}


FORGERIES: dict[str, Callable[[Json], Json]] = {
    "the line was edited": lambda proof: {**proof, "line": proof["line"].replace("run", "fun", 1)},
    "the path was edited": lambda proof: {**proof, "audit_path": ["0" * 64, *proof["audit_path"][1:]]},
    "the path is shorter": lambda proof: {**proof, "audit_path": proof["audit_path"][:-1]},
    "the path is longer": lambda proof: {**proof, "audit_path": [*proof["audit_path"], "0" * 64]},
    "another n": lambda proof: {**proof, "n": 10},
    "an n of another segment": lambda proof: {**proof, "n": 3},
    "the root was edited": lambda proof: headed(entry_changed(proof, 0, merkle_root="0" * 64)),
    "another segment": lambda proof: headed({**proof, "manifest": proof["manifest"][1:]}),
    "a line of the chain was edited": lambda proof: headed(entry_changed(proof, 1, events=7)),
    "a line of the chain is missing": lambda proof: {
        **proof,
        "manifest": proof["manifest"][:1] + proof["manifest"][2:],
    },
    "the chain ends early": lambda proof: {**proof, "manifest": proof["manifest"][:-1]},
}


def test_it_accepts_what_is_true(true: Json, check: Callable[..., str]) -> None:
    assert check(true) == check(true, true["head"]) == true["head"]
    assert check(true, SIGNER.public) == true["head"]
    for line in true["manifest"]:
        assert check(true, sha256(line.encode()).hexdigest()) == true["head"]


@pytest.mark.parametrize("forged", FORGERIES.values(), ids=FORGERIES)
def test_it_accepts_nothing_else(true: Json, check: Callable[..., str], forged: Callable[[Json], Json]) -> None:
    with pytest.raises(ValueError, match="this proves nothing"):
        check(forged(true))


def test_a_proof_that_was_forged_throughout_does_not_come_to_the_hash_that_is_trusted(
    true: Json, check: Callable[..., str]
) -> None:
    shorter = headed({**true, "manifest": true["manifest"][:-1]})
    assert check(shorter) != true["head"]
    with pytest.raises(ValueError, match="what is trusted"):
        check(shorter, true["head"])


def test_it_accepts_no_other_signer(true: Json, check: Callable[..., str]) -> None:
    with pytest.raises(ValueError, match="what is trusted"):
        check(true, OTHER.public)
    forged = headed({**true, "manifest": [resigned(true["manifest"][0])]})
    assert check(forged) == check(forged, OTHER.public)  # anybody can sign a log of his own
    with pytest.raises(ValueError, match="what is trusted"):
        check(forged, SIGNER.public)
    named = headed(entry_changed(forged, 0, signer=SIGNER.public))
    with pytest.raises(BadSignatureError):
        check(named, SIGNER.public)


FORGED_ENTRIES: dict[str, Callable[[Json], str]] = {
    "members behind the signature": lambda proof: proof["manifest"][0][:-1] + ',"also":1}',
    "a member once more": lambda proof: proof["manifest"][0][:-1] + ',"last":11}',
    "a member once more, in front": lambda proof: '{"last":11,' + proof["manifest"][0][1:],
    "white space behind the signature": lambda proof: proof["manifest"][0] + " ",
    "bits of the signature that nobody reads": lambda proof: last_digit_changed(proof["manifest"][0]),
}


def last_digit_changed(line: str) -> str:
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    at = line.rindex("==") - 1
    return line[:at] + digits[digits.index(line[at]) ^ 1] + line[at + 1 :]


@pytest.mark.parametrize("forged", FORGED_ENTRIES.values(), ids=FORGED_ENTRIES)
def test_a_signature_is_of_all_that_the_line_says(
    true: Json, check: Callable[..., str], forged: Callable[[Json], str]
) -> None:
    with pytest.raises(ValueError, match=r"a member twice|more than was signed"):
        check(headed({**true, "manifest": [forged(true)]}), SIGNER.public)


def test_a_true_signature_proves_no_line_of_a_segment_that_was_named_behind_it(
    true: Json, check: Callable[..., str]
) -> None:
    line, n = true["line"].replace("run", "fun", 1), true["n"]
    root = sha256(b"\x00" + line.encode()).hexdigest()
    entry = true["manifest"][0][:-1] + f',"first":{n},"last":{n},"events":1,"merkle_root":"{root}"}}'
    with pytest.raises(ValueError, match="this proves nothing"):
        check(headed({**true, "line": line, "audit_path": [], "manifest": [entry]}), SIGNER.public)


def test_a_proof_that_says_something_twice_is_refused(true: Json, tmp_path: Path) -> None:
    (tmp_path / "check.py").write_text(PROGRAM)
    (tmp_path / "proof.json").write_text('{"line":"forged",' + json.dumps(true)[1:])
    command = [sys.executable, "check.py", "proof.json", SIGNER.public]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "a member twice" in done.stderr


def test_an_n_that_is_no_whole_number_is_refused(true: Json, check: Callable[..., str]) -> None:
    with pytest.raises(ValueError, match="this proves nothing"):
        check({**true, "n": 11.0})


def test_a_log_that_nobody_signed_proves_its_lines_to_who_trusts_a_hash(
    tmp_path: Path, check: Callable[..., str]
) -> None:
    with Log.open(tmp_path, segment_events_max=8) as log:
        log.append("here", mixed(20))
        log.seal_full_segments()
        proof: Json = json.loads(msgspec.json.encode(prove(log, "here", 3)))
    assert check(proof) == check(proof, proof["head"]) == proof["head"]
    with pytest.raises(ValueError, match="what is trusted"):
        check(proof, SIGNER.public)


def resigned(line: str) -> str:
    entry = {**json.loads(line), "signer": OTHER.public}
    del entry["signature"]
    return signed(json.dumps(entry, separators=(",", ":")).encode(), OTHER).decode()


def test_every_member_is_documented() -> None:
    table = PAGE.partition("## The format")[2].partition("Of a manifest's line")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(Proof.__struct_fields__)
