"""JSON-RPC errors. Clients match codes and messages, so both are geth's where geth has them."""

from typing import Any

from services.chain.snapshots import HeightUnknown, StateUnavailable
from services.errors import Busy, Pruned
from shared import erc20
from shared.addresses import ZERO_ADDRESS
from shared.errors import NodeError, Refusal, RuleError

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
# Clients retry after this code, so it is for faults of the node and never for a refusal.
INTERNAL_ERROR = -32603
# Clients retry after this code too: the node has too much to send at the moment.
LIMIT_EXCEEDED = -32005
# geth's code for requests whose answers do not fit into a batch.
RESPONSE_TOO_LARGE = -32003
REFUSED = -32000
REVERTED = 3
# geth's, for blocks whose bodies or receipts it does not keep.
PRUNED = 4444

_MESSAGES = {
    "insufficient_funds": "insufficient funds for gas * price + value",
    "nonce_too_low": "nonce too low",
    "nonce_too_far": "nonce too high",
    "nonce_too_high": "nonce has max value",
    "replacement_underpriced": "replacement transaction underpriced",
    "too_many_replacements": "replacement transaction underpriced",
    "wrong_chain_id": "invalid chain id for signer",
    "bad_chain_id": "invalid chain id for signer",
    "priority_above_max": "max priority fee per gas higher than max fee per gas",
    "unsupported_type": "transaction type not supported",
    "unprotected_transaction": "only replay-protected (EIP-155) transactions allowed over RPC",
    "intrinsic_gas_too_low": "intrinsic gas too low",
    "gas_too_low": "intrinsic gas too low",
    "fee_too_low": "transaction underpriced",
    "mempool_full": "txpool is full",
}


# Codes of refusals that a contract would make as a revert.
_REVERTS = frozenset({"unknown_selector", "bad_call_data", "token_takes_no_value"})


class RpcError(Exception):
    """One error object of a JSON-RPC response."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def to_object(self) -> dict[str, Any]:
        error = {"code": self.code, "message": self.message}
        return error if self.data is None else {**error, "data": self.data}


def invalid_params(message: str) -> RpcError:
    return RpcError(INVALID_PARAMS, message)


def reverted(reason: str) -> RpcError:
    """The error of a token call that would fail, with its reason encoded as by a contract."""
    return RpcError(REVERTED, f"execution reverted: {reason}", "0x" + erc20.encode_error(reason).hex())


def to_nobody(kind: str, address: str) -> RpcError:
    """The error of a token call that would send coins to an address without a key, or allow it to take them."""
    verb = "approve" if kind == "approve" else "transfer"
    whose = "the zero address" if address == ZERO_ADDRESS else "the token's own address"
    return reverted(f"ERC20: {verb} to {whose}")


def reason(error: RuleError) -> str:
    """The sentence of a refusal without its full stop, as contracts write reasons."""
    return error.message.rstrip(".")


def refusal(error: NodeError) -> RpcError:
    """The error for a refusal by the node. Its code makes clients retry only if that can help."""
    if isinstance(error, RuleError):
        if error.code == "insufficient_allowance":
            return reverted("ERC20: insufficient allowance")
        if error.code in _REVERTS:
            return reverted(reason(error))
    if isinstance(error, Busy) and error.code == "too_many_answers":
        return RpcError(LIMIT_EXCEEDED, error.message)
    if isinstance(error, Refusal):
        return RpcError(REFUSED, _MESSAGES.get(error.code, error.message))
    if isinstance(error, Pruned):
        return RpcError(PRUNED, "pruned history unavailable")
    if isinstance(error, HeightUnknown):
        return RpcError(REFUSED, "header not found")
    if isinstance(error, StateUnavailable):
        return RpcError(REFUSED, f"missing trie node: {error}")
    return RpcError(REFUSED, str(error))
