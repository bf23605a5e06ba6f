"""The vault's file: keys that outlive crashes, and that are gone once they were forgotten."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.eventstore.errors import VaultDamaged, VaultWriteFailed
from rookery.eventstore.vault import Key, Vault
from rookery.eventstore.vault.keys import FILE

from ..faults import Crash, DyingDisk, FullDisk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "vault"


def test_a_person_keeps_the_same_key_from_one_start_to_the_next(folder: Path) -> None:
    key = Vault.open(folder).keys_for(["user-17"])["user-17"]
    assert Vault.open(folder).keys_for(["user-17"])["user-17"] == key
    assert len(key.secret) == 32


def test_a_key_is_known_by_a_pseudonym_that_says_nothing_of_the_person(folder: Path) -> None:
    vault = Vault.open(folder)
    key = vault.keys_for(["user-17"])["user-17"]
    assert "user-17" not in key.id
    assert vault.key(key.id) == key
    assert vault.of("user-17") == vault.of(key.id) == [key]
    assert Vault.open(folder.with_name("other")).keys_for(["user-17"])["user-17"].id != key.id


def test_only_its_owner_may_read_the_file(folder: Path) -> None:
    Vault.open(folder).keys_for(["user-17"])
    assert (folder / FILE).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o077 == 0


def test_what_is_forgotten_is_gone_from_the_file_and_the_person_from_it_too(folder: Path) -> None:
    vault = Vault.open(folder)
    keys = vault.keys_for(["user-17", "user-18"])
    gone = keys["user-17"]
    secret = (folder / FILE).read_bytes().split(b'"secret":"')[1].partition(b'"')[0]
    assert vault.forget([gone.id, "ds-" + "a" * 26, gone.id]) == [gone.id]
    raw = (folder / FILE).read_bytes()
    assert b"user-17" not in raw
    assert secret not in raw
    for again in (vault, Vault.open(folder)):
        assert again.key(gone.id) is None
        assert again.is_forgotten(gone.id)
        assert again.of("user-18") == [keys["user-18"]]


def test_who_comes_back_gets_a_key_that_nothing_links_to_the_one_before(folder: Path) -> None:
    vault = Vault.open(folder)
    before = vault.keys_for(["user-17"])["user-17"]
    vault.forget([before.id])
    after = vault.keys_for(["user-17"])["user-17"]
    assert (after.id, after.secret) != (before.id, before.secret)
    assert not vault.is_forgotten(after.id)


def test_keys_of_another_vault_are_taken_in_once_and_never_once_they_were_forgotten(folder: Path) -> None:
    theirs = Vault.open(folder.with_name("theirs")).keys_for(["user-17"])["user-17"]
    vault = Vault.open(folder)
    mine = vault.keys_for(["user-17"])["user-17"]
    assert vault.add([theirs]) == [theirs]
    assert vault.add([theirs]) == []
    assert Vault.open(folder).of("user-17") == [mine, theirs]
    vault.forget([theirs.id])
    assert vault.add([theirs]) == []
    assert vault.of("user-17") == [mine]


def test_a_line_that_was_changed_is_damage_and_told_with_its_place(folder: Path) -> None:
    Vault.open(folder).keys_for(["user-17", "user-18"])
    path = folder / FILE
    path.write_bytes(path.read_bytes().replace(b'"subject":"user-18"', b'"subject":"user-19"'))
    with pytest.raises(VaultDamaged, match="at byte"):
        Vault.open(folder)


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_last_line_that_was_cut_was_never_handed_out(folder: Path, cut: int) -> None:
    first = Vault.open(folder).keys_for(["user-1"])["user-1"]
    whole = (folder / FILE).stat().st_size
    Vault.open(folder).keys_for(["user-2"])
    os.truncate(folder / FILE, whole + cut * 15)
    vault = Vault.open(folder)
    assert vault.held == [first]
    assert vault.keys_for(["user-3"])["user-3"] in Vault.open(folder).held


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_key_that_was_being_forgotten_when_the_power_went_is_forgotten(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whichever part of the line the disk had written."""
    folder = tmp_path_factory.mktemp("vault")
    vault = Vault.open(folder)
    gone, kept = (vault.keys_for([name])[name] for name in ("Ada Lovelace", "user-2"))
    before = (folder / FILE).read_bytes()
    vault.forget([gone.id])
    after = (folder / FILE).read_bytes()
    border = data.draw(st.integers(0, before.index(b"\n")))
    is_first_written = data.draw(st.booleans())
    torn = after[:border] + before[border:] if is_first_written else before[:border] + after[border:]
    (folder / FILE).write_bytes(torn)
    again = Vault.open(folder)
    assert again.key(kept.id) == kept
    if torn != before:
        assert again.is_forgotten(gone.id)
        assert (folder / FILE).read_bytes() == after


def write_and_forget(vault: Vault) -> tuple[Key, Key]:
    """What the tests below break off: two keys, of which one is forgotten, and a third."""
    keys = vault.keys_for(["user-1", "user-2"])
    vault.forget([keys["user-1"].id])
    vault.keys_for(["user-3"])
    return keys["user-1"], keys["user-2"]


def touches_of(folder: Path) -> int:
    disk = FullDisk()
    write_and_forget(Vault.open(folder, disk=disk))
    return disk.touches


def test_whichever_touch_of_the_disk_is_refused_nothing_is_lost_and_asking_again_works(tmp_path: Path) -> None:
    for n in range(1, touches_of(tmp_path / "counted") + 1):
        folder, disk, refusals = tmp_path / str(n), FullDisk(n, n), 0
        vault: Vault | None = None
        while True:
            try:
                vault = vault or Vault.open(folder, disk=disk)
                forgotten, kept = write_and_forget(vault)
                break
            except VaultWriteFailed:
                refusals += 1
        assert refusals <= 1
        assert forgotten.id not in [key.id for key in vault.held]
        assert Vault.open(folder).held == vault.held
        assert kept in vault.held
        assert b"user-1" not in (folder / FILE).read_bytes()


@pytest.mark.parametrize("loses_unsynced", [False, True])
def test_wherever_the_machine_stops_what_was_handed_out_is_there_and_what_was_forgotten_is_not(
    tmp_path: Path, loses_unsynced: bool
) -> None:
    for n in range(1, touches_of(tmp_path / "counted") + 1):
        folder = tmp_path / str(n)
        handed: list[Key] = []
        forgotten: list[str] = []
        with suppress(Crash):
            vault = Vault.open(folder, disk=DyingDisk(n, loses_unsynced=loses_unsynced))
            handed += vault.keys_for(["user-1", "user-2"]).values()
            forgotten += vault.forget([handed[0].id])
            handed += vault.keys_for(["user-3"]).values()
        again = Vault.open(folder)
        for key in handed[:1] if not forgotten else []:
            assert again.key(key.id) == key or again.is_forgotten(key.id)
        for key in handed[1:]:
            assert again.key(key.id) == key
        assert all(again.is_forgotten(each) for each in forgotten)
