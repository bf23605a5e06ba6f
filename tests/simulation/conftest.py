"""How many worlds are lived through, or which one again."""

from __future__ import annotations

import pytest

WORLDS = 8


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, help="live through the virtual world of this seed only")
    parser.addoption("--worlds", type=int, help=f"live through so many virtual worlds, from seed 0 on ({WORLDS})")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        option = metafunc.config.getoption
        seed, worlds = option("--seed", None), option("--worlds", None)
        metafunc.parametrize("seed", range(worlds or WORLDS) if seed is None else [seed])
