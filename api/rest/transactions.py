"""Submitting transactions and looking them up."""

from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import MethodNotAllowed

from api.access import current_node
from api.errors import HttpRefusal, describe
from api.reading import json_body
from api.representations import block_fields, represent_transaction
from api.serving.budget import reserve
from services.chain.inclusion import inclusion_proof
from services.mempool.admission import Admitted
from shared.errors import InputError, NodeError, RuleError
from shared.hashing import is_hash
from shared.transaction import Transaction

blueprint = Blueprint("transactions", __name__)

MAX_BATCH = 2000
_RESULT_BYTES = 400  # of memory for each result while the answer is made


@blueprint.post("/transactions/new")
@blueprint.post("/transaction/new")
def submit() -> ResponseReturnValue:
    """Admit a signed transaction to the mempool.
    ---
    post:
      summary: Submit a signed transaction
      description: >-
        201 means that the transaction is in the mempool and on disk. It will be mined, or leave a record that says why
        not. Submitting it again is harmless and answers 201 again, with block (hash) and index (height) once it is
        mined.
      requestBody:
        json: Transaction
      responses:
        '201': {description: Admitted., json: Admitted}
    """
    node = current_node()
    admitted = node.submit_one(node.rules.read_request(json_body(floats=node.rules.floats)))
    if admitted.block:
        return jsonify(message=f"The transaction is in Block {admitted.height}.", **_acknowledged(admitted)), 201
    message = f"Transaction will be added to Block {admitted.height}."
    return jsonify(message=message, id=admitted.id), 201


@blueprint.post("/transactions/batch")
def submit_batch() -> ResponseReturnValue:
    """Admit many signed transactions.
    ---
    post:
      summary: Submit up to 2,000 signed transactions
      description: >-
        Each is admitted or refused on its own. Transactions of one sender are taken in the order given, so send them by
        ascending nonce. The answer has one result for each, in the same order: {status: accepted, id}, with block
        (hash) and index (height) if it was mined before, or {status: refused, code, detail, field}.
      requestBody:
        json: Batch
      responses:
        '200': {description: One result per transaction., json: BatchResult}
    """
    node = current_node()
    items = _batch(json_body(floats=node.rules.floats))
    reserve(_RESULT_BYTES * len(items))  # first: after an admission, the answer must not be "try again"
    outcomes: list[Transaction | Admitted | NodeError] = []
    for item in items:
        try:
            outcomes.append(node.rules.read_request(item))
        except (InputError, RuleError) as error:
            outcomes.append(error)
    readable = [position for position, outcome in enumerate(outcomes) if isinstance(outcome, Transaction)]
    admissions = node.submit([item for item in outcomes if isinstance(item, Transaction)])
    for position, admission in zip(readable, admissions, strict=True):
        outcomes[position] = admission
    admitted = [outcome for outcome in outcomes if isinstance(outcome, Admitted)]
    return jsonify(results=[_result(outcome) for outcome in outcomes], accepted=len(admitted))


@blueprint.get("/transactions/<transaction_id>")
def show(transaction_id: str) -> ResponseReturnValue:
    """Look up a transaction.
    ---
    get:
      summary: A transaction on the chain, in the mempool, or gone with a reason
      parameters: [{in: path, name: transaction_id, required: true, schema: {type: string, pattern: '^[0-9a-f]{64}$'}}]
      responses:
        '200':
          description: >-
            Its fields and id, status, and where known block (hash) and index (height). While it waits for other nonces
            of its account, missing_nonces has their ranges, and waits_for says the same in words.
          json: TransactionPlace
        '404':
        '410':
    """
    if transaction_id in ("new", "batch"):  # endpoints that accept POST only
        raise MethodNotAllowed(["POST", "OPTIONS"])
    found = represent_transaction(current_node(), transaction_id) if is_hash(transaction_id) else None
    if found is None:
        raise HttpRefusal(404, "unknown_transaction", "No transaction with this id is known here.")
    return jsonify(found)


@blueprint.get("/transactions/<transaction_id>/proof")
def inclusion(transaction_id: str) -> ResponseReturnValue:
    """Prove that a transaction is in a block.
    ---
    get:
      summary: 'A transaction, its Merkle branch and the header of its block: a proof that can be verified offline'
      parameters: [{in: path, name: transaction_id, required: true, schema: {type: string, pattern: '^[0-9a-f]{64}$'}}]
      responses:
        '200': {description: 'Transaction, position, branch (lowest first), header and block hash.', json: Proof}
        '404':
        '410':
    """
    node = current_node()
    if not node.rules.headers_alone:
        raise HttpRefusal(404, "no_merkle_root", "Blocks have no Merkle root under the rules of this chain.")
    location = node.chain.locate(transaction_id) if is_hash(transaction_id) else None
    if location is None:
        raise HttpRefusal(404, "unknown_transaction", "No transaction with this id is on the chain.")
    return jsonify(inclusion_proof(block_fields(node, location.block_hash), location, transaction_id))


def _batch(body: Any) -> list[Any]:
    items = body.get("transactions") if isinstance(body, dict) and set(body) == {"transactions"} else body
    if not isinstance(items, list):
        raise InputError("not_a_batch", 'Send {"transactions": […]}.', field="transactions")
    if not 0 < len(items) <= MAX_BATCH:
        raise InputError("bad_batch_size", f"A batch has 1 to {MAX_BATCH} transactions.", field="transactions")
    return items


def _acknowledged(admitted: Admitted) -> dict[str, Any]:
    """The id of an admitted transaction, and its block if it was mined before."""
    mined = {"block": admitted.block, "index": admitted.height} if admitted.block else {}
    return {"id": admitted.id, **mined}


def _result(outcome: Transaction | Admitted | NodeError) -> dict[str, Any]:
    if isinstance(outcome, Admitted):
        return {"status": "accepted", **_acknowledged(outcome)}
    assert isinstance(outcome, NodeError), "every transaction that could be read was judged"
    _, code, detail, field = describe(outcome)
    return {"status": "refused", "code": code, "detail": detail, **({"field": field} if field else {})}
