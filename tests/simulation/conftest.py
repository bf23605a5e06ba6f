"""How many worlds are lived through, or which one again."""

from __future__ import annotations

import pytest

WORLDS = 8
PLACES = 3  # of the worlds of two places, which take longer
REACTING = 3


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, help="live through the virtual world of this seed only")
    parser.addoption("--worlds", type=int, help=f"live through so many virtual worlds, from seed 0 on ({WORLDS})")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    option = metafunc.config.getoption
    seed, worlds = option("--seed", None), option("--worlds", None)
    for name, usually in (("seed", WORLDS), ("seed_of_places", PLACES), ("seed_of_reacting", REACTING)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, range(worlds or usually) if seed is None else [seed])
