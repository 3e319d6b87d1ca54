"""Waiting transactions by the first digits of their id: those that came and left since, and many searches at once."""

import threading

import pytest

from services.mempool.prefixes import WaitingIds
from services.node import Node
from shared.keys import KeyPair
from shared.transaction import read_transaction
from tests.support.keys import ALICE, BOB
from tests.support.nodes import grow, transfer
from tests.support.waiting import eventually


def sent_by(key: KeyPair, nonce: int, node: Node) -> str:
    return node.submit_one(read_transaction(transfer(key, nonce))).id


def test_what_came_is_found_and_what_left_is_not(node: Node) -> None:
    assert node.waiting.find("abcd") == []
    sent = sent_by(ALICE, 0, node)
    assert node.waiting.find(sent[:8]) == node.waiting.find(sent) == [sent]
    assert node.waiting.find(sent[1:9]) == node.waiting.find(sent[:8] + "x") == []
    later = sent_by(BOB, 0, node)
    assert node.waiting.find(later[:8]) == [later]
    grow(node, transfer(ALICE, 0))
    assert node.waiting.find(sent[:8]) == []
    node.pool.drop([later], "dropped", "a test", node.clock.now())
    assert node.waiting.find(later[:8]) == []


def test_ids_are_read_again_only_if_a_transaction_was_added(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    sent_by(ALICE, 0, node)
    reads: list[int] = []
    monkeypatch.setattr(type(node.pool), "newest", _counted(type(node.pool).newest, reads))
    for digits in ("abcd", "ef01", "2345"):
        node.waiting.find(digits)
    assert len(reads) == 1
    sent_by(ALICE, 1, node)
    node.waiting.find("abcd")
    assert len(reads) == 2


def test_searches_that_wait_for_a_read_share_the_next_one(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = sent_by(ALICE, 0, node)
    waiting, reads, begun, go_on = WaitingIds(node.pool), [], threading.Event(), threading.Event()  # type: ignore[var-annotated]
    newest = type(node.pool).newest

    def slow(pool: object, limit: int) -> object:
        found = newest(pool, limit)  # type: ignore[arg-type]
        reads.append(limit)
        begun.set()
        assert go_on.wait(20)
        return found

    monkeypatch.setattr(type(node.pool), "newest", slow)
    found: list[list[str]] = []
    arrived = threading.Semaphore(0)
    revision = type(node.pool).revision

    def noted(pool: object) -> int:
        number = revision(pool)  # type: ignore[arg-type]
        arrived.release()
        return number

    monkeypatch.setattr(type(node.pool), "revision", noted)
    threads = [threading.Thread(target=lambda: found.append(waiting.find(sent[:9]))) for _ in range(9)]
    threads[0].start()
    assert begun.wait(20)
    for thread in threads[1:]:
        thread.start()
    for _ in threads:
        assert arrived.acquire(timeout=20)
    eventually(waiting._lock.locked)
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert found == [[sent]] * 9 and len(reads) <= 2


def _counted(function, calls):  # type: ignore[no-untyped-def]
    def counted(pool, limit):  # type: ignore[no-untyped-def]
        calls.append(limit)
        return function(pool, limit)

    return counted
