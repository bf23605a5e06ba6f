"""The index of ids: nothing that was added is ever missed."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.eventstore import Disk
from rookery.eventstore.ids import IdIndex, event_key

FEW_BITS = 3


@pytest.fixture
def small_tables(monkeypatch):
    """Tables so small that a few entries fill several of them."""
    monkeypatch.setattr("rookery.eventstore.ids._FIRST_TABLE_BITS", FEW_BITS)


# Keys that share slots and tags as often as possible.
keys = st.builds(lambda tag, slot: tag << 40 | slot, st.integers(0, 2), st.integers(0, 15))


@pytest.mark.usefixtures("small_tables")
@settings(deadline=None, max_examples=60)
@given(entries=st.lists(keys, max_size=60), asked=st.lists(keys))
def test_every_line_with_a_key_is_a_candidate(tmp_path_factory, entries, asked):
    index = IdIndex(tmp_path_factory.mktemp("ids"), Disk(), writable=True)
    held = defaultdict(set)
    for n, key in enumerate(entries, 1):
        index.reserve(1)
        index.add(key, n)
        held[key].add(n)
    for key in [*asked, *entries]:
        assert held[key] <= set(index.candidates(key))
        assert all(entries[n - 1] >> 40 == key >> 40 for n in index.candidates(key))
    index.close()


@pytest.mark.usefixtures("small_tables")
def test_a_stamped_index_is_the_same_when_opened_again(tmp_path):
    index = IdIndex(tmp_path, Disk(), writable=True)
    for n in range(1, 101):
        index.reserve(1)
        index.add(event_key(f"id-{n}"), n)
    stamp = index.stamp_for(100, event_key("id-100"))
    index.checkpoint(stamp)
    index.close()
    for writable in (True, False):
        again = IdIndex(tmp_path, Disk(), writable=writable)
        assert again.stamp == stamp
        assert [again.candidates(event_key(f"id-{n}")) for n in range(1, 101)] == [[n] for n in range(1, 101)]
        again.close()


def test_room_is_made_for_more_than_one_table_would_hold(tmp_path):
    index = IdIndex(tmp_path, Disk(), writable=True)
    index.reserve(200_000)
    (table,) = tmp_path.glob("*.table")
    assert table.stat().st_size >= 200_000 * 8
    index.close()


@pytest.mark.usefixtures("small_tables")
def test_adding_again_does_not_add_twice(tmp_path):
    index = IdIndex(tmp_path, Disk(), writable=True)
    for _ in range(3):
        for n in range(1, 21):
            index.add_again(event_key(f"id-{n}"), n)
    assert [index.candidates(event_key(f"id-{n}")) for n in range(1, 21)] == [[n] for n in range(1, 21)]
    index.close()


@pytest.mark.parametrize("left", [b"", b"{}", b"not JSON", None])
def test_an_index_without_a_sound_stamp_begins_anew(tmp_path, left):
    if left is not None:
        (tmp_path / "stamp.json").write_bytes(left)
    assert IdIndex(tmp_path, Disk(), writable=True).stamp is None
