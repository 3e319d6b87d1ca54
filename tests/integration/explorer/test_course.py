"""The course: its steps lead from one to the next, its words are explained, and its exercises are about this chain."""

import json
import re
from html import unescape
from typing import Any

import pytest

from api.app import create_app
from api.explorer import glossary
from api.explorer.glossary import anchor
from api.explorer.pages import course
from api.explorer.pages.quiz import QUESTIONS
from services.node import Node
from services.settings.table import load_spec
from services.system.programs import ROOT
from shared.hashing import sha256
from shared.replay import Replay
from shared.rules import rules_for
from tests.support.http import Client, FlaskDoor
from tests.support.nodes import MakeNode, grow, mine
from tests.support.scene import HOSTILE

BROWSER = {"Accept": "text/html"}
SLUGS = [step.slug for step in course.STEPS]
STATIC = ROOT / "api" / "explorer" / "static"


def source(client: Client, path: str, status: int = 200) -> str:
    answer = client.get(path, **BROWSER)
    assert answer.status == status, (path, answer.body[:300])
    return answer.body.decode()


def data(page: str) -> dict[str, str]:
    """The `data-` attributes of a step's exercise."""
    [tag] = re.findall(r'<section class="panel exercise"[^>]*>', page)
    return dict(re.findall(r'data-([a-z-]+)="([^"]*)"', tag))


@pytest.fixture
def tutorial(make_node: MakeNode) -> Node:
    return make_node(SPEC="tutorial")


# --- The way through it -----------------------------------------------------------------------------------------------


def test_each_page_leads_to_the_next(client: Client) -> None:
    contents = source(client, "/learn")
    assert [f'href="/learn/{slug}"' in contents for slug in SLUGS] == [True] * 7
    path, seen = "/learn/hash", []
    while path.startswith("/learn/") and path not in seen:
        seen.append(path)
        after = re.search(r'rel="next" href="([^"]+)"', source(client, path))
        path = after[1] if after else ""
    assert seen == [*(f"/learn/{slug}" for slug in SLUGS), "/learn/quiz", "/learn/anatomy"]
    back = [re.search(r'rel="prev" href="([^"]+)"', source(client, path)) for path in seen[:-1]]
    assert [found and found[1] for found in back] == ["/learn", *seen[:-2]]


def test_each_step_has_an_idea_an_exercise_and_a_sentence(client: Client) -> None:
    for number, step in enumerate(course.STEPS, 1):
        page = source(client, f"/learn/{step.slug}")
        assert f"Step {number} of 7" in page and page.count('aria-current="step"') == 1
        assert data(page)["step"] == step.slug
        assert f"To remember:</strong> {step.remember}" in page and step.remember.count(".") == 1
        # The text is there without scripts, which the exercise says that it needs.
        assert page.count("<p>") >= 3 and "This exercise needs scripts" in page


def test_what_is_no_step_is_missing(client: Client) -> None:
    assert "/learn/nonsense" in source(client, "/learn/nonsense", 404)
    client.get("/learn/nonsense").refused(404, "unknown_page")
    for path in ("/learn/step", "/learn/macros", "/learn/contents", "/learn/..%2Flayout", f"/learn/{'x' * 2000}"):
        assert client.get(path, **BROWSER).status == 404


def test_the_earlier_address_of_a_block_taken_apart_leads_to_it(client: Client) -> None:
    answer = client.get("/learn?block=3", **BROWSER)
    assert (answer.status, answer.headers["location"]) == (302, "/learn/anatomy?block=3")
    for wrong in ("x", "0", "-1", "", "1.5", "9" * 16):
        assert "must be a whole number" in source(client, f"/learn?block={wrong}", 400)


# --- Words and questions ----------------------------------------------------------------------------------------------


def test_every_word_that_the_course_marks_is_in_the_glossary(client: Client) -> None:
    explained = {anchor(entry.word) for part in glossary.parts() for entry in part.entries}
    marked = {
        word
        for path in ("/learn", *(f"/learn/{slug}" for slug in SLUGS))
        for word in re.findall(r'class="term" href="/learn/glossary#([^"]+)"', source(client, path))
    }
    assert len(marked) > 40 and marked <= explained
    # And the part about the course has no others.
    assert {anchor(entry.word) for entry in glossary.parts()[0].entries} == marked


def test_every_word_has_a_meaning_an_example_and_one_place() -> None:
    entries = [entry for part in glossary.parts() for entry in part.entries]
    assert len({anchor(entry.word) for entry in entries}) == len(entries) > 120
    for part in glossary.parts():
        words = [entry.word.lower() for entry in part.entries]
        assert words == sorted(words)
    for entry in entries:
        assert all((entry.meaning, entry.example, entry.where)) and "|" not in entry.meaning + entry.example, entry
        assert entry.example != entry.meaning


def test_the_glossary_of_the_documentation_is_made_from_the_same_words(client: Client) -> None:
    assert (ROOT / "docs" / "glossary.md").read_text("utf-8") == glossary.page()
    page = source(client, "/learn/glossary")
    for part in glossary.parts():
        for entry in part.entries:
            assert f'<dt id="{anchor(entry.word)}">' in page
    assert "`" not in page and "](" not in page


def test_the_quiz_has_ten_questions_that_the_steps_answer(client: Client) -> None:
    assert len(QUESTIONS) == 10
    page = source(client, "/learn/quiz")
    assert page.count("<details>") == 10
    for item in QUESTIONS:
        assert item.question in page and item.question.endswith("?") and set(item.steps) <= set(SLUGS) and item.steps
    assert {slug for item in QUESTIONS for slug in item.steps} == set(SLUGS)


# --- The exercises are about this chain -------------------------------------------------------------------------------


def test_the_first_step_shows_what_the_hash_of_the_tip_is_of(node: Node, client: Client) -> None:
    for _ in range(2):
        tip = node.chain.tip()
        page = source(client, "/learn/hash")
        [text] = re.findall(r'id="h-bytes">([^<]+)<', page)
        assert sha256(text.encode()).hex() == tip.hash and tip.hash in page
        grow(node)  # the first time the tip was genesis


def test_the_reader_mines_the_next_block(node: Node, client: Client) -> None:
    grow(node)
    tip = node.chain.tip()
    for slug in ("block", "network"):
        found = data(source(client, f"/learn/{slug}"))
        assert (found["height"], found["hash"], found["chainwork"]) == ("2", tip.hash, str(tip.chainwork))
        assert (found["difficulty"], found["reward"], found["chain-id"]) == ("64", "1", "4242")
        assert abs(int(found["timestamp"]) - node.clock.now()) < 60
    assert data(source(client, "/learn/transaction"))["chain-id"] == "4242"


def test_no_exercise_is_harder_than_a_browser_can_bear(make_node: MakeNode) -> None:
    client = Client(FlaskDoor(create_app(make_node(spec={"difficulty": 2**40}))))
    page = source(client, "/learn/block")
    assert data(page)["difficulty"] == str(course.EASED) and "1,099,511,627,776" in page
    assert data(source(client, "/learn/cost"))["difficulty"] == str(2**40)


def test_the_chain_that_is_broken_is_that_of_the_node(
    node: Node, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for height in range(1, 8):
        page = source(client, "/learn/chain")
        found = data(page)
        assert (height < 5) == ("too short" in page) == found["blocks"].startswith("/assets/sample-chain.json")
        blocks = client.get(found["blocks"].replace("&amp;", "&")).ok()["chain"]
        assert len(blocks) >= 4 and all(block["transactions"] for block in blocks)
        assert found["later"] == str(max(height - 5, 1 if height < 5 else 0))
        grow(node)
    for name, value in (("EASED", 63), ("_MOST_BYTES", 100)):
        with monkeypatch.context() as patch:
            patch.setattr(course, name, value)
            assert "too large or too difficult" in source(client, "/learn/chain")


def test_the_example_is_a_valid_chain() -> None:
    rules = rules_for(load_spec("dev"))
    replay = Replay(rules)
    replay.add(json.loads(rules.genesis().canonical))
    for block in course.sample_blocks():
        replay.add(block)
    parent: dict[str, Any] = course._sample_parent()["parent"]
    assert replay.claim.hash == parent["hash"] and replay.claim.chainwork == parent["chainwork"]
    assert len(course.sample_blocks()) == 5 and sum(len(block["transactions"]) for block in course.sample_blocks()) > 6


def test_chances_are_those_of_the_bitcoin_paper(client: Client) -> None:
    assert course.chance(10, 1) == pytest.approx(1 / 9) and course.chance(40, 2) == pytest.approx(4 / 9)
    assert course.chance(50, 100) == course.chance(51, 3) == 1
    page = source(client, "/learn/cost")
    row = re.search(r'<th scope="row">25 %</th>(.*?)</tr>', page)
    assert row and re.findall(r">([^<>]+)</td>", row[1]) == ["33 %", "11 %", "0.14 %"]


# --- Other networks ---------------------------------------------------------------------------------------------------


def test_on_the_tutorials_network_the_course_says_what_differs(tutorial: Node) -> None:
    client = Client(FlaskDoor(create_app(tutorial)))
    client.submit({"sender": f"<b>{HOSTILE}", "recipient": "x", "amount": 1.5})
    for slug in SLUGS:
        page = source(client, f"/learn/{slug}")
        assert slug in ("hash", "cost") or "tutorial's rules" in page.partition('class="panel exercise"')[0], slug
        assert slug in ("hash", "signature") or "blocks of an example" in page, slug
    found = data(source(client, "/learn/block"))
    assert found["chain-id"] == "847731" and found["height"] == "6"
    assert "847731" in source(client, "/learn/transaction")


def test_a_block_of_the_tutorial_is_hashed_as_a_whole(tutorial: Node) -> None:
    client = Client(FlaskDoor(create_app(tutorial)))
    client.submit({"sender": f"<b>{HOSTILE}", "recipient": "x", "amount": 1.5})
    block = mine(tutorial)
    page = source(client, "/learn/hash")
    [text] = re.findall(r'id="h-bytes">([^<]+)<', page)
    assert sha256(unescape(text).encode()).hex() == block.hash and block.hash in page
    client.submit({"sender": "y" * 5000, "recipient": "x", "amount": 1})
    mine(tutorial)
    assert "y" * 100 not in source(client, "/learn/hash")  # too long to read: genesis instead


# --- Files ------------------------------------------------------------------------------------------------------------


def test_scripts_load_nothing_but_what_is_here(client: Client) -> None:
    seen: set[str] = set()
    waiting = ["course.js", "course-blocks.js", "anatomy.js", "mining-worker.js"]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        answer = client.get(f"/assets/{name}")
        assert answer.status == 200 and "javascript" in answer.type, name
        folder = name.rpartition("/")[0]
        text = re.sub(r"/\*.*?\*/", "", answer.body.decode(), flags=re.DOTALL)
        for target in re.findall(r'^import [^;]*?"([^"]+)";', text, re.MULTILINE):
            assert target.startswith("./"), target
            waiting.append(f"{folder}/{target[2:]}".lstrip("/"))
        assert "import(" not in text and not re.search(r"https?://(?!\w+\.w3)", re.sub(r"//.*", "", text)), name
    assert {"ledger.js", "mining.js", "vendor/noble-hashes/sha3.js", "vendor/noble-ed25519/index.js"} <= seen
    vendored = {path.relative_to(STATIC).as_posix() for path in (STATIC / "vendor").rglob("*.js")}
    assert vendored <= seen, "a vendored script that nothing loads"


def test_vendored_scripts_come_with_their_licence(client: Client) -> None:
    folders = {path.parent for path in (STATIC / "vendor").rglob("*.js")}
    assert len(folders) == 2
    for folder in folders:
        assert "Permission is hereby granted" in (folder / "LICENSE").read_text("utf-8")
    for path in ("vendor/../views.py", "vendor", "vendor/", "../views.py", "vendor%2F..%2F..%2Fviews.py"):
        assert client.get(f"/assets/{path}").status == 404
