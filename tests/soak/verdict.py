"""Whether the nodes of a soak kept what they promised, and the table of what was measured."""

import json
import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.soak.cluster import Cluster
from tests.soak.load import Acknowledged
from tests.soak.measure import Probe, Watch, growth, per_transaction

AGREEMENT_SECONDS = 90.0
# What a node missed while it was away is sent to it again after a minute, and then mined.
MINED_SECONDS = 180.0
READY_SECONDS = 1.0
SLOW_SHARE = 0.01  # of the answers of /readyz outside of faults may be slower, as all processes share two cores
# By role: the most that one process may take (PSS), and by how much it may grow an hour, in MB. A cache may fill.
MOST_MB = {
    "up": 80,
    "api": 120,
    "api-worker": 300,
    "rpc": 120,
    "mining": 120,
    "horse": 120,
    "network": 120,
    "ticker": 80,
}
SLOPE_MB = {"up": 4, "api": 8, "api-worker": 40, "rpc": 8, "mining": 8, "network": 16, "ticker": 4}
# Exceptions that only say that the store was away, as some faults make it.
_STORE_AWAY = re.compile(
    r"(redis\.exceptions\.)?(ConnectionError|TimeoutError|BusyLoadingError|ReadOnlyError|MasterDownError)|"
    r"(ConnectionResetError|ConnectionRefusedError|BrokenPipeError|TimeoutError)|"
    r"redis\.exceptions\.(OutOfMemoryError|ResponseError): (MISCONF|LOADING|OOM)"
)


class Verdict:
    """What was found and what is shown. A soak without findings has passed."""

    def __init__(self) -> None:
        self.findings: list[str] = []
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)
        print(line, flush=True)

    def require(self, holds: bool, what: str) -> None:
        if not holds:
            self.findings.append(what)
            self.say(f"FOUND  {what}")


def settle(cluster: Cluster, verdict: Verdict) -> None:
    """After the load, all nodes agree on one tip."""
    deadline, tips = time.monotonic() + AGREEMENT_SECONDS, {}
    still = 0
    while time.monotonic() < deadline and still < 3:
        cluster.tend()
        found = {node: (cluster.get(node, "/status") or {}).get("tip") for node in cluster.names}
        agree = len(set(found.values())) == 1 and None not in found.values()
        still = still + 1 if agree and found == tips else 0
        tips = found
        time.sleep(1.0)
    verdict.require(still >= 3, f"the nodes do not agree within {AGREEMENT_SECONDS:g} s: {tips}")


def mine_the_rest(cluster: Cluster, verdict: Verdict) -> None:
    """After the load, everything that waits is mined."""
    began, waiting = time.monotonic(), {}
    while time.monotonic() - began < MINED_SECONDS:
        cluster.tend()
        waiting = {node: (cluster.get(node, "/mempool?limit=1") or {}).get("size") for node in cluster.names}
        if not any(waiting.values()) and None not in waiting.values():
            verdict.say(f"all that waited was mined within {time.monotonic() - began:.0f} s")
            return
        time.sleep(1.0)
    verdict.require(False, f"not mined within {MINED_SECONDS:g} s: {waiting}")


def verify(cluster: Cluster, verdict: Verdict) -> None:
    """Replay each node's chain by all rules, with `quarry chain verify`."""
    for node in cluster.names:
        command = [sys.executable, "-m", "api.cli", "chain", "verify", "--json", "--url", cluster.url(node)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        verdict.require(done.returncode == 0, f"the chain of {node} does not verify: {done.stderr.strip()[-300:]}")
        if done.returncode == 0:
            found = json.loads(done.stdout)
            verdict.say(f"chain of {node}: height {found['height']}, {found['transactions']} transactions, valid")


def account_for(cluster: Cluster, acknowledged: Acknowledged, verdict: Verdict) -> None:
    """Every acknowledged transaction is on the chain, waits, or has a record that says why it does neither."""
    wanted: dict[str, set[str]] = {node: set() for node in cluster.names}
    for line in acknowledged.all():
        wanted[line["node"]].add(line["id"])
    fates: Counter[str] = Counter()
    for node, ids in wanted.items():
        names = sorted(ids)
        with ThreadPoolExecutor(4) as pool:
            for part in pool.map(lambda start: _fates(cluster, node, names[start::4]), range(4)):  # noqa: B023
                fates.update(part)
    total = sum(map(len, wanted.values()))
    verdict.say(f"acknowledged: {total} transactions: {dict(fates)}")
    verdict.require(total > 0, "nothing was acknowledged")
    verdict.require(not fates["lost"], f"{fates['lost']} acknowledged transactions are lost")
    verdict.require(not fates["unexplained"], f"{fates['unexplained']} left without a reason")


def _fates(cluster: Cluster, node: str, ids: list[str]) -> Counter[str]:
    fates: Counter[str] = Counter()
    with cluster.door(node) as door:
        for name in ids:
            for _ in range(5):
                status, answer = door.ask("GET", f"/transactions/{name}")
                if status in (200, 404):
                    break
                time.sleep(0.5)
            fates[_fate(status, answer)] += 1
    return fates


def _fate(status: int, answer: Any) -> str:
    if status != 200:
        return "lost" if status == 404 else f"no answer ({status})"
    if answer["status"] in ("confirmed", "pending"):
        return str(answer["status"])
    return str(answer["status"]) if answer.get("reason") else "unexplained"


def judge_probes(probes: list[Probe], quiet: list[tuple[float, float]], verdict: Verdict) -> None:
    """`/readyz` answers fast and with 200 outside of faults. `quiet` are the spans without a fault."""
    calm = [item for item in probes if any(low <= item.at <= high for low, high in quiet)]
    times = sorted(item.seconds for item in calm) or [0.0]
    slow = [item for item in calm if item.seconds > READY_SECONDS or not item.ready]
    quantiles = {share: times[min(len(times) - 1, int(share * len(times)))] for share in (0.5, 0.99, 1.0)}
    shown = ", ".join(f"p{share * 100:g} {value * 1000:.0f} ms" for share, value in quantiles.items())
    verdict.say(
        f"readyz: {len(probes)} asked, {len(calm)} while nothing was wrong: {shown}; {len(slow)} slow or not ready"
    )
    verdict.require(
        len(slow) <= SLOW_SHARE * len(calm) + 1, f"/readyz was slow or not ready {len(slow)} of {len(calm)} times"
    )


def judge_growth(watch: Watch, seconds: float, verdict: Verdict) -> None:
    """Memory, descriptors and threads, by role; the stores' bytes."""
    verdict.say(f"{'process':<12}{'lives':>6}{'judged s':>10}{'most MB':>9}{'MB/hour':>9}{'files':>12}{'threads':>12}")
    for role, found in growth(watch.samples, seconds).items():
        (files, files_later), (threads, threads_later) = found.descriptors, found.threads
        verdict.say(
            f"{role:<12}{found.lives:>6}{found.seconds:>10.0f}{found.most_mb:>9.1f}"
            f"{found.mb_per_hour if found.judged else float('nan'):>9.1f}"
            f"{f'{files} to {files_later}':>12}{f'{threads} to {threads_later}':>12}"
        )
        if role in MOST_MB:
            verdict.require(found.most_mb <= MOST_MB[role], f"{role} took {found.most_mb:.0f} MB")
        if found.judged:
            if role in SLOPE_MB:
                slope = found.mb_per_hour
                verdict.require(slope <= SLOPE_MB[role], f"{role} grows by {slope:.1f} MB an hour")
            verdict.require(files_later <= files * 1.25 + 16, f"{role} has ever more files open: {found.descriptors}")
            verdict.require(threads_later <= threads * 1.25 + 4, f"{role} has ever more threads: {found.threads}")
    for node in sorted({item.node for item in watch.stores}):
        spans = [(0.1, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1.01)]
        parts = [per_transaction(watch.stores, node, low * seconds, high * seconds) for low, high in spans]
        shown = ", ".join(f"{blocks:.0f} a block ({each:.0f} a transaction)" for blocks, each in parts)
        verdict.say(f"store of {node}: bytes in each third: {shown}")
        if seconds >= ENOUGH_FOR_STORES and parts[1][1] > 0:
            verdict.require(
                parts[2][1] <= 1.5 * parts[1][1] + 100, f"the store of {node} grows faster than its chain: {shown}"
            )


ENOUGH_FOR_STORES = 900.0


def tracebacks(directory: Path, verdict: Verdict) -> None:
    """The tracebacks in the programs' logs, once for each kind. Those that say that the store was away do not count."""
    found: Counter[str] = Counter()
    excused = 0
    for path in [*sorted(directory.glob("home/soak/*/logs/*")), directory / "up.err"]:
        if not path.is_file():
            continue
        for said in _last_words(path.read_text(errors="replace").splitlines()):
            if _STORE_AWAY.match(said):
                excused += 1
            else:
                found[f"{path.name}: {said[:160]}"] += 1
    verdict.say(f"tracebacks: {sum(found.values())}, and {excused} that only say that the store was away")
    for said, count in found.items():
        verdict.require(False, f"{count} traceback(s) in {said}")


def _last_words(lines: list[str]) -> list[str]:
    """The last line of each traceback: the first that is not indented further than the head, which logs indent."""
    ends: list[str] = []
    indent: int | None = None
    for line in lines:
        text = line.strip()
        depth = len(line) - len(line.lstrip())
        if "Traceback (most recent call last)" in line:
            indent = depth
        elif indent is not None and text and depth <= indent and text[0] not in "|│╭╰+":
            ends.append(text)
            indent = None
    return ends
