"""An embedded Valkey that ends and cannot start again: its keeper waits, says so once, and stops no other process."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from services.launch.embedded import EmbeddedValkey, EmbeddedValkeyFailed
from services.launch.keeper import LONG_LIFE, LONGEST_DELAY, Keeper
from services.launch.launch import Launch
from shared.errors import NodeError
from tests.support.clocks import FakeClock
from tests.support.said import listen
from tests.support.waiting import eventually

# --- with a server that is none -------------------------------------------------------------------------------------


class FakeServer:
    """A server whose state the test sets. Its starts fail with the items of `failures`, in turn."""

    def __init__(self) -> None:
        self.alive = True
        self.failures: list[BaseException] = []
        self.starts = 0
        self.hold: threading.Event | None = None  # a start that takes until this is set
        self.room: NodeError | None = None

    def require_room(self) -> None:
        if self.room is not None:
            raise self.room

    def start(self, *, again: bool = False, cancelled: threading.Event | None = None) -> None:
        self.starts += 1
        assert again
        if self.hold is not None:
            assert cancelled is not None
            while not self.hold.is_set() and not cancelled.wait(0.005):
                pass
        if self.failures:
            raise self.failures.pop(0)
        self.alive = True

    def stop(self) -> None:
        self.alive = False


class Kept:
    """A keeper whose time the test moves."""

    def __init__(self) -> None:
        self.server = FakeServer()
        self.clock = FakeClock(1000.0)
        self.keeper = Keeper(self.server, "node1", clock=self.clock.now)

    def tick(self) -> None:
        """Look once, and wait for the start that this began, unless it is held."""
        self.keeper.tick()
        while self.server.hold is None and (thread := self.keeper._thread) is not None and thread.is_alive():
            thread.join(1)

    def run(self, seconds: float) -> None:
        ends = self.clock.time + seconds
        while self.clock.time < ends:
            self.tick()
            self.clock.time += 0.1


@pytest.fixture
def kept() -> Iterator[Kept]:
    kept = Kept()
    yield kept
    kept.keeper.stop()


def test_a_server_that_ended_is_started_again_at_once(kept: Kept) -> None:
    kept.server.alive = False
    kept.run(0.5)
    assert kept.server.alive and kept.server.starts == 1


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the keeper logs."""
    return listen(monkeypatch, "services.launch.keeper.log")


def test_what_is_waited_for_is_said_once_and_tried_for_ever(kept: Kept, said: list[dict[str, Any]]) -> None:
    kept.server.alive = False
    kept.server.failures = [EmbeddedValkeyFailed("It said: No space left on device.") for _ in range(40)]
    kept.run(60)
    tries = kept.server.starts
    assert 10 < tries < 60 / LONGEST_DELAY + 10, "not at every tick"
    kept.server.failures.clear()
    kept.run(LONGEST_DELAY + 1)
    assert kept.server.alive
    kept.run(LONG_LIFE + 1)
    assert [(line["event"], line.get("waits_for")) for line in said] == [
        ("valkey_exited", None),
        ("valkey_waits", "room on its disk"),
        ("valkey_is_back", None),
    ]


def test_a_server_that_dies_again_and_again_is_started_less_often_and_mentioned_once(
    kept: Kept, said: list[dict[str, Any]]
) -> None:
    for _ in range(1200):
        kept.server.alive = False
        kept.run(0.1)
    assert 1200 * 0.1 / (LONGEST_DELAY + 0.3) - 1 < kept.server.starts < 40
    assert [line["event"] for line in said] == ["valkey_exited"]


def test_a_full_disk_is_not_written_to(kept: Kept) -> None:
    kept.server.alive = False
    kept.server.room = EmbeddedValkeyFailed("There is no room on the disk of /x.")
    kept.run(30)
    assert kept.server.starts == 0
    kept.server.room = None
    kept.run(LONGEST_DELAY + 1)
    assert kept.server.alive


def test_damaged_data_are_no_reason_to_try_again(kept: Kept) -> None:
    kept.server.alive = False
    kept.server.failures = [EmbeddedValkeyFailed("Bad file format …", damaged=True)]
    kept.run(60)
    assert kept.server.starts == 1
    assert str(kept.keeper.lost) == "Bad file format …"


def test_a_start_that_takes_its_time_holds_nobody_up_and_ends_with_stop(kept: Kept) -> None:
    kept.server.alive = False
    kept.server.hold = threading.Event()
    kept.run(1)
    started = time.monotonic()
    for _ in range(100):
        kept.tick()
    assert time.monotonic() - started < 10, "the start has no end"
    assert not kept.server.alive
    kept.keeper.stop()
    assert time.monotonic() - started < 20
    assert kept.server.starts == 1


def test_up_goes_on_while_one_node_is_left_and_ends_with_the_last() -> None:
    class Node:
        lost: NodeError | None = None
        ticks = 0

        def tick(self) -> None:
            self.ticks += 1

    launch, first, second = Launch([]), Node(), Node()
    launch.nodes = [first, second]  # type: ignore[list-item]
    first.lost = NodeError("first")

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            if second.ticks == 3:
                second.lost = NodeError("second")
            return second.ticks > 5

    with pytest.raises(NodeError, match="second"):
        launch.run(Stop())
    assert second.ticks == 4


# --- with a real one ------------------------------------------------------------------------------------------------


def ticking(keeper: Keeper, true: Callable[[], object], seconds: float = 20.0) -> None:
    def look() -> object:
        keeper.tick()
        return true()

    eventually(look, seconds)


def kill(valkey: EmbeddedValkey) -> None:
    assert valkey.pid is not None
    os.kill(valkey.pid, signal.SIGKILL)
    eventually(lambda: not valkey.alive)


def value(valkey: EmbeddedValkey) -> object:
    with redis.Redis.from_url(valkey.url) as client:
        return client.get("a")


def remember(valkey: EmbeddedValkey) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        client.set("a", "1")


def test_a_server_that_is_killed_repeatedly_keeps_its_data_and_its_address(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as valkey:
        keeper, url = Keeper(valkey, "node1"), valkey.url
        remember(valkey)
        for _ in range(4):
            kill(valkey)
            ticking(keeper, lambda: valkey.alive)
            ticking(keeper, lambda: keeper._thread is None)
            assert valkey.url == url
            assert value(valkey) == b"1"
        keeper.stop()


def test_a_port_that_a_stranger_took_is_waited_for(tmp_path: Path, said: list[dict[str, Any]]) -> None:
    with EmbeddedValkey(tmp_path) as valkey:
        keeper, url = Keeper(valkey, "node1"), valkey.url
        remember(valkey)
        port = int(url.rpartition(":")[2].removesuffix("/0"))
        kill(valkey)
        with socket.create_server(("127.0.0.1", port)):
            ticking(keeper, lambda: any(line["event"] == "valkey_waits" for line in said))
            assert not valkey.alive
        ticking(keeper, lambda: valkey.alive and keeper._thread is None)
        assert valkey.url == url
        assert value(valkey) == b"1"
        keeper.stop()
    [waits] = [line for line in said if line["event"] == "valkey_waits"]
    assert waits["waits_for"] == f"port {port} on 127.0.0.1, which another program uses"


def test_damage_that_appears_while_it_runs_is_told_in_a_sentence(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as valkey:
        keeper = Keeper(valkey, "node1")
        remember(valkey)
        kill(valkey)
        [path] = (tmp_path / "appendonlydir").glob("*.incr.aof")
        path.write_bytes(path.read_bytes() + b"not a command\r\n" * 3)
        ticking(keeper, lambda: keeper.lost is not None)
        assert isinstance(keeper.lost, EmbeddedValkeyFailed)
        assert keeper.lost.repair is not None and keeper.lost.repair in str(keeper.lost)
        keeper.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs root, to mount a tmpfs")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a tmpfs cannot be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_is_waited_out_and_nothing_acknowledged_is_lost(
    small_disk: Path, said: list[dict[str, Any]]
) -> None:
    taken: list[int] = []
    with EmbeddedValkey(small_disk) as valkey:
        keeper, url = Keeper(valkey, "node1"), valkey.url
        with pytest.raises(redis.RedisError), redis.Redis.from_url(url, retry=None) as client:
            for number in range(1000):
                client.set(f"key{number}", b"x" * 20_000)
                taken.append(number)
        assert 50 < len(taken) < 1000
        eventually(lambda: not valkey.alive)
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file, pytest.raises(OSError):
            while True:
                file.write(b"\0" * 4096)
        ticking(keeper, lambda: any(line["event"] == "valkey_waits" for line in said))
        ends = time.monotonic() + 1.0
        while time.monotonic() < ends:
            keeper.tick()
            time.sleep(0.02)
        assert not valkey.alive
        ballast.unlink()
        subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
        ticking(keeper, lambda: valkey.alive and keeper._thread is None)
        assert valkey.url == url
        with redis.Redis.from_url(url) as client:
            assert all(client.exists(f"key{number}") for number in taken)
        keeper.stop()
    assert [line["waits_for"] for line in said if line["event"] == "valkey_waits"] == ["room on its disk"]


# --- logs on a full disk --------------------------------------------------------------------------------------------


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("style", ["console", "json"])
def test_a_log_line_that_the_disk_refuses_stops_nobody(style: str) -> None:
    code = (
        "import logging, structlog; from services.system import logs\n"
        f"logs.configure('info', {style!r})\n"
        "log = structlog.get_logger()\n"
        "for _ in range(5000): log.warning('something', text='x' * 100); logging.getLogger('rq').warning('y' * 100)\n"
        "print('done')"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=full, text=True, check=False)
    assert done.stdout == "done\n"
