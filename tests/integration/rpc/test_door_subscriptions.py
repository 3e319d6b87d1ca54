"""`eth_subscribe` over a WebSocket: what subscribers are told, also through reorganisations, and who is cut off."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from api.door import limits
from services.node import Node
from shared.transaction import from_raw
from tests.integration.rpc.client import OWNERS, TOKEN, Rpc, reorganise
from tests.support.door import RunningDoor, Socket
from tests.support.nodes import MakeNode, grow, redis_of
from tests.support.waiting import eventually

A, B, C = OWNERS[:3]
EVENTS = 3  # of a block that holds one transaction: its reward's, the fee's and its own


@pytest.fixture
def rival(node: Node, make_node: MakeNode) -> Iterator[Node]:
    """Another node of the same chain, at genesis."""
    yield make_node(SPEC=str(_spec_file(node)))


def _spec_file(node: Node) -> Any:
    return node.settings.data_dir / "wallets.toml"  # type: ignore[operator] # the test's directory


def _heads(told: list[Any]) -> list[str]:
    return [head["hash"] for head in told]


def test_a_new_block_is_told_as_geth_tells_it(door: RunningDoor, node: Node, rpc: Rpc) -> None:
    with door.socket() as one:
        heads, logs = one.subscribe("newHeads"), one.subscribe("logs", {"address": TOKEN})
        assert heads != logs and {len(heads), len(logs)} == {34}
        for number in range(3):
            block = grow(node, from_raw(A.raw(number, B.address, 5), node.settings.spec))
            assert one.notice() == (heads, rpc("eth_getHeaderByHash", f"0x{block.hash}"))
            expected = rpc("eth_getLogs", {"blockHash": f"0x{block.hash}"})
            assert [one.notice() for _ in expected] == [(logs, log) for log in expected]
        assert one.ask("eth_unsubscribe", heads)["result"] is True
        grow(node)
        assert one.notice()[0] == logs
        assert one.ask("eth_unsubscribe", heads)["error"] == {"code": -32000, "message": "subscription not found"}


@pytest.mark.parametrize("whole", [False, True])
def test_pending_transactions(door: RunningDoor, node: Node, rpc: Rpc, whole: bool) -> None:
    with door.socket() as one:
        name = one.subscribe("newPendingTransactions", whole)
        sent = [one.ask("eth_sendRawTransaction", "0x" + A.raw(nonce, B.address).hex())["result"] for nonce in range(3)]
        told = [one.notice() for _ in sent]
        assert {each for each, _ in told} == {name}
        if not whole:
            assert [item for _, item in told] == sent
        else:
            assert [item for _, item in told] == [rpc("eth_getTransactionByHash", each) for each in sent]
    assert eventually(lambda: door.door.feed.subscriptions == 0) is True


def test_syncing_is_never_so(door: RunningDoor) -> None:
    with door.socket() as one:
        name = one.subscribe("syncing")
        assert one.notice() == (name, False)


def test_filters_of_logs(door: RunningDoor, node: Node) -> None:
    transfer = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"

    def word(address: str) -> str:
        return "0x" + "00" * 12 + address[2:].lower()

    with door.socket() as one:
        to_b = one.subscribe("logs", {"topics": [transfer, None, word(B.address)]})
        from_c = one.subscribe("logs", {"address": [TOKEN], "topics": [[transfer], [word(C.address)]]})
        nowhere = one.subscribe("logs", {"address": A.address})
        grow(node, *(from_raw(raw, node.settings.spec) for raw in (A.raw(0, B.address, 1), C.raw(0, A.address, 2))))

        def told(count: int) -> set[tuple[str, int]]:
            return {(name, int(log["data"], 16)) for name, log in (one.notice() for _ in range(count))}

        fee = 21_000 * 10**9  # which C pays, too, and in an event of its own
        assert told(3) == {(to_b, 1), (from_c, 2), (from_c, fee)}
        grow(node, from_raw(C.raw(1, B.address, 3), node.settings.spec))
        assert told(3) == {(to_b, 3), (from_c, 3), (from_c, fee)} and nowhere not in (to_b, from_c)


@pytest.mark.parametrize(
    "params",
    [
        [], ["newHeads", {"a": 1}], ["newHeads", True], ["logs", 7], ["logs", {"address": "0x1"}],
        ["logs", {"topics": [1]}], ["logs", {"topics": [None] * 5}], ["newPendingTransactions", "yes"], ["blocks"],
        [7], [None], [["newHeads"]], ["logs", {}, {}], ["logs", {"address": [A.address] * 1001}],
        ["logs", {"topics": [["0x" + "11" * 32] * 900]}],
    ],
)  # fmt: skip
def test_bad_parameters_change_nothing(door: RunningDoor, params: list[Any]) -> None:
    with door.socket() as one:
        assert one.ask("eth_subscribe", *params)["error"]["code"] == -32602
        for wrong in ([], [7], ["a", "b"]):
            assert one.ask("eth_unsubscribe", *wrong)["error"]["code"] == -32602
        assert door.door.feed.subscriptions == 0


def test_over_http_there_are_none(door: RunningDoor, rpc: Rpc) -> None:
    error = {"code": -32601, "message": "notifications not supported"}
    assert door.rpc("eth_subscribe", "newHeads") == error
    asked = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
    assert rpc.post(asked).ok()["error"] == error
    assert door.rpc("eth_unsubscribe", "0x1")["code"] == -32000


def test_a_batch_may_subscribe(door: RunningDoor, node: Node) -> None:
    with door.socket() as one:
        one.send(
            [
                {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]},
                {"jsonrpc": "2.0", "id": 2, "method": "eth_blockNumber"},
                {"jsonrpc": "2.0", "id": 3, "method": "eth_subscribe", "params": ["nothing"]},
            ]
        )
        first, second, third = one.message()
        assert (second["result"], third["error"]["code"]) == ("0x1", -32602)
        grow(node)
        assert one.notice()[0] == first["result"]


def test_through_a_reorganisation_of_ten_blocks(door: RunningDoor, node: Node, rival: Node, rpc: Rpc) -> None:
    """Detached events again, the last one first; then each new head, oldest first; none left out, none repeated."""
    with door.socket() as one, door.socket() as heads_only:
        heads, logs = one.subscribe("newHeads"), one.subscribe("logs", {})
        heads_only.subscribe("newHeads")
        old = [grow(node, from_raw(A.raw(nonce, B.address, nonce + 1), node.settings.spec)) for nonce in range(10)]
        told = [one.notice() for _ in range(10 * (1 + EVENTS))]
        assert _heads([item for name, item in told if name == heads]) == [f"0x{block.hash}" for block in old]
        before = [item for name, item in told if name == logs]
        bodies = [[A.raw(nonce, C.address, nonce + 1)] for nonce in range(11)]
        new = reorganise(node, rival, 1, *bodies)
        removed = [one.notice() for _ in range(10 * EVENTS)]
        assert removed == [(logs, {**log, "removed": True}) for log in reversed(before)]
        added = [one.notice() for _ in range(11 * (1 + EVENTS))]
        assert [item for name, item in added if name == heads] == [
            rpc("eth_getHeaderByHash", f"0x{block.hash}") for block in new
        ]
        assert [item for name, item in added if name == logs] == rpc("eth_getLogs", {"fromBlock": "0x2"})
        follows = [heads_only.notice()[1]["hash"] for _ in range(21)]
        assert follows == [f"0x{block.hash}" for block in (*old, *new)]
        grow(node)
        assert int(one.notice()[1]["number"], 16) == int(heads_only.notice()[1]["number"], 16) == 13


def test_lost_events_leave_nothing_out(door: RunningDoor, node: Node) -> None:
    with door.socket() as one:
        one.subscribe("newHeads")
        for _ in range(5):
            block = grow(node)
            redis_of(node).delete(node.chain.keys.events)  # as if the stream had been cut, or lost
        assert [int(one.notice()[1]["number"], 16) for _ in range(5)] == [2, 3, 4, 5, 6]
        assert block.index == 6


def test_a_chain_without_the_last_block_is_said_to_be_another(door: RunningDoor, node: Node) -> None:
    with door.socket() as one:
        one.subscribe("newHeads")
        grow(node)
        one.notice()
        redis_of(node).hdel(node.chain.keys.headers, node.chain.tip().hash)
        redis_of(node).xadd(node.chain.keys.events, {"type": "block", "data": "9 00"})
        closed = one.closing()
        assert (closed.code, closed.reason) == (1013, "the chain was replaced: subscribe again")


def test_one_reader_serves_all(door: RunningDoor, node: Node) -> None:
    import threading

    sockets = [door.socket() for _ in range(20)]
    try:
        names = [one.subscribe("newHeads") for one in sockets]
        # That of an earlier test may still be ending.
        eventually(lambda: [thread.name for thread in threading.enumerate()].count("feed") == 1)
        assert len(set(names)) == 20
        block = grow(node)
        assert {one.notice()[1]["hash"] for one in sockets} == {f"0x{block.hash}"}
    finally:
        for one in sockets:
            one.socket.close()
    eventually(lambda: "feed" not in [thread.name for thread in threading.enumerate()])


def test_subscriptions_are_capped(door: RunningDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.door.subscriptions.MAX_SUBSCRIPTIONS", 3)
    monkeypatch.setattr("api.door.subscriptions.MAX_ALL_SUBSCRIPTIONS", 5)
    with door.socket() as one, door.socket() as two:
        names = [one.subscribe("newHeads") for _ in range(3)]
        error = one.ask("eth_subscribe", "newHeads")["error"]
        assert error == {"code": -32000, "message": "a connection has 3 subscriptions at most"}
        one.ask("eth_unsubscribe", names[0])
        one.subscribe("logs", {})
        for _ in range(2):
            two.subscribe("newHeads")
        assert two.ask("eth_subscribe", "newHeads")["error"]["message"] == "this node has too many subscriptions"
    eventually(lambda: door.door.feed.subscriptions == 0)


def test_long_criteria_are_capped(door: RunningDoor) -> None:
    criteria = {"topics": [["0x" + "11" * 32] * 200]}
    with door.socket() as one:
        for _ in range(4):
            one.subscribe("logs", criteria)
        assert "too long together" in one.ask("eth_subscribe", "logs", criteria)["error"]["message"]


def test_who_does_not_read_is_cut_off_and_told_why(door: RunningDoor, node: Node) -> None:
    from api.door.backlog import Step

    def publish(count: int) -> None:
        steps = [Step("attached", head=json.dumps("x" * 2_000).encode()) for _ in range(count)]
        door.loop.call_soon_threadsafe(door.door.publish, steps)

    with Socket(door.port, receive_buffer=4096) as deaf, door.socket() as other:
        deaf.subscribe("newHeads")
        other.subscribe("newHeads")
        for _ in range(6):  # more than the backlog holds, in batches
            publish(200)
            for _ in range(200):
                other.notice()
        eventually(lambda: door.door.ended.get("slow_subscriber") == 1)
        assert all(each.unsent < 3 * limits.HIGH_WATER for each in door.door.sockets)
        closed = deaf.closing()
        assert (closed.code, closed.reason) == (1013, "too slow: too many notifications wait")
        block = grow(node)
        assert other.notice()[1]["hash"] == f"0x{block.hash}"


def test_who_stops_reading_for_long_is_cut_off(door: RunningDoor) -> None:
    from api.door.backlog import Step

    with Socket(door.port, receive_buffer=4096) as deaf:
        deaf.subscribe("newHeads")
        steps = [Step("attached", head=json.dumps("x" * 2_000).encode()) for _ in range(400)]
        door.loop.call_soon_threadsafe(door.door.publish, steps)
        eventually(lambda: any(each.unsent for each in door.door.sockets))
        door.look()
        door.look()
        assert door.door.ended == {}
        door.look(limits.STALLED_SECONDS + 1)
        assert door.door.ended == {"slow_subscriber": 1}
        closed = deaf.closing()
        assert (closed.code, closed.reason) == (1013, "too slow: notifications were not read")


def test_slow_readers_get_everything_in_time(door: RunningDoor) -> None:
    from api.door.backlog import Step

    with Socket(door.port, receive_buffer=4096) as slow:
        slow.subscribe("newHeads")
        steps = [Step("attached", head=json.dumps(f"{number:02000}").encode()) for number in range(400)]
        door.loop.call_soon_threadsafe(door.door.publish, steps)
        eventually(lambda: any(each.unsent for each in door.door.sockets))
        assert [int(slow.notice()[1]) for _ in range(400)] == list(range(400))
    assert door.door.ended == {}
