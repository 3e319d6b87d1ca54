"""The five exercises of the lab's page, done as each says by the page's own requests, until it says that it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab.interface import LabBlock
from lab.page.app import Feed, create_app
from lab.page.controls import Controls
from lab.page.exercises import EXERCISES
from lab.recording import VERSION, Recorder
from lab.simulated.tree.lab import TreeLab
from lab.strategies import OFFERED
from services.settings.table import load_spec

NODES = 4
TRIES = 20
PATIENCE = 10_000.0  # virtual seconds


class Reader:
    """A person at the page, and a lab whose time passes while the person waits."""

    def __init__(self, lab: TreeLab, client: Any) -> None:
        self.lab = lab
        self._client = client

    def act(self, call: str, **values: Any) -> None:
        answer = self._client.post("/control", json={"call": call, **values})
        assert answer.status_code == 200, answer.json

    def check(self, name: str, choice: int | None = None) -> tuple[bool, str]:
        answer = self._client.post(f"/exercises/{name}", json={"choice": choice}).json
        return answer["done"], answer["said"]

    def wait(self, condition: Callable[[], bool]) -> None:
        self.lab.wait(condition, PATIENCE)

    def heal(self) -> None:
        self.act("heal")
        self.wait(lambda: len({node.tip().hash for node in self.lab.nodes}) == 1)

    def tip(self, node: int) -> LabBlock:
        return self.lab.node(node).tip()

    def has_coins(self) -> None:
        self.wait(lambda: all(node.balance(self.lab.node(1).wallet) > 10**18 for node in self.lab.nodes))


@pytest.fixture
def reader(request: pytest.FixtureRequest) -> Iterator[Reader]:
    feed = Feed()
    recorder = Recorder(tell=feed.add)
    recorder.note(0.0, "begin", recording=VERSION, scenario="up", world="simulated", seed=1, nodes=NODES, spec={},
                  parameters={})  # fmt: skip
    with TreeLab(NODES, load_spec("lab"), 1, recorder) as lab:
        yield Reader(lab, create_app(Controls(lab, OFFERED), feed, {}).test_client())


def fork(reader: Reader) -> None:
    reader.act("partition", groups=[[1, 2], [3, 4]])
    before = reader.tip(1).height
    reader.wait(lambda: min(reader.tip(1).height, reader.tip(3).height) > before)
    reader.heal()


def undo(reader: Reader) -> None:
    reader.has_coins()
    reader.act("partition", groups=[[1], [2, 3, 4]])
    reader.act("send", node=1, to=2, amount="0.5")
    reader.wait(lambda: bool(reader.tip(1).transactions))
    reader.act("double_spend")
    before = reader.tip(2).height
    reader.wait(lambda: reader.tip(2).height > before)
    reader.heal()


def confirmations(reader: Reader) -> None:
    for node, rate in ((1, 6e5), (2, 5e5), (3, 5e5), (4, 4e5)):
        reader.act("limit", node=node, rate=rate)
    reader.act("partition", groups=[[1], [2, 3, 4]])
    before = reader.tip(2).height
    reader.wait(lambda: reader.tip(2).height >= before + 6)
    reader.heal()


def selfish(reader: Reader) -> None:
    for node, rate in ((1, 8e5), (2, 4e5), (3, 4e5), (4, 4e5)):
        reader.act("limit", node=node, rate=rate)
    reader.act("strategy", node=1, name="selfish")
    reader.lab.run_for(200)


def shop(reader: Reader) -> None:
    reader.has_coins()
    for node, rate in ((1, 3e5), (2, 3e5), (3, 7e5), (4, 7e5)):
        reader.act("limit", node=node, rate=rate)
    reader.act("partition", groups=[[1, 2], [3, 4]])
    reader.act("send", node=1, to=2, amount="0.5")
    paid = reader.tip(1).height
    reader.wait(lambda: any(block.transactions and reader.tip(2).height > block.height > paid
                            for block in reader.lab.blocks()))  # fmt: skip
    reader.wait(lambda: reader.tip(3).height > reader.tip(1).height)
    reader.heal()


@pytest.mark.parametrize("do", [fork, undo, confirmations, selfish, shop], ids=lambda each: each.__name__)
def test_an_exercise_is_done_by_doing_what_it_says(reader: Reader, do: Callable[[Reader], None]) -> None:
    """Some take a little luck, as the page says: they are tried again."""
    exercise = next(each for each in EXERCISES if each.name == do.__name__)
    done, said = reader.check(exercise.name)
    assert not done and said
    for _ in range(TRIES):
        do(reader)
        done, said = reader.check(exercise.name, exercise.answer)
        if done:
            break
    assert done and "You predicted it." in said and exercise.lesson in said


def test_there_are_five() -> None:
    assert [each.name for each in EXERCISES] == ["fork", "undo", "confirmations", "selfish", "shop"]
