"""The pages that are written from the code are up to date, and one command keeps them so."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from rookery.ops.cli.commands import SECTIONS
from rookery.ops.cli.reference import command_reference, pages, refresh
from rookery.schemas import InvalidInput, all_types, check_strictly, subject_of
from rookery.schemas.reference import event_reference

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """The pages as they are, and nothing published beside them."""
    for name in ("events.md", "cli.md"):
        shutil.copy(DOCS / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["events.md", "cli.md"])
def test_a_page_says_what_the_code_says(name: str) -> None:
    assert (DOCS / name).read_text() == pages(DOCS)[DOCS / name], "`make docs` brings it up to date"


def test_one_command_brings_everything_up_to_date(docs: Path) -> None:
    assert "schemas/asyncapi.yaml" in refresh(docs)
    page = docs / "events.md"
    page.write_text(page.read_text().replace("run.started", "run.begun"))
    (docs / "schemas" / "run.started.json").unlink()
    assert sorted(refresh(docs)) == ["events.md", "schemas/run.started.json"]
    assert refresh(docs) == []


def test_what_people_wrote_above_the_mark_stays(docs: Path) -> None:
    page = docs / "cli.md"
    page.write_text("Ours.\n" + page.read_text())
    refresh(docs)
    assert page.read_text().startswith("Ours.\n")


def test_a_page_without_the_mark_is_not_written(docs: Path) -> None:
    (docs / "cli.md").write_text("# The command line\n")
    with pytest.raises(InvalidInput, match="is missing"):
        refresh(docs)
    assert not (docs / "schemas").exists()


def test_the_example_of_an_event_is_one_on_the_subject_that_is_named() -> None:
    page = (DOCS / "events.md").read_text()
    example = re.search(r"```json\n(.*?)\n```", page, re.DOTALL)
    assert example
    event, _ = check_strictly(example[1].replace("\n ", "").encode())
    assert f"`{subject_of(event)}`" in page


@pytest.mark.parametrize("name", ["events.md", "howto/any-language.md"])
def test_what_is_linked_is_there(name: str) -> None:
    page = DOCS / name
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link


def test_every_command_and_every_type_has_a_section() -> None:
    commands, events = command_reference(), event_reference()
    for rows in SECTIONS.values():
        for name in rows:
            assert f"### rookery {name}\n" in commands
    assert "#### rookery schemas check\n" in commands
    for known in all_types():
        assert f"### {known.name}\n" in events
        for field in known.struct.__struct_fields__:
            assert f"| `{field}` |" in events.partition(f"### {known.name}\n")[2].partition("###")[0]
