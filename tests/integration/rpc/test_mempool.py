"""`txpool_*`: what waits, as geth shows it."""

from collections.abc import Iterator

import pytest

from api.rpc import mempool
from services.node import Node
from services.store.pool import Entry
from tests.integration.rpc.client import GWEI, OWNERS, TOKEN, Rpc, call_of, refused
from tests.support.clocks import FakeClock
from tests.support.keys import ALICE as SIGNER
from tests.support.nodes import grow, transfer

ALICE, BOB, CAROL = OWNERS[:3]
TIMES = "\N{MULTIPLICATION SIGN}"
EMPTY = {"pending": {}, "queued": {}}


def test_an_empty_mempool(rpc: Rpc) -> None:
    assert rpc("txpool_status") == {"pending": "0x0", "queued": "0x0"}
    assert rpc("txpool_content") == rpc("txpool_inspect") == rpc("txpool_contentFrom", ALICE.address) == EMPTY


def test_what_waits_is_pending_up_to_the_first_gap(rpc: Rpc, node: Node) -> None:
    ids = {nonce: rpc.send(ALICE.raw(nonce, BOB.address, 5 + nonce)) for nonce in (0, 1, 3, 4)}
    token = rpc.send(BOB.token(0, bytes.fromhex(call_of("transfer", CAROL.address, 7)[2:])))
    assert rpc("txpool_status") == {"pending": "0x3", "queued": "0x2"}
    found = rpc("txpool_content")
    assert {part: {sender: list(queue) for sender, queue in found[part].items()} for part in found} == {
        "pending": {ALICE.address: ["0", "1"], BOB.address: ["0"]},
        "queued": {ALICE.address: ["3", "4"]},
    }
    assert found["queued"][ALICE.address]["4"] == rpc("eth_getTransactionByHash", ids[4])
    assert found["pending"][BOB.address]["0"] == rpc("eth_getTransactionByHash", token)
    assert rpc("txpool_contentFrom", ALICE.address) == {
        "pending": found["pending"][ALICE.address],
        "queued": found["queued"][ALICE.address],
    }
    assert rpc("txpool_contentFrom", CAROL.address) == EMPTY
    assert rpc("txpool_inspect") == {
        "pending": {
            ALICE.address: {
                "0": f"{BOB.address}: 5 wei + 21000 gas {TIMES} {GWEI} wei",
                "1": f"{BOB.address}: 6 wei + 21000 gas {TIMES} {GWEI} wei",
            },
            BOB.address: {"0": f"{TOKEN}: 0 wei + 70000 gas {TIMES} {GWEI} wei"},
        },
        "queued": {
            ALICE.address: {
                "3": f"{BOB.address}: 8 wei + 21000 gas {TIMES} {GWEI} wei",
                "4": f"{BOB.address}: 9 wei + 21000 gas {TIMES} {GWEI} wei",
            }
        },
    }


def test_the_gap_is_closed_by_what_is_mined_and_by_what_arrives(rpc: Rpc, node: Node) -> None:
    for nonce in (0, 2):
        rpc.send(ALICE.raw(nonce, BOB.address, 1))
    assert rpc("txpool_status") == {"pending": "0x1", "queued": "0x1"}
    grow(node)
    assert rpc("txpool_status") == {"pending": "0x0", "queued": "0x1"}
    rpc.send(ALICE.raw(1, BOB.address, 1))
    assert rpc("txpool_status") == {"pending": "0x2", "queued": "0x0"}
    grow(node)
    assert rpc("txpool_content") == EMPTY


def test_an_ed25519_transaction_is_shown_like_any_other(rpc: Rpc, node: Node) -> None:
    identifier = rpc.client.submit(transfer(SIGNER, 0, amount="2", fee="0.001"))
    assert rpc("txpool_content")["pending"][SIGNER.address]["0"]["hash"] == f"0x{identifier}"
    [line] = rpc("txpool_inspect")["pending"][SIGNER.address].values()
    assert line.split(": ")[1].startswith(f"{2 * 10**18} wei + 21000 gas {TIMES} ")


def test_a_mempool_that_is_too_large_to_show_says_how_to_ask(
    rpc: Rpc, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mempool, "_MOST", 1)
    for nonce in (0, 1):
        rpc.send(ALICE.raw(nonce, BOB.address, 1))
    for name in ("txpool_content", "txpool_inspect"):
        refused(lambda name=name: rpc(name), -32000, "the mempool has 2 transactions: ask txpool_contentFrom...")  # type: ignore[misc]
    assert rpc("txpool_status") == {"pending": "0x2", "queued": "0x0"}
    assert list(rpc("txpool_contentFrom", ALICE.address)["pending"]) == ["0", "1"]


def test_counting_takes_a_rest(rpc: Rpc, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many who ask of a large mempool are answered by one count."""
    monkeypatch.setattr(mempool, "_LARGE", 0)
    counted: list[int] = []
    everything, clock = mempool._everything, FakeClock(node.clock.now())

    def slow(node: Node) -> Iterator[Entry]:
        counted.append(1)
        clock.sleep(2.0)
        return everything(node)

    monkeypatch.setattr(mempool, "_everything", slow)
    monkeypatch.setattr(type(node.clock), "now", lambda _: clock.now())
    for nonce in range(5):
        rpc.send(ALICE.raw(nonce, BOB.address, 1))
        rpc("txpool_status")
    assert len(counted) == 1 and rpc("txpool_status") == {"pending": "0x1", "queued": "0x0"}
    clock.sleep(2.0 * 20)
    assert rpc("txpool_status") == {"pending": "0x5", "queued": "0x0"} and len(counted) == 2
    rpc("txpool_status")
    assert len(counted) == 2, "nothing has changed"


def test_many_who_ask_while_one_counts_do_not_each_hold_a_thread(
    rpc: Rpc, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mempool, "_PATIENCE", 0.01)
    before = rpc("txpool_status")
    with mempool._counting:  # as while the store stands still
        assert rpc("txpool_status") == before, "nothing has changed, so nothing is counted"
        rpc.send(ALICE.raw(0, BOB.address, 1))
        refused(lambda: rpc("txpool_status"), -32005, "the mempool is being counted: try again")
    assert rpc("txpool_status") == {"pending": "0x1", "queued": "0x0"}


def test_a_long_queue_is_shown_whole(rpc: Rpc, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "_PAGE", 2)
    for nonce in range(5):
        rpc.send(ALICE.raw(nonce, BOB.address, 1))
    assert list(rpc("txpool_contentFrom", ALICE.address)["pending"]) == list("01234")


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("txpool_status", [1], "txpool_status takes 0 parameters"),
        ("txpool_content", ["x"], "txpool_content takes 0 parameters"),
        ("txpool_contentFrom", [], "txpool_contentFrom takes 1 parameters"),
        ("txpool_contentFrom", [5], "address must be..."),
        ("txpool_contentFrom", ["0x12"], "address must be..."),
        ("txpool_contentFrom", [None], "address must be..."),
    ],
)
def test_bad_parameters(rpc: Rpc, name: str, params: list[object], message: str) -> None:
    refused(lambda: rpc(name, *params), -32602, message)
