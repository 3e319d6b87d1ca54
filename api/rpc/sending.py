"""Transactions as clients describe them: what is left out is filled in, as geth and anvil do."""

from dataclasses import dataclass
from typing import Any

from api.rpc import state
from api.rpc.chain import suggested_price
from api.rpc.errors import REFUSED, RpcError, invalid_params
from api.rpc.method_table import method
from api.rpc.quantity import data, quantity, read_address, read_data, read_quantity
from services.node import Node
from shared.addresses import ZERO_ADDRESS
from shared.errors import RuleError
from shared.ethereum import ACCESS_LIST, DYNAMIC_FEE, LEGACY, MAX_RAW_BYTES, Fields, unsigned_raw
from shared.hashing import keccak256


@dataclass(frozen=True, slots=True)
class Wanted:
    """A transaction that a client asks for. None: left out. Prices are base units per gas."""

    sender: str | None  # EIP-55
    to: str  # EIP-55
    value: int
    input: bytes
    gas: int | None
    nonce: int | None
    envelope: int
    price: int  # the gas price, or the priority fee
    max_fee: int | None  # EIP-1559 only

    def fields(self, node: Node, sender: str, nonce: int) -> Fields:
        """The fields of the raw transaction.

        Raises:
            RpcError: the gas was left out, and the transaction would fail.
        """
        return Fields(
            chain_id=node.settings.spec.chain_id,
            nonce=nonce,
            to=self.to,
            gas=self._estimated(node, sender) if self.gas is None else self.gas,
            gas_price=self.price,
            value=self.value,
            input=self.input,
            envelope=self.envelope,
            max_fee_per_gas=self.max_fee,
        )

    def _estimated(self, node: Node, sender: str) -> int:
        call = {"from": sender, "to": self.to, "value": quantity(self.value), "input": data(self.input)}
        return int(state.estimate(node, call), 16)


def read_wanted(node: Node, request: Any) -> Wanted:
    """Read a transaction object. Unknown keys are ignored, since libraries add their own.

    Raises:
        RpcError: a field has the wrong type, or there can be no such transaction here.
        RuleError: `contract_creation`, `access_list_not_empty`.
    """
    if not isinstance(request, dict):
        raise invalid_params("a transaction is an object")
    given = {name: value for name, value in request.items() if value is not None}
    numbers = {
        name: read_quantity(given[name], name)
        for name in ("type", "chainId", "nonce", "gas", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "value")
        if name in given
    }
    sender = read_address(given["from"], "from") if "from" in given else None
    call = _input(given)
    envelope = _envelope(given, numbers)
    chain_id = node.settings.spec.chain_id
    if numbers.get("chainId", chain_id) != chain_id:
        raise RpcError(REFUSED, f"chainId does not match node's (have={numbers['chainId']}, want={chain_id})")
    if given.get("to") in (None, ""):
        raise RuleError(
            "contract_creation", "There are no contracts to create here: the transaction needs a recipient."
        )
    price, max_fee = _prices(node, numbers, envelope)
    return Wanted(
        sender=sender,
        to=read_address(given["to"], "to"),
        value=numbers.get("value", 0),
        input=call,
        gas=numbers.get("gas"),
        nonce=numbers.get("nonce"),
        envelope=envelope,
        price=price,
        max_fee=max_fee,
    )


def _input(given: dict[str, Any]) -> bytes:
    values = [read_data(given[name], name) for name in ("input", "data") if name in given]
    if len(set(values)) > 1:
        raise invalid_params('both "data" and "input" are set and not equal')
    if values and len(values[0]) > MAX_RAW_BYTES:
        raise RuleError("transaction_too_large", f"A raw transaction is at most {MAX_RAW_BYTES} bytes.")
    return values[0] if values else b""


def _envelope(given: dict[str, Any], numbers: dict[str, int]) -> int:
    """The envelope that the client names, or that its fields are of."""
    if any(name in given for name in ("blobs", "blobVersionedHashes", "maxFeePerBlobGas", "authorizationList")):
        raise RpcError(REFUSED, "transaction type not supported")
    has_list, has_caps = "accessList" in given, {"maxFeePerGas", "maxPriorityFeePerGas"} & set(numbers)
    if has_list and not isinstance(given["accessList"], list):
        raise invalid_params("accessList must be a list")
    if given.get("accessList"):
        raise RuleError("access_list_not_empty", "The access list must be empty: there is no storage to list.")
    if "gasPrice" in numbers and has_caps:
        raise RpcError(REFUSED, "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
    fitting = DYNAMIC_FEE if "gasPrice" not in numbers else ACCESS_LIST if has_list else LEGACY
    envelope = numbers.get("type", fitting)
    if envelope not in (LEGACY, ACCESS_LIST, DYNAMIC_FEE):
        raise RpcError(REFUSED, "transaction type not supported")
    if (envelope == DYNAMIC_FEE and "gasPrice" in numbers) or (envelope != DYNAMIC_FEE and has_caps):
        raise invalid_params("the fees do not fit the type of the transaction")
    return envelope


def _prices(node: Node, numbers: dict[str, int], envelope: int) -> tuple[int, int | None]:
    """The gas price or priority fee, and the maximum fee; what is left out is a price that this node admits."""
    usual = suggested_price(node)
    if envelope != DYNAMIC_FEE:
        return numbers.get("gasPrice", usual), None
    cap = numbers.get("maxFeePerGas")
    tip = numbers.get("maxPriorityFeePerGas", usual if cap is None else min(usual, cap))
    cap = tip if cap is None else cap
    if tip > cap:
        raise RpcError(REFUSED, f"maxFeePerGas ({cap}) < maxPriorityFeePerGas ({tip})")
    return tip, cap


def next_nonce(node: Node, address: str) -> int:
    """The first nonce that neither the account nor its waiting transactions have used."""
    return max(node.chain.account(address).nonce, node.pool.next_nonce(address) or 0)


@method("eth_fillTransaction", 1)
def fill(node: Node, request: Any) -> dict[str, Any]:
    """What is left out, filled in, for a client that signs itself: geth's `{raw, tx}`, without a signature."""
    wanted = read_wanted(node, request)
    sender = wanted.sender or ZERO_ADDRESS
    fields = wanted.fields(node, sender, next_nonce(node, sender) if wanted.nonce is None else wanted.nonce)
    raw = unsigned_raw(fields)
    shown: dict[str, Any] = {
        "type": quantity(fields.envelope),
        "chainId": quantity(fields.chain_id),
        "nonce": quantity(fields.nonce),
        "to": fields.to,
        "gas": quantity(fields.gas),
        "gasPrice": None,
        "maxPriorityFeePerGas": None,
        "maxFeePerGas": None,
        "value": quantity(fields.value),
        "input": data(fields.input),
        "v": "0x0",
        "r": "0x0",
        "s": "0x0",
        "hash": data(keccak256(raw)),
    }
    if fields.envelope != LEGACY:
        shown |= {"accessList": [], "yParity": "0x0"}
    if fields.max_fee_per_gas is None:
        shown["gasPrice"] = quantity(fields.gas_price)
    else:
        shown["maxPriorityFeePerGas"] = quantity(fields.gas_price)
        shown["maxFeePerGas"] = quantity(fields.max_fee_per_gas)
    return {"raw": data(raw), "tx": shown}
