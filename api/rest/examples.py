"""The examples of the OpenAPI document: for bodies and answers by schema, for parameters by name."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from services.node import Node
from shared.hashing import sha256
from shared.keys import KeyPair
from shared.transaction import sign

_FILE = Path(__file__).parent / "schemas" / "examples.yml"
# Its private key is in this program, so nobody should use it. It has no coins: a node refuses what it signs.
_KEY = KeyPair(sha256(b"the example of the documentation"))
_PARAMETERS: dict[str, Any] = {
    "address": "0x4D4cAba7cF1C9C72efAC9C1Bd8d2cC845BF1683A",
    "transaction_id": "caaee28a5ddeebfceeb63a2bf6772a78ed0a08859f517b3a0d42ce50e5a92dd4",
    "job_id": "6a1f0c9be2d84c53a7f1e0d2c3b4a596",
    "round_id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "lease_id": "5c4b3a29180f1e2d3c4b5a6978879605",
    "limit": 10,
    "wait": 0,
}


def example_of(schema: str, node: Node) -> Any:
    """The example of a schema of the document, for the chain of `node`; None if it has none."""
    if schema in ("Transaction", "Batch"):
        transaction = _transaction(node)
        return transaction if schema == "Transaction" else {"transactions": [transaction]}
    return _examples().get(schema)


def example_of_parameter(path: str, name: str) -> Any:
    """The example of a parameter of an operation; None if it has none."""
    return (
        "latest" if (path, name) in (("/blocks/{name}", "name"), ("/block/{name}", "name")) else _PARAMETERS.get(name)
    )


def _transaction(node: Node) -> dict[str, Any]:
    if not node.rules.has_accounts:
        return {"sender": "anna", "recipient": "ben", "amount": 5}
    fields = {
        "type": "transfer", "chain_id": node.settings.spec.chain_id, "nonce": 0, "sender": _KEY.address,
        "recipient": _PARAMETERS["address"], "amount": "0.25", "fee": "0.001", "data": "for lunch",
    }  # fmt: skip
    return sign(fields, _KEY)


@cache
def _examples() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(_FILE.read_text("utf-8"))
    return found
