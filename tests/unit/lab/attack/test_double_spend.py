"""An attack on applications that believe early, late and never, in a lab in virtual time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.attack.application import Payment, State
from lab.attack.asked import Asked, read_asked
from lab.attack.double_spend import DoubleSpend
from lab.interface import LabError
from lab.runner import SPEC
from lab.simulated.tree.lab import TreeLab
from services.settings.table import load_spec

SHOP = "0x00000000000000000000000000000000DeaDBeef"


class Shop:
    """An application that watches node 2; `says` gets the confirmations, or None if the node knows no such payment."""

    def __init__(self, lab: TreeLab, says: Callable[[int | None], State]) -> None:
        self.lab = lab
        self.says = says
        self.asked: list[Payment] = []

    def ask(self, payment: Payment) -> State:
        self.asked.append(payment)
        return self.says(self.lab.node(2).depth(payment.id))


def believes(depth: int) -> Callable[[int | None], State]:
    return lambda seen: "credited" if seen is not None and seen >= depth else "not credited"


def attack(
    says: Callable[[int | None], State], depth: int, nodes: int = 3
) -> tuple[Shop, dict[str, tuple[bool, float | None]]]:
    lab = TreeLab(nodes, load_spec(SPEC), 3)
    shop = Shop(lab, says)
    asked = read_asked({"against": "http://127.0.0.1/", "depth": depth, "pay_to": SHOP, "wait": 2, "patience": 3})
    DoubleSpend(lab, shop, asked, lab.check).run()
    return shop, {each.claim: (each.held, each.value) for each in lab.observations}


@pytest.mark.parametrize("believed", [0, 1, 2, 5])
def test_a_payment_is_undone_at_the_depth_at_which_it_is_believed(believed: int) -> None:
    shop, verdicts = attack(believes(believed), 5)
    assert verdicts == {
        "the application does not believe a payment with up to 5 confirmations": (False, believed),
        "the payment was undone": (True, None),
        "the application notices within 2 s that the payment has gone": (True, None),
        "the application answered every question as agreed": (True, 0),
    }
    assert {payment.address for payment in shop.asked} == {SHOP} and shop.asked[0].id == "0" * 64
    lab = shop.lab
    assert not lab.node(2).depth(shop.asked[-1].id) and lab.node(1).balance(SHOP) == 0
    lab.run_for(30)
    assert lab.node(1).balance(SHOP) == 0, "all mine again, and it stays undone"


def test_who_waits_longer_is_safe_and_keeps_the_payment() -> None:
    shop, verdicts = attack(believes(4), 3, nodes=2)
    assert verdicts == {
        "the application does not believe a payment with up to 3 confirmations": (True, None),
        "the application answered every question as agreed": (True, 0),
    }
    shop.lab.run_for(30)
    assert (shop.lab.node(1).depth(shop.asked[-1].id) or 0) >= 3


def test_an_application_that_does_not_notice_is_told_of() -> None:
    believed: list[bool] = []

    def says(seen: int | None) -> State:
        believed.extend([True] if seen else [])
        return "credited" if believed else "not credited"

    verdicts = attack(says, 2)[1]
    assert verdicts["the application notices within 2 s that the payment has gone"] == (False, None)


def test_answers_that_are_none_are_counted_and_count_as_not_credited() -> None:
    verdicts = attack(lambda seen: "not credited" if seen is None else "nonsense", 1)[1]
    assert verdicts["the application does not believe a payment with up to 1 confirmations"] == (True, None)
    held, count = verdicts["the application answered every question as agreed"]
    assert not held and count and count > 4
    verdicts = attack(lambda seen: "not credited" if seen is None else "no answer", 0)[1]
    assert not verdicts["the application answered every question as agreed"][0]


def test_an_application_that_never_answers_or_credits_everything_is_not_paid() -> None:
    for state, said in (("no answer", "does not answer"), ("credited", "before anybody has made it")):
        with pytest.raises(LabError, match=said):
            attack(lambda seen, state=state: state, 1)  # type: ignore[misc]
    with pytest.raises(LabError, match="two nodes at least"):
        attack(believes(1), 1, nodes=1)


GOOD = {"against": "http://127.0.0.1/", "depth": 3, "pay_to": SHOP}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"depth": None}, "depth cannot be None"), ({"depth": True}, "depth cannot be True"),
        ({"depth": 101}, "from 0 to 100"), ({"depth": -1}, "from 0 to 100"), ({"depth": 1.5}, "depth cannot be"),
        ({"pay_to": "me"}, "is no address"), ({"amount": "much"}, "amount"), ({"amount": "0"}, "more than 0"),
        ({"amount": 1}, "amount cannot be 1"), ({"wait": float("nan")}, "from 0 to 3600"),
        ({"wait": 10**400}, "from 0 to 3600"), ({"wait": "5"}, "wait cannot be"), ({"patience": 1e9}, "from 0 to 3600"),
        ({"colour": "red"}, "has no 'colour'"),
        ({"against": 5}, "against cannot be"),
    ],
)  # fmt: skip
def test_what_is_asked_is_checked(change: dict[str, object], said: str) -> None:
    assert read_asked(GOOD) == Asked("http://127.0.0.1/", 3, SHOP)
    assert read_asked(read_asked(GOOD).to_object()) == read_asked(GOOD)
    with pytest.raises(LabError, match=said):
        read_asked({**GOOD, **change})


def test_what_is_missing_is_named() -> None:
    for name in GOOD:
        with pytest.raises(LabError, match=f"needs {name}"):
            read_asked({key: value for key, value in GOOD.items() if key != name})
