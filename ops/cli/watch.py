"""`rookery watch`: a folder as a queue of work, for as long as the command runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from ..client import Client
from ..folders import FolderQueue, HttpOffice
from .options import node_option
from .output import remark
from .table import visible

ONCE_POLL_SECONDS = 0.2


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--once", is_flag=True, help="End when every task that is there has its outcome.")
@node_option
def watch(client: Client, folder: Path, once: bool) -> None:
    """Give what is dropped into FOLDER to the colony, and put what comes of it beside it, until Ctrl-C.

    NAME.json holds a task as POST /assignments takes it; NAME.md and NAME.txt are a task's input. The result lands in
    NAME.result.json, what went wrong in NAME.error.json. A file is taken when it has not changed for a second. Nothing
    is done twice, also not when this is started again. A node does the same for the folders of its setting `watch`.

    \b
    echo '{"capability": "linter", "input": {"path": "."}}' > tasks/lint.json
    echo 'Fix the login.' > tasks/code.write--login.md
    rookery watch tasks
    rookery watch tasks --once && cat tasks/lint.result.json
    """
    queue = FolderQueue(folder, HttpOffice(client), tell=lambda text: click.echo(visible(text)))
    queue.check()
    remark(f"watching {queue.folder}")
    if not once:
        asyncio.run(queue.run())
        return
    asyncio.run(_until_done(queue))
    if failed := queue.counts["failed"] + queue.counts["refused"]:
        raise click.ClickException(f"{failed} of them failed; each NAME.error.json says why")


async def _until_done(queue: FolderQueue) -> None:
    await queue.look()
    while not queue.is_done:
        await asyncio.sleep(ONCE_POLL_SECONDS)
        await queue.look()
