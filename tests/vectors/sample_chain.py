"""The example of the course: five blocks of the chain spec `dev`, with a few payments.

python -m tests.vectors.sample_chain > api/explorer/static/sample-chain.json
"""

import json
from typing import Any

from services.settings.table import load_spec
from shared.keys import KeyPair
from shared.rules import rules_for
from shared.transaction import sign
from worker.kernel.plain import PlainKernel

_START = 1_767_312_000  # 2026-01-02
# Keys of nobody: the seeds are these numbers.
ANNA, BEN, CLARA = (KeyPair(number.to_bytes(32, "big")) for number in (1001, 1002, 1003))
# Per block: who mines it, and who pays whom how much.
_BLOCKS: list[tuple[KeyPair, list[tuple[KeyPair, KeyPair, str]]]] = [
    (ANNA, []),
    (BEN, [(ANNA, BEN, "0.25")]),
    (ANNA, [(BEN, CLARA, "0.5"), (ANNA, CLARA, "0.1")]),
    (CLARA, [(CLARA, ANNA, "0.2")]),
    (BEN, []),
]


def sample_chain() -> list[dict[str, Any]]:
    """The blocks after genesis, as `/chain` serves them."""
    spec = load_spec("dev")
    rules = rules_for(spec)
    window = [rules.genesis().header]
    nonces: dict[str, int] = {}
    blocks = []
    for turn, (miner, payments) in enumerate(_BLOCKS):
        transactions = []
        for payer, payee, amount in payments:
            nonce = nonces.get(payer.address, 0)
            nonces[payer.address] = nonce + 1
            fields = {"type": "transfer", "chain_id": spec.chain_id, "nonce": nonce, "sender": payer.address,
                      "recipient": payee.address, "amount": amount, "fee": "0"}  # fmt: skip
            transactions.append(rules.read_request(sign(fields, payer)))
        template = rules.template(window, transactions, miner.address, _START + 10 * turn)
        proof = PlainKernel().scan(template.seal, template.difficulty, 0, 2**24)
        assert proof is not None
        block = rules.read_block(template.with_proof(proof))
        window.append(block.header)
        blocks.append(json.loads(block.canonical))
    return blocks


if __name__ == "__main__":
    print(json.dumps({"chain": sample_chain()}, indent=1))
