"""Settings: what overrides what, and what a mistake is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rookery.ops.cli.up import up
from rookery.ops.settings import InvalidSettings, Settings, described, misspelt

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTATION = (ROOT / "docs" / "settings.md").read_text()


def test_options_override_the_environment_which_overrides_the_file(tmp_path: Path) -> None:
    (tmp_path / "rookery.toml").write_text('port = 1\nnats_port = 1\norigin = "file"\n')
    settings = Settings.load(
        {"port": 3, "data": None}, environment={"ROOKERY_PORT": "2", "ROOKERY_NATS_PORT": "2"}, folder=tmp_path
    )
    assert (settings.port, settings.nats_port, settings.origin) == (3, 2, "file")
    assert settings.data == Path("rookery-data")


@pytest.mark.parametrize(
    ("file", "environment", "options", "where"),
    [
        ("port = 70000", {}, {}, "rookery.toml: port"),
        ("prot = 1", {}, {}, "rookery.toml: prot"),
        ("port = ", {}, {}, "rookery.toml"),
        ('data = ""', {}, {}, "rookery.toml: data"),
        ("data = 3", {}, {}, "rookery.toml: data"),
        ('data = "~no-such-user/x"', {}, {}, "rookery.toml: data"),
        ('host = ""', {}, {}, "rookery.toml: host"),  # would mean every address of the machine
        ("query_seconds_max = nan", {}, {}, "rookery.toml: query_seconds_max"),
        ("query_seconds_max = inf", {}, {}, "rookery.toml: query_seconds_max"),
        ('nats_url = "http://host"', {}, {}, "rookery.toml: nats_url"),
        ("", {"ROOKERY_PORT": "many"}, {}, "ROOKERY_PORT"),
        ("", {"ROOKERY_ORIGIN": "Not A Name"}, {}, "ROOKERY_ORIGIN"),
        ("", {}, {"nats_port": -5}, "--nats-port"),
    ],
)
def test_a_mistake_is_named_where_it_was_made(
    tmp_path: Path, file: str, environment: dict[str, str], options: dict[str, object], where: str
) -> None:
    (tmp_path / "rookery.toml").write_text(file)
    with pytest.raises(InvalidSettings) as mistake:
        Settings.load(options, environment=environment, folder=tmp_path)
    assert mistake.value.where.endswith(where)


def test_the_documentation_has_every_setting_as_it_is() -> None:
    documented = re.findall(r"^\| `[a-z_]+` \|.*$", DOCUMENTATION, re.MULTILINE)
    assert documented == [
        f"| `{one.name}` | `{one.variable}` | `{one.option}` | {f'`{one.default}`' if one.default else ''} "
        f"| {one.description} |"
        for one in described()
    ], "docs/settings.md has a table of all settings: bring it level with the fields of Settings"


def test_the_documentation_has_every_other_variable() -> None:
    settings = {one.variable for one in described()}
    code = "".join(path.read_text() for path in (ROOT / "ops").rglob("*.py"))
    used = set(re.findall(r"\bROOKERY_[A-Z_]*[A-Z]\b", code)) - settings
    assert used, "the search finds nothing"
    assert {name for name in used if f"| `{name}` |" not in DOCUMENTATION} == set()


def test_every_setting_is_an_option_of_up() -> None:
    options = {option for parameter in up.params for option in parameter.opts}
    assert {one.option for one in described()} <= options


def test_a_setting_that_is_not_one_gets_the_nearest_as_a_hint(tmp_path: Path) -> None:
    (tmp_path / "rookery.toml").write_text("prot = 1")
    with pytest.raises(InvalidSettings, match="did you mean 'port'"):
        Settings.load(environment={}, folder=tmp_path)
    assert misspelt({"ROOKERY_PROT": "1", "ROOKERY_PORT": "1", "ROOKERY_URL": "x"}) == {"ROOKERY_PROT": "ROOKERY_PORT"}
