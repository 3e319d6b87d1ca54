"""What subscribers are told follows from the chain: nothing is left out or told twice, whatever events are lost."""

import json
import random
from typing import Any

import pytest
from fakeredis import FakeRedis, FakeServer

from api.door.backlog import Step
from api.door.feed import Feed
from api.door.notices import Topic
from services.token.logs import LogCriteria
from shared.block import Block
from tests.support.keys import ALICE, BOB
from tests.support.nodes import TestNode

HEADS, LOGS = Topic("newHeads"), Topic("logs", LogCriteria(0, 2**256, None, ()))
PENDING, WHOLE = Topic("newPendingTransactions"), Topic("newPendingTransactions", whole=True)


def _node() -> TestNode:
    return TestNode(FakeRedis(server=FakeServer()))


class _Told:
    """What a feed has told so far."""

    def __init__(self, node: TestNode, *topics: Topic) -> None:
        self.steps: list[Step] = []
        self.lost = 0
        self.feed = Feed(node.node, self.steps.extend, self._lose)
        for topic in topics:
            assert self.feed.want(topic, 100)
        self.feed.go_to_the_end()

    def _lose(self) -> None:
        self.lost += 1

    def take(self) -> list[Step]:
        """What was told since the last call."""
        self.feed.look()
        found, self.steps[:] = list(self.steps), []
        return found


def _heads(steps: list[Step]) -> list[str]:
    return [json.loads(step.head)["hash"][2:] for step in steps if step.kind == "attached"]


def _logs(steps: list[Step], kind: str) -> list[dict[str, Any]]:
    return [json.loads(text) for step in steps if step.kind == kind for _, text in step.logs or ()]


def _branch(node: TestNode, fork: int, length: int) -> list[Block]:
    """Give a node a branch that leaves its chain after height `fork`."""
    other = _node()
    for text in node.node.chain.stream(2, fork):
        other.node.acceptor.accept(other.node.rules.read_block(json.loads(text)))
    node.clock.sleep(1)  # so that its blocks differ
    other.clock.sleep(node.clock.now() - other.clock.now())
    blocks = [other.mine(recipient=BOB.address) for _ in range(length)]
    branch = node.node.reorganiser.begin(fork)
    for block in blocks:
        node.node.reorganiser.add(branch, block)
    node.node.reorganiser.swap(branch)
    return blocks


def test_a_reorganisation_of_ten_blocks() -> None:
    node = _node()
    told = _Told(node, HEADS, LOGS)
    old = [node.mine() for _ in range(10)]
    steps = told.take()
    assert _heads(steps) == [block.hash for block in old]
    before = _logs(steps, "attached")
    new = _branch(node, 1, 11)
    steps = told.take()
    assert [step.kind for step in steps] == ["detached"] * 10 + ["attached"] * 11
    assert _heads(steps) == [block.hash for block in new]
    assert _logs(steps, "detached") == [{**log, "removed": True} for log in reversed(before)]
    assert [log["blockHash"][2:] for log in _logs(steps, "attached")] == [block.hash for block in new]
    assert told.take() == [] and told.lost == 0


def test_several_reorganisations_between_two_looks_are_one_way() -> None:
    """A subscriber that adds what is attached and takes back what is detached has the chain, at any time."""
    node, choice = _node(), random.Random(7)
    told = _Told(node, HEADS, LOGS)
    believed = [node.node.chain.tip().hash]
    for _ in range(12):
        height = node.node.chain.tip().height
        if height > 3 and choice.random() < 0.5:
            fork = choice.randrange(1, height)
            _branch(node, fork, height - fork + 1)
        else:
            node.mine()
        if choice.random() < 0.6:
            for step in told.take():
                if step.kind == "detached":
                    for log, text in step.logs or ():
                        assert json.loads(text)["blockHash"][2:] == believed[-1] and log is not None
                    believed.pop()
                else:
                    head = json.loads(step.head)
                    assert head["parentHash"][2:] == believed[-1]
                    believed.append(head["hash"][2:])
    for step in told.take():
        believed.pop() if step.kind == "detached" else believed.append(json.loads(step.head)["hash"][2:])
    assert believed == node.node.chain.hashes(1, 1000)


def test_many_blocks_are_told_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.door.feed._PAGE", 4)
    node = _node()
    told = _Told(node, HEADS)
    blocks = [node.mine() for _ in range(10)]
    assert _heads(told.take()) == [block.hash for block in blocks]


def test_without_listeners_to_events_none_are_rendered() -> None:
    node = _node()
    told = _Told(node, HEADS)
    node.mine()
    (step,) = told.take()
    assert step.logs is None
    _branch(node, 1, 2)
    assert [step.kind for step in told.take()] == ["attached", "attached"]


def test_pending_transactions_are_told_whole_also_once_they_are_mined() -> None:
    node = _node()
    told = _Told(node, PENDING, WHOLE)
    first, second = node.admit(ALICE, 0), node.admit(ALICE, 1)
    node.mine(first)
    step = told.feed._pending([first.id, second.id, "00" * 32])
    assert [json.loads(each) for each in step.hashes] == [f"0x{each}" for each in (first.id, second.id, "00" * 32)]
    whole = [json.loads(each) for each in step.whole or ()]
    assert [(each["hash"], each["blockHash"]) for each in whole] == [(f"0x{first.id}", None), (f"0x{second.id}", None)]


def test_a_feed_whose_block_is_gone_says_so_and_goes_on() -> None:
    node = _node()
    told = _Told(node, HEADS)
    node.mine()
    told.take()
    node.redis.hdel(node.node.chain.keys.headers, node.node.chain.tip().hash)
    assert told.take() == [] and told.lost == 1


def test_subscriptions_are_counted() -> None:
    node = _node()
    feed = Feed(node.node, lambda steps: None, lambda: None)
    assert feed.want(HEADS, 2) and feed.want(LOGS, 2) and not feed.want(HEADS, 2)
    feed.forget(LOGS)
    assert feed.subscriptions == 1 and feed.want(PENDING, 2)
