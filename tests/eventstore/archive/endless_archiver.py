"""A process that appends, seals, archives, trims, reads and restores until it is killed; it prints what is durable."""

from __future__ import annotations

import shutil
import sys
from itertools import count
from pathlib import Path

from rookery.eventstore.archive import archive, restore, trim
from rookery.eventstore.stores import open_store
from rookery.tests.eventstore.archive.logs import LATER, opened
from rookery.tests.eventstore.deliveries import many


def main(name: str) -> None:
    folder = Path(name)
    store = open_store(str(folder / "cold"))
    log = opened(folder / "log")
    for turn in count():
        log.append("here", many(11, first=log.bus_sequence("here") + 1))
        log.seal_full_segments()
        archived = archive(log, store, verify=turn % 5 == 4).catalogue
        sys.stdout.write(f"{log.vector()['here']} {archived.vector['here']}\n")
        sys.stdout.flush()
        trim(log, store, archived, before=LATER)
        log.get("here", turn + 1)
        shutil.rmtree(folder / "new", ignore_errors=True)
        restore(store, folder / "new")


if __name__ == "__main__":
    main(*sys.argv[1:])
