"""Sending and signing with the unlocked accounts, whose keys everybody knows."""

from typing import Any

from api.rpc.development.parameters import read_json
from api.rpc.errors import REFUSED, RpcError, invalid_params
from api.rpc.method_table import control_method
from api.rpc.quantity import data, read_address, read_data
from api.rpc.sending import Wanted, next_nonce, read_wanted
from api.rpc.transactions import ALREADY_KNOWN, awaited_receipt, read_raw, read_timeout, submit
from api.rpc.waiting import place
from services.development.accounts import unlocked_accounts
from services.development.balances import NONCE_TAKEN
from services.errors import Busy
from services.node import Node
from services.wallet.signers import EthereumSigner
from shared.errors import InputError, Refusal
from shared.ethereum import Fields, personal_hash, sign_digest, sign_raw, typed_data_hash

# Of several calls for one account, each attempt lets one have the nonce. So this many can be made at once.
_ATTEMPTS = 64


@control_method("eth_sendTransaction", 1)
def send(node: Node, request: Any) -> str:
    """Sign with a development account and send. What is left out is filled in: nonce, gas, fees, the first account."""
    return f"0x{_send(node, read_wanted(node, request))}"


@control_method("eth_sendTransactionSync", 1, 2)
def send_sync(node: Node, request: Any, timeout: Any = None) -> dict[str, Any]:
    """Send, wait for the block, and return the receipt. After `timeout` milliseconds it is error 4, as in EIP-7966.

    The transaction then still waits.
    """
    seconds, wanted = read_timeout(timeout), read_wanted(node, request)
    with place():
        after = node.mining.events.last()
        return awaited_receipt(node, _send(node, wanted), after, seconds)


@control_method("eth_signTransaction", 1)
def sign_transaction(node: Node, request: Any) -> str:
    """The raw transaction, as in the execution API and anvil; geth's `{raw, tx}` has the same bytes."""
    wanted = read_wanted(node, request)
    signer = _sender(node, wanted)
    nonce = next_nonce(node, signer.address) if wanted.nonce is None else wanted.nonce
    raw = _signed(signer, wanted.fields(node, signer.address, nonce))
    read_raw(node, raw)  # nothing is signed that the chain would refuse whatever its state
    return data(raw)


def _send(node: Node, wanted: Wanted) -> str:
    """Sign and admit a transaction; its id. Without a nonce it takes the next one, and never another's place."""
    signer = _sender(node, wanted)
    if wanted.nonce is not None:
        return submit(node, read_raw(node, _signed(signer, wanted.fields(node, signer.address, wanted.nonce))))
    for _ in range(_ATTEMPTS):
        fields = wanted.fields(node, signer.address, next_nonce(node, signer.address))
        try:
            return submit(node, read_raw(node, _signed(signer, fields)), replaces=False)
        except Refusal as error:  # another call has taken the nonce
            if error.code not in NONCE_TAKEN:
                raise
        except RpcError as error:  # another call has sent this very transaction
            if error.message not in (ALREADY_KNOWN, "nonce too low"):
                raise
    raise Busy("contended", "Too many transactions of this sender arrive at once; try again.")


def _signed(signer: EthereumSigner, fields: Fields) -> bytes:
    return sign_raw(
        private_key=signer.private_key,
        chain_id=fields.chain_id,
        nonce=fields.nonce,
        to=fields.to,
        gas=fields.gas,
        gas_price=fields.gas_price,
        value=fields.value,
        input=fields.input,
        envelope=fields.envelope,
        max_fee_per_gas=fields.max_fee_per_gas,
    )


def _sender(node: Node, wanted: Wanted) -> EthereumSigner:
    """The key that a transaction is signed with: of the first account, if the client names none, as in anvil."""
    addresses = unlocked_accounts(node.settings).addresses
    return _signer(node, wanted.sender or (addresses[0] if addresses else ""))


def _signer(node: Node, address: str) -> EthereumSigner:
    signer = unlocked_accounts(node.settings).signer(address)
    if signer is None:
        raise RpcError(REFUSED, "unknown account")  # geth's words
    return signer


@control_method("eth_sign", 2)
def sign(node: Node, address: Any, message: Any) -> str:
    """Sign a message (hex) with the prefix of EIP-191."""
    signer = _signer(node, read_address(address))
    return data(sign_digest(signer.private_key, personal_hash(read_data(message, "message"))))


@control_method("personal_sign", 2)
def personal_sign(node: Node, message: Any, address: Any) -> str:
    """As `eth_sign`, with the parameters the other way round."""
    return sign(node, address, message)  # type: ignore[no-any-return] # a registered function has no types


@control_method("eth_signTypedData_v4", 2)
@control_method("eth_signTypedData", 2)
def sign_typed_data(node: Node, address: Any, message: Any) -> str:
    """`message` is the object, or its JSON, as libraries send it."""
    signer = _signer(node, read_address(address))
    content = read_json(message, "typed data") if isinstance(message, str) else message
    try:
        digest = typed_data_hash(content)
    except InputError as error:
        raise invalid_params(error.message) from None
    return data(sign_digest(signer.private_key, digest))
