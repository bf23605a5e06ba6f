"""Settings: what overrides what, and what a mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from rookery.ops.settings import InvalidSettings, Settings


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


def test_every_setting_explains_itself() -> None:
    for name, hint in Settings.__annotations__.items():
        assert "description" in str(hint), f"{name} has no description"
