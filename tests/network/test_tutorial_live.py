"""The tutorial's network with Quarry in it: real processes, its own commands, its own nodes on the other side."""

import argparse
import json
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from services.system.programs import ROOT
from tests.support.commands import done, launched
from tests.support.tutorial_node import is_valid
from tests.support.waiting import eventually

# As the tutorial has them. The one that registers ends its list with a comma, so no node of its network takes it.
SUBMIT = """curl -X POST -H "Content-Type: application/json" -d '{
 "sender": "d4ee26eee15148ee92c6cd394edd974e",
 "recipient": "recipient-address",
 "amount": 5
}' "http://localhost:5000/transactions/new"
"""
REGISTER = """curl -X POST -H "Content-Type: application/json" -d '{
 "nodes": ["http://127.0.0.1:5001"]
}' "http://localhost:5000/nodes/register"
"""
MINE = "curl http://localhost:5000/mine"
CHAIN = "curl http://localhost:5000/chain"
RESOLVE = "curl http://localhost:5000/nodes/resolve"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def ours(home: Path) -> Iterator[str]:
    """A node of `quarry up --spec tutorial` that mines when it is asked, as the tutorial's do."""
    with launched(home, "--spec", "tutorial", "--no-automine", QUARRY_RESOLVE_SECONDS="2") as (_, ready):
        assert ready["development_accounts"] is not None
        yield ready["nodes"][0]["url"]


@contextmanager
def original(wording: str) -> Iterator[str]:
    """A node that knows nothing of Quarry, in a process of its own."""
    command = [sys.executable, "-m", "tests.support.tutorial_node", "0", "--wording", wording]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def ask(url: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(url, body, {name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def curl(command: str, **ports: str) -> tuple[int, Any]:
    """What curl would send for a command line of the tutorial, with URLs in the place of its ports."""
    for port, url in ports.items():
        command = command.replace(f"http://localhost:{port[1:]}", url).replace(f"http://127.0.0.1:{port[1:]}", url)
    parser = argparse.ArgumentParser()
    parser.add_argument("-X", default="GET")
    parser.add_argument("-H", default="")
    parser.add_argument("-d")
    parser.add_argument("url")
    given = parser.parse_args(shlex.split(command)[1:])
    name, _, value = given.H.partition(": ")
    headers = {name: value} if name else {}
    body = None if given.d is None else given.d.replace("\n", "").encode()  # curl's -d does so
    assert (given.X == "POST") == (body is not None)
    return ask(given.url, body, **headers)


def chain(url: str) -> list[dict[str, Any]]:
    status, value = ask(f"{url}/chain")
    assert (status, value["length"]) == (200, len(value["chain"]))
    found: list[dict[str, Any]] = value["chain"]
    assert is_valid(found)
    return found


def test_the_tutorials_commands_do_what_it_shows(ours: str) -> None:
    length = len(chain(ours))
    status, answer = curl(SUBMIT, p5000=ours)
    assert (status, answer["message"]) == (201, f"Transaction will be added to Block {length + 1}.")
    status, answer = curl(MINE, p5000=ours)
    assert (status, answer["message"], answer["index"]) == (200, "Forged new block.", length + 1)
    sent, reward = answer["transactions"]
    expected = {"sender": "d4ee26eee15148ee92c6cd394edd974e", "recipient": "recipient-address", "amount": 5}
    assert sent == expected
    assert (reward["sender"], reward["amount"]) == ("0", 1)
    status, answer = curl(CHAIN, p5000=ours)
    assert (status, answer["length"], answer["chain"][-1]["transactions"][0]) == (200, length + 1, expected)
    assert (answer["chain"][0]["previous_hash"], answer["chain"][0]["proof"]) == (1, 100)
    alias = SUBMIT.replace("/transactions/new", "/transaction/new")
    assert curl(alias, p5000=ours)[0] == 201


@pytest.mark.parametrize("wording", ["readme", "code"])
def test_quarry_and_an_original_node_adopt_each_others_chains(ours: str, home: Path, wording: str) -> None:
    with original(wording) as theirs:
        while len(chain(theirs)) <= len(chain(ours)):
            assert ask(f"{theirs}/mine")[0] == 200
        status, answer = curl(REGISTER, p5000=ours, p5001=theirs)
        assert (status, answer["all_nodes"]) == (201, [theirs])
        # Ours adopts theirs, first block included.
        status, answer = curl(RESOLVE, p5000=ours)
        assert status == 200
        assert answer["message"] == "Our chain was replaced." or chain(ours) == chain(theirs)  # or the ticker was first
        assert answer.get("new_chain", answer.get("chain")) == chain(ours) == chain(theirs)
        # Theirs adopts ours, which goes on from there.
        curl(SUBMIT, p5000=ours)
        assert curl(MINE, p5000=ours)[1]["index"] == len(chain(theirs)) + 1
        assert curl(REGISTER, p5000=theirs, p5001=ours)[0] == 201
        status, answer = curl(RESOLVE, p5000=theirs)
        assert (status, answer["message"]) == (200, "Our chain was replaced.")
        assert chain(theirs) == chain(ours)
        # And it is found without being asked for, by the next tick.
        assert ask(f"{theirs}/mine")[0] == 200
        eventually(lambda: chain(ours) == chain(theirs))
        assert curl(RESOLVE, p5000=ours)[1]["message"] == "Our chain is authoritative."
        [peer] = done(home, "peers", "list")["peers"]
        assert peer["state"] == "ok", peer
        assert done(home, "peers", "remove", theirs)["removed"] == 1
