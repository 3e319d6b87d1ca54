"""Upgrades: constants and sealers that change at a height, agreed outside the spec (docs/permissioned.md).

They are a JSON object, as a file or from `GET /upgrades`:

    {"spec": hash of the spec, "upgrades": [{"height": 5000, "changes": {"difficulty": 131072}, "signatures": [
        {"sealer": public key, "signature": hex}, …]}, …]}

Each upgrade commits to the one before it, and the first to the spec. Where sealers are set, more than half of those who
may seal the block before it must have signed it. Its digest covers what is signed, but no signatures, so files that
were signed by different majorities are the same upgrades.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from shared import keys
from shared.addresses import address_of_public_key
from shared.canonical import canonical
from shared.chain_spec import FIRST_MINED, SPEC_FIELDS, BadChainSpec, ChainSpec, Stage, spec_from_object
from shared.errors import NodeError
from shared.hashing import is_hash, is_hex, sha256
from shared.wire import MAX_INTEGER

# What an upgrade may change. The coin, its supply, the chain's name and its genesis stay what they were.
CHANGEABLE = ("difficulty", "block_interval", "max_block_bytes", "max_block_transactions", "sealers")
MAX_UPGRADES = 64
_DOMAIN = b"quarry-upgrade:"


class BadUpgrades(NodeError):
    """The upgrades cannot be used. The message names the one at fault by its height."""


class NotAgreed(BadUpgrades):
    """Too few sealers have signed an upgrade."""


def read_upgrades(value: Any, spec: ChainSpec, *, agreed: bool = True) -> ChainSpec:
    """`spec` with the upgrades of a JSON object; without any, if its list is empty.

    Args:
        agreed: whether enough sealers must have signed; False for a file that is still passed around.

    Raises:
        BadUpgrades: what cannot be used. NotAgreed: everything else is right.
    """
    if not isinstance(value, dict) or value.keys() != {"spec", "upgrades"}:
        raise BadUpgrades("Upgrades are an object of spec and upgrades.")
    if not is_hash(value["spec"]) or value["spec"] != spec.hash:
        raise BadUpgrades(f"The upgrades are for another chain spec: spec must be {spec.hash}.")
    items = value["upgrades"]
    if not isinstance(items, list) or len(items) > MAX_UPGRADES:
        raise BadUpgrades(f"upgrades must be a list of at most {MAX_UPGRADES} upgrades.")
    if items and spec.rules != "standard":
        raise BadUpgrades("Only chains of the standard rules can be upgraded.")
    stages: list[Stage] = []
    lacking: NotAgreed | None = None
    for item in items:
        before = stages[-1] if stages else Stage(FIRST_MINED - 1, {}, (), spec.hash, replace(spec, stages=()))
        stages.append(_read(item, before))
        lacking = lacking or _lacking(stages[-1], before.spec)
    if agreed and lacking:
        raise lacking
    return replace(spec, stages=tuple(stages))


def to_object(spec: ChainSpec) -> dict[str, Any]:
    """The upgrades of a spec, as `read_upgrades` takes them."""
    return {"spec": spec.hash, "upgrades": [_to_object(stage) for stage in spec.stages]}


def packed(spec: ChainSpec) -> dict[str, Any]:
    """A spec and its upgrades as one JSON object, for processes of one node."""
    return {**spec.to_object(), "upgrades": to_object(spec)} if spec.stages else spec.to_object()


def unpacked(value: Mapping[str, Any]) -> ChainSpec:
    """A spec as `packed` wrote it.

    Raises:
        BadChainSpec, BadUpgrades
    """
    upgrades = value.get("upgrades")
    spec = spec_from_object({name: item for name, item in value.items() if name != "upgrades"})
    return spec if upgrades is None else read_upgrades(upgrades, spec)


def signing_message(previous: str, height: int, changes: Mapping[str, Any]) -> bytes:
    """The bytes that a sealer signs to agree to an upgrade. Their SHA-256 is the upgrade's digest.

    Args:
        previous: digest of the upgrade before it, or the hash of the spec.
    """
    return _DOMAIN + canonical({"previous": previous, "height": height, "changes": changes})


def electorate(spec: ChainSpec, position: int) -> tuple[str, ...]:
    """The sealers whose majority an upgrade needs: those who may seal the block before it. `position`: from 0."""
    return spec.stages[position - 1].spec.sealers if position else spec.sealers


def signed(spec: ChainSpec, key: keys.KeyPair) -> tuple[ChainSpec, int]:
    """The spec with `key`'s signature under each of its upgrades that the key may sign and has not signed yet.

    Returns:
        also how many signatures were added.
    """
    stages, added, previous = [], 0, spec.hash
    for position, stage in enumerate(spec.stages):
        known = {name for name, _ in stage.signatures}
        if key.address in electorate(spec, position) and key.public_key.hex() not in known:
            signature = key.sign(signing_message(previous, stage.height, stage.changes)).hex()
            stage = replace(stage, signatures=(*stage.signatures, (key.public_key.hex(), signature)))
            added += 1
        stages.append(stage)
        previous = stage.digest
    return replace(spec, stages=tuple(stages)), added


def parting(ours: ChainSpec, theirs: Sequence[tuple[int, str]]) -> int | None:
    """The height of the first upgrade that two nodes of one chain do not have in common; None: they have the same.

    Args:
        theirs: height and digest of each upgrade of the other node.
    """
    own = [(stage.height, stage.digest) for stage in ours.stages]
    for position in range(max(len(own), len(theirs))):
        pair = [items[position] for items in (own, theirs) if position < len(items)]
        if len(pair) < 2 or pair[0] != pair[1]:
            return min(height for height, _ in pair)
    return None


def _read(item: Any, before: Stage) -> Stage:
    """One upgrade. `before`: the one before it, or a stage that stands for the spec."""
    if not isinstance(item, dict) or item.keys() | {"signatures"} != {"height", "changes", "signatures"}:
        raise BadUpgrades("An upgrade is an object of height, changes and signatures.")
    height, changes = item["height"], item["changes"]
    if type(height) is not int or not before.height < height <= MAX_INTEGER:
        raise BadUpgrades(f"height must be a whole number above {before.height}: heights rise from upgrade to upgrade.")
    where = f"The upgrade at height {height}"
    if not isinstance(changes, dict) or not changes or set(changes) - set(CHANGEABLE):
        raise BadUpgrades(f"{where}: changes takes one or more of {', '.join(CHANGEABLE)}.")
    try:
        values: dict[str, Any] = {name: _value(name, value) for name, value in changes.items()}
    except BadChainSpec as error:
        raise BadUpgrades(f"{where}: {error}") from None
    if before.spec.token.address in values.get("sealers", ()):
        raise BadUpgrades(f"{where}: sealers must not name {before.spec.token.address}: nobody has its key.")
    if bool(values.get("block_interval", before.spec.block_interval)) != bool(before.spec.block_interval):
        raise BadUpgrades(f"{where}: block_interval cannot change from 0 or to 0.")
    normal = {name: list(value) if name == "sealers" else value for name, value in values.items()}
    message = signing_message(before.digest, height, normal)
    signatures = _signatures(item.get("signatures", []), before.spec.sealers, message, where)
    since = height if "difficulty" in values else before.spec.difficulty_from
    return Stage(
        height, normal, signatures, sha256(message).hex(), replace(before.spec, difficulty_from=since, **values)
    )


def _value(name: str, value: Any) -> Any:
    """A changed constant; an empty list of sealers lets anybody seal again."""
    return () if name == "sealers" and value == [] else SPEC_FIELDS[name].read(value, name)


def _signatures(items: Any, sealers: tuple[str, ...], message: bytes, where: str) -> tuple[tuple[str, str], ...]:
    """The signatures of an upgrade. Each must be good, and of a sealer who has signed only once."""
    if not isinstance(items, list) or len(items) > len(sealers):
        raise BadUpgrades(f"{where}: signatures must be a list of at most one for each of the {len(sealers)} sealers.")
    found: dict[str, tuple[str, str]] = {}
    for item in items:
        if (
            not isinstance(item, dict)
            or item.keys() != {"sealer", "signature"}
            or not is_hex(item["sealer"], keys.PUBLIC_KEY_BYTES)
            or not is_hex(item["signature"], keys.SIGNATURE_BYTES)
        ):
            raise BadUpgrades(f"{where}: a signature is an object of sealer and signature, in lower-case hexadecimal.")
        public_key = bytes.fromhex(item["sealer"])
        address = address_of_public_key(public_key)
        if address not in sealers:
            raise BadUpgrades(f"{where}: {address} has signed it, and is not a sealer before that height.")
        if address in found:
            raise BadUpgrades(f"{where}: {address} has signed it twice.")
        if not keys.verify(public_key, message, bytes.fromhex(item["signature"])):
            raise BadUpgrades(f"{where}: the signature of {address} does not fit it.")
        found[address] = (item["sealer"], item["signature"])
    return tuple(found.values())


def _lacking(stage: Stage, before: ChainSpec) -> NotAgreed | None:
    """Why an upgrade is not agreed; None: it is. `before`: the constants before it."""
    have, all_of_them = len(stage.signatures), len(before.sealers)
    if not all_of_them or 2 * have > all_of_them:
        return None
    return NotAgreed(
        f"The upgrade at height {stage.height} is signed by {have} of {all_of_them} sealers; it needs "
        f"{all_of_them // 2 + 1}."
    )


def _to_object(stage: Stage) -> dict[str, Any]:
    return {
        "height": stage.height,
        "changes": dict(stage.changes),
        "signatures": [{"sealer": name, "signature": signature} for name, signature in stage.signatures],
    }
