"""What a control of the page asks of the lab: each is one call of the lab's interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol

from lab.interface import Lab, LabError, Link
from lab.strategy import Strategy

MOST_LATENCY = 60.0  # seconds


# name -> which values it takes, and what it does
Calls = Mapping[str, tuple[frozenset[str], Callable[[Any, Mapping[str, Any]], None]]]


class Network(Protocol):
    """The part of a lab that is its links."""

    @property
    def nodes(self) -> Sequence[Numbered]: ...

    def link(self, a: int, b: int) -> Link: ...

    def partition(self, *groups: Sequence[int]) -> None: ...

    def heal(self) -> None: ...


class Numbered(Protocol):
    @property
    def number(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment that was made by a control, so that it can be double-spent."""

    node: int
    id: str
    amount: str
    nonce: int


class LinkControls:
    """The controls of a network that are about its links.

    Args:
        do: runs what is asked: a simulated lab works in one thread only.
    """

    def __init__(self, network: Network, do: Callable[[Callable[[], None]], None] = lambda work: work()) -> None:
        self.network = network
        self.do = do

    def act(self, asked: dict[str, Any]) -> None:
        """Do what the page asks: `{"call": NAME, ...}`.

        Raises:
            LabError: there is no such control, a value does not fit, or it is refused.
        """
        if not isinstance(asked.get("call"), str):
            raise LabError('A control is an object with a "call".')
        values = {key: value for key, value in asked.items() if key != "call"}
        call = self.calls.get(asked["call"])
        if call is None:
            raise LabError(f"There is no control {asked['call'][:40]!r}.")
        names, do = call
        if values.keys() - names:
            raise LabError(f"{asked['call']} has no {sorted(values.keys() - names)[0][:40]!r}.")
        self.do(partial(do, self, values))

    def _partition(self, values: Mapping[str, Any]) -> None:
        groups = values.get("groups")
        if not isinstance(groups, list) or not all(
            isinstance(group, list) and all(type(number) is int for number in group) for group in groups
        ):
            raise LabError("groups is a list of lists of nodes.")
        numbers = {node.number for node in self.network.nodes}
        if not groups or (len(groups) == 1 and numbers <= set(groups[0])):
            self.network.heal()
        else:
            self.network.partition(*groups)

    def _heal(self, values: Mapping[str, Any]) -> None:
        self.network.heal()

    def _link(self, values: Mapping[str, Any]) -> None:
        """Change a link; without `from` or `to`, all from or to every node."""
        numbers = [node.number for node in self.network.nodes]
        froms = numbers if values.get("from") is None else [_node(values, "from")]
        tos = numbers if values.get("to") is None else [_node(values, "to")]
        changes = {key: _number(values, key, 0, MOST_LATENCY) for key in ("latency", "jitter") if key in values}
        if "rate" in values:
            changes["rate"] = _number(values, "rate", 0, 1e12)
        for link in (self.network.link(a, b) for a in froms for b in tos if a != b):
            if changes:
                link.set(**changes)
            if values.get("cut") is True:
                link.cut()
            elif values.get("cut") is False:
                link.restore()

    calls: ClassVar[Calls] = {
        "partition": (frozenset({"groups"}), _partition),
        "heal": (frozenset(), _heal),
        "link": (frozenset({"from", "to", "latency", "jitter", "rate", "cut"}), _link),
    }


class Controls(LinkControls):
    """The controls of one lab.

    Args:
        strategies: what the page offers, by name.
        do: as for `LinkControls`.
    """

    def __init__(
        self,
        lab: Lab,
        strategies: Mapping[str, Callable[[], Strategy]],
        do: Callable[[Callable[[], None]], None] = lambda work: work(),
    ) -> None:
        super().__init__(lab, do)
        self.lab = lab
        self.strategies = strategies
        self.payments: list[Payment] = []

    def _stop(self, values: Mapping[str, Any]) -> None:
        self.lab.node(_node(values)).stop()

    def _kill(self, values: Mapping[str, Any]) -> None:
        self.lab.node(_node(values)).kill()

    def _start(self, values: Mapping[str, Any]) -> None:
        self.lab.node(_node(values)).start()

    def _limit(self, values: Mapping[str, Any]) -> None:
        rate = values.get("rate")
        self.lab.node(_node(values)).limit(None if rate is None else _number(values, "rate", 0, 1e12))

    def _strategy(self, values: Mapping[str, Any]) -> None:
        name = values.get("name")
        if name is not None and (not isinstance(name, str) or name not in self.strategies):
            raise LabError(f"There is no strategy {str(name)[:40]!r}. There are {', '.join(self.strategies)}.")
        self.lab.strategy(_node(values), None if name is None else self.strategies[name]())

    def _send(self, values: Mapping[str, Any]) -> None:
        node, to = self.lab.node(_node(values)), self.lab.node(_node(values, "to"))
        amount = values.get("amount")
        if not isinstance(amount, str) or len(amount) > 40:
            raise LabError("amount is a text, such as 0.5.")
        nonce = node.next_nonce()
        self.payments.append(Payment(node.number, node.send(to, amount, nonce=nonce), amount, nonce))

    def _double_spend(self, values: Mapping[str, Any]) -> None:
        """Pay the same coins back to the payer, at a node that has not heard of the last payment if there is one."""
        if not self.payments:
            raise LabError("There is no payment to spend a second time: send one first.")
        last = self.payments[-1]
        payer = self.lab.node(last.node)
        unaware = [node for node in self.lab.nodes if node.state == "running" and node.depth(last.id) is None]
        if not unaware:
            raise LabError(
                "Every node knows the payment, and none takes another one with its nonce. Part the network first, so "
                "that some nodes have not heard of it."
            )
        payer.send(payer, last.amount, nonce=last.nonce, at=unaware[0])

    calls: ClassVar[Calls] = {
        **LinkControls.calls,
        "stop": (frozenset({"node"}), _stop),
        "kill": (frozenset({"node"}), _kill),
        "start": (frozenset({"node"}), _start),
        "limit": (frozenset({"node", "rate"}), _limit),
        "strategy": (frozenset({"node", "name"}), _strategy),
        "send": (frozenset({"node", "to", "amount"}), _send),
        "double_spend": (frozenset(), _double_spend),
    }


def _node(values: Mapping[str, Any], name: str = "node") -> int:
    number = values.get(name)
    if type(number) is not int:
        raise LabError(f"{name} is the number of a node.")
    return number


def _number(values: Mapping[str, Any], name: str, low: float, high: float) -> float:
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise LabError(f"{name} is a number from {low:g} to {high:g}.")
    return float(value)
