"""A whole node under load while its processes are killed at random: nothing acknowledged is lost, and nothing is added.

Every process is real, and every kill is SIGKILL. The order of kills comes from a seed, which is printed; what happens
in between is up to the machine.
"""

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3

from services.audit.full import FullAudit
from services.launch.children import Child
from services.launch.embedded import EmbeddedValkey
from shared.keys import KeyPair
from shared.rules import rules_for
from shared.transaction import Transaction
from tests.support.crew import Crew
from tests.support.keys import KEYS
from tests.support.nodes import TestNode, make_settings
from tests.support.processes import alive, children
from tests.support.running import SERVE
from tests.support.servers import connect, free_port
from tests.support.specs import make_spec
from tests.support.stored import assert_store_equals_replay, replayed
from tests.support.threads import Background
from tests.support.waiting import eventually

KINDS = ("api", "mining", "horse", "network", "ticker", "valkey")
SECONDS_BETWEEN = 0.7


class Supervised:
    """The processes of one node, each started again when it has died."""

    def __init__(self, crew: Crew, server: EmbeddedValkey) -> None:
        self.server = server
        self.kills: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._start: dict[str, Callable[[], Child]] = {
            "api": lambda: crew.run("api", SERVE),
            "mining-0": lambda: crew.worker(name="mining-0"),
            "mining-1": lambda: crew.worker(name="mining-1"),
            "network": lambda: crew.worker("network"),
            "ticker": crew.ticker,
        }
        self._processes: dict[str, Child] = {}
        self.tick()

    def tick(self) -> None:
        """Start whatever does not run."""
        if not self.server.alive:
            self.server.start()
        for name, start in self._start.items():
            process = self._processes.get(name)
            if process is None or process.poll() is not None:
                self._processes[name] = start()

    def kill(self, kind: str, rng: random.Random) -> None:
        """Kill a process of this kind, and wait until it is dead."""
        pids = self._pids(kind)
        if not pids:
            return  # not running at the moment; only real deaths count
        victim = rng.choice(pids)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: not alive(victim), what=f"the death of {kind}")
        self.kills[kind] += 1

    def _pids(self, kind: str) -> list[int]:
        if kind == "valkey":
            return [self.server.pid] if self.server.pid else []
        owners = [process.pid for name, process in self._processes.items() if name.startswith(kind)]
        if kind == "horse":
            owners = [self._processes[name].pid for name in ("mining-0", "mining-1")]
            return [horse for owner in owners for horse in children(owner)]
        if kind == "api":
            owners += [child for owner in owners for child in children(owner)]
        return [pid for pid in owners if alive(pid)]


class Load(Background):
    """Wallets that send one transaction after the other, and a client that mines. They keep what was acknowledged."""

    def __init__(self, url: str, sign: Callable[..., Transaction], senders: tuple[KeyPair, ...]) -> None:
        self._url = url
        self._http = urllib3.PoolManager(maxsize=8, retries=False, timeout=urllib3.Timeout(3))
        self._sign = sign
        self.acknowledged: list[str] = []
        self.jobs: list[str] = []
        self.failures = 0  # requests that were cut off or answered with a 5xx, which show that the faults had an effect
        super().__init__()
        self._threads = [threading.Thread(target=self._send, args=(key,)) for key in senders]
        self._threads.append(threading.Thread(target=self._mine))

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON; (0, None) when no answer came."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            reply = self._http.request(
                method, self._url + path, body=json.dumps(body) if body is not None else None, headers=headers
            )
            return reply.status, json.loads(reply.data) if reply.data else None
        except (urllib3.exceptions.HTTPError, ValueError):
            return 0, None

    def _send(self, key: KeyPair) -> None:
        """Send each nonce until it is accepted. Every fifth is then replaced with a higher fee."""
        nonce = 0
        while not self._stop.is_set():
            if self._deliver(self._sign(key, nonce, amount=1, fee=10)):
                if nonce % 5 == 0:
                    self._deliver(self._sign(key, nonce, amount=1, fee=20))
                nonce += 1
            self._stop.wait(0.04)

    def _deliver(self, transaction: Transaction) -> bool:
        status, answer = self.ask("POST", "/transactions/new", transaction.fields)
        if status == 201:
            self.acknowledged.append(transaction.id)
            return True
        if status in (0, 429) or status >= 500:
            self.failures += 1
            return False
        # It was accepted and mined although the answer to an earlier try was lost; or the replacement came too late.
        assert answer["code"] in ("nonce_too_low", "nonce_too_far"), answer
        return bool(answer["code"] == "nonce_too_low")

    def _mine(self) -> None:
        while not self._stop.is_set():
            status, answer = self.ask("GET", "/mine?wait=0")
            if status == 202:
                self.jobs.append(answer["job"])
            self._stop.wait(0.3)


def run(tmp_path: Path, seed: int, seconds: float) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    spec = make_spec(difficulty=20_000)
    port = free_port()
    with EmbeddedValkey(tmp_path / "valkey", durability="always") as server:
        signer = TestNode(connect(server), make_settings(spec))
        mining = {"automine": "true", "linger": "0.5"}
        crew = Crew(
            tmp_path, server.url, spec, as_users_do=True, port=str(port), api_processes="1", api_threads="16", **mining
        )
        with crew:
            supervised = Supervised(crew, server)
            load = Load(f"http://127.0.0.1:{port}", signer.sign, KEYS[:4])
            eventually(lambda: load.ask("GET", "/readyz")[0] == 200, 60, "the API")
            load.start()
            # Each kind once, in random order; then any.
            kinds = rng.sample(KINDS, len(KINDS))
            ends = time.monotonic() + seconds
            try:
                while time.monotonic() < ends:
                    kind = kinds[0] if kinds else rng.choice(KINDS)
                    before = supervised.kills[kind]
                    supervised.kill(kind, rng)
                    if kinds and supervised.kills[kind] > before:
                        kinds.pop(0)
                    pause = time.monotonic() + SECONDS_BETWEEN
                    while time.monotonic() < pause:
                        supervised.tick()
                        time.sleep(0.02)
            finally:
                load.stop()
            assert set(supervised.kills) == set(KINDS), "each kind of process was really killed"
            assert load.failures, "and clients felt it"
            assert len(load.acknowledged) > 10 * seconds, "there was a load"

            # All processes run again: what waits is mined, and each request is answered.
            supervised.tick()
            eventually(lambda: load.ask("GET", "/readyz")[0] == 200, 60, "the API's return")
            eventually(lambda: mempool_size(load) == 0, 30.0, "an empty mempool")
            for job in load.jobs:
                assert load.ask("GET", f"/jobs/{job}?wait=2")[1]["status"] == "finished"
            check(load, spec_genesis=rules_for(spec).genesis().hash, signer=signer)
            print(f"kills {dict(supervised.kills)}, acknowledged {len(load.acknowledged)}, failures {load.failures}")


def mempool_size(load: Load) -> int:
    status, answer = load.ask("GET", "/status")
    return int(answer["mempool"]["size"]) if status == 200 else -1


def check(load: Load, spec_genesis: str, signer: TestNode) -> None:
    """The chain replays clean over HTTP, the store says the same, and every acknowledgement is kept."""
    status, answer = load.ask("GET", "/chain")
    assert status == 200 and answer["length"] == len(answer["chain"])
    replay, _ = replayed([json.dumps(block).encode() for block in answer["chain"]], signer.spec)
    assert replay.supply == sum(signer.spec.allocations.values()) + signer.spec.reward * (answer["length"] - 1)
    audit = FullAudit(signer.node.chain, signer.node.rules, signer.node.clock).certain()
    assert audit.findings == []
    stored = audit.replay
    if not signer.node.chain.packs.totals().height:  # what is kept of packed blocks, only the audit can compare
        stored = assert_store_equals_replay(signer.node, signer.redis)
    assert answer["length"] > 3
    assert (stored.accounts, stored.supply) == (replay.accounts, replay.supply)
    assert signer.node.rules.genesis().hash == spec_genesis == signer.node.chain.hash_at(1)

    fates: Counter[str] = Counter()
    for name in load.acknowledged:
        status, found = load.ask("GET", f"/transactions/{name}")
        assert status == 200, f"{name} was acknowledged and is not known"
        fates[found["status"]] += 1
        if signer.node.chain.locate(name) is None and signer.node.pool.entry(name) is None:
            record = signer.node.pool.record(name)
            assert record is not None and record["reason"]
    print(f"fates {dict(fates)}, height {answer['length']}")


def test_random_kills_lose_nothing(tmp_path: Path) -> None:
    run(tmp_path, random.SystemRandom().randrange(2**32), 13.0)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_random_kills_for_longer_lose_nothing(tmp_path: Path) -> None:
    run(tmp_path, random.SystemRandom().randrange(2**32), 60.0)
