"""`rookery prove`: show somebody else that an event is in the log, as it is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from click.core import ParameterSource

from ...eventstore import Log, Proof
from ...eventstore.proofs import check, decode
from ...eventstore.proofs import prove as prove_line
from ...schemas import InvalidInput
from ..client import Client
from ..data_folder import DataFolder
from ..settings import Settings
from .options import json_option, node_option, setting_options, standard_input
from .output import remark, show_json

_ADDRESS = re.compile(r"(?P<origin>[^:]+):(?P<n>[1-9][0-9]{0,18})", re.ASCII)


class InvalidAddress(InvalidInput):
    """What should be a line's address isn't one."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(f"{text!r} is not the address of a line; one looks like local:17, an origin and its n")


@click.command()
@click.argument("address", metavar="ORIGIN:N", required=False)
@click.option("--check", "file", metavar="FILE", help="Check the proof in FILE instead; - reads standard input.")
@click.option("--head", metavar="SHA256", help="With --check: the hash of a manifest line that you trust.")
@click.option("--signer", metavar="KEY", help="With --check: the public key of the node that you trust.")
@setting_options("data")
@json_option
@node_option
@click.pass_context
def prove(
    context: click.Context,
    client: Client,
    address: str | None,
    file: str | None,
    head: str | None,
    signer: str | None,
    data: str | None,
    as_json: bool,
) -> None:
    """Print a proof that the line ORIGIN:N is in the log, byte by byte as it is there; or check one.

    Whoever has the proof needs neither the log nor Rookery to check it: docs/howto/prove.md has 40 lines of Python that
    do. A line can be proved once its segment is sealed. The proof is read from the data folder, whether a node runs on
    it or not, or asked of the node that --url names.

    \b
    rookery prove local:17 > proof.json
    rookery prove local:17 --url http://10.0.0.7:8800 > proof.json
    rookery prove --check proof.json
    rookery prove --check proof.json --signer NA7…
    rookery prove --check proof.json --head 5f0c…
    """
    if (address is None) == (file is None):
        raise click.UsageError("name a line, as in local:17, or a proof with --check FILE.")
    if file is not None:
        _show_checked(decode(_bytes_of(file)), head, signer, as_json)
        return
    if head is not None or signer is not None:
        raise click.UsageError("--head and --signer go with --check.")
    assert address is not None
    folder = DataFolder(Settings.load({"data": data}).data)
    is_named = context.get_parameter_source("client") is not ParameterSource.DEFAULT
    asks = data is None and (is_named or not folder.log.is_dir())
    show_json(_asked(client, *_parts(address)) if asks else _read(folder, *_parts(address)))


def _parts(address: str) -> tuple[str, int]:
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise InvalidAddress(address)
    return found["origin"], int(found["n"])


def _read(folder: DataFolder, origin: str, n: int) -> Proof:
    with Log.open(folder.log, writable=False) as log:
        return prove_line(log, origin, n)


def _asked(client: Client, origin: str, n: int) -> Any:
    return client.get(f"/prove/{quote(origin, safe='')}/{n}")


def _bytes_of(file: str) -> bytes:
    return standard_input() if file == "-" else Path(file).read_bytes()


def _show_checked(proof: Proof, head: str | None, signer: str | None, as_json: bool) -> None:
    proved = check(proof, head=head, signer=signer)
    if as_json:
        show_json(proved._asdict())
        return
    click.echo(proof.line)
    remark(f"{proved.origin}:{proved.n} is in the log whose manifest's newest line has the SHA-256 {proved.head}")
    if proved.signers:
        remark(f"signed by {', '.join(proved.signers)}")
    if head is None and signer is None:
        remark("whether that log is the one you mean, this doesn't say: name what you trust with --signer or --head")
