"""Requests to a real node whose machine is too busy for its store to answer in time."""

import pytest

from api.cli.client import Refused
from lab.real import node
from lab.real.node import once_the_store_answers

AWAY = Refused("The store does not answer.", 503, "store_unavailable")


def test_a_request_is_repeated_until_the_store_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "_REPEAT", 0.0)
    answers: list[str | Refused] = [AWAY, AWAY, "yes", "again"]

    def ask() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Refused):
            raise answer
        return answer

    assert once_the_store_answers(ask) == "yes" and answers == ["again"]


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

    with pytest.raises(Refused) as raised:
        once_the_store_answers(ask)
    assert raised.value is refusal and asked == [1]
