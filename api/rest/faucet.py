"""Free coins on development chains, sent from an account whose key is public."""

from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from api.access import current_node, doorkeeper, has_faucet
from api.errors import HttpRefusal
from api.reading import json_body
from services.errors import Busy
from services.node import Node
from services.wallet.development import accounts_of
from services.wallet.signers import EthereumSigner
from shared.addresses import parse_address
from shared.amounts import COIN, format_amount
from shared.errors import Refusal, ShapeError
from shared.rules import Rules

blueprint = Blueprint("faucet", __name__)

AMOUNT = 10 * COIN
# Transactions of the faucet that may wait for a block. Further requests are refused until one is mined.
MAX_WAITING = 16
# Two requests at once may take the same nonce; one of them tries again.
_ATTEMPTS = 8
_TAKEN = frozenset({"replacement_underpriced", "too_many_replacements", "nonce_too_low"})


@blueprint.post("/faucet")
def faucet() -> ResponseReturnValue:
    """Send ten coins of a development chain to an address.
    ---
    post:
      summary: Ten coins, on development chains that only this machine can reach
      requestBody:
        json: FaucetRequest
      responses:
        '201': {description: 'Sent: id and amount. The transaction waits for its block.', json: Given}
        '401':
        '404':
    """
    node = current_node()
    if not has_faucet(node):
        raise HttpRefusal(404, "no_faucet", "Only a development chain on this machine has a faucet.")
    doorkeeper().require_this_machine()
    address = _address(json_body())
    node.rules.check_payee(address, field="address")
    return jsonify(id=_send(node, address), amount=format_amount(AMOUNT)), 201


def _address(body: Any) -> str:
    if not isinstance(body, dict) or set(body) != {"address"}:
        raise ShapeError("missing_field", 'Send {"address": "0x…"}.', field="address")
    return parse_address(body["address"])


def _send(node: Node, address: str) -> str:
    """The id of the admitted transaction."""
    giver = accounts_of(node.settings)[0]
    signer = EthereumSigner(bytes.fromhex(giver.private_key[2:]), giver.address)
    rules: Rules = node.rules
    for _ in range(_ATTEMPTS):
        used = node.chain.account(signer.address).nonce
        nonce = max(used, node.pool.next_nonce(signer.address) or 0)
        if nonce - used >= MAX_WAITING:
            break
        unsigned = {
            "type": "transfer",
            "chain_id": rules.spec.chain_id,
            "nonce": nonce,
            "sender": signer.address,
            "recipient": address,
            "amount": format_amount(AMOUNT),
            "fee": format_amount(signer.payable_fee(node.settings.min_fee)),
        }
        try:
            admitted = node.submit_one(rules.read_request(signer.sign(unsigned, rules.spec)))
        except Refusal as error:
            if error.code not in _TAKEN:
                raise
        else:
            # Two requests for one address at the same nonce make the same transaction; only one of them admits it.
            if admitted.new:
                return admitted.id
    raise Busy("too_many_requests", "Too many transactions of the faucet wait for a block; try again later.")
