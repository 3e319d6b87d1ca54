"""Methods about accounts and the token: balances, nonces, calls and estimates, at the tip or a recent height."""

import re
from typing import Any

from api.rpc.errors import REFUSED, RpcError, invalid_params, reason, reverted, to_nobody
from api.rpc.method_table import method
from api.rpc.quantity import data, quantity, read_address, read_data, read_quantity, word
from api.rpc.tags import is_pending, read_state_height
from services.node import Node
from shared import erc20
from shared.addresses import ZERO_ADDRESS
from shared.errors import RuleError
from shared.ethereum import GAS

# The answer of eth_getCode for the token: one invalid instruction, so wallets see a contract that cannot be run.
TOKEN_CODE = b"\xfe"
# Functions of the token that do not read the ledger.
_STATELESS = frozenset({"name", "symbol", "decimals", "approve"})
# Functions of the token whose last address receives coins, or an allowance.
_PAYING = frozenset({"transfer", "approve", "transferFrom"})
_SLOT = re.compile(r"0x[0-9a-fA-F]{0,64}")


@method("eth_getBalance", 1, 2)
def balance(node: Node, address: Any, tag: Any = None) -> str:
    return quantity(node.snapshots.account(read_address(address), read_state_height(node, tag)).balance)


@method("eth_getTransactionCount", 1, 2)
def transaction_count(node: Node, address: Any, tag: Any = None) -> str:
    normal = read_address(address)
    nonce = node.snapshots.account(normal, read_state_height(node, tag)).nonce
    if is_pending(tag):
        nonce = max(nonce, node.pool.next_nonce(normal) or 0)
    return quantity(nonce)


@method("eth_getCode", 1, 2)
def code(node: Node, address: Any, tag: Any = None) -> str:
    is_token = read_address(address) == node.settings.spec.token.address
    node.snapshots.require_height(read_state_height(node, tag))
    return data(TOKEN_CODE) if is_token else "0x"


@method("eth_getStorageAt", 2, 3)
def storage(node: Node, address: Any, slot: Any, tag: Any = None) -> str:
    read_address(address)
    if type(slot) is not int and not (isinstance(slot, str) and _SLOT.fullmatch(slot)):
        raise invalid_params("slot must be a hex number of at most 32 bytes")
    node.snapshots.require_height(read_state_height(node, tag))
    return word(0)


@method("eth_call", 1, 3)
def call(node: Node, request: Any, tag: Any = None, overrides: Any = None) -> str:
    asked, height = _asked(node, request, tag, overrides)
    if asked.to != node.settings.spec.token.address:
        node.snapshots.require_height(height)
        return "0x"  # no code there
    return data(_execute(node, asked, height))


@method("eth_estimateGas", 1, 3)
def estimate(node: Node, request: Any, tag: Any = None, overrides: Any = None) -> str:
    asked, height = _asked(node, request, tag, overrides)
    if asked.to == node.settings.spec.token.address:
        _execute(node, asked, height)
        return quantity(_token_gas(asked))
    if asked.input:
        raise RpcError(REFUSED, "there is no contract at that address")
    assert asked.to is not None, "`_asked` refuses contract creation"
    node.rules.check_payee(asked.to, field="to")
    balance = node.snapshots.account(asked.sender, height).balance
    if asked.has_sender and asked.value > balance:
        raise RpcError(REFUSED, "insufficient funds for gas * price + value")
    return quantity(GAS["transfer"])


def _asked(node: Node, request: Any, tag: Any, overrides: Any) -> tuple["_Call", int | None]:
    asked = _Call(request)
    # Ignoring them would give a wrong answer.
    if overrides:
        raise invalid_params("state overrides are not supported")
    if asked.to is None:
        # As a revert, with its reason as data: libraries show only that to whoever deploys a contract.
        raise reverted("contract creation is not supported: this chain has one built-in token and no others")
    return asked, read_state_height(node, tag)


def _token_gas(asked: "_Call") -> int:
    """The gas of a token call in a transaction. Functions that only read are refused there."""
    kind = {"transfer": "token_transfer", "approve": "approve", "transferFrom": "transfer_from"}
    function = erc20.decode_call(asked.input).function
    if function not in kind:
        raise RpcError(REFUSED, f"{function} only reads: ask it with eth_call, without a transaction")
    return GAS[kind[function]]


class _Call:
    """The parameters of a call. Unknown keys are ignored, since libraries add their own."""

    def __init__(self, request: Any) -> None:
        if not isinstance(request, dict):
            raise invalid_params("a call is an object")
        to = request.get("to")
        self.to = None if to is None or to == "" else read_address(to, "to")
        sender = request.get("from")
        self.has_sender = sender is not None
        self.sender = ZERO_ADDRESS if sender is None else read_address(sender, "from")
        given = [request[name] for name in ("input", "data") if request.get(name) is not None]
        values = [read_data(item, "data") for item in given]
        if len(set(values)) > 1:
            raise invalid_params("input and data differ")
        self.input = values[0] if values else b""
        value = request.get("value")
        self.value = 0 if value is None else read_quantity(value, "value")


def _execute(node: Node, asked: _Call, height: int | None) -> bytes:
    """The return value of a token call. Raises: RpcError, the reason of a revert."""
    if asked.value:
        raise reverted("A call of the token must not send value besides")
    try:
        called = erc20.decode_call(asked.input)
    except RuleError as error:
        raise reverted(reason(error)) from None
    token, ledger = node.settings.spec.token, node.snapshots
    if called.function in _PAYING:
        try:
            node.rules.check_payee(called.addresses[-1], field="to")
        except RuleError:
            raise to_nobody(called.function, called.addresses[-1]) from None
    if called.function in _STATELESS:
        ledger.require_height(height)  # the other functions check the height when they read
    match called.function, called.addresses:
        case "name", _:
            return erc20.encode_string(token.name)
        case "symbol", _:
            return erc20.encode_string(token.symbol)
        case "decimals", _:
            return erc20.encode_uint256(token.decimals)
        case "totalSupply", _:
            return erc20.encode_uint256(ledger.supply(height))
        case "balanceOf", (address,):
            return erc20.encode_uint256(ledger.account(address, height).balance)
        case "allowance", (owner, spender):
            return erc20.encode_uint256(ledger.allowance(owner, spender, height))
        case "transfer", _:
            if ledger.account(asked.sender, height).balance < called.amount:
                raise reverted("ERC20: transfer amount exceeds balance")
        case "transferFrom", (owner, _):
            if ledger.allowance(owner, asked.sender, height) < called.amount:
                raise reverted("ERC20: insufficient allowance")
            if ledger.account(owner, height).balance < called.amount:
                raise reverted("ERC20: transfer amount exceeds balance")
    return erc20.encode_bool(True)
