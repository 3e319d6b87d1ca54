"""Submitting transactions, and looking them up."""

from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from api.access import node
from api.errors import Refusal, describe
from api.reading import is_hash, json_body
from api.views import transaction_view
from services.mempool import Admitted
from services.proofs import inclusion_proof
from shared.errors import InputError, NodeError, RuleError
from shared.transaction import Transaction

blueprint = Blueprint("transactions", __name__)

MAX_BATCH = 2000


@blueprint.post("/transactions/new")
@blueprint.post("/transaction/new")
def submit() -> ResponseReturnValue:
    """Admit a signed transaction to the mempool.
    ---
    post:
      summary: Submit a signed transaction
      description: >-
        201 means durable: the transaction is in the mempool, synced to disk, and will be mined or leave a record that
        says why not. Repeating a transaction that still waits is harmless and answers 201 again.
      requestBody:
        required: true
        content: {application/json: {schema: {$ref: '#/components/schemas/Transaction'}}}
      responses:
        '201': {description: Admitted., content: {application/json: {schema: {$ref: '#/components/schemas/Admitted'}}}}
        '400': {$ref: '#/components/responses/Problem'}
        '413': {$ref: '#/components/responses/Problem'}
        '415': {$ref: '#/components/responses/Problem'}
        '422': {$ref: '#/components/responses/Problem'}
        '503': {$ref: '#/components/responses/Problem'}
    """
    here = node()
    admitted = here.submit([here.rules.read_request(json_body(floats=here.rules.floats))])[0]
    if isinstance(admitted, NodeError):
        raise admitted
    message = f"Transaction will be added to Block {admitted.height}."
    return jsonify(message=message, id=admitted.id), 201


@blueprint.post("/transactions/batch")
def submit_batch() -> ResponseReturnValue:
    """Admit many signed transactions, each by itself.
    ---
    post:
      summary: Submit up to 2,000 signed transactions
      description: >-
        Each is admitted or refused by itself. Those of one sender are taken in the order given, so send nonces
        ascending. The answer has one result per transaction, in order.
      requestBody:
        required: true
        content:
          application/json:
            schema:
              type: object
              required: [transactions]
              properties:
                transactions: {type: array, maxItems: 2000, items: {$ref: '#/components/schemas/Transaction'}}
      responses:
        '200': {description: One result per transaction.}
        '400': {$ref: '#/components/responses/Problem'}
        '413': {$ref: '#/components/responses/Problem'}
        '503': {$ref: '#/components/responses/Problem'}
    """
    here = node()
    items = _batch(json_body(floats=here.rules.floats))
    outcomes: list[Transaction | Admitted | NodeError] = []
    for item in items:
        try:
            outcomes.append(here.rules.read_request(item))
        except RuleError as error:
            outcomes.append(error)
    readable = [position for position, outcome in enumerate(outcomes) if isinstance(outcome, Transaction)]
    admissions = here.submit([item for item in outcomes if isinstance(item, Transaction)])
    for position, admission in zip(readable, admissions, strict=True):
        outcomes[position] = admission
    admitted = [outcome for outcome in outcomes if isinstance(outcome, Admitted)]
    return jsonify(results=[_result(outcome) for outcome in outcomes], accepted=len(admitted))


@blueprint.get("/transactions/<transaction_id>")
def show(transaction_id: str) -> ResponseReturnValue:
    """Where a transaction is.
    ---
    get:
      summary: A transaction on the chain, waiting, or gone with a reason
      parameters: [{in: path, name: transaction_id, required: true, schema: {type: string}}]
      responses:
        '200': {description: Its fields with id, status, block (hash) and index (height) where known.}
        '404': {$ref: '#/components/responses/Problem'}
    """
    view = transaction_view(node(), transaction_id) if is_hash(transaction_id) else None
    if view is None:
        raise Refusal(404, "unknown_transaction", "No transaction with this id is known here.")
    return jsonify(view)


@blueprint.get("/transactions/<transaction_id>/proof")
def proof(transaction_id: str) -> ResponseReturnValue:
    """Prove that a transaction is in a block.
    ---
    get:
      summary: A transaction, its Merkle branch and its block's header; verifiable offline
      parameters: [{in: path, name: transaction_id, required: true, schema: {type: string}}]
      responses:
        '200': {description: 'Transaction, position, branch (lowest first), header and block hash.'}
        '404': {$ref: '#/components/responses/Problem'}
    """
    here = node()
    if not here.rules.headers_alone:
        raise Refusal(404, "no_merkle_root", "Blocks have no Merkle root under the rules of this chain.")
    found = inclusion_proof(here.chain, transaction_id) if is_hash(transaction_id) else None
    if found is None:
        raise Refusal(404, "unknown_transaction", "No transaction with this id is on the chain.")
    return jsonify(found)


def _batch(body: Any) -> list[Any]:
    items = body.get("transactions") if isinstance(body, dict) and set(body) == {"transactions"} else body
    if not isinstance(items, list):
        raise InputError("not_a_batch", 'Send {"transactions": […]}.', field="transactions")
    if not 0 < len(items) <= MAX_BATCH:
        raise InputError("bad_batch_size", f"A batch has 1 to {MAX_BATCH} transactions.", field="transactions")
    return items


def _result(outcome: Transaction | Admitted | NodeError) -> dict[str, Any]:
    if isinstance(outcome, Admitted):
        return {"status": "accepted", "id": outcome.id}
    assert isinstance(outcome, NodeError), "every transaction that could be read was judged"
    _, code, detail, field = describe(outcome)
    return {"status": "refused", "code": code, "detail": detail, **({"field": field} if field else {})}
