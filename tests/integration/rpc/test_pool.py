"""Dropping transactions: what becomes of those that follow, of the record, and of an open round."""

from typing import Any

import pytest

from services.node import Node
from services.store.searches import Searched
from tests.integration.rpc.client import OWNERS, Rpc, refused
from tests.support.nodes import grow, mine
from tests.support.searching import claim_of
from worker.kernel.plain import PlainKernel

ANNE, BEN = OWNERS[:2]
NOBODY = "0x000000000000000000000000000000000000dEaD"
UNKNOWN = "0x" + "11" * 32
NOTHING = (0, 0)


def waiting(rpc: Rpc) -> tuple[int, int]:
    """How many transactions are pending and queued. Counted anew, while `txpool_status` may give the last count."""
    found = rpc("txpool_content")
    return sum(map(len, found["pending"].values())), sum(map(len, found["queued"].values()))


def sent(rpc: Rpc, *nonces: int) -> list[str]:
    return [rpc.send(ANNE.raw(nonce, NOBODY, 1 + nonce)) for nonce in nonces]


def test_a_dropped_transaction_leaves_a_record_and_those_behind_it_wait(rpc: Rpc, node: Node) -> None:
    ids = sent(rpc, 0, 1, 2)
    assert rpc("anvil_dropTransaction", ids[1]) == ids[1]
    assert rpc("anvil_dropTransaction", ids[1]) is None
    assert rpc("eth_getTransactionByHash", ids[1]) is None
    assert waiting(rpc) == (1, 1)
    assert rpc.number("eth_getTransactionCount", ANNE.address, "pending") == 1
    assert rpc.client.get(f"/transactions/{ids[1][2:]}").ok()["status"] == "dropped"
    grow(node)
    assert waiting(rpc) == (0, 1)
    sent(rpc, 1)
    grow(node)
    assert waiting(rpc) == NOTHING and rpc.number("eth_getBalance", NOBODY) == 1 + 2 + 3


def test_hardhat_answers_whether_it_was_dropped(rpc: Rpc, node: Node) -> None:
    [identifier] = sent(rpc, 0)
    assert rpc("hardhat_dropTransaction", identifier) is True
    assert rpc("hardhat_dropTransaction", identifier) is False
    assert rpc("hardhat_dropTransaction", UNKNOWN) is False
    [identifier] = sent(rpc, 0)
    grow(node)
    refused(
        lambda: rpc("hardhat_dropTransaction", identifier),
        -32602,
        f"Transaction {identifier} cannot be dropped because it's already mined",
    )
    assert rpc("anvil_dropTransaction", identifier) is None


def test_all_of_one_sender(rpc: Rpc) -> None:
    sent(rpc, 0, 1, 3)
    other = rpc.send(BEN.raw(0, NOBODY, 1))
    assert rpc("anvil_removePoolTransactions", ANNE.address) is None
    assert list(rpc("txpool_content")["pending"]) == [BEN.address] and waiting(rpc) == (1, 0)
    assert rpc("eth_getTransactionByHash", other)["from"] == BEN.address
    rpc("anvil_removePoolTransactions", NOBODY)


@pytest.mark.parametrize("method", ["anvil_dropAllTransactions", "hardhat_dropAllTransactions"])
def test_everything(rpc: Rpc, node: Node, method: str) -> None:
    sent(rpc, *range(5), 7)
    rpc.send(BEN.raw(0, NOBODY, 1))
    assert rpc(method) is None
    assert waiting(rpc) == NOTHING and node.pool.totals() == (0, 0)
    rpc(method)


def test_an_open_round_does_not_mine_what_was_dropped(rpc: Rpc, node: Node) -> None:
    [dropped, stays] = [*sent(rpc, 0), rpc.send(BEN.raw(0, NOBODY, 100))]
    node.requests.ask()
    round_id = node.mining.situation().open_round
    claim = claim_of(node, round_id, "early", 100, Searched())
    assert claim is not None
    rpc("anvil_dropTransaction", dropped)
    proof = PlainKernel().scan(claim.prefix, claim.difficulty, claim.proofs.start, claim.proofs.stop)
    assert proof is not None and node.rounds.seal(claim, proof, "early") is None, "the old template seals nothing"
    assert node.mining.situation().open_round == round_id
    block = mine(node)
    assert [item.id for item in block.transactions[1:]] == [stays[2:]]
    assert rpc("eth_getTransactionReceipt", dropped) is None


def test_a_block_of_the_old_template_is_not_appended_however_late(
    rpc: Rpc, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction is dropped between the look at the round and the append."""
    [dropped] = sent(rpc, 0)
    node.requests.ask()
    claim = claim_of(node, node.mining.situation().open_round, "late", 100, Searched())
    assert claim is not None
    proof = PlainKernel().scan(claim.prefix, claim.difficulty, claim.proofs.start, claim.proofs.stop)
    accept = type(node.acceptor).accept

    def drop_first(*args: Any) -> Any:
        rpc("anvil_dropTransaction", dropped)
        return accept(*args)

    monkeypatch.setattr(type(node.acceptor), "accept", drop_first)
    assert proof is not None and node.rounds.seal(claim, proof, "late") is None
    assert node.chain.tip().height == 1 and rpc("eth_getTransactionReceipt", dropped) is None


def test_a_round_that_nothing_wants_any_more_ends(rpc: Rpc, node: Node) -> None:
    """Only auto-mining opens a round without a request; here it is opened as auto-mining does."""
    [identifier] = sent(rpc, 0)
    opened = node.rounds._open("a" * 32, "0", node.mining.situation(), empty=False)
    assert opened is not None and node.mining.situation().open_round == "a" * 32
    rpc("anvil_dropTransaction", identifier)
    assert node.mining.situation().open_round == ""


@pytest.mark.parametrize("method", ["anvil_dropTransaction", "hardhat_dropTransaction"])
@pytest.mark.parametrize("params", [[], [None], [5], ["0x12"], [UNKNOWN, 1], ["11" * 32], [UNKNOWN + "11"], [{}]])
def test_bad_hashes(rpc: Rpc, node: Node, method: str, params: list[Any]) -> None:
    sent(rpc, 0)
    refused(lambda: rpc(method, *params), -32602, "...")
    assert node.pool.totals()[0] == 1


@pytest.mark.parametrize(
    ("method", "params"),
    [("anvil_removePoolTransactions", params) for params in ([], [None], ["0x12"], [NOBODY, 1])]
    + [(method, [1]) for method in ("anvil_dropAllTransactions", "hardhat_dropAllTransactions")],
)
def test_bad_parameters(rpc: Rpc, node: Node, method: str, params: list[Any]) -> None:
    sent(rpc, 0)
    refused(lambda: rpc(method, *params), -32602, "...")
    assert node.pool.totals()[0] == 1
