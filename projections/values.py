"""Values as people write them in a filter, checked against the SQL type of the column that they are compared with."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

from .errors import InvalidQuestion

_BITS = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64, "HUGEINT": 128}
_INTEGERS = {name: (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for name, bits in _BITS.items()}
_INTEGERS |= {f"U{name}": (0, 2**bits - 1) for name, bits in _BITS.items()}
_INTEGER = re.compile(r"[+-]?[0-9]{1,40}", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s?(\d+)\)")


def is_text(sql_type: str) -> bool:
    """Whether `like` and the order of characters apply."""
    return sql_type == "VARCHAR"


def is_plain(sql_type: str) -> bool:
    """Whether values of the type can be written in a filter, and have an order."""
    return sql_type in _CHECKS or sql_type in _INTEGERS or _DECIMAL.fullmatch(sql_type) is not None


def checked(column: str, sql_type: str, text: str) -> str:
    """The value as DuckDB takes it for a column of that plain type. Raises `InvalidQuestion`."""
    try:
        if sql_type in _INTEGERS:
            return _integer(text, *_INTEGERS[sql_type])
        if decimal := _DECIMAL.fullmatch(sql_type):
            return _decimal(text, int(decimal[1]), int(decimal[2]))
        return _CHECKS[sql_type](text)
    except _Unfit as unfit:
        raise InvalidQuestion(column, f"is {sql_type}, and {_shown(text)} is not {unfit}") from None


class _Unfit(Exception):
    """What the value should have been."""


def _integer(text: str, least: int, most: int) -> str:
    if not _INTEGER.fullmatch(text) or not least <= int(text) <= most:
        raise _Unfit(f"a whole number from {least} to {most}")
    return str(int(text))


def _decimal(text: str, width: int, scale: int) -> str:
    wanted = f"a number of at most {width - scale} digits before the point and {scale} behind it"
    try:
        amount = Decimal(text) if _NUMBER.fullmatch(text) else Decimal("nan")
        _, digits, exponent = amount.as_tuple()
    except InvalidOperation:
        raise _Unfit(wanted) from None
    if not isinstance(exponent, int) or (amount.adjusted() >= width - scale and amount):
        raise _Unfit(wanted)
    significant = "".join(map(str, digits)).rstrip("0")
    if amount and exponent + len(digits) - len(significant) < -scale:
        raise _Unfit(wanted)
    return f"{amount:f}" if amount else "0"


def _double(text: str) -> str:
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise _Unfit("a number")
    return repr(float(text))


def _boolean(text: str) -> str:
    if text not in ("true", "false"):
        raise _Unfit("true or false")
    return text


def _timestamp(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        raise _Unfit("a time, as in 2026-11-20T12:00:00Z (in a URL, + is written %2B)") from None
    return moment.isoformat()


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise _Unfit("a date, as in 2026-11-20") from None


def _shown(text: str, characters_max: int = 60) -> str:
    return repr(text if len(text) <= characters_max else text[:characters_max] + "…")


_CHECKS: dict[str, Callable[[str], str]] = {
    "VARCHAR": str,
    "BOOLEAN": _boolean,
    "DOUBLE": _double,
    "TIMESTAMP": _timestamp,
    "DATE": _date,
}
