"""Blocks and transactions as people name them: by height, by hash or id, or by its first digits."""

import re
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from api.cli.client import NodeClient, Refused
from api.cli.group import USAGE, Failure
from shared.hashing import is_hash

SHORTEST = 4  # digits
_BEGINNING = re.compile(rf"[0-9a-f]{{{SHORTEST},63}}")
_ADDRESS = re.compile(r"[0-9a-f]{40}")
_HEIGHT = re.compile(r"0|[1-9][0-9]{0,14}")
_LISTED = 4  # of several that fit
_SHOWN = 16  # digits of each

Kind = Literal["block", "transaction"]


@dataclass(frozen=True, slots=True)
class _Fits:
    """What begins with some digits."""

    blocks: tuple[str, ...]
    transactions: tuple[str, ...]
    reason: str = ""  # the node's, if nothing does


def find_transaction(client: NodeClient, text: str, name: str = "ID") -> str:
    """The id of the transaction that a user names by its id or by the first digits of it.

    A whole id is not looked up.

    Args:
        name: of the argument or option, for the message.

    Raises:
        Failure: it is no such name (exit code 2), or it fits none or several.
    """
    digits = _digits(text)
    if is_hash(digits):
        return digits
    if not _BEGINNING.fullmatch(digits):
        raise Failure(
            f"{name}: a transaction id is 64 hexadecimal digits; its first {SHORTEST} or more are enough.", USAGE
        )
    fits = _search(client, digits)
    if len(fits.transactions) == 1:
        return fits.transactions[0]
    if fits.transactions:
        raise Failure(_several("transactions", digits, fits.transactions))
    if fits.blocks:
        raise Failure(f"No transaction begins with {digits}, but a block does: `quarry chain show {digits}` shows it.")
    raise _unknown("transaction", digits, fits.reason)


def find_block(client: NodeClient, text: str) -> dict[str, Any]:
    """The block that a user names by height, `latest`, hash or the first digits of its hash; as `/blocks` shows it.

    Raises:
        Failure: it is no such name (exit code 2), or there is no such block, or several fit.
    """
    plain = text.strip().removeprefix("#").replace(",", "").lower()
    if _HEIGHT.fullmatch(plain) or plain == "latest":
        if (block := client.find(f"/blocks/{plain}")) is not None:
            return _block(block)
        if not _BEGINNING.fullmatch(plain):
            raise Failure(_no_height(client, plain))
    digits = _digits(plain)
    if is_hash(digits):
        if (block := client.find(f"/blocks/{digits}")) is not None:
            return _block(block)
        if client.find(f"/transactions/{digits}") is not None:
            raise Failure(f"That is the id of a transaction: `quarry tx {digits}` shows it.")
        raise Failure("The node has no block with this hash.")
    if not _BEGINNING.fullmatch(digits):
        raise Failure(
            f"A block is named by its height, such as 3, by `latest`, or by the first {SHORTEST} or more digits of its "
            "hash.",
            USAGE,
        )
    fits = _search(client, digits)
    if len(fits.blocks) == 1:
        return _block(client.get(f"/blocks/{fits.blocks[0]}"))
    if fits.blocks:
        raise Failure(_several("blocks", digits, fits.blocks))
    if fits.transactions:
        raise Failure(f"No block begins with {digits}, but a transaction does: `quarry tx {digits}` shows it.")
    if _HEIGHT.fullmatch(plain):
        raise Failure(_no_height(client, plain))
    raise _unknown("block", digits, fits.reason)


def _digits(text: str) -> str:
    """The digits of a hash as people copy it: in any case, with 0x, cut off with dots."""
    return re.sub(r"(?:\.\.\.|…).*\Z", "", text.strip().lower().removeprefix("0x"))


def _unknown(what: str, digits: str, reason: str) -> Failure:
    if _ADDRESS.fullmatch(digits):
        reason = f"No {what} begins so; it looks like an address, and `quarry balance 0x{digits}` shows what that has."
    return Failure(reason or f"The node knows no {what} that begins with {digits}.")


def _no_height(client: NodeClient, height: str) -> str:
    if height == "0":
        return "The first block of a chain, its genesis block, has height 1: `quarry chain show 1`."
    return f"There is no block {height}: the chain ends at block {int(client.get('/status')['height'])}."


def _block(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Failure("The node's answer is not a block.")
    return value


def _several(what: str, digits: str, names: tuple[str, ...]) -> str:
    shown = ", ".join(f"{item[:_SHOWN]}…" for item in names[:_LISTED])
    more = " and others" if len(names) > _LISTED else ""
    return f"Several {what} begin with {digits}: {shown}{more}; type more digits."


def _search(client: NodeClient, digits: str) -> _Fits:
    """What the node finds. If it is one thing, the node sends its page's address instead of a list."""
    try:
        found = client.redirected(f"/search?q={quote(digits)}")
    except Refused as error:
        if error.status != 404:
            raise
        return _Fits((), (), error.detail)
    if isinstance(found, str):
        page = re.search(r"/(block|tx)/(?:0x)?([0-9a-f]{64})(?:\?.*)?\Z", found)
        pairs = [] if page is None else [("block" if page[1] == "block" else "transaction", page[2])]
    else:
        try:
            pairs = [(item["kind"], item["name"]) for item in found["candidates"]]
        except (KeyError, TypeError):
            raise Failure("The node's answer is not a list of what it has found.") from None
    return _Fits(_named("block", pairs, digits), _named("transaction", pairs, digits))


def _named(kind: Kind, pairs: list[tuple[Any, Any]], digits: str) -> tuple[str, ...]:
    """The names of this kind that do begin with the digits: the node may be another program."""
    names = [name for found, name in pairs if found == kind and is_hash(name) and name.startswith(digits)]
    return tuple(dict.fromkeys(names))
