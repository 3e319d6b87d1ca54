"""`quarry upgrade`: files of upgrades, which nodes read by QUARRY_UPGRADES_FILE (docs/permissioned.md)."""

import json
from pathlib import Path
from typing import Any

import click

from api.cli import terminal
from api.cli.group import Failure
from api.cli.options import json_option
from api.cli.suggestions import Group
from services.system.files import replace
from services.system.text_files import BadTextFile, read_text_file
from shared import upgrades
from shared.chain_spec import ChainSpec
from shared.errors import InputError
from shared.upgrades import BadUpgrades
from shared.wire import parse

_MOST_BYTES = 2**22
_FILE = click.argument("file", type=click.Path(path_type=Path))
_SPEC = click.option("--spec", required=True, metavar="NAME|FILE", help="The chain spec that the upgrades are for.")


@click.group(cls=Group)
def upgrade() -> None:
    """Change difficulty, limits or sealers of a chain from a height on.

    Upgrades are a file that all nodes of the chain get (QUARRY_UPGRADES_FILE). Where only sealers may seal, more than
    half of them sign it.
    """


@upgrade.command()
@_FILE
@_SPEC
@click.option("--height", required=True, type=int, help="The first block by which the change holds.")
@click.option("--changes", required=True, metavar="JSON", help='What changes, such as {"difficulty": 131072}.')
@json_option
def new(file: Path, spec: str, height: int, changes: str, as_json: bool) -> None:
    """Begin FILE with an upgrade, or add one to it."""
    value = _read(file) if file.exists() else {"spec": _spec(spec).hash, "upgrades": []}
    item = {"height": height, "changes": _parsed(changes, "--changes"), "signatures": []}
    if not isinstance(value, dict) or not isinstance(value.get("upgrades"), list):
        raise Failure("The file holds no upgrades.")
    found = _upgraded({**value, "upgrades": [*value["upgrades"], item]}, _spec(spec))
    _write(file, found)
    _show(found, as_json)


@upgrade.command()
@_FILE
@_SPEC
@json_option
def show(file: Path, spec: str, as_json: bool) -> None:
    """Show what changes at which height, and who has signed."""
    _show(_upgraded(_read(file), _spec(spec)), as_json)


@upgrade.command()
@_FILE
@_SPEC
@json_option
def check(file: Path, spec: str, as_json: bool) -> None:
    """Check that a node takes FILE: that it is right, and signed by enough sealers."""
    try:
        found = upgrades.read_upgrades(_read(file), _spec(spec))
    except BadUpgrades as error:
        raise Failure(str(error)) from None
    _show(found, as_json)


@upgrade.command()
@_FILE
@_SPEC
@click.option("--from", "sender", required=True, metavar="WALLET", help="The sealer's wallet.")
@json_option
def sign(file: Path, spec: str, sender: str, as_json: bool) -> None:
    """Sign each upgrade in FILE that the wallet may sign and has not signed yet."""
    from api.cli.wallet import wallet_store
    from services.wallet.signers import Ed25519Signer

    found = _upgraded(_read(file), _spec(spec))
    signer = wallet_store.open_wallet(sender)
    if not isinstance(signer, Ed25519Signer):
        raise Failure("Sealers sign with Ed25519, and this is an Ethereum wallet.")
    signed, added = upgrades.signed(found, signer.key)
    if not added:
        raise Failure(f"{signer.key.address} has signed all that it may, or is no sealer before any of these heights.")
    _write(file, signed)
    _show(signed, as_json)


def _spec(name: str) -> ChainSpec:
    from services.settings.table import load_spec

    return load_spec(name, "--spec")


def _read(file: Path) -> Any:
    try:
        return _parsed(read_text_file(file, limit=_MOST_BYTES), str(file))
    except BadTextFile as error:
        raise Failure(str(error)) from None


def _parsed(text: str | bytes, what: str) -> Any:
    try:
        return parse(text.encode() if isinstance(text, str) else text)
    except InputError as error:
        raise Failure(f"{what} is not strict JSON: {error.message}") from None


def _upgraded(value: Any, spec: ChainSpec) -> ChainSpec:
    """The spec with upgrades that need not be signed yet."""
    try:
        return upgrades.read_upgrades(value, spec, agreed=False)
    except BadUpgrades as error:
        raise Failure(str(error)) from None


def _write(file: Path, spec: ChainSpec) -> None:
    try:
        replace(file, json.dumps(upgrades.to_object(spec), indent=2).encode() + b"\n", 0o644)
    except OSError as error:
        raise Failure(f"{file} cannot be written: {error.strerror}.") from None


def _show(spec: ChainSpec, as_json: bool) -> None:
    if as_json:
        terminal.show_json({**upgrades.to_object(spec), "digest": spec.upgrades_digest})
        return
    for position, stage in enumerate(spec.stages):
        sealers = upgrades.electorate(spec, position)
        terminal.show(f"From height {stage.height:,}:")
        for name, value in stage.changes.items():
            values = value if isinstance(value, list) else [f"{value:,}"]
            terminal.show(f"  {name:24}{values[0] if values else 'none: anybody may seal'}")
            for other in values[1:]:
                terminal.show(f"  {'':24}{other}")
        if sealers:
            terminal.show(f"  signed by {len(stage.signatures)} of {len(sealers)}; {len(sealers) // 2 + 1} are needed")
    terminal.show(f"Digest  {spec.upgrades_digest or 'none: there are no upgrades'}")
