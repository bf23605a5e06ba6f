"""A repository's history becomes commits, whatever the repository is like."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rookery.handlers.importers import ImportFailed, run_import
from rookery.handlers.importers.git import MESSAGE_CHARS_MAX, PATHS_MAX, read
from rookery.handlers.importers.history import FIELD_BYTES_MAX, READ_BYTES, opened
from rookery.schemas import CommitRecorded

TIME = 1_700_000_000
ANYBODY = {
    "GIT_AUTHOR_NAME": "Mia",
    "GIT_AUTHOR_EMAIL": "m@x",
    "GIT_COMMITTER_NAME": "Mia",
    "GIT_COMMITTER_EMAIL": "m@x",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


class Repository:
    """A repository to be filled; each commit is a second later than the one before."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        self._time = TIME
        path.mkdir(exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main", *options)

    def git(self, *arguments: str | bytes, input: bytes = b"") -> bytes:
        times = {f"GIT_{who}_DATE": f"{self._time} +0200" for who in ("AUTHOR", "COMMITTER")}
        environment = {**os.environ, **ANYBODY, **times}
        done = subprocess.run(["git", *arguments], cwd=self.path, env=environment, input=input, capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, message: str | bytes = "change", **files: str | bytes) -> str:
        for name, content in files.items():
            path = self.path / name
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.git("add", "--all")
        text = message if isinstance(message, bytes) else message.encode()
        self.git("commit", "--quiet", "--allow-empty", "--allow-empty-message", "--file=-", input=text)
        self._time += 1
        return self.git("rev-parse", "HEAD").decode()


def commit_object(repository: Repository, *headers: bytes, message: bytes = b"odd") -> None:
    """Make `main` a commit that git itself would not write."""
    tree = b"tree " + repository.git("hash-object", "-w", "-t", "tree", "--stdin")
    text = b"\n".join([tree, *headers, b"", message])
    made = repository.git("hash-object", "-w", "-t", "commit", "--literally", "--stdin", input=text)
    repository.git("update-ref", "refs/heads/main", made)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "colony")


async def commits(shelf: Any, path: Path, **options: str | None) -> list[CommitRecorded]:
    summary = await run_import("git", [path], options, shelf.publish)
    assert summary.rejections == []
    return [event.payload() for event in reversed(shelf.events)]


async def rejection(shelf: Any, path: Path, **options: str | None) -> str:
    summary = await run_import("git", [path], options, shelf.publish)
    [rejected] = summary.rejections
    return str(rejected.reason)


async def test_a_commit_is_who_changed_how_much_when_and_why(shelf: Any, repository: Repository) -> None:
    first = repository.commit("Begin\n\nWith two lines.\n", a="1\n2\n", b="x\n")
    second = repository.commit("Go on", a="1\n3\n4\n")
    root, change = await commits(shelf, repository.path)
    assert root == CommitRecorded(
        repository="colony",
        message="Begin\n\nWith two lines.",
        author="Mia",
        author_email="m@x",
        files=2,
        insertions=3,
        deletions=0,
        paths=["a", "b"],
    )
    assert (change.parents, change.files, change.insertions, change.deletions) == ([first], 1, 2, 1)
    assert [(event.subject, event.time) for event in shelf.events] == [
        (second, datetime.fromtimestamp(TIME + 1, UTC)),
        (first, datetime.fromtimestamp(TIME, UTC)),
    ]


async def test_a_second_import_brings_only_what_is_new(shelf: Any, repository: Repository) -> None:
    repository.commit(a="1")
    await run_import("git", [repository.path], {}, shelf.publish)
    repository.commit(a="2")
    again = await run_import("git", [repository.path], {}, shelf.publish)
    assert (again.new, again.duplicates) == (1, 1)


async def test_a_merge_has_its_parents_and_no_counts(shelf: Any, repository: Repository) -> None:
    base = repository.commit(a="1")
    repository.git("switch", "--quiet", "--create", "side")
    side = repository.commit(b="1")
    repository.git("switch", "--quiet", "main")
    main = repository.commit(c="1")
    repository.git("merge", "--quiet", "--no-edit", "side")
    told = await commits(shelf, repository.path)
    [merge] = [commit for commit in told if len(commit.parents) == 2]
    assert merge.parents == [main, side]
    assert (merge.files, merge.insertions, merge.paths) == (None, None, [])
    assert sorted(commit.parents for commit in told) == [[], [base], [base], [main, side]]


async def test_a_moved_file_counts_once_under_its_new_name(shelf: Any, repository: Repository) -> None:
    repository.commit(old="".join(f"{line}\n" for line in range(20)))
    repository.git("mv", "old", "new")
    repository.commit(other="x\n")
    moved = (await commits(shelf, repository.path))[-1]
    assert (moved.files, moved.insertions, moved.deletions, moved.paths) == (2, 1, 0, ["new", "other"])


async def test_binary_files_count_as_files_and_have_no_lines(shelf: Any, repository: Repository) -> None:
    repository.commit(image=bytes(range(256)), text="1\n")
    [commit] = await commits(shelf, repository.path)
    assert (commit.files, commit.insertions) == (2, 1)


async def test_a_commit_that_changes_nothing_counts_nothing(shelf: Any, repository: Repository) -> None:
    repository.commit("")
    [commit] = await commits(shelf, repository.path)
    assert (commit.message, commit.files, commit.insertions, commit.deletions) == ("", 0, 0, 0)


async def test_texts_in_other_encodings_are_read_as_they_say(shelf: Any, repository: Repository) -> None:
    repository.git("config", "i18n.commitEncoding", "ISO-8859-1")
    repository.git("config", "i18n.logOutputEncoding", "ISO-8859-1")
    repository.commit("Für alle".encode("latin-1"))
    assert [commit.message for commit in await commits(shelf, repository.path)] == ["Für alle"]


async def test_bytes_that_are_no_text_are_replaced(shelf: Any, repository: Repository) -> None:
    commit_object(repository, b"author A <a@b> 1 +0000", b"committer A <a@b> 1 +0000", message=b"Gr\xfc\xdfe")
    [commit] = await commits(shelf, repository.path)
    assert commit.message == "Gr\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}e"


async def test_a_message_ends_at_a_nul_and_shifts_nothing(shelf: Any, repository: Repository) -> None:
    commit_object(repository, b"author A <a@b> 1 +0000", b"committer A <a@b> 5 +0000", message=b"first\0second")
    [commit] = await commits(shelf, repository.path)
    assert (commit.message, commit.author, commit.files) == ("first", "A", 0)


async def test_longer_hashes_will_do(shelf: Any, tmp_path: Path) -> None:
    first = Repository(tmp_path / "long", "--object-format=sha256").commit(a="1")
    await commits(shelf, tmp_path / "long")
    assert [event.subject for event in shelf.events] == [first]
    assert len(first) == 64


async def test_paths_may_hold_whatever_a_file_s_name_may(shelf: Any, repository: Repository) -> None:
    names = ["1\t1\tx", "a\nb", 'q"uote', "ä", "\udcff"]
    for name in names:
        Path(os.fsdecode(os.fsencode(repository.path) + b"/" + os.fsencode(name))).write_text("1\n")
    repository.commit("x\n1\t2\ty")
    [commit] = await commits(shelf, repository.path)
    assert (commit.files, commit.insertions, commit.message) == (5, 5, "x\n1\t2\ty")
    assert set(commit.paths) == {*names[:-1], "\N{REPLACEMENT CHARACTER}"}


async def test_authors_may_be_called_anything_or_nothing(shelf: Any, repository: Repository) -> None:
    commit_object(repository, b"author  <> 1 +0000", b"committer A <a@b> 1700000000 +0000")
    [nobody] = await commits(shelf, repository.path)
    assert (nobody.author, nobody.author_email) == (None, None)
    commit_object(repository, b"author A\x1b[31m\x7f" + b"x" * 999 + b" <a> 1 +0000", b"committer A <a@b> 2 +0000")
    somebody = (await commits(shelf, repository.path))[0]
    assert somebody.author
    assert somebody.author.startswith("A [31m x")
    assert len(somebody.author) == 256


async def test_a_time_that_is_none_is_rejected_with_its_commit(shelf: Any, repository: Repository) -> None:
    commit_object(repository, b"author A <a@b> 1 +0000", b"committer A <a@b> 99999999999999 +0000")
    assert "99999999999999 s after 1970" in await rejection(shelf, repository.path)


async def test_long_messages_and_many_paths_are_cut(shelf: Any, repository: Repository) -> None:
    files = {f"f{number:03}": "1\n" for number in range(PATHS_MAX + 20)}
    repository.commit("ö" * (FIELD_BYTES_MAX + 3 * READ_BYTES), **files)
    repository.commit("short")
    long, short = await commits(shelf, repository.path)
    assert long.message == "ö" * MESSAGE_CHARS_MAX
    assert (long.files, len(long.paths)) == (PATHS_MAX + 20, PATHS_MAX)
    assert short.message == "short"


async def test_a_repository_without_commits_has_none(shelf: Any, repository: Repository) -> None:
    assert await commits(shelf, repository.path) == []
    assert "no commit named 'main'" in await rejection(shelf, repository.path, branch="main")


async def test_the_edge_of_a_shallow_clone_has_no_counts(shelf: Any, repository: Repository, tmp_path: Path) -> None:
    for content in ("1\n", "1\n2\n", "1\n2\n3\n"):
        repository.commit(a=content)
    clone = tmp_path / "clone"
    repository.git("clone", "--quiet", "--depth=2", f"file://{repository.path}", str(clone))
    edge, last = await commits(shelf, clone)
    assert (edge.files, edge.insertions) == (None, None)
    assert (last.files, last.insertions, last.repository) == (1, 1, "colony")


async def test_bare_repositories_and_folders_within_one_will_do(
    shelf: Any, repository: Repository, tmp_path: Path
) -> None:
    (repository.path / "inner").mkdir()
    repository.commit(a="1", **{"inner/b": "2"})
    bare = tmp_path / "copy.of.it.git"
    repository.git("clone", "--quiet", "--bare", str(repository.path), str(bare))
    repository.git("--git-dir", str(bare), "remote", "remove", "origin")
    [within] = await commits(shelf, repository.path / "inner")
    assert (within.repository, within.paths) == ("colony", ["a", "inner/b"])
    await run_import("git", [bare], {}, shelf.publish)
    assert shelf.events[-1].payload().repository == "copy.of.it"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://user:secret@example.org/group/project.git", "project"),
        ("git@example.org:project", "project"),
        ("/srv/projects/project.git/", "project"),
    ],
)
async def test_a_repository_is_called_as_its_origin_calls_it(
    shelf: Any, repository: Repository, url: str, name: str
) -> None:
    repository.git("remote", "add", "origin", url)
    repository.commit()
    assert [commit.repository for commit in await commits(shelf, repository.path)] == [name]
    [first, _] = await commits(shelf, repository.path, repository="mine")
    assert first.repository == "mine"


async def test_a_branch_may_be_named(shelf: Any, repository: Repository) -> None:
    repository.commit("first")
    repository.git("branch", "earlier")
    repository.commit("second")
    assert [commit.message for commit in await commits(shelf, repository.path, branch="earlier")] == ["first"]
    assert "no commit named '--all'" in await rejection(shelf, repository.path, branch="--all")
    assert "no commit named" in await rejection(shelf, repository.path, branch=f"--output={repository.path}/x")
    assert not (repository.path / "x").exists()


async def test_the_newest_commits_may_be_enough(shelf: Any, repository: Repository) -> None:
    for message in ("first", "second", "third"):
        repository.commit(message)
    assert [commit.message for commit in await commits(shelf, repository.path, last="2")] == ["second", "third"]
    with pytest.raises(ImportFailed, match="expected a number of commits, found '-1'"):
        await commits(shelf, repository.path, last="-1")


async def test_preferences_and_variables_of_the_user_change_nothing(
    shelf: Any, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit(old="1\n2\n3\n", **{".gitattributes": "* diff=own\n"})
    repository.git("mv", "old", "new")
    repository.commit()
    before = await commits(shelf, repository.path)
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    for setting in ("diff.external", "core.fsmonitor", "diff.own.textconv", "diff.own.command", "gpg.program"):
        repository.git("config", setting, str(trap))
    for setting, value in [
        *(("diff.renames", "false"), ("log.showSignature", "true"), ("diff.algorithm", "patience")),
        *(("log.date", "relative"), ("diff.noprefix", "true"), ("color.ui", "always"), ("log.follow", "true")),
    ]:
        repository.git("config", setting, value)
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert await commits(shelf, repository.path) == before
    assert not (tmp_path / "sprung").exists()


async def test_what_is_no_repository_is_rejected_by_name(shelf: Any, tmp_path: Path) -> None:
    assert "not a git repository" in await rejection(shelf, tmp_path)


async def test_without_git_the_import_says_what_it_needs(
    shelf: Any, repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "git is needed" in await rejection(shelf, repository.path)


async def test_a_clone_that_lacks_the_files_fetches_none(shelf: Any, repository: Repository, tmp_path: Path) -> None:
    repository.commit(a="1")
    repository.git("config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "clone"
    url = f"file://{repository.path}"
    repository.git("clone", "--quiet", "--no-checkout", "--filter=blob:none", url, str(clone))
    assert "the history breaks off: could not fetch" in await rejection(shelf, clone)


async def test_a_damaged_repository_says_where_it_breaks_off(shelf: Any, repository: Repository) -> None:
    lost = repository.commit(a="1")
    last = repository.commit(a="2")
    (repository.path / ".git" / "objects" / lost[:2] / lost[2:]).unlink()
    summary = await run_import("git", [repository.path], {}, shelf.publish)
    assert summary.rejected == 1
    assert "the history breaks off" in summary.rejections[0].reason
    assert last in summary.rejections[0].reason


def test_whoever_stops_reading_leaves_no_git_behind(repository: Repository) -> None:
    for number in range(3):
        repository.commit(a=str(number))
    with opened(repository.path) as history:
        found: Iterator[Any] = read(history, "colony")
        next(found)
        running = list(history.processes)
    assert len(running) > 1
    assert all(process.returncode is not None for process in running)
