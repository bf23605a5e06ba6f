"""A node's memory: DuckDB holds what it is told, and what threads have freed goes back to the system."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from rookery.ops.bench.node_process import node_process
from rookery.ops.data_folder import DataFolder
from rookery.ops.memory import UNACCOUNTED_BYTES
from rookery.ops.node import running_node
from rookery.ops.settings import Settings
from rookery.projections import Resources

ARENAS, MIB_EACH = 8, 24

# Threads that all have much at once, in pieces, after one large piece was freed: from that, glibc learns to keep more.
SCRIPT = f"""
import ctypes, sys, threading
from rookery.ops.memory import give_back_what_is_free

if sys.argv[1] == "give":
    assert give_back_what_is_free()
allocator = ctypes.CDLL(None)
allocator.malloc.restype, allocator.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
allocator.free.argtypes = [ctypes.c_void_p]
allocator.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
allocator.free(allocator.malloc(30 * 2**20))
together = threading.Barrier({ARENAS})

def work():
    together.wait()
    pieces = [allocator.malloc(2**16) for _ in range({MIB_EACH} * 16)]
    for piece in pieces:
        allocator.memset(piece, 1, 2**16)
    together.wait()
    for piece in pieces:
        allocator.free(piece)
    together.wait()

threads = [threading.Thread(target=work) for _ in range({ARENAS})]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("RssAnon")))
"""


def _left_mib(how: str) -> int:
    command = [sys.executable, "-c", SCRIPT, how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator is told what to keep")
def test_what_threads_have_freed_goes_back_to_the_system() -> None:
    assert _left_mib("give") < _left_mib("keep") - ARENAS * MIB_EACH / 2


async def test_a_node_s_duckdb_holds_what_it_is_told(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, port=0, nats_port=0, verify_megabytes_per_second=0, duckdb_memory_mib=300)
    with DataFolder(tmp_path) as folder:
        async with running_node(folder, settings) as node:
            con = node.projections._live.database.con.cursor()
            assert con.execute("select current_setting('memory_limit')").fetchall() == [("300.0 MiB",)]


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux tells another process's limits")
def test_a_node_may_have_no_more_than_what_its_duckdb_is_told_and_room_for_the_rest(tmp_path: Path) -> None:
    duckdb_mib = 300
    with node_process(tmp_path, f"--duckdb-memory-mib={duckdb_mib}") as running:
        ceiling_bytes, _ = resource.prlimit(running.process.pid, resource.RLIMIT_DATA)
    accounted_bytes = (duckdb_mib + Resources().rebuild_memory_size_mib_max) * 2**20
    assert 0 < ceiling_bytes <= accounted_bytes + UNACCOUNTED_BYTES
