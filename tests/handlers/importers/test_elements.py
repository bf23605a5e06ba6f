"""The elements of a JSON array, one at a time, whatever is wrong with the file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rookery.handlers.importers.elements import ELEMENT_BYTES_MAX, READ_BYTES, Element, elements
from rookery.handlers.importers.found import Rejected

ANYTHING: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


class Trickle(BytesIO):
    """A file that is read a few bytes at a time, so that every cut falls between two reads once."""

    def __init__(self, text: bytes, bytes_at_once: int) -> None:
        super().__init__(text)
        self.bytes_at_once = bytes_at_once

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self.bytes_at_once)


def read(text: bytes) -> list[Element[Any] | Rejected]:
    return list(elements(BytesIO(text), ANYTHING))


def values_in(found: Iterable[Element[Any] | Rejected]) -> list[Any]:
    """The elements' values; a rejection stands for itself."""
    return [finding.value if isinstance(finding, Element) else finding for finding in found]


def values(text: bytes) -> list[Any]:
    return [element.value for element in read(text) if isinstance(element, Element)]


@given(st.lists(json_values, max_size=5), st.booleans(), st.sampled_from([None, 1]), st.integers(3, 9))
@example(['"\\', "]},[{", '\\"'], True, None, 3)
@settings(max_examples=150, deadline=None)
def test_the_elements_are_those_of_the_array_however_it_is_written_and_read(
    array: list[Any], ascii_only: bool, indent: int | None, bytes_at_once: int
) -> None:
    text = json.dumps(array, ensure_ascii=ascii_only, indent=indent).encode()
    assert values_in(elements(Trickle(text, bytes_at_once), ANYTHING)) == array


@given(st.lists(json_values, max_size=4), st.data())
@settings(max_examples=100, deadline=None)
def test_an_array_cut_anywhere_gives_the_elements_before_the_cut_and_one_rejection(array: list[Any], data: Any) -> None:
    text = json.dumps(array).encode()
    *before, last = read(text[: data.draw(st.integers(0, len(text) - 1))])
    assert values_in(before) == array[: len(before)]
    assert last == Rejected(f"element {len(before) + 1}", "the file ends here, before the array's `]`")


@given(st.binary(max_size=40))
@settings(max_examples=200, deadline=None)
def test_bytes_of_any_kind_give_elements_and_rejections(noise: bytes) -> None:
    read(noise)
    read(b"[" + noise)


@pytest.mark.parametrize(
    ("text", "found", "where", "reason"),
    [
        (b'{"a":[1]}', [], "element 1", "expected a JSON array, `[…]`, in UTF-8"),
        ("[1]".encode("utf-16"), [], "element 1", "expected a JSON array"),
        (b"[1,2]xx", [1, 2], "element 3", "something follows the array's `]`"),
        (b"[1}", [1], "element 2", "expected the array's `]`, found `}`"),
        (b"[}", [], "element 1", "expected the array's `]`, found `}`"),
        (b"[1,,3]", [1, 3], "element 2", "truncated"),
        (b"[1,]", [1], "element 2", "truncated"),
        (b"[1,NaN,3]", [1, 3], "element 2", "invalid character"),
        (b'[1,"\xff",3]', [1, 3], "element 2", "utf-8"),
        (b"[1,{]},3]", [1], "element 2", "malformed"),
    ],
)
def test_damage_is_rejected_with_its_place(text: bytes, found: list[Any], where: str, reason: str) -> None:
    [rejected, *_] = [finding for finding in read(text) if isinstance(finding, Rejected)]
    assert values(text) == found
    assert rejected.where == where
    assert reason.lower() in rejected.reason.lower()


def test_an_element_without_end_is_given_up_on_after_a_bounded_number_of_bytes() -> None:
    file = BytesIO(b'[1,"' + b"a" * (ELEMENT_BYTES_MAX * 2))
    [one, rejected] = elements(file, ANYTHING)
    assert one == Element("element 1", 1)
    assert rejected == Rejected("element 2", "it is longer than 16,777,216 bytes; from here on nothing was read")
    assert file.tell() <= ELEMENT_BYTES_MAX + 2 * READ_BYTES


def test_nesting_without_end_is_rejected() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    [rejected, two] = read(b"[" + deep + b",2]")
    assert isinstance(rejected, Rejected)
    assert two == Element("element 2", 2)


def test_a_byte_order_mark_and_space_around_the_array_are_let_pass() -> None:
    assert values(b"\xef\xbb\xbf \n[1 , 2]\n\n") == [1, 2]
