"""The lines that `quarry up` prints for what happens on its nodes, and how many of them it prints at most.

Addresses and hashes are shortened, so that a block or a transaction is one line of 80 columns. Text of strangers is
made safe and cut.
"""

import ast
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from api.cli import terminal

# Lines of each kind in a second. What is beyond is counted, and told in one line.
MOST_LINES = 5
_SECOND = 1.0
# What the API logs (api/rpc/error_log.py), as services/system/logs.py writes it for people.
_CONSOLE = re.compile(r"\S+ \[\w+ *\] rpc_error +code=(-?\d+) left_out=(\d+) method=(\S+) reason=(.*)")
_NAME_WIDTH = 20  # columns of a name
# The name of an address that this user has a key for; "" for others.
NameOf = Callable[[Any], str]
_REWARD = re.compile(rb'"transactions": ?\[')
_LARGEST = 65_536  # bytes of a block in which its reward is looked for


@dataclass(frozen=True, slots=True)
class RpcFailure:
    """An error that JSON-RPC answered with, and how many before it were not logged."""

    code: int
    left_out: int
    method: str
    reason: str


class Pace:
    """How many lines of one kind are printed: a few in each second, and then one with the number of the others.

    Args:
        one, many: what is counted, such as `block` and `blocks`.
    """

    def __init__(self, one: str, many: str) -> None:
        self._one, self._many = one, many
        self._began = float("-inf")
        self._printed = 0
        self._left = 0

    def admits(self, now: float) -> bool:
        """Whether one more line may be printed at `now` (seconds of any clock). If not, it is counted."""
        if now - self._began >= _SECOND and not self._left:
            self._began, self._printed = now, 0
        if self._left or self._printed >= MOST_LINES:
            self._left += 1
            return False
        self._printed += 1
        return True

    def leave_out(self, number: int) -> None:
        """Count further ones that are known by their number only."""
        self._left += number

    def summary(self, now: float) -> str:
        """The line for those that were counted, once their second is over; "" before that, or without any."""
        if not self._left or now - self._began < _SECOND:
            return ""
        line = f"+ {self._left:,} {self._one if self._left == 1 else self._many} in {max(1, now - self._began):.0f} s"
        self._began, self._printed, self._left = now, 0, 0
        return line


def stamped(text: str, *, node: str, at: float, width: int) -> list[str]:
    """A line with its time of day, and its node's name if there are several, as lines of at most `width` columns.

    What does not fit three lines is cut off.

    Args:
        node: "" if there is only one. at: Unix seconds.
    """
    head = f"{time.strftime('%H:%M:%S', time.localtime(at))} {node and f'{node} '}"
    room = 3 * width - 2 * min(len(head), width // 2)
    return terminal.folded(terminal.cut(f"{head}{text}", room), width, len(head))[:3]


def block_line(
    height: int, block_hash: str, transactions: int | None, miner: str, name_of: NameOf = lambda address: ""
) -> str:
    """A new block. Its reward is not counted as a transaction.

    Args:
        transactions: the reward included; None: unknown. miner: "" if unknown.
        name_of: see `NameOf`.
    """
    line = f"block {height}  0x{block_hash[:12]}"
    if transactions is not None:
        number = max(0, transactions - 1)
        line += f"  {number:,} transaction{'' if number == 1 else 's'}"
    return line + (f"  miner {_party(miner, name_of)}" if miner else "")


def reorganisation_line(fork: int, height: int, tip: str) -> str:
    """Another branch has become the chain."""
    return f"reorganisation after block {fork}: block {height} 0x{tip[:12]} is the tip"


def transaction_line(
    identifier: str, fields: Mapping[str, Any] | None, symbol: str, name_of: NameOf = lambda address: ""
) -> str:
    """An admitted transaction.

    Args:
        fields: the transaction; None: it is known by its id only.
        name_of: see `NameOf`.
    """
    line = f"transaction 0x{identifier[:12]}"
    if fields is None:
        return line
    amount = f"{fields.get('amount')} {symbol}"
    kind = fields.get("type")
    what = amount if kind == "transfer" else f"{kind} {amount}"
    return f"{line}  {_party(fields.get('sender'), name_of)} to {_party(fields.get('recipient'), name_of)}  {what}"


def rpc_error_line(failure: RpcFailure) -> str:
    """An error of JSON-RPC."""
    return f"RPC error {failure.code} {failure.method}: {failure.reason}"


def read_rpc_error(line: str) -> RpcFailure | None:
    """The error in a line of the API's log, in either format; None: the line says something else."""
    try:
        if line.startswith("{"):
            entry = json.loads(line)
            if entry.get("event") != "rpc_error":
                return None
            return RpcFailure(int(entry["code"]), int(entry["left_out"]), str(entry["method"]), str(entry["reason"]))
        found = _CONSOLE.fullmatch(line)
        return None if found is None else RpcFailure(int(found[1]), int(found[2]), found[3], _unquoted(found[4]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _unquoted(text: str) -> str:
    """A value of a log line for people: one with blanks is written as Python writes strings."""
    try:
        return str(ast.literal_eval(text)) if text[:1] in ("'", '"') else text
    except (ValueError, SyntaxError):
        return text


def miner_of(block: bytes | None) -> str:
    """Who gets the reward of a canonical block; "" if it cannot be read.

    The reward is the first transaction, so the others, of which there may be thousands, are not parsed.
    """
    found = None if block is None else _REWARD.search(block[:_LARGEST])
    if block is None or found is None:
        return ""
    try:
        reward, _ = json.JSONDecoder().raw_decode(
            block[found.end() : found.end() + _LARGEST].decode("ascii", "replace")
        )
        return str(reward["recipient"])
    except (ValueError, KeyError, TypeError):
        return ""


def _party(address: Any, name_of: NameOf) -> str:
    """An own name instead of the address, which is shortened and could not be copied anyway."""
    name = name_of(address)
    return terminal.cut(name, _NAME_WIDTH) if name else _short(address)


def _short(address: Any) -> str:
    text = str(address)
    return f"{text[:6]}…{text[-4:]}" if len(text) > 12 else text
