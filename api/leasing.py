"""Leases as miners ask for them: how requests are read, and how answers look. Both HTTP servers use it: `api/rest/`
and `api/door/`.
"""

import json
import re
from typing import Any, Final

from services.mining.leases import MOST_SHARES, Asked, Handed, Reported, UnknownVoucher
from services.node import Node
from services.store.leases import Lease
from services.system.visible import is_plain
from shared.addresses import parse_address
from shared.errors import InputError, ShapeError
from shared.hash_rate import MAX_HASH_RATE
from shared.wire import MAX_INTEGER

LONGEST_NAME: Final = 40  # characters
# Seconds after which a miner may ask again while no round is open.
RETRY_SECONDS: Final = 1
# Seconds between the beginnings of two batches of requests that are answered together, in either server.
PACE: Final = 0.02
_LEASE_ID = re.compile(r"[0-9a-f]{32}")
_USUAL_WAIT = re.compile(r"(wait=(60|[0-5]?[0-9](\.[0-9]{1,9})?))?")
_WANTED = 'Send {"name": "…", "rate": HASHES_PER_SECOND}, and if you like "address": "0x…".'
_REPORT = 'Send {"shares": [PROOF, …], "hashes": NUMBER}.'


def secret_of(authorization: str | None) -> str:
    """The voucher of an Authorization header. Raises: UnknownVoucher."""
    kind, _, secret = (authorization or "").strip().partition(" ")
    secret = secret.strip()
    if kind.lower() != "bearer" or not secret or len(secret) > 256:
        raise UnknownVoucher("This needs a voucher (Authorization: Bearer …).")
    return secret


def is_lease_id(text: str) -> bool:
    """Whether a lease can have this id."""
    return _LEASE_ID.fullmatch(text) is not None


def is_usual_wait(query: str) -> bool:
    """Whether a query is empty, or nothing but a good `wait=` in the usual form."""
    return _USUAL_WAIT.fullmatch(query) is not None


def read_wanted(node: Node, secret: str, body: Any) -> Asked:
    """What the body of `POST /leases` asks for, with the voucher.

    Raises:
        InputError: `not_an_object`, `bad_name`, `bad_hash_rate`, `bad_address`, `bad_checksum`.
        ShapeError: `wrong_fields`.
        RuleError: `bad_recipient`.
    """
    if not isinstance(body, dict):
        raise InputError("not_an_object", _WANTED)
    if not {"name", "rate"} <= body.keys() <= {"name", "address", "rate"}:
        raise ShapeError("wrong_fields", _WANTED)
    name, rate, address = body["name"], body["rate"], body.get("address")
    if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_NAME or not is_plain(name) or name != name.strip():
        raise InputError("bad_name", f"name must be 1 to {LONGEST_NAME} visible characters.", field="name")
    if type(rate) is not int or not 1 <= rate <= MAX_HASH_RATE:
        raise InputError("bad_hash_rate", f"rate must be hashes per second, 1 to {MAX_HASH_RATE}.", field="rate")
    if address is None:
        return Asked(secret, name, "", rate)
    if node.rules.has_accounts:
        address = parse_address(address, field="address")
    elif not isinstance(address, str) or not 1 <= len(address) <= LONGEST_NAME or not is_plain(address):
        raise InputError("bad_address", "address must be a recipient of this chain.", field="address")
    node.rules.check_payee(address, field="address")
    return Asked(secret, name, address, rate)


def read_report(secret: str, lease_id: str, body: Any) -> Handed:
    """What a report hands in. A `lease_id` that no lease can have is as one that none has.

    Raises:
        InputError: `not_an_object`, `bad_batch_size`, `bad_number`.
        ShapeError: `wrong_fields`.
    """
    if not isinstance(body, dict):
        raise InputError("not_an_object", _REPORT)
    if body.keys() != {"shares", "hashes"}:
        raise ShapeError("wrong_fields", _REPORT)
    shares, hashes = body["shares"], body["hashes"]
    if not isinstance(shares, list) or len(shares) > MOST_SHARES:
        raise InputError("bad_batch_size", f"shares must be a list of at most {MOST_SHARES} proofs.", field="shares")
    if not all(type(share) is int for share in shares):
        raise InputError("bad_number", "Each share must be a whole number.", field="shares")
    if type(hashes) is not int or not 0 <= hashes <= MAX_INTEGER:
        raise InputError("bad_number", "hashes must be a whole number from 0 to 2^53 - 1.", field="hashes")
    return Handed(secret, lease_id if is_lease_id(lease_id) else "", shares, hashes)


def tip_event(tip: str, height: int) -> str:
    """The server-sent event of a tip: its hash and its height."""
    return f"event: tip\ndata: {json.dumps({'tip': tip, 'height': height})}\n\n"


def represent_lease(lease: Lease) -> dict[str, Any]:
    """A lease as its miner gets it."""
    return {
        "lease": lease.id,
        "round": lease.round_id,
        "height": lease.height,
        "tip": lease.parent,
        "seal": lease.prefix.decode(),
        "difficulty": lease.difficulty,
        "share_difficulty": lease.share_difficulty,
        "start": lease.proofs.start,
        "stop": lease.proofs.stop,
        "expires": lease.expires,
    }


def lease_json(lease: Lease) -> bytes:
    """`represent_lease` as JSON, in a third of the time: its texts are hexadecimal. A test compares the two."""
    return (
        f'{{"lease":"{lease.id}","round":"{lease.round_id}","height":{lease.height},"tip":"{lease.parent}",'
        f'"seal":"{lease.prefix.decode()}","difficulty":{lease.difficulty},'
        f'"share_difficulty":{lease.share_difficulty},"start":{lease.proofs.start},"stop":{lease.proofs.stop},'
        f'"expires":{lease.expires}}}'
    ).encode()


def report_json(reported: Reported) -> bytes:
    """`represent_report` as JSON, in the same way."""
    sealed = "null" if reported.sealed is None else f'"{reported.sealed}"'
    return (
        f'{{"accepted":{reported.accepted},"rejected":{reported.rejected},"credited":{reported.credited},'
        f'"sealed":{sealed},"stale":{"true" if reported.is_stale else "false"}}}'
    ).encode()


def represent_report(reported: Reported) -> dict[str, Any]:
    """What a report has brought, as its miner is told."""
    return {
        "accepted": reported.accepted,
        "rejected": reported.rejected,
        "credited": reported.credited,
        "sealed": reported.sealed,
        "stale": reported.is_stale,
    }
