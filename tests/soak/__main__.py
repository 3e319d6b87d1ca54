"""A long mixed load with strangers and faults: `python -m tests.soak --seconds 3600 --seed 1 --nodes 2 --report FILE`.

Exits with 0 if every promise held; else with 1, after a line for each that did not. Everything runs on 127.0.0.1 and is
stopped at the end.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from tests.soak.cluster import Cluster
from tests.soak.faults import Faults, NotHappened
from tests.soak.load import Acknowledged, Load
from tests.soak.measure import Watch
from tests.soak.strangers import Strangers
from tests.soak.verdict import (
    Verdict,
    account_for,
    judge_growth,
    judge_probes,
    mine_the_rest,
    settle,
    tracebacks,
    verify,
)

RECOVERY_SECONDS = 60.0  # from the end of a fault until all nodes work and blocks are mined again
_SHOWN_EVERY = 300.0


def main(arguments: list[str]) -> int:
    """Parse the command line, soak, and say what was found."""
    parser = argparse.ArgumentParser("python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=2, choices=range(1, 6))
    parser.add_argument("--report", type=Path, help="where to write the table as JSON")
    parser.add_argument("--every", type=float, default=45.0, help="seconds from one fault to the next")
    parser.add_argument("--rate", type=float, default=3.0, help="transactions a second of each of the six senders")
    parser.add_argument("--faults", default="", help="only these, with commas between")
    parser.add_argument("--keep", type=Path, help="the directory to work in, which is kept, with all samples")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="quarry-soak-") as temporary:
        verdict = soak(given, (given.keep or Path(temporary)).absolute())
    verdict.say(f"{'FAILED' if verdict.findings else 'PASSED'}: seed {given.seed}, {len(verdict.findings)} finding(s)")
    if given.report is not None:
        given.report.write_text(json.dumps({"findings": verdict.findings, "table": verdict.lines}, indent=2) + "\n")
    return 1 if verdict.findings else 0


def soak(given: argparse.Namespace, directory: Path) -> Verdict:
    """Run the load, the strangers and the faults, then judge. Returns the findings and the table."""
    verdict, rng = Verdict(), random.Random(given.seed)
    verdict.say(f"soak: seed {given.seed}, {given.nodes} nodes, {given.seconds:g} s, a fault every {given.every:g} s")
    cluster = Cluster(directory, given.nodes)
    with cluster.running(), closing(Acknowledged(directory / "acknowledged.jsonl")) as acknowledged:
        watch = Watch(cluster)
        load = Load(cluster, acknowledged, given.seed, given.rate)
        strangers = Strangers(cluster, given.seed)
        faults = Faults(cluster, rng, hold=min(12.0, given.every / 4))
        crew = (watch, load, strangers)
        for member in crew:
            member.start()
        try:
            quiet, met = _misfortunes(given, cluster, watch, faults, verdict)
        finally:
            for member in reversed(crew):
                member.stop()
        soaked = watch.now
        mine_the_rest(cluster, verdict)
        settle(cluster, verdict)
        verify(cluster, verdict)
        account_for(cluster, acknowledged, verdict)
    verdict.say("faults: " + ", ".join(f"{kind} {count}" for kind, count in sorted(met.items())))
    missing = [kind for kind in faults.kinds if kind not in met]
    if missing and not given.faults:
        verdict.say(f"faults there was no time for: {', '.join(missing)}")
    if cluster.small_disk is None:
        verdict.say("no full disk: a tmpfs can be mounted by root only")
    verdict.say("strangers: " + ", ".join(f"{kind} {count}" for kind, count in sorted(strangers.visits.items())))
    verdict.say("answers: " + ", ".join(f"{kind} {count}" for kind, count in sorted(load.answers.items())))
    judge_probes(watch.probes, quiet, verdict)
    judge_growth(watch, soaked, verdict)
    if given.keep:
        watch.save(directory / "samples.jsonl")
    for said in cluster.deaths_of_up:
        verdict.require(False, f"quarry up ended without being told to: {said}")
    for said in load.faults:
        verdict.require(False, f"a client ended: {said}")
    tracebacks(directory, verdict)
    return verdict


def _misfortunes(
    given: argparse.Namespace, cluster: Cluster, watch: Watch, faults: Faults, verdict: Verdict
) -> tuple[list[tuple[float, float]], Counter[str]]:
    """Inject one fault after the other until the time is over; the spans without one, and the count of each kind."""
    quiet: list[tuple[float, float]] = []
    met: Counter[str] = Counter()
    only = [kind for kind in given.faults.split(",") if kind]
    ends, due, since = given.seconds, given.every / 2, 0.0
    shown, worst = _SHOWN_EVERY, 0.0
    _recovered(cluster, verdict, "the start")
    while watch.now < ends:
        if watch.now < due:
            cluster.tend()
            time.sleep(0.2)
            continue
        quiet.append((since, watch.now))
        began = watch.now
        faults.spare_first = began > ends / 2
        try:
            kind = faults.next(only[sum(met.values()) % len(only)] if only else "")
            met[kind] += 1
        except NotHappened as error:
            verdict.require(False, f"a fault did not happen: {error}")
            kind = "none"
        except AssertionError as error:
            verdict.require(False, str(error))
            kind = "none"
        seconds = _recovered(cluster, verdict, kind)
        worst = max(worst, seconds)
        print(f"{began:7.0f} s  {kind}, all well {seconds:.1f} s after it", flush=True)
        since, due = watch.now, max(began + given.every, watch.now + given.every / 4)
        if watch.now > shown:
            shown += _SHOWN_EVERY
            heights = {node: (cluster.get(node, "/status") or {}).get("height") for node in cluster.names}
            print(f"{watch.now:7.0f} s  heights {heights}, {len(verdict.findings)} finding(s)", flush=True)
    quiet.append((since, watch.now))
    verdict.say(f"longest recovery: {worst:.1f} s")
    return quiet, met


def _recovered(cluster: Cluster, verdict: Verdict, what: str) -> float:
    """Seconds until every node is ready and has its workers, and a block was mined."""
    started, height = time.monotonic(), 0
    while (spent := time.monotonic() - started) < RECOVERY_SECONDS:
        cluster.tend()
        found = [cluster.get(node, "/status", 3) for node in cluster.names]
        heights = [status["height"] for status in found if status is not None]
        if len(heights) == len(found):
            height = height or min(heights)
            staffed = all(min(status["workers"].values()) > 0 for status in found)
            if staffed and min(heights) > height:
                return spent
        time.sleep(0.2)
    verdict.require(False, f"not recovered from {what} within {RECOVERY_SECONDS:g} s")
    return RECOVERY_SECONDS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
