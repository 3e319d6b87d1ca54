"""The events of a node as `quarry up` prints them: read from its store and its API's log, in a thread."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from api.cli import terminal
from api.cli.node.event_lines import MOST_LINES
from api.cli.node.watching import Watcher
from services.connections.servers import RedisError
from services.launch.embedded import EmbeddedValkey
from services.store.names import NameStore
from tests.support.keys import ALICE, BOB, MINER
from tests.support.nodes import TestNode
from tests.support.waiting import eventually


class Printed:
    """What is printed, in place of standard output."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.takes = True
        self.refused = 0
        self.closed = False

    def __call__(self, *lines: str) -> bool:
        if self.closed:
            raise BrokenPipeError
        if self.takes:
            self.lines += lines
        else:
            self.refused += 1
        return self.takes

    def texts(self) -> list[str]:
        """The lines without the time of day."""
        return [line[9:] for line in self.lines]

    def has(self, text: str) -> bool:
        return any(text in line for line in self.lines)


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Printed:
    found = Printed()
    monkeypatch.setattr(terminal, "show_if_taken", found)
    monkeypatch.setenv("COLUMNS", "80")
    return found


def waits(redis: Redis) -> bool:
    """Whether the watcher waits for events."""
    return any(client["cmd"] == "xread" for client in redis.client_list())


@pytest.fixture
def watched(here: TestNode, valkey: EmbeddedValkey, tmp_path: Path, printed: Printed) -> Iterator[TestNode]:
    """A node whose events are printed."""
    stop = threading.Event()
    logs = [tmp_path / "api.log", tmp_path / "rpc.log"]
    Watcher(
        here.settings.node, "", valkey.url, "QRY", logs, lambda address: "bob" if address == BOB.address else ""
    ).start(stop)
    eventually(lambda: waits(here.redis))
    yield here
    stop.set()
    eventually(lambda: not any(thread.name.startswith("events of") for thread in threading.enumerate()))


def test_blocks_and_transactions_are_told(watched: TestNode, printed: Printed) -> None:
    sent = watched.admit(ALICE, 0)
    eventually(lambda: printed.has("transaction"))
    block = watched.mine(sent)
    eventually(lambda: printed.has("block"))
    alice, miner = (f"{address[:6]}…{address[-4:]}" for address in (ALICE.address, MINER))
    assert printed.texts() == [
        f"transaction 0x{sent.id[:12]}  {alice} to bob  1 QRY",
        f"block 2  0x{block.hash[:12]}  1 transaction  miner {miner}",
    ]


def test_names_that_are_given_while_events_are_printed_are_shown(watched: TestNode, printed: Printed) -> None:
    watched.mine()
    eventually(lambda: printed.has("block 2"))
    watched.node.names.give(MINER, "the mine")
    watched.node.names.give(BOB.address, "robert")
    watched.admit(ALICE, 0)
    eventually(lambda: printed.has(" to robert  1 QRY"))
    watched.mine()
    eventually(lambda: printed.has("miner the mine"))
    watched.node.names.remove(MINER)
    watched.mine()
    eventually(lambda: printed.has("block 4"))
    assert f"miner {MINER[:6]}…{MINER[-4:]}" in printed.texts()[-1]


def test_errors_of_json_rpc_come_from_the_logs(watched: TestNode, printed: Printed, tmp_path: Path) -> None:
    head = "2026-01-01T00:00:00Z [info     ] rpc_error                     "
    (tmp_path / "api.log").write_text(f"{head} code=-32601 left_out=7 method=eth_x reason=no\nanother line\n")
    eventually(lambda: printed.has("+ 7 RPC errors in"))
    assert printed.texts()[0] == "RPC error -32601 eth_x: no"


def test_what_happens_before_its_thread_runs_is_told(
    here: TestNode, valkey: EmbeddedValkey, printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, stop, run = threading.Event(), threading.Event(), Watcher._run

    def later(watcher: Watcher, *arguments: Any) -> None:
        assert go.wait(20)
        run(watcher, *arguments)

    monkeypatch.setattr(Watcher, "_run", later)
    Watcher(here.settings.node, "", valkey.url, "QRY", []).start(stop)
    here.mine(here.admit(ALICE, 0))
    go.set()
    eventually(lambda: printed.has("block 2"))
    assert [text.split()[0] for text in printed.texts()] == ["transaction", "block"]
    stop.set()
    eventually(lambda: not any(thread.name.startswith("events of") for thread in threading.enumerate()))


def test_a_page_that_was_read_when_the_store_went_away_is_told(
    watched: TestNode, printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, revision = threading.Event(), NameStore.revision

    def once(names: NameStore) -> Any:
        if not refused.is_set():
            refused.set()
            raise RedisError("away")
        return revision(names)

    monkeypatch.setattr(NameStore, "revision", once)
    watched.mine(watched.admit(ALICE, 0))
    eventually(lambda: printed.has("block 2"), 20)
    assert refused.is_set() and [text.split()[0] for text in printed.texts()] == ["transaction", "block"]


def test_a_flood_is_summarised(watched: TestNode, printed: Printed) -> None:
    for nonce in range(50):
        watched.admit(ALICE, nonce)
    eventually(lambda: printed.has("transactions in 1 s"))
    one_by_one = [line for line in printed.texts() if line.startswith("transaction ")]
    assert MOST_LINES <= len(one_by_one) < 50


def test_the_printing_outlives_a_lost_connection(watched: TestNode, printed: Printed) -> None:
    watched.redis.client_kill_filter(_type="normal", skipme=True)
    watched.mine()
    eventually(lambda: printed.has("block 2"))


def test_an_event_that_cannot_be_read_does_not_end_it(watched: TestNode, printed: Printed) -> None:
    key = watched.node.mining.events.keys.events
    watched.redis.xadd(key, {"type": "block", "data": "not a height"})
    watched.redis.xadd(key, {"type": "block", "data": f"7 {'00' * 32}"})
    eventually(lambda: waits(watched.redis))
    watched.mine()
    eventually(lambda: printed.has("block 2"))


def test_lines_that_nobody_takes_are_counted(watched: TestNode, printed: Printed) -> None:
    printed.takes = False
    watched.mine()
    watched.mine()
    eventually(lambda: printed.refused == 2)
    printed.takes = True
    watched.mine()
    eventually(lambda: printed.has("block 4"))
    assert "(2 lines were left out: standard output did not take them)" in printed.texts()


def test_it_ends_once_standard_output_is_closed(watched: TestNode, printed: Printed) -> None:
    printed.closed = True
    watched.mine()
    eventually(lambda: not any(thread.name.startswith("events of") for thread in threading.enumerate()))
