"""What `import rookery` gives, and what it costs: nothing, until something is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest
import rookery


def fresh(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_everything_on_the_front_page_is_there() -> None:
    assert dir(rookery) == sorted(rookery.__all__) == rookery.__all__
    for name in rookery.__all__:
        assert getattr(rookery, name) is not None


def test_what_is_not_on_it_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'rookery' has no attribute 'Agnet'"):
        rookery.Agnet  # type: ignore[attr-defined] # noqa: B018


def test_the_import_by_itself_brings_nothing_along() -> None:
    heavy = "[name for name in ('nats', 'msgspec', 'asyncio', 'duckdb', 'fastapi') if name in sys.modules]"
    assert fresh(f"import sys, rookery; print({heavy})") == "[]"


def test_an_agent_brings_along_the_bus_and_neither_database_nor_prices_nor_http() -> None:
    heavy = "[name for name in ('duckdb', 'fastapi', 'genai_prices', 'httpx', 'pyoxigraph') if name in sys.modules]"
    assert fresh(f"import sys, rookery; rookery.Agent; print('nats' in sys.modules, {heavy})") == "True []"


def test_the_harness_is_there_without_an_import_of_its_own() -> None:
    assert fresh("import rookery; print(rookery.testing.run.__name__)") == "run"
