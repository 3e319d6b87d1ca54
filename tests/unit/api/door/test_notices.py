"""Messages of subscriptions: one frame for all, with a place for the id."""

import json

import pytest

from api.door.backlog import Step
from api.door.notices import Topic, notice, notices
from services.token.logs import LogCriteria
from shared.erc20 import Log

ID = b"0x" + b"ab" * 16
ANY = LogCriteria(0, 2**256, None, ())


def _read(frame: bytes) -> object:
    """The JSON of an unmasked text frame, whose length must be right."""
    assert frame[0] == 0x81
    size, start = frame[1], 2
    if size == 126:
        size, start = int.from_bytes(frame[2:4], "big"), 4
    elif size == 127:
        size, start = int.from_bytes(frame[2:10], "big"), 10
    assert len(frame) == start + size
    return json.loads(frame[start:])


@pytest.mark.parametrize("size", [0, 60_000, 70_000])
def test_a_notice_is_a_frame_around_the_id(size: int) -> None:
    before, after = notice(json.dumps("x" * size).encode())
    assert _read(before + ID + after) == {
        "jsonrpc": "2.0",
        "method": "eth_subscription",
        "params": {"subscription": ID.decode(), "result": "x" * size},
    }


def test_each_topic_gets_its_part_of_a_step_and_equal_topics_the_same_object() -> None:
    def log(address: str) -> Log:
        return Log(address, (), b"")

    attached = Step("attached", b'"head"', logs=[(log("0xA"), b'"a"'), (log("0xB"), b'"b"')])
    detached = Step("detached", logs=[(log("0xA"), b'"gone"')])
    pending = Step("pending", hashes=[b'"h1"', b'"h2"'], whole=[b'"w1"'])
    one, other = LogCriteria(0, 9, frozenset({"0xB"}), ()), LogCriteria(0, 9, frozenset({"0xB"}), ())

    def results(step: Step, topic: Topic) -> list[object]:
        return [_read(before + ID + after)["params"]["result"] for before, after in notices(step, topic)]  # type: ignore[index, call-overload]

    assert results(attached, Topic("newHeads")) == ["head"]
    assert results(attached, Topic("logs", ANY)) == ["a", "b"]
    assert results(attached, Topic("logs", one)) == ["b"]
    assert notices(attached, Topic("logs", one)) is notices(attached, Topic("logs", other))
    assert results(detached, Topic("logs", ANY)) == ["gone"]
    assert results(pending, Topic("newPendingTransactions")) == ["h1", "h2"]
    assert results(pending, Topic("newPendingTransactions", whole=True)) == ["w1"]
    for step, topic in (
        (detached, Topic("newHeads")), (pending, Topic("newHeads")), (attached, Topic("newPendingTransactions")),
        (attached, Topic("syncing")), (Step("attached", b'"head"'), Topic("logs", ANY)),
    ):  # fmt: skip
        assert results(step, topic) == []
