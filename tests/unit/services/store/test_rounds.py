"""Rounds and mining requests, from what the store holds of them."""

import pytest

from services.store.rounds import (
    ROUND_FIELDS,
    MiningRequest,
    RequestStatus,
    Round,
    RoundState,
    RoundWorker,
)

STORED = {
    "id": b"a" * 32, "state": b"open", "height": b"7", "difficulty": b"4096", "hashes": b"12", "wasted": b"3",
    "version": b"2", "parent": b"b" * 64, "opened_at": b"1000.5", "transactions": b"4",
}  # fmt: skip
ENDED = {"state": b"sealed", "ended_at": b"1002.5", "block": b"c" * 64, "sealed_by": b"w1"}


def stored(**changes: bytes) -> list[bytes | None]:
    values = {**STORED, **changes}
    return [values.get(name) for name in ROUND_FIELDS]


NO_SEARCH: list[bytes | None] = [None, None]


def test_an_open_round() -> None:
    found = Round.read(stored(), [b"12", b"3"])
    assert found == Round(
        "a" * 32, RoundState.OPEN, 7, 4096, 12, 3, "2", "b" * 64, 1000.5, None, None, None, transactions=4
    )
    assert found.is_open


def test_a_round_that_has_ended() -> None:
    found = Round.read(stored(**ENDED), NO_SEARCH)
    assert found is not None and not found.is_open
    assert (found.state, found.ended_at, found.block, found.sealed_by) == ("sealed", 1002.5, "c" * 64, "w1")
    cancelled = Round.read(stored(state=b"cancelled", ended_at=b"1002.5", block=b"", sealed_by=b""), NO_SEARCH)
    assert cancelled is not None and (cancelled.block, cancelled.sealed_by) == (None, None)


def test_a_round_that_is_not_there() -> None:
    assert Round.read([None] * len(ROUND_FIELDS), NO_SEARCH) is None


def test_a_state_that_no_script_writes_is_refused() -> None:
    with pytest.raises(ValueError, match="'lost' is not a valid RoundState"):
        Round.read(stored(state=b"lost"), NO_SEARCH)


@pytest.mark.parametrize(
    ("status", "waits"),
    [("queued", True), ("started", True), ("finished", False), ("cancelled", False)],
)
def test_requests(status: str, waits: bool) -> None:
    fields = {b"status": status.encode(), b"round": b"", b"block": b"", b"created_at": b"1000.25"}
    found = MiningRequest.read(fields)
    assert found == MiningRequest(RequestStatus(status), None, None, 1000.25)
    assert found.is_waiting is waits
    answered = MiningRequest.read({**fields, b"round": b"a" * 32, b"block": b"c" * 64})
    assert answered is not None and (answered.round_id, answered.block) == ("a" * 32, "c" * 64)


def test_a_request_that_is_not_there() -> None:
    assert MiningRequest.read({}) is None


def test_workers() -> None:
    assert RoundWorker.read(b"1200:1000.5:1002") == RoundWorker(1200, since=1000.5, last=1002.0)
    assert RoundWorker.read(b"1200:1000.5:1002:-300") == RoundWorker(1200, since=1000.5, last=1002.0, before=-300)
    assert RoundWorker.read(b"1200:1000.5:1002:-300").rate == 1000
