"""Methods about accounts and the token: balances, nonces, calls, estimates, at the tip or a recent height."""

from typing import Any

from api.rpc.errors import REFUSED, RpcError, invalid_params, reverted
from api.rpc.methods import method
from api.rpc.quantity import data, quantity, read_address, read_data, read_quantity, word
from api.rpc.tags import is_pending, read_height
from services.node import Node
from services.wallet_blocks import ZERO_ADDRESS
from shared import erc20
from shared.errors import RuleError
from shared.ethereum import GAS
from shared.ledger import Account

# What eth_getCode says of the token: one invalid instruction, so that wallets see a contract and nobody runs it.
TOKEN_CODE = b"\xfe"


@method("eth_getBalance", 1, 2)
def balance(node: Node, address: Any, tag: Any = None) -> str:
    return quantity(_account(node, read_address(address), tag).balance)


@method("eth_getTransactionCount", 1, 2)
def transaction_count(node: Node, address: Any, tag: Any = None) -> str:
    normal = read_address(address)
    nonce = _account(node, normal, tag).nonce
    if is_pending(tag):
        nonce = max(nonce, node.pool.next_nonce(normal) or 0)
    return quantity(nonce)


@method("eth_getCode", 1, 2)
def code(node: Node, address: Any, tag: Any = None) -> str:
    is_token = read_address(address) == node.settings.spec.token.address
    read_height(node, tag)
    return data(TOKEN_CODE) if is_token else "0x"


@method("eth_getStorageAt", 2, 3)
def storage(node: Node, address: Any, slot: Any, tag: Any = None) -> str:
    read_address(address)
    if isinstance(slot, str) and len(slot) == 66:
        read_data(slot, "slot", 32)
    else:
        read_quantity(slot, "slot")
    read_height(node, tag)
    return word(0)


@method("eth_call", 1, 3)
def call(node: Node, request: Any, tag: Any = None, overrides: Any = None) -> str:
    asked = _Call(request)
    height = read_height(node, tag)
    if asked.to != node.settings.spec.token.address:
        return "0x"  # no code there
    return data(_execute(node, asked, height))


@method("eth_estimateGas", 1, 3)
def estimate(node: Node, request: Any, tag: Any = None, overrides: Any = None) -> str:
    asked = _Call(request)
    height = read_height(node, tag)
    if asked.to is None:
        raise RpcError(REFUSED, "contract creation is not supported: this chain has one built-in token and no others")
    if asked.to == node.settings.spec.token.address:
        _execute(node, asked, height)
        function = erc20.decode_call(asked.input).function
        kinds = {"transfer": "token_transfer", "approve": "approve", "transferFrom": "transfer_from"}
        return quantity(GAS[kinds.get(function, "token_transfer")])
    if asked.input:
        raise RpcError(REFUSED, "there is no contract at that address")
    if asked.value > node.snapshots.account(asked.sender, height).balance and asked.value:
        raise RpcError(REFUSED, "insufficient funds for gas * price + value")
    return quantity(GAS["transfer"])


class _Call:
    """The parameters of a call. Unknown keys are passed over: libraries add their own."""

    def __init__(self, request: Any) -> None:
        if not isinstance(request, dict):
            raise invalid_params("a call is an object")
        to = request.get("to")
        self.to = None if to is None or to == "" else read_address(to, "to")
        sender = request.get("from")
        self.sender = ZERO_ADDRESS if sender is None else read_address(sender, "from")
        given = [request[name] for name in ("input", "data") if request.get(name) is not None]
        values = [read_data(item, "data") for item in given]
        if len(set(values)) > 1:
            raise invalid_params("input and data differ")
        self.input = values[0] if values else b""
        value = request.get("value")
        self.value = 0 if value is None else read_quantity(value, "value")


def _execute(node: Node, asked: _Call, height: int) -> bytes:
    """What the token returns, or why it reverts."""
    if asked.value:
        raise reverted("the token takes no value")
    try:
        called = erc20.decode_call(asked.input)
    except RuleError as error:
        raise reverted(error.message) from None
    token, ledger = node.settings.spec.token, node.snapshots
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


def _account(node: Node, address: str, tag: Any) -> Account:
    if tag is None or (isinstance(tag, str) and tag in ("latest", "pending")):
        return node.chain.account(address)  # the common case: one read
    return node.snapshots.account(address, read_height(node, tag))
