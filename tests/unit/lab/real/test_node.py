"""Requests to a real node whose machine is too busy for its store to answer in time."""

from collections.abc import Callable

import pytest

from api.cli import client
from api.cli.client import Refused
from lab.interface import LabError
from lab.real import node
from lab.real.node import RealNode

AWAY = Refused("The store does not answer (store_unavailable).", 503, "store_unavailable")


class Node:
    """What asking needs of a real node."""

    name = "node 1"
    _answers = RealNode._answers
    answered: Callable[..., object] = RealNode._answered


def test_a_request_is_repeated_until_the_store_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.time, "sleep", lambda seconds: None)
    answers: list[str | Refused] = [AWAY, AWAY, "yes", "again"]

    def ask() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Refused):
            raise answer
        return answer

    assert Node().answered(ask) == "yes" and answers == ["again"]


@pytest.mark.parametrize(
    ("refusal", "seconds"),
    [(Refused("no", 409, "round_cancelled"), 60.0), (AWAY, -1.0)],
    ids=["another reason", "too long"],
)
def test_it_is_not_repeated_for_another_reason_nor_forever(
    refusal: Refused, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "_STORE_SECONDS", seconds)
    asked = []

    def ask() -> None:
        asked.append(1)
        raise refusal

    with pytest.raises(LabError, match=f"node 1: {refusal.message[:10]}"):
        Node().answered(ask)
    assert asked == [1]
