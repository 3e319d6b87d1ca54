"""The lab's page in a browser: of a lab that runs, and as an exported file."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.files import read_file
from lab.page.app import Feed, create_app, serving_page
from lab.page.controls import Controls
from lab.page.exporting import exported
from lab.page.facts import Facts
from lab.recording import Event
from lab.strategies import OFFERED
from tests.browser.checks import check
from tests.browser.conftest import DESK, PHONE, Tab, opened
from tests.support.fake_lab import FakeLab
from tests.support.lab_up import running
from tests.support.recordings import recorded
from tests.support.waiting import eventually

VIEWS = [("light", DESK), ("dark", PHONE)]
BLOCKS = 14


@dataclass
class Stage:
    """A page of a lab, what is asked of the lab, and what the page is told."""

    lab: FakeLab
    feed: Feed
    tab: Tab

    def asked(self, count: int = 1) -> list[tuple[Any, ...]]:
        """What was asked since the last call, when it is so much."""
        eventually(lambda: len(self.lab.calls) >= count, every=0.01)
        calls, self.lab.calls = self.lab.calls, []
        return calls


@pytest.fixture
def stage(browser: Any, request: pytest.FixtureRequest) -> Iterator[Stage]:
    scheme, viewport = getattr(request, "param", VIEWS[0])
    lab, feed = FakeLab(), Feed()
    for event in recorded(blocks=BLOCKS, parted=False)[:-2]:  # without the verdict and the end
        feed.add(event)
    app = create_app(Controls(lab, {"selfish": _Strategy, "low": _Low}), feed, {1: "http://127.0.0.1:5000"})
    with serving_page(app, feed) as url, opened(browser, url.rstrip("/"), scheme, viewport) as tab:
        tab.open("/")
        tab.page.wait_for_selector("#nodes tr:nth-child(4)")
        yield Stage(lab, feed, tab)


class _Strategy:
    name = "selfish"


class _Low:
    name = "selfish, low hashes only"


@pytest.mark.parametrize("stage", VIEWS, indirect=True, ids=["light wide", "dark phone"])
def test_the_page_fits_and_can_be_used_by_all(stage: Stage, axe: str) -> None:
    for details in stage.tab.page.query_selector_all("details"):
        details.evaluate("element => { element.open = true; }")
    check(stage.tab, axe, "the lab")


def test_every_control_is_one_call(stage: Stage) -> None:
    page = stage.tab.page
    page.click("#stop-1")
    assert stage.asked() == [("stop", 1)]
    page.click("#kill-2")
    assert stage.asked() == [("kill", 2)]
    stage.feed.add(Event(1e3, "node", {"node": 2, "state": "killed"}))
    page.click("#start-2")
    assert stage.asked() == [("start", 2)]
    page.eval_on_selector("#rate-3", "dial => { dial.value = '1000000'; dial.dispatchEvent(new Event('change')); }")
    assert stage.asked() == [("limit", 3, 1_000_000.0)]
    page.select_option("#strategy-4", "selfish")
    assert stage.asked() == [("strategy", 4, "selfish")]
    stage.feed.add(Event(1e3, "strategy", {"node": 4, "name": "selfish, low hashes only"}))
    page.wait_for_selector("#strategy-4 option[value=low]:checked", state="attached")
    page.click("#move-2")
    assert stage.asked() == [("partition", [1, 3, 4], [2])]
    page.click("#heal")
    assert stage.asked() == [("heal",)]
    page.eval_on_selector("#latency", "dial => { dial.value = '0.5'; dial.dispatchEvent(new Event('change')); }")
    assert len(stage.asked(12)) == 12
    page.click("#cut")
    assert {call[0] for call in stage.asked(12)} == {"cut"}
    page.click("#pay")
    assert stage.asked() == [("send", 1, 2, "0.5", 7, None)]


def test_what_a_person_has_chosen_stays_while_the_lab_goes_on(stage: Stage) -> None:
    page = stage.tab.page
    page.select_option("#link-from", "3")
    page.select_option("#payer", "4")
    page.select_option("#payee", "3")
    page.fill("#amount", "0.125")
    stage.feed.add(Event(1e3, "limit", {"node": 1, "hash_rate": 3e6}))
    page.locator("#controls", has_text="Hash power: 3 MH/s").wait_for()
    page.click("#pay")
    assert stage.asked() == [("send", 4, 3, "0.125", 7, None)]
    page.click("#cut")
    assert stage.asked(3) == [("cut", "3>1"), ("cut", "3>2"), ("cut", "3>4")]


def test_sliders_stand_where_the_links_and_nodes_are(stage: Stage) -> None:
    page = stage.tab.page
    link = {"from": 1, "to": 2, "latency": 0.7, "jitter": 0.2, "rate": None, "cut": False}
    stage.feed.add(Event(1e3, "link", link))
    label = page.locator("label", has=page.locator("#latency"))
    label.filter(has_text="Latency: 0.7 s").wait_for()  # the slowest of all
    page.select_option("#link-from", "2")
    label.filter(has_text="Latency: 0 s").wait_for()
    page.select_option("#link-from", "1")
    page.select_option("#link-to", "2")
    label.filter(has_text="Latency: 0.7 s").wait_for()
    assert page.input_value("#jitter") == "0.2"
    for node in range(1, 5):
        stage.feed.add(Event(1e3, "limit", {"node": node, "hash_rate": 5e5}))
    dial = page.locator("label", has=page.locator("#rate-1"))
    dial.filter(has_text="Hash power: 500 kH/s, 25 % of all").wait_for()
    page.focus("#rate-1")
    page.keyboard.press("ArrowRight")
    dial.filter(has_text="Hash power: 600 kH/s, 29 % of all").wait_for()
    assert stage.asked() == [("limit", 1, 6e5)]
    page.locator("#log", has_text="Link 1 to 2: latency 0.7 s, jitter 0.2 s.").wait_for(state="attached")


def test_a_node_is_dragged_into_another_group(stage: Stage) -> None:
    page = stage.tab.page
    page.drag_and_drop(".member:nth-of-type(1)", ".group:last-child")
    assert stage.asked() == [("partition", [2, 3, 4], [1])]
    stage.feed.add(Event(1e3, "groups", {"groups": [[2, 3, 4], [1]]}))
    page.wait_for_selector('[aria-label="Group B"] .node-1')


def test_a_refusal_is_shown(stage: Stage) -> None:
    page = stage.tab.page
    page.fill("#amount", "too much")
    with page.expect_response("**/control"):
        page.click("#pay")
    page.wait_for_selector("#refusal:not([hidden])")
    assert "not an amount" in page.text_content("#refusal")
    stage.tab.problems = [each for each in stage.tab.problems if "409" not in each]  # the console names the status


def test_an_exercise_says_what_is_missing_and_then_that_it_is_done(stage: Stage) -> None:
    page = stage.tab.page
    page.click('[data-exercise="fork"] summary')
    page.check('[data-exercise="fork"] input[value="1"]')
    page.click('[data-exercise="fork"] .check')
    page.wait_for_selector('[data-exercise="fork"] .said:not([hidden])')
    assert "no fork yet" in page.text_content('[data-exercise="fork"] .said')
    nodes = [event.fields for event in stage.feed.events if event.kind == "tip"]
    tip = nodes[-1]["hash"]
    height = next(event.fields["height"] for event in stage.feed.events if event.fields.get("hash") == tip)
    stage.feed.add(Event(2e3, "groups", {"groups": [[1, 2], [3, 4]]}))
    for node, name in ((1, "a" * 64), (3, "b" * 64)):
        fields = {"hash": name, "parent": tip, "height": height + 1, "chainwork": "99999", "finder": node}
        stage.feed.add(Event(2e3, "block", {**fields, "timestamp": 0, "transactions": []}))
        stage.feed.add(Event(2e3, "tip", {"node": node, "hash": name, "detached": [], "attached": [name]}))
    page.click('[data-exercise="fork"] .check')
    page.wait_for_selector('[data-exercise="fork"] .said.good')
    assert "You predicted it." in page.text_content('[data-exercise="fork"] .said')


def test_the_timeline_shows_an_earlier_moment(stage: Stage) -> None:
    page = stage.tab.page
    heights = page.text_content("#nodes")
    page.eval_on_selector("#moment", "slider => { slider.value = '0'; slider.dispatchEvent(new Event('input')); }")
    page.wait_for_function("before => document.getElementById('nodes').textContent !== before", arg=heights)
    assert page.text_content("#nodes tr:first-child td:nth-child(2)") == "1"
    page.click("#now")
    page.wait_for_function("before => document.getElementById('nodes').textContent === before", arg=heights)


def test_blocks_are_chosen_by_keyboard_and_pointer(stage: Stage) -> None:
    page = stage.tab.page
    page.focus("#tree")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#block:not([hidden])")
    first = page.text_content("#block dd:nth-of-type(1)")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("was => document.querySelector('#block dd').textContent === String(was - 1)", arg=int(first))
    page.keyboard.press("Escape")
    page.wait_for_selector("#no-block:not([hidden])")


def test_a_refused_block_says_which_rule_it_breaks(stage: Stage) -> None:
    tips = [event.fields for event in stage.feed.events if event.kind == "tip"]
    fields = {"hash": "e" * 64, "parent": tips[-1]["hash"], "height": 99, "chainwork": "1", "finder": None}
    stage.feed.add(Event(1e3, "block", {**fields, "timestamp": 0, "transactions": []}))
    for node in (3, 4):
        stage.feed.add(Event(1e3, "invalid", {"node": node, "hash": "e" * 64, "rule": "wrong_proof"}))
    page = stage.tab.page
    page.locator("#log", has_text="Node 4 refused block eeeeeeee").wait_for(state="attached")
    page.focus("#tree")
    page.keyboard.press("ArrowUp")  # from the newest block, which has no neighbour, to itself
    page.wait_for_selector("#block:not([hidden])")
    assert "wrong_proof, by node 3" in page.text_content("#block")
    assert "nobody yet" in page.text_content("#block")


@pytest.mark.parametrize("view", VIEWS, ids=["light wide", "dark phone"])
def test_an_exported_recording_opens_without_a_network(browser: Any, axe: str, tmp_path: Path, view: Any) -> None:
    page = tmp_path / "run.html"
    page.write_text(exported(recorded(nodes=8, blocks=60)))
    with opened(browser, page.as_uri(), *view) as tab:
        tab.page.route("http://**", lambda route: route.abort())
        tab.open("")
        tab.page.wait_for_selector("#nodes tr:nth-child(8)")
        assert "held" in tab.page.text_content("#verdicts")
        check(tab, axe, "the exported page")
        tab.page.click("#play")
        tab.page.wait_for_function("document.getElementById('nodes').rows[0].cells[1].textContent !== '40'")


class Recorded:
    """What a lab that runs has recorded so far."""

    def __init__(self, directory: Path) -> None:
        (self.path,) = directory.glob("*.jsonl")

    def follows(self, kind: str, times: int = 1, **fields: Any) -> None:
        """Wait until something was recorded so often."""
        wanted = {"event": kind, **fields}
        eventually(
            lambda: sum(wanted.items() <= event.items() for event in self.events()) >= times, 90, f"{wanted}", every=0.2
        )

    def everybody_knows_coins_of(self, node: int) -> None:
        """Wait until every node's chain has a block of a node so deep that no race takes it away again."""

        def known() -> bool:
            events = self.events()
            blocks = {event["hash"]: event for event in events if event["event"] == "block"}
            tips = {event["node"]: event["hash"] for event in events if event["event"] == "tip"}
            chains = [[blocks[tip]] for tip in tips.values()]
            for chain in chains:
                while (parent := blocks.get(chain[-1]["parent"])) is not None:
                    chain.append(parent)
            return all(any(block["finder"] == node for block in chain[4:]) for chain in chains)

        eventually(known, 90, f"coins of node {node}", every=0.2)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text("ascii").split("\n")[:-1]]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_control_acts_while_four_real_nodes_run(browser: Any, tmp_path: Path) -> None:
    with running(tmp_path, "--nodes", "4") as (process, url):
        with opened(browser, url, *VIEWS[0]) as tab:
            recorded, page = Recorded(tmp_path), tab.page
            page.set_default_timeout(60_000)  # four nodes on a machine that may be busy
            tab.open("/")
            page.click("#stop-1")
            recorded.follows("node", node=1, state="stopped")
            page.click("#start-1")
            recorded.follows("node", 2, node=1, state="running")
            page.click("#kill-2")
            recorded.follows("node", node=2, state="killed")
            page.click("#start-2")
            recorded.follows("node", 2, node=2, state="running")
            page.eval_on_selector(
                "#rate-3", "dial => { dial.value = '1000000'; dial.dispatchEvent(new Event('change')); }"
            )
            recorded.follows("limit", node=3, hash_rate=1_000_000)
            page.select_option("#strategy-4", "selfish")
            recorded.follows("strategy", node=4, name=OFFERED["selfish"]().name)
            page.select_option("#strategy-4", "")
            recorded.follows("strategy", node=4, name=None)
            page.eval_on_selector(
                "#latency", "dial => { dial.value = '0.2'; dial.dispatchEvent(new Event('change')); }"
            )
            recorded.follows("link", **{"from": 4, "to": 3, "latency": 0.2})
            page.select_option("#link-from", "2")
            page.select_option("#link-to", "3")
            page.eval_on_selector("#jitter", "dial => { dial.value = '0.1'; dial.dispatchEvent(new Event('change')); }")
            recorded.follows("link", **{"from": 2, "to": 3, "latency": 0.2, "jitter": 0.1})
            page.select_option("#link-from", "all")
            page.select_option("#link-to", "all")
            page.eval_on_selector("#latency", "dial => { dial.value = '0'; dial.dispatchEvent(new Event('change')); }")
            recorded.follows("link", **{"from": 4, "to": 3, "latency": 0.0})
            page.click("#cut")
            recorded.follows("link", **{"from": 4, "to": 3, "cut": True})
            page.click("#restore")
            recorded.follows("link", 2, **{"from": 4, "to": 3, "cut": False})
            recorded.everybody_knows_coins_of(1)
            page.click("#move-2")
            recorded.follows("groups", groups=[[1, 3, 4], [2]])
            page.drag_and_drop(".member:has(.node-3)", ".group:last-child")
            recorded.follows("groups", groups=[[1, 4], [2], [3]])
            page.drag_and_drop(".member:has(.node-3)", ".group:first-child")
            recorded.follows("groups", 2, groups=[[1, 3, 4], [2]])
            page.click("#pay")
            recorded.follows("payment", node=1)
            page.click("#double-spend")
            recorded.follows("payment", 2, node=1)
            page.click("#heal")
            recorded.follows("groups", groups=[[1, 2, 3, 4]])
            assert page.is_hidden("#refusal")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    events = read_file(recorded.path)
    (tmp_path / "run.html").write_text(exported(events))
    last = {event.fields["node"]: event.fields["hash"] for event in events if event.kind == "tip"}
    heights = [block.height for node, hash in sorted(last.items()) if (block := Facts(events).blocks[hash])]
    with opened(browser, (tmp_path / "run.html").as_uri(), *VIEWS[0]) as tab:
        tab.open("")
        tab.page.wait_for_selector("#nodes tr:nth-child(4)")
        shown = [tab.page.text_content(f"#nodes tr:nth-child({node}) td:nth-child(2)") for node in range(1, 5)]
        assert shown == [str(height) for height in heights], "the replay ends with the tips of the nodes"
