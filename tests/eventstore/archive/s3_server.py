"""An S3 server of a test's own, in a process beside it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import httpx

BUCKET = "birds"


@contextmanager
def s3_server() -> Iterator[str]:
    """Run one on a free port, with one bucket; its URL."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout
            found = (re.search(r"Running on (http://\S+)", line) for line in process.stdout)
            url = next(match[1] for match in found if match)
            # It says a line for each request: a pipe that nobody reads is full after some hundreds.
            Thread(target=process.stdout.read, daemon=True).start()
            httpx.put(f"{url}/{BUCKET}", trust_env=False).raise_for_status()
            yield url
        finally:
            process.kill()
