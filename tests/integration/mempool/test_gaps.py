"""Which nonces a waiting transaction waits for: by themselves, over HTTP and on the transaction's page."""

import pytest

from services.mempool.gaps import missing_nonces, missing_words
from services.node import Node
from tests.support.http import Client
from tests.support.keys import ALICE, BOB
from tests.support.nodes import mine, transfer


@pytest.mark.parametrize(
    ("account", "queued", "nonce", "missing", "words"),
    [
        (0, [], 0, [], ""),
        (6, [], 50, [(6, 49)], "nonces 6-49 of this account"),
        (6, [50], 50, [(6, 49)], "nonces 6-49 of this account"),
        (6, [7, 6, 50], 8, [], ""),
        (0, [2, 3, 6], 8, [(0, 1), (4, 5), (7, 7)], "nonces 0-1, 4-5, 7 of this account"),
        (3, [3], 5, [(4, 4)], "nonce 4 of this account"),
        (9, [1, 2, 3], 3, [], ""),  # it was mined meanwhile: the queue was read before the account
        (2, [0, 1, 9], 4, [(2, 3)], "nonces 2-3 of this account"),
        (0, [], 2**63, [(0, 2**63 - 1)], f"nonces 0-{2**63 - 1} of this account"),
    ],
)
def test_missing_nonces(
    account: int, queued: list[int], nonce: int, missing: list[tuple[int, int]], words: str
) -> None:
    assert missing_nonces(account, queued, nonce) == missing
    if missing:
        assert missing_words(missing) == words


def test_a_transaction_says_what_it_waits_for_until_it_comes(client: Client, node: Node) -> None:
    mine(node)
    identifier = client.submit(transfer(ALICE, 5))
    client.submit(transfer(ALICE, 2))
    client.submit(transfer(BOB, 0))  # of another account: it fills no gap

    def asked() -> tuple[object, object]:
        found = client.get(f"/transactions/{identifier}").ok()
        return found.get("missing_nonces"), found.get("waits_for")

    assert asked() == ([[0, 1], [3, 4]], "nonces 0-1, 3-4 of this account")
    page = client.get(f"/tx/{identifier}")
    assert b"it waits for nonces 0-1, 3-4 of this account" in page.body
    for nonce in (0, 1):
        client.submit(transfer(ALICE, nonce))
    mine(node)
    assert asked() == ([[3, 4]], "nonces 3-4 of this account")
    for nonce in (4, 3):
        client.submit(transfer(ALICE, nonce))
    assert asked() == (None, None)
    mine(node)
    assert client.get(f"/transactions/{identifier}").ok()["status"] == "confirmed"
