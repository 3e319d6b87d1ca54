"""The faults of a soak. Each asserts that it happened, and heals itself. verdict.py judges what must hold then."""

import contextlib
import errno
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from redis.exceptions import RedisError

from services.peers.http import PeerRequest
from services.settings.table import load_spec
from services.system.programs import module_path, scrubbed
from tests.soak.cluster import Cluster, Member
from tests.support.liars import ForgedChain, ScriptedPeer

SKEW = 20  # seconds that the wrong clock is ahead
_SKEWED = f"""
import os
import services.ports as ports
now = ports.SystemClock.now
ports.SystemClock.now = lambda self: now(self) + {SKEW}
from services.settings.table import load
import worker.process
worker.process.run_worker(load(os.environ), "mining")
"""


class NotHappened(AssertionError):
    """A fault was not seen to happen, so nothing was tested."""


def happened(true: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise NotHappened(what)
        time.sleep(0.05)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _gone(member: Member) -> bool:
    return _state(member.pid) in ("", "Z")


class Faults:
    """Faults of one node or one process, one at a time, in an order that a seed decides.

    Args:
        hold: how many seconds a fault lasts, unless it has a length of its own.
    """

    def __init__(self, cluster: Cluster, rng: random.Random, hold: float = 12.0) -> None:
        self._cluster = cluster
        self._rng = rng
        self._hold = hold
        kills = ("api", "api-worker", "rpc", "mining", "horse", "network", "ticker", "valkey")
        self._kinds: dict[str, Callable[[], None]] = {
            "kill up": self._kill_up,
            **{f"kill {role}": lambda role=role: self._kill(role) for role in kills},  # type: ignore[misc]
            "stop worker": self._stop_worker,
            "stop valkey": self._stop_valkey,
            "partition": self._partition,
            "empty broker": self._empty_broker,
            "wrong clock": self._wrong_clock,
            "lying peer": self._lying_peer,
        }
        if cluster.small_disk is not None:
            self._kinds["full disk"] = self._full_disk
        self._waiting: list[str] = []
        # Whether the first node's processes are spared, so that some live long enough to show whether they grow.
        self.spare_first = False

    @property
    def kinds(self) -> list[str]:
        return list(self._kinds)

    def next(self, only: str = "") -> str:
        """Inject one fault and heal it; returns its kind. Each kind comes once before any comes again.

        Raises:
            NotHappened: the fault was not seen to happen.
        """
        spared = {"kill up"} if self.spare_first else set()
        if not self._waiting:
            self._waiting = self._rng.sample(sorted(self._kinds.keys() - spared), len(self._kinds) - len(spared))
        kind = only or self._waiting.pop()
        if kind in spared and not only:
            return self.next()
        try:
            self._kinds[kind]()
        except NotHappened as error:
            raise NotHappened(f"{kind}: {error}") from None
        return kind

    # --- kinds ---

    def _any(self, role: str, seconds: float = 10.0) -> Member:
        """A process of that role, of any node. Waits, as some come and go."""
        deadline = time.monotonic() + seconds
        while not (found := [item for item in self._cluster.of(role) if self._may_die(item)]):
            if time.monotonic() > deadline:
                raise NotHappened(f"there is no {role}")
            time.sleep(0.05)
        return self._rng.choice(sorted(found, key=lambda item: item.pid))

    def _may_die(self, member: Member) -> bool:
        first, *others = self._cluster.names
        return not (self.spare_first and others and member.node == first)

    def _kill(self, role: str) -> None:
        deadline = time.monotonic() + 20
        while True:
            victim = self._any(role)
            with contextlib.suppress(ProcessLookupError):  # a horse may have just ended
                os.kill(victim.pid, signal.SIGKILL)
                break
            if time.monotonic() > deadline:
                raise NotHappened("it was always gone already")
        happened(lambda: _gone(victim), 5, f"the death of {victim}")

    def _kill_up(self) -> None:
        pid = self._cluster.up
        self._cluster.kill_up()
        happened(lambda: _state(pid) in ("", "Z"), 5, "the death of up")

    @contextlib.contextmanager
    def _stopped(self, members: list[Member]) -> Iterator[None]:
        """SIGSTOP, and SIGCONT at the end."""
        if not members:
            raise NotHappened("there is nobody to stop")
        try:
            for member in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member.pid, signal.SIGSTOP)
            happened(lambda: any(_state(member.pid) == "T" for member in members), 5, "the stop")
            yield
        finally:
            for member in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member.pid, signal.SIGCONT)

    def _stop_worker(self) -> None:
        """Stop a worker for longer than the time in which it must report."""
        worker = self._any(self._rng.choice(("mining", "network")))
        horses = [item for item in self._cluster.of("horse") if item.parent == worker.pid]
        with self._stopped([worker, *horses]):
            time.sleep(self._hold * 2)

    def _stop_valkey(self) -> None:
        victim = self._any("valkey")
        with self._stopped([victim]):
            happened(lambda: self._cluster.get(victim.node, "/readyz", 3) is None, 10, "an API that misses its store")
            time.sleep(self._hold / 2)

    def _partition(self) -> None:
        """Cut one node off from the others. Its chain and theirs part if both sides mine."""
        node = self._rng.choice(self._cluster.names)
        members = [item for item in self._cluster.members() if item.node == node and item.role in ("api", "api-worker")]
        members += self._cluster.of("network", node)
        with self._stopped(members):
            happened(lambda: self._cluster.get(node, "/readyz", 1) is None, 5, "the silence")
            time.sleep(self._hold)

    def _empty_broker(self) -> None:
        node = self._rng.choice(self._cluster.names)
        try:
            with self._cluster.store(node) as redis:
                names = list(redis.scan_iter(match="rq:*", count=1000))
                if not names or not redis.delete(*names):
                    raise NotHappened("the broker was empty")
        except RedisError as error:
            raise NotHappened(f"the broker does not answer: {type(error).__name__}") from None

    def _wrong_clock(self) -> None:
        """One more miner, whose clock is ahead."""
        node = self._rng.choice(self._cluster.names)
        url = json.loads((self._cluster.home(node) / "node.json").read_text())["redis_url"]
        environment = (
            scrubbed(os.environ) | module_path(os.environ) | {"QUARRY_REDIS_URL": url, "QUARRY_KERNEL": "plain"}
        )
        before = self._workers(node)
        log = (self._cluster.directory / "wrong-clock.log").open("ab")
        command = [sys.executable, "-P", "-c", _SKEWED]
        with log, subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as miner:
            try:
                happened(lambda: self._workers(node) > before, 20, "the registration of the miner")
                time.sleep(self._hold)
            finally:
                miner.terminate()
                try:
                    miner.wait(10)
                except subprocess.TimeoutExpired:
                    miner.kill()

    def _workers(self, node: str) -> int:
        try:
            with self._cluster.store(node) as redis:
                return int(redis.scard("rq:workers:mining"))
        except RedisError:
            return -1

    def _lying_peer(self) -> None:
        """A peer that claims much work, and whose headers have wrong proofs."""
        node = self._rng.choice(self._cluster.names)
        chain = ForgedChain(load_spec(str(self._cluster.directory / "spec.toml")))
        for _ in range(20):
            chain.forge(valid=False)
        peer = ScriptedPeer(chain)
        honest = peer.status
        peer.status = lambda: {**honest(), "chainwork": 10**15, "height": 10**6}
        with _served(peer) as url:
            happened(
                lambda: self._cluster.ask(node, "POST", "/nodes/register", {"nodes": [url]}) == 201,
                20,
                "the registration",
            )
            try:
                happened(lambda: "/headers" in peer.asked, 45, "a look at its headers")
                time.sleep(self._hold / 2)
                for hash_ in chain.hashes[1:]:
                    if self._cluster.get(node, f"/blocks/{hash_}") is not None:
                        raise AssertionError("a lie was believed")
            finally:
                self._cluster.ask(node, "DELETE", "/nodes", {"nodes": [url]})

    def _full_disk(self) -> None:
        """Fill the disk of the last node's Valkey, and empty it after a while."""
        disk, node = self._cluster.small_disk, self._cluster.names[-1]
        assert disk is not None
        ballast = disk / "ballast"
        server = self._cluster.of("valkey", node)
        if not server:
            raise NotHappened("there is no valkey")
        try:
            with ballast.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(b"\0" * 65536)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
            happened(lambda: _gone(server[0]), 30, "a write that the disk refused")
            time.sleep(self._hold)
        finally:
            ballast.unlink(missing_ok=True)


@contextlib.contextmanager
def _served(peer: ScriptedPeer) -> Iterator[str]:
    """Serve the peer on a port of 127.0.0.1; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(*peer(PeerRequest("", self.path, 10.0, 2**22)))

        def do_POST(self) -> None:
            """Accept announcements, so that nodes keep the peer."""
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer(200, b"{}")

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
