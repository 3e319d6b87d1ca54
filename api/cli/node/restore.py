"""`quarry restore`: a node from a backup, in a data directory of its own."""

import contextlib
import json
import os
import shlex
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from api.cli import terminal
from api.cli.chain.chain_file import Importer
from api.cli.group import USAGE, Failure
from api.cli.options import json_option, redis_url_option
from api.cli.progress import bar
from services.backup.accounting import Restorer
from services.backup.checking import Checked, check
from services.backup.content import Manifest, Reader
from services.backup.key_files import KeyPlaces
from services.backup.place import building, require_empty
from services.backup.sealed import BadBackup
from services.launch.node_files import node_files
from services.settings.table import BUILT_IN_SPECS, load_spec
from shared import wire
from shared.errors import InputError, NodeError, RuleError
from shared.rules import rules_for
from shared.upgrades import to_object

if TYPE_CHECKING:
    from services.node import Node

_COPY = 2**20  # bytes
_UPGRADES = "upgrades.json"
_BATCH = 500  # transactions that are admitted at once


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored of the records."""

    admitted: int  # transactions that wait again
    refused: int  # others, which are mined or not valid any more, or cannot be judged without the chain
    tokens: int
    vouchers: int
    payouts: int  # that are due


@click.command()
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path, dir_okay=False))
@click.option(
    "--data-dir",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The directory to make: new, or empty.",
)
@click.option("--spec", metavar="NAME|FILE", envvar="QUARRY_SPEC", help="Refuse a backup of another chain.")
@redis_url_option(
    "--redis-url", "QUARRY_REDIS_URL", "A server for the chain, which keeps none of this node. [default: an own Valkey]"
)
@click.option("--cluster", is_flag=True, help="Lay out the keys as the volume of a node in docker-compose.yml.")
@json_option
def restore(file: Path, data_dir: Path, spec: str | None, redis_url: str | None, cluster: bool, as_json: bool) -> None:
    """Make a node of a backup, in a data directory that is new or empty (- for standard input).

    The passphrase is QUARRY_PASSPHRASE, or asked for. The whole backup is authenticated first. Then every block is
    checked by all rules, as by `quarry chain import`. All is built out of sight and takes its place when it is
    complete, so a restore that fails or is killed leaves no node. Of a backup without the chain, the node begins with
    the genesis block, and asks its peers for the others.
    """
    from services.system import logs

    logs.configure("error", "console")
    require_empty(data_dir)
    if cluster and redis_url is None:
        raise Failure("--cluster needs the store of the node: --redis-url or QUARRY_REDIS_URL.")
    with _opened(file, data_dir) as source:
        passphrase = _passphrase()
        with _named(file), bar("checking", quiet=as_json, unit="blocks") as advance:
            checked = check(source, passphrase, advance)
        source.seek(0)
        manifest = checked.manifest
        if spec is not None and load_spec(spec, "--spec").hash != manifest.spec.hash:
            raise BadBackup(
                f"The backup is of another chain than {spec}: of {manifest.spec.name}. Nothing was restored."
            )
        last = manifest.node if cluster else manifest.spec.name
        with building(data_dir, last) as made:
            with bar("restoring", quiet=as_json, unit="blocks") as advance:
                done = restore_to(made, source, passphrase, redis_url, advance, cluster=cluster)
    _show(checked, done, data_dir, cluster, as_json)


@contextlib.contextmanager
def _named(file: Path) -> Iterator[None]:
    """What is wrong with a backup is said with the name of its file."""
    name = "standard input" if str(file) == "-" else file
    try:
        yield
    except BadBackup as error:
        raise BadBackup(f"{name}: {error}") from None
    except OSError as error:
        raise Failure(f"{name}: {error.strerror}.") from None


def _passphrase() -> str:
    """The passphrase of the backup: QUARRY_PASSPHRASE, or asked for at the terminal.

    Raises:
        Failure: the variable is not set, and there is no terminal.
    """
    given = os.environ.get("QUARRY_PASSPHRASE")
    if given is None and not terminal.is_attended():
        raise Failure("The backup is encrypted: set QUARRY_PASSPHRASE, or run the command at a terminal.", USAGE)
    return terminal.ask("Passphrase of the backup", hidden=True) if given is None else given


def restore_to(
    made: Path,
    source: IO[bytes],
    passphrase: str,
    redis_url: str | None,
    advance: Callable[[int, int], None],
    *,
    cluster: bool = False,
) -> Restored:
    """Restore a backup that was checked to an empty directory.

    Args:
        redis_url: a server for the chain; None: an embedded Valkey in the directory.

    Raises:
        BadBackup, Failure: it cannot be restored. The caller removes the directory.
    """
    reader = Reader(source, passphrase)
    places = _places(made, reader.manifest, cluster)
    lines = reader.lines()
    kind, value = next(lines)
    while kind == "file":
        places.write(*value)
        kind, value = next(lines)
    if not cluster:
        _keep_spec(made, reader.manifest)
    with _store(made, reader.manifest, redis_url) as url:
        return _fill(url, reader.manifest, _chained((kind, value), lines), advance)


def _fill(
    url: str, manifest: Manifest, lines: Iterator[tuple[str, Any]], advance: Callable[[int, int], None]
) -> Restored:
    from services.connections.servers import as_store, connect_for_jobs
    from services.store.accounting import AccountingStore
    from services.store.state import StateStore
    from services.store.tokens import TokenStore

    importer = Importer(url, manifest.node, rules_for(manifest.spec), manifest.genesis)
    node = importer.node
    if not manifest.chain and importer.finish().height > 1:
        raise Failure("The node's store has a chain, and the backup has none; restore to a store without a chain.")
    waiting: list[Any] = []
    left: dict[str, dict[str, Any]] = {}
    number = 0
    with contextlib.closing(connect_for_jobs(url)) as redis:
        store, keys = as_store(redis), node.chain.keys
        items = Restorer(node.rules, TokenStore(store, keys), AccountingStore(store, keys), manifest.height)
        for kind, value in lines:
            if kind == "block":
                number += 1
                importer.take(wire.parse(value, floats=node.rules.floats))
                advance(number, manifest.height)
                if number == manifest.height and importer.finish().tip != manifest.tip:
                    raise Failure(
                        "The node's store has a longer chain than the backup; restore to a store without a chain."
                    )
            elif kind == "waiting":
                waiting.append(value)
            elif kind == "record":
                left[value[0]] = value[1]
            elif kind == "name":
                with contextlib.suppress(NodeError):  # of a release with other rules for names: it can be given again
                    node.names.give(*value)
            else:
                items.take(kind, value)
        items.finish()
        admitted = _admit(node, waiting)
        if not manifest.chain:
            left |= _unjudged(node, waiting)
        kept = {name: record for name, record in left.items() if name not in admitted}
        StateStore(store, keys).renew([], kept, node.clock.now())
    return Restored(len(admitted), len(waiting) - len(admitted), items.tokens, items.vouchers, items.payouts)


def _admit(node: "Node", waiting: list[Any]) -> set[str]:
    """Have the mempool take transactions; the ids of those that it took."""
    admitted: set[str] = set()
    for start in range(0, len(waiting), _BATCH):
        found = []
        for value in waiting[start : start + _BATCH]:
            with contextlib.suppress(InputError, RuleError):
                found.append(node.rules.read_request(value))
        outcomes = node.mempool.admit_many(found)
        admitted |= {item.id for item in outcomes if not isinstance(item, NodeError)}
    return admitted


def _unjudged(node: "Node", waiting: list[Any]) -> dict[str, dict[str, Any]]:
    """Records of what waited, for those transactions whose senders have nothing before the chain is there."""
    reason = "it waited when the backup was made from which the node was restored without its chain; send it again"
    records = {}
    for value in waiting:
        with contextlib.suppress(InputError, RuleError):
            found = node.rules.read_request(value)
            records[found.id] = {"status": "dropped", "reason": reason, "at": node.clock.now()}
    return records


def _places(made: Path, manifest: Manifest, cluster: bool) -> KeyPlaces:
    if cluster:
        return KeyPlaces(made / manifest.node, made, made / manifest.node)
    files = node_files(made, manifest.spec.name, manifest.node)
    return KeyPlaces(files.directory, made / "wallets", made / manifest.spec.name)


def _keep_spec(made: Path, manifest: Manifest) -> None:
    """Write a chain spec that is not built in beside the directory of the node, as `quarry up` does, and upgrades."""
    from services.launch.state import to_toml
    from services.system.files import write_new

    directory = made / manifest.spec.name
    directory.mkdir(mode=0o700, exist_ok=True)
    if _built_in(manifest) is None:
        write_new(directory / "spec.toml", to_toml(manifest.spec).encode())
    if manifest.spec.stages:
        write_new(directory / _UPGRADES, json.dumps(to_object(manifest.spec), indent=2).encode() + b"\n")


def _built_in(manifest: Manifest) -> str | None:
    """The name under which the chain spec of a backup is built in, if it is."""
    return next((name for name in BUILT_IN_SPECS if load_spec(name).hash == manifest.spec.hash), None)


@contextlib.contextmanager
def _store(made: Path, manifest: Manifest, redis_url: str | None) -> Iterator[str]:
    from services.launch.embedded import EmbeddedValkey

    if redis_url is not None:
        yield redis_url
        return
    # Nothing is acknowledged before the directory takes its name: by then the server has ended and written all.
    files = node_files(made, manifest.spec.name, manifest.node)
    with EmbeddedValkey(files.valkey, durability="unsafe") as valkey:
        yield valkey.url


def _chained(first: tuple[str, Any], others: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    yield first
    yield from others


@contextlib.contextmanager
def _opened(file: Path, data_dir: Path) -> Iterator[IO[bytes]]:
    """The backup, to be read twice: standard input goes to a file without a name, still encrypted."""
    if str(file) != "-":
        with _named(file):
            source = file.open("rb")
        with source:
            if source.seekable():
                yield source
                return
            with _spooled(source, data_dir) as spooled:
                yield spooled
        return
    with _spooled(terminal.standard_input(), data_dir) as spooled:
        yield spooled


@contextlib.contextmanager
def _spooled(source: IO[bytes], data_dir: Path) -> Iterator[IO[bytes]]:
    place = next(path for path in (data_dir.absolute(), *data_dir.absolute().parents) if path.is_dir())
    with tempfile.TemporaryFile(dir=place) as copy:
        while part := source.read(_COPY):
            copy.write(part)
        copy.seek(0)
        yield copy


def _show(checked: Checked, done: Restored, data_dir: Path, cluster: bool, as_json: bool) -> None:
    found = checked.manifest
    wallets = checked.counts.get("wallets", 0)
    blocks = f"{found.height} blocks" if found.chain else f"without the chain, which had {found.height} blocks"
    if as_json:
        value = {
            "data_dir": str(data_dir),
            "node": found.node,
            "spec": found.spec.name,
            "height": found.height,
            "tip": found.tip,
            "chain": found.chain,
            "keys": found.keys,
            "wallets": wallets,
            "waiting": done.admitted,
            "refused": done.refused,
            "tokens": done.tokens,
            "vouchers": done.vouchers,
            "payouts": done.payouts,
        }
        terminal.show_json(value)
        return
    terminal.show(
        f"Restored {found.node} on {found.spec.name} to {data_dir}: {blocks}, tip {found.tip[:16]}.",
        f"With the node's key and {wallets} wallets; {done.admitted} transactions wait again."
        if found.keys
        else "The backup holds no keys: the node gets a new key when it is started.",
    )
    if done.tokens or done.vouchers:
        terminal.show(
            f"{done.tokens} tokens and {done.vouchers} vouchers are valid as they were: revoke again what was revoked "
            "since."
        )
    if done.payouts:
        terminal.show(
            f"{done.payouts} payouts are due; those without a plan wait until the chain is longer by twice "
            "QUARRY_PAYOUT_DEPTH."
        )
    if done.refused and found.chain:
        terminal.show(f"{done.refused} waiting transactions were mined meanwhile, or are not valid any more.")
    elif done.refused:
        terminal.show(f"{done.refused} transactions waited and cannot be judged without the chain: send them again.")
    if not found.chain:
        terminal.show("Name a peer that keeps all blocks when you start it (QUARRY_PEERS): it fetches the chain there.")
    if not cluster:
        terminal.show(f"Start it: {_command(found, data_dir.absolute())}")


def _command(manifest: Manifest, directory: Path) -> str:
    """The line that starts the node."""
    built_in = _built_in(manifest)
    kept = directory / manifest.spec.name
    settings = [f"QUARRY_DATA_HOME={shlex.quote(str(directory))}"]
    if manifest.node != "node1":
        settings.append(f"QUARRY_NODE={manifest.node}")
    if built_in is None and (kept / "mnemonic").exists():
        settings.append(f"QUARRY_DEVELOPMENT_MNEMONIC_FILE={shlex.quote(str(kept / 'mnemonic'))}")
    if manifest.spec.stages:
        settings.append(f"QUARRY_UPGRADES_FILE={shlex.quote(str(kept / _UPGRADES))}")
    spec = built_in or str(kept / "spec.toml")
    return f"{' '.join(settings)} quarry up --spec {shlex.quote(spec)}"
