"""A process that appends and seals until it is killed, and prints each bus sequence that it has acknowledged."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path
from threading import Thread

from rookery.eventstore import Log
from rookery.tests.eventstore.deliveries import many


def seal_for_ever(log: Log) -> None:
    while True:
        log.seal_full_segments()


def main(folder: str, segment_events_max: str) -> None:
    log = Log.open(Path(folder), segment_events_max=int(segment_events_max))
    log.append("here", [])
    Thread(target=seal_for_ever, args=[log], daemon=True).start()
    for size in count(1):
        log.append("here", many(size % 97 + 1, first=log.bus_sequence("here") + 1))
        sys.stdout.write(f"{log.bus_sequence('here')}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
