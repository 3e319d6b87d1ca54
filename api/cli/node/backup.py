"""`quarry backup`: one encrypted file with the keys, the chain and the records of a node."""

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import click

from api.cli import terminal
from api.cli.chain.stores import store_failures
from api.cli.group import USAGE, Failure
from api.cli.node.backup_source import Source, source_of
from api.cli.options import json_option, redis_url_option, require, url_option
from api.cli.progress import bar
from services.backup.checking import Checked, check
from services.backup.content import Manifest, Writer
from services.backup.sealed import WITHOUT_CHAIN, BadBackup, Sealer
from services.errors import Pruned, TipMoved
from services.ports import SystemClock
from services.system.about import VERSION
from services.system.files import writing

ATTEMPTS = 5
_COPY = 2**20  # bytes


@click.command()
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path, dir_okay=False))
@url_option
@redis_url_option("--redis-url", "QUARRY_REDIS_URL", "Its store. [default: that of the node on this machine]")
@click.option("--node", envvar="QUARRY_NODE", help="The node's name. [default: that of the node on this machine]")
@click.option("--spec", metavar="NAME|FILE", help="The node's chain spec. [default: the one it runs with]")
@click.option("--without-chain", is_flag=True, help="Leave out the blocks: a restored node asks peers.")
@json_option
def backup(
    file: Path,
    url: str | None,
    redis_url: str | None,
    node: str | None,
    spec: str | None,
    without_chain: bool,
    as_json: bool,
) -> None:
    """Write the keys, chain and records of a node to FILE, encrypted with a passphrase (- for standard output).

    The passphrase is QUARRY_PASSPHRASE, or asked for twice; without it nobody can read the backup. In it are keys and
    wallets, every block (none if the node prunes, QUARRY_KEEP), what waits in the mempool and what became of the rest,
    names, tokens and vouchers (as hashes), what miners have done, and payouts. The node may be running or stopped. The
    file is read back and checked before it gets its name. `quarry restore` makes a node of it.

    With --url, a node on another machine is asked for its chain; its keys and records cannot be had that way.
    """
    from services.system import logs

    logs.configure("error", "console")
    if _explicit("url") and not _explicit("redis_url"):
        redis_url = None
    elif redis_url is not None:  # a container of a cluster has both in its environment
        url = None
    passphrase = new_passphrase()
    with store_failures(), source_of(url, redis_url, node, spec, quiet=as_json) as source:
        if str(file) == "-" or _is_special(file):
            require(str(file) != "-" or not as_json, "--json prints to standard output, and so does FILE -.")
            done = _to_stream(source, passphrase, file, not without_chain)
        else:
            with writing(file, mode=0o600) as output, bar("backing up", quiet=as_json, unit="blocks") as advance:
                done = write_backup(source, passphrase, output, advance, with_chain=not without_chain)
    _show(done, file, as_json)


def write_backup(
    source: Source,
    passphrase: str,
    output: IO[bytes],
    advance: Callable[[int, int], None],
    *,
    with_chain: bool = True,
) -> Checked:
    """Write a backup and read it back.

    A chain that is reorganised meanwhile is read again, a few times.

    Args:
        output: empty; can be read and sought. It is left at the end of the backup.
        with_chain: whether the blocks are to be in it. If old ones were pruned, none is.

    Raises:
        Failure: the chain was reorganised at every attempt, or nothing can be read but a chain that was pruned.
        BadBackup: what was read back is wrong: the node's blocks are damaged, or the disk is.
    """
    for _ in range(ATTEMPTS):
        output.seek(0)
        output.truncate()
        try:
            _write(source, passphrase, output, advance, with_chain)
        except (TipMoved, Pruned):
            continue
        output.flush()
        output.seek(0)
        try:
            checked = check(output, passphrase, advance)
        except BadBackup as error:
            raise BadBackup(f"What was written cannot be restored, so there is no backup: {error}") from None
        output.seek(0, os.SEEK_END)
        return checked
    raise Failure("The chain was reorganised at every attempt to read it; run the command again.")


def _write(
    source: Source, passphrase: str, output: IO[bytes], advance: Callable[[int, int], None], with_chain: bool
) -> None:
    # Before the tip: what is mined in between is then in the chain too, and not lost.
    records = source.records()
    height, tip = source.tip()
    genesis = source.hash_at(1)
    kept_from = source.kept_from()
    if genesis is None:
        raise Failure("The node has no chain.")
    if records is None and not with_chain:
        raise Failure("--without-chain leaves nothing of a node on another machine: run the command there.", USAGE)
    if records is None and kept_from > 1:
        raise Failure(
            f"This node has whole blocks only from height {kept_from} on (QUARRY_KEEP), and its keys and records are "
            "read on its own machine: run the command there."
        )
    has_chain = with_chain and kept_from == 1
    has_keys = source.keys is not None and source.keys.exist()
    manifest = Manifest(
        node=source.name,
        spec=source.spec,
        genesis=genesis,
        tip=tip,
        height=height,
        created=int(SystemClock().now()),
        release=VERSION,
        keys=has_keys,
        records=records is not None,
        chain=has_chain,
    )
    writer = Writer(Sealer(output, passphrase, version=None if has_chain else WITHOUT_CHAIN), manifest)
    if source.keys is not None:
        for name, content in source.keys.read():
            writer.file(name, content)
    for number, text in enumerate(source.blocks(height) if has_chain else (), 1):
        writer.block(text)
        advance(number, height)
    if source.hash_at(height) != tip or source.hash_at(1) != genesis:
        raise TipMoved("The chain was reorganised while it was read.")
    if records is not None:
        for text in records.waiting:
            writer.waiting(text)
        for identifier, record in records.left:
            writer.record(identifier, record)
        for address, name in sorted(records.names.items()):
            writer.name(address, name)
        for kind, value in records.items:
            writer.item(kind, value)
    writer.finish()


def _to_stream(source: Source, passphrase: str, file: Path, with_chain: bool) -> Checked:
    """Write a backup to a pipe or a device: first to a file without a name, since it has to be read back."""
    with tempfile.TemporaryFile(dir=_room(source)) as whole:
        done = write_backup(source, passphrase, whole, lambda done, total: None, with_chain=with_chain)
        whole.seek(0)
        with _stream(file) as output:
            while part := whole.read(_COPY):
                output.write(part)
            output.flush()
    return done


@contextlib.contextmanager
def _stream(file: Path) -> Iterator[IO[bytes]]:
    if str(file) == "-":
        yield terminal.standard_output()
    else:
        with file.open("wb") as output:
            yield output


def _room(source: Source) -> Path | None:
    """A directory on the disk of the node's keys: a container's `/tmp` is small."""
    directory = None if source.keys is None else source.keys.node
    return directory if directory is not None and os.access(directory, os.W_OK) else None


def _show(done: Checked, file: Path, as_json: bool) -> None:
    found, counts = done.manifest, done.counts
    wallets = counts.get("wallets", 0)
    value: dict[str, Any] = {
        "file": str(file),
        "node": found.node,
        "spec": found.spec.name,
        "height": found.height,
        "tip": found.tip,
        "chain": found.chain,
        "keys": found.keys,
        "wallets": wallets,
        "records": found.records,
        "waiting": counts.get("waiting", 0),
        "tokens": counts.get("token", 0),
        "vouchers": counts.get("voucher", 0),
        "payouts": counts.get("payout", 0),
    }
    if as_json:
        terminal.show_json(value)
        return
    lines = [f"Backup of {found.node} on {found.spec.name}: {found.height} blocks, tip {found.tip[:16]}."]
    if not found.chain:
        lines = [
            f"Backup of {found.node} on {found.spec.name} at height {found.height}, tip {found.tip[:16]}.",
            "Without the chain, which a restored node gets from its peers: one of them has to keep all blocks.",
        ]
    if found.keys:
        lines.append(f"With the node's key and {wallets} wallets, {value['waiting']} waiting transactions.")
        if value["tokens"] or value["vouchers"] or value["payouts"]:
            lines.append(
                "With {tokens} tokens, {vouchers} vouchers and {payouts} payouts that are due.".format(**value)
            )
    elif found.records:
        lines.append("Without keys: none were found for this node. Back up the directory that holds them too.")
    else:
        lines.append("Without keys, mempool and records: for these, run the command on the node's machine.")
    lines.append(
        "It was read back: every part is authentic"
        + (", and every block follows the one before it." if found.chain else ".")
    )
    (terminal.say if str(file) == "-" else terminal.show)(*lines)


def new_passphrase() -> str:
    """The passphrase of a new backup: QUARRY_PASSPHRASE, or asked for twice at the terminal.

    Raises:
        Failure: the variable is not set and there is no terminal, or the passphrase is empty.
    """
    given = os.environ.get("QUARRY_PASSPHRASE")
    if given is None:
        if not terminal.is_attended():
            raise Failure("A backup is encrypted: set QUARRY_PASSPHRASE, or run the command at a terminal.", USAGE)
        given = terminal.ask("Passphrase of the backup", hidden=True, twice=True)
    require(given != "", "The passphrase must not be empty: the backup holds keys.")
    return given


def _explicit(name: str) -> bool:
    """Whether an option is on the command line."""
    found = click.get_current_context().get_parameter_source(name)
    return found is click.core.ParameterSource.COMMANDLINE


def _is_special(file: Path) -> bool:
    """Whether a file is there that is a pipe or a device."""
    try:
        return not stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return False
