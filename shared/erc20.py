"""The token in the form of an ERC-20 contract: call data, return values, logs.

There is no contract and no virtual machine. Call data is a selector and 32-byte words (Solidity ABI), so each call has
exactly one encoding; everything else is refused.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from shared.addresses import checksummed
from shared.errors import RuleError
from shared.hashing import keccak256

WORD = 32
BLOOM_BYTES = 256


def selector(signature: str) -> bytes:
    """The 4 bytes that name a function in call data. `signature` is, for example, `transfer(address,uint256)`."""
    return keccak256(signature.encode())[:4]


TRANSFER = selector("transfer(address,uint256)")
APPROVE = selector("approve(address,uint256)")
TRANSFER_FROM = selector("transferFrom(address,address,uint256)")
NAME = selector("name()")
SYMBOL = selector("symbol()")
DECIMALS = selector("decimals()")
TOTAL_SUPPLY = selector("totalSupply()")
BALANCE_OF = selector("balanceOf(address)")
ALLOWANCE = selector("allowance(address,address)")
ERROR = selector("Error(string)")

TRANSFER_TOPIC = keccak256(b"Transfer(address,address,uint256)")
APPROVAL_TOPIC = keccak256(b"Approval(address,address,uint256)")

# Per selector: name, number of address arguments, whether an amount follows them.
_FUNCTIONS = {
    TRANSFER: ("transfer", 1, True),
    APPROVE: ("approve", 1, True),
    TRANSFER_FROM: ("transferFrom", 2, True),
    NAME: ("name", 0, False),
    SYMBOL: ("symbol", 0, False),
    DECIMALS: ("decimals", 0, False),
    TOTAL_SUPPLY: ("totalSupply", 0, False),
    BALANCE_OF: ("balanceOf", 1, False),
    ALLOWANCE: ("allowance", 2, False),
}


@dataclass(frozen=True, slots=True)
class TokenCall:
    """One decoded call of the token."""

    function: str  # as in Solidity: transfer, approve, transferFrom, name, symbol, decimals, ...
    addresses: tuple[str, ...] = ()  # EIP-55, in the order of the signature
    amount: int = 0  # base units; 0 where the function takes none


class Log(NamedTuple):  # made in half the time of a dataclass
    """An event of the token, as receipts show it."""

    address: str  # the token, EIP-55
    topics: tuple[bytes, ...]  # 32 bytes each; the first names the event
    data: bytes


def decode_call(data: bytes) -> TokenCall:
    """The call that `data` encodes.

    Raises:
        RuleError: `unknown_selector`; `bad_call_data` for a wrong length or an address that is not zero-padded.
    """
    if len(data) < 4:
        raise RuleError("bad_call_data", "Call data is shorter than a function selector.")
    function = _FUNCTIONS.get(data[:4])
    if function is None:
        raise RuleError("unknown_selector", "The token has no function with this selector.")
    name, addresses, has_amount = function
    if len(data) != 4 + WORD * (addresses + has_amount):
        raise RuleError("bad_call_data", "Call data has the wrong length for its function.")
    return TokenCall(
        name,
        tuple(_address(data[4 + WORD * i : 4 + WORD * (i + 1)]) for i in range(addresses)),
        int.from_bytes(data[-WORD:], "big") if has_amount else 0,
    )


def _address(word: bytes) -> str:
    # As in Solidity. Otherwise the bits above an address would give one call many encodings.
    if any(word[:12]):
        raise RuleError("bad_call_data", "An address in call data is not padded with zeros.")
    return checksummed(word[12:])


def encode_transfer(recipient: str, amount: int) -> bytes:
    """Call data of `transfer`. Addresses here are `0x` + 40 digits, amounts base units below 2^256."""
    return TRANSFER + _address_word(recipient) + encode_uint256(amount)


def encode_approve(spender: str, amount: int) -> bytes:
    """Call data of `approve`."""
    return APPROVE + _address_word(spender) + encode_uint256(amount)


def encode_transfer_from(owner: str, recipient: str, amount: int) -> bytes:
    """Call data of `transferFrom`."""
    return TRANSFER_FROM + _address_word(owner) + _address_word(recipient) + encode_uint256(amount)


def encode_uint256(value: int) -> bytes:
    """One word.

    Raises:
        OverflowError: `value` is below 0 or not below 2^256, which is a bug of the caller.
    """
    return value.to_bytes(WORD, "big")


def encode_bool(value: bool) -> bytes:
    """One word, 0 or 1."""
    return encode_uint256(int(value))


def encode_string(text: str) -> bytes:
    """A returned string: its offset, its length in bytes, and its UTF-8 padded to whole words."""
    data = text.encode()
    return encode_uint256(WORD) + encode_uint256(len(data)) + data + bytes(-len(data) % WORD)


def encode_error(reason: str) -> bytes:
    """Revert data with a reason, as `require(condition, reason)` produces it."""
    return ERROR + encode_string(reason)


def transfer_log(token: str, sender: str, recipient: str, amount: int) -> Log:
    """The `Transfer` event. `sender` pays the amount; for transferFrom that is the owner."""
    return Log(token, (TRANSFER_TOPIC, _address_word(sender), _address_word(recipient)), encode_uint256(amount))


def approval_log(token: str, owner: str, spender: str, amount: int) -> Log:
    """The `Approval` event. `amount` is the new allowance."""
    return Log(token, (APPROVAL_TOPIC, _address_word(owner), _address_word(spender)), encode_uint256(amount))


def bloom(logs: Iterable[Log]) -> bytes:
    """The 256-byte bloom filter over the addresses and topics of `logs` (Yellow Paper, 4.3.1)."""
    bits = 0
    for log in logs:
        bits |= _bloom_bits(bytes.fromhex(log.address[2:]))
        for topic in log.topics:
            bits |= _bloom_bits(topic)
    return bits.to_bytes(BLOOM_BYTES, "big")


@lru_cache(maxsize=8192)  # the token and the event names recur in every log, busy accounts in many
def _bloom_bits(item: bytes) -> int:
    digest = keccak256(item)
    bits = 0
    for i in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[i : i + 2], "big") % (8 * BLOOM_BYTES))
    return bits


@lru_cache(maxsize=8192)
def _address_word(address: str) -> bytes:
    return bytes(12) + bytes.fromhex(address[2:])
