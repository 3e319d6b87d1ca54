"""The snapshots of a node as a part of a state file (services/store/snapshots.py)."""

import re
from typing import Any

from services.development.state_file import BadState
from services.store.records import fee_rank
from services.store.snapshot_copy import SnapshotCopy, WholeSnapshot
from services.store.snapshots import MOST, OWN_FIELDS
from shared import wire
from shared.errors import InputError, RuleError
from shared.hashing import is_hash
from shared.rules import Rules

_MEMBER = re.compile(r"[0-9a-f]{140}")
_TIME = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
_ENTRY = re.compile(r"(\S{1,64}) ([0-9]{1,16}) ([0-9]{1,12}(?:\.[0-9]{1,9})?) ([0-9]{1,4})\n(.+)", re.DOTALL)
_NAMES = {"id", "tip", "height", "at", "fields", "pool"}


class SnapshotsPart:
    """The snapshots of one node. Loading expects that there are none: the swap before it has removed them."""

    name = "snapshots"

    def __init__(self, copy: SnapshotCopy, rules: Rules) -> None:
        self._copy = copy
        self._rules = rules

    def dump(self) -> Any:
        """None if no snapshot was ever taken."""
        next_id, found = self._copy.read()
        if next_id == 0:
            return None
        kept = [
            {
                "id": item.id, "tip": item.tip, "height": item.height, "at": item.at,
                "fields": dict(item.fields), "pool": [[name, item.pool[name]] for name in sorted(item.pool)],
            }
            for item in found
        ]  # fmt: skip
        return {"next": next_id, "kept": kept}

    def check(self, value: Any) -> None:
        """Raises: BadState: the shapes are wrong, or a transaction is."""
        _require(isinstance(value, dict) and value.keys() == {"next", "kept"} and isinstance(value["kept"], list))
        _require(_is_number(value["next"]) and len(value["kept"]) <= MOST)
        last = -1
        for item in value["kept"]:
            _require(isinstance(item, dict) and item.keys() == _NAMES)
            _require(_is_number(item["id"]) and last < item["id"] < value["next"])
            last = item["id"]
            _require(is_hash(item["tip"]) and _is_number(item["height"]) and item["height"] >= 1)
            _require(isinstance(item["at"], str) and _TIME.fullmatch(item["at"]) is not None)
            fields = item["fields"]
            _require(isinstance(fields, dict) and not OWN_FIELDS & fields.keys())
            _require(all(isinstance(text, str) for text in fields.values()))
            _require(isinstance(item["pool"], list))
            for entry in item["pool"]:
                _require(isinstance(entry, list) and len(entry) == 2 and all(isinstance(text, str) for text in entry))
                self._check_entry(*entry)

    def _check_entry(self, member: str, entry: str) -> None:
        """What a revert puts back is mined without another look at its signature."""
        found = _ENTRY.fullmatch(entry)
        _require(found is not None and _MEMBER.fullmatch(member) is not None)
        assert found is not None
        try:
            transaction = self._rules.read_request(wire.parse(found[5].encode()))
        except (InputError, RuleError) as error:
            raise BadState(f"A transaction in a snapshot of the state cannot be used: {error.message}") from None
        _require((found[1], int(found[2])) == (transaction.sender, transaction.nonce))
        _require(member[:64] == fee_rank(transaction.fee) and member[-64:] == transaction.id)
        _require(found[5].encode() == transaction.canonical)

    def load(self, value: Any) -> None:
        if value is not None:
            kept = [WholeSnapshot(**{**item, "pool": dict(item["pool"])}) for item in value["kept"]]
            self._copy.write(value["next"], kept)


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _require(condition: bool) -> None:
    if not condition:
        raise BadState("The snapshots of the state are not as Quarry writes them.")
