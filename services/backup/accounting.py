"""Tokens, vouchers, miners' work and payouts in a backup: what may stand there, and how a restore writes it.

What is kept of a secret is its SHA-256, so a backup gives nobody a token or a voucher. The kinds of items are those of
`services.store.accounting`.
"""

import math
import re
from collections.abc import Callable
from typing import Any

from services.backup.sealed import BadBackup
from services.mining import vouchers
from services.operators.names import check_name, compared_form
from services.operators.tokens import ADMIN, MOST_TOKENS, SCOPES
from services.store.accounting import OUTCOMES, AccountingStore, plan_of
from services.store.leases import STORED_OF_MINERS
from services.store.payouts import Payment
from services.store.tokens import TokenStore
from services.system.visible import is_plain
from shared.addresses import is_address
from shared.errors import InputError, RuleError
from shared.hashing import is_hash, is_hex
from shared.rules import Rules

_LONGEST = 40  # characters of a name
_LONGEST_ADDRESS = 64
_MOST_HASHES = 2**63 - 1
_MOST_TIME = 10**12  # Unix seconds
_WHOLE = re.compile(r"0|[1-9][0-9]{0,18}")
_AMOUNT = re.compile(r"[1-9][0-9]{0,77}")
_REAL = re.compile(r"[0-9][0-9.e+-]{0,39}")
_SHARE = re.compile(r"([1-9][0-9]{0,15}) (-|0x[0-9a-fA-F]{40}) (.{1,200})")
_MOST_PAYEES = 1_001
_VOUCHER_ID = 8  # bytes


def is_item(kind: str, value: Any) -> bool:
    """Whether a value can be an item of this kind. Signatures are judged where it is restored."""
    return _CHECKS[kind](value)


class Restorer:
    """Writes the items of a backup to the store of a node that does not run yet. `finish` ends it.

    Args:
        height: of the backup's tip.
    """

    def __init__(self, rules: Rules, tokens: TokenStore, store: AccountingStore, height: int) -> None:
        self._rules = rules
        self._tokens = tokens
        self._store = store
        self._height = height
        self._vouchers: set[str] = set()  # ids of those that are there now
        self._shares: list[str] = []
        self.tokens = self.vouchers = self.payouts = 0  # restored

    def take(self, kind: str, value: Any) -> None:
        """Write an item. Names that this release does not allow are left out, with what depends on them.

        Raises:
            BadBackup: a payment of a plan is none.
        """
        writers: dict[str, Callable[[Any], object]] = {
            "token": self._token,
            "voucher": self._voucher,
            "miner": self._miner,
            "share": self._shares.append,
            "payout": self._payout,
            "payee": self._store.put_payee,
            "payouts": self._store.put_ended,
        }
        writers[kind](value)

    def finish(self) -> None:
        """Write what can only be written as a whole."""
        self._store.put_shares(self._shares)

    def _token(self, item: dict[str, Any]) -> None:
        compared = _compared(item["name"])
        if compared is not None and compared != ADMIN:
            token = {name: item[name] for name in ("name", "scopes", "created_at")}
            outcome = self._tokens.add(compared, item["digest"], token, MOST_TOKENS)
            self.tokens += outcome == "done" or self._tokens.find(item["digest"]) is not None

    def _voucher(self, item: dict[str, Any]) -> None:
        compared = _compared(item["name"])
        if compared is not None and self._store.put_voucher(item, compared, vouchers.MOST_VOUCHERS):
            self._vouchers.add(item["id"])
            self.vouchers += 1

    def _miner(self, item: dict[str, Any]) -> None:
        if item["voucher"] in self._vouchers:
            self._store.put_miner(item)

    def _payout(self, item: dict[str, Any]) -> None:
        plan = item["plan"]
        payments = () if plan is None else tuple(self._payment(fields) for fields in plan["payments"])
        self._store.put_payout(item, None if plan is None else plan_of(plan, payments), self._height)
        self.payouts += 1

    def _payment(self, fields: Any) -> Payment:
        try:
            found = self._rules.read_request(fields)
        except (InputError, RuleError) as error:
            raise BadBackup(f"A payment of the backup cannot be used: {error.message}") from None
        return Payment(found.id, found.nonce, dict(fields))


def _compared(name: str) -> str | None:
    """A name in the form in which no two may be equal; None: this release does not allow it."""
    try:
        return compared_form(check_name(name))
    except InputError:
        return None


def _is_token(value: Any) -> bool:
    return (
        _has(value, "created_at", "digest", "name", "scopes")
        and is_hash(value["digest"])
        and _is_name(value["name"])
        and _is_time(value["created_at"])
        and isinstance(value["scopes"], list)
        and 0 < len(value["scopes"]) == len(set(map(str, value["scopes"])))
        and all(scope in SCOPES for scope in value["scopes"])
    )


def _is_voucher(value: Any) -> bool:
    return (
        _has(value, "code", "created_at", "id", "name", "secret")
        and is_hex(value["id"], _VOUCHER_ID)
        and _is_name(value["name"])
        and _is_time(value["created_at"])
        and is_hash(value["secret"])
        and (value["code"] == "" or is_hash(value["code"]))
    )


def _is_miner(value: Any) -> bool:
    return (
        _has(value, "done", "name", "seen", "voucher")
        and is_hex(value["voucher"], _VOUCHER_ID)
        and _is_name(value["name"])
        and _is_time(value["seen"])
        and isinstance(value["done"], dict)
        and all(_is_done(name, text) for name, text in value["done"].items())
    )


def _is_done(name: str, text: Any) -> bool:
    if name not in STORED_OF_MINERS or not isinstance(text, str):
        return False
    if name == "address":
        return len(text) <= _LONGEST_ADDRESS and is_plain(text)  # under the tutorial's rules, any text
    if name in ("squares", "expected"):
        return _REAL.fullmatch(text) is not None and _is_finite(text)
    return _WHOLE.fullmatch(text) is not None


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _is_share(value: Any) -> bool:
    return isinstance(value, str) and _SHARE.fullmatch(value) is not None and is_plain(value)


def _is_payout(value: Any) -> bool:
    return (
        _has(value, "block", "height", "plan", "shares")
        and is_hash(value["block"])
        and _is_whole(value["height"], 2**53)
        and isinstance(value["shares"], dict)
        and len(value["shares"]) <= _MOST_PAYEES
        and all(payee == "-" or is_address(payee) for payee in value["shares"])
        and all(_is_whole(hashes, _MOST_HASHES) for hashes in value["shares"].values())
        and (value["plan"] is None or _is_plan(value["plan"]))
    )


def _is_plan(value: Any) -> bool:
    return (
        _has(value, "lost", "payments")
        and isinstance(value["payments"], list)
        and 0 < len(value["payments"]) <= _MOST_PAYEES
        and (value["lost"] is None or _is_lost(value["lost"]))
    )


def _is_lost(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and _is_whole(value[0], 2**53)
        and is_hash(value[1])
        and isinstance(value[2], list)
        and len(value[2]) <= _MOST_PAYEES
        and all(map(is_hash, value[2]))
    )


def _is_payee(value: Any) -> bool:
    return (
        _has(value, "address", "block", "height", "paid", "payments", "since", "transaction")
        and is_address(value["address"])
        and isinstance(value["paid"], str)
        and _AMOUNT.fullmatch(value["paid"]) is not None
        and all(_is_whole(value[name], 2**53) for name in ("height", "payments", "since"))
        and is_hash(value["block"])
        and is_hash(value["transaction"])
    )


def _is_ended(value: Any) -> bool:
    return _has(value, *OUTCOMES) and all(_is_whole(count, 2**53) for count in value.values())


def _has(value: Any, *names: str) -> bool:
    return isinstance(value, dict) and value.keys() == set(names)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST and is_plain(value)


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < _MOST_TIME


def _is_whole(value: Any, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "token": _is_token,
    "voucher": _is_voucher,
    "miner": _is_miner,
    "share": _is_share,
    "payout": _is_payout,
    "payee": _is_payee,
    "payouts": _is_ended,
}
