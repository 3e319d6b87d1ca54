"""`python -m benchmarks [NAME…] [--json] [--quick] [--plots DIRECTORY]`."""

from services.system.interrupts import INTERRUPTED, interrupts_end

with interrupts_end():
    import argparse
    import json
    import os
    import sys
    import traceback
    from importlib import import_module
    from pathlib import Path

    from api.cli import terminal
    from benchmarks.progress import Progress
    from benchmarks.report import Result, as_json, machine
    from services.system import logs

# Name: what it measures. Each is a module with a function run(say, quick) that returns results.
BENCHMARKS = {
    "mining": "hash rate against the tutorial's loop, one and two workers, commands, memory, stopping",
    "limit": "the hash rate of one and two workers over every ten seconds, against the limit that is set",
    "leases": "miners over HTTP beside workers on Redis, and what a thousand of them cost one process",
    "latency": "/mine at difficulty 65,536 against the tutorial's search",
    "submission": "signed transactions over HTTP, singly and by batch, against a bare prototype",
    "storage": "Redis bytes per transaction and per block; idle memory of a node",
    "restore": "backing up and restoring a node of 100,000 blocks",
    "rpc": "JSON-RPC beside bare prototypes, anvil and ganache: sending, mining, reads, reads while searching",
    "door": "JSON-RPC over HTTP and WebSocket: reads beside the API, heads at 500 subscribers, 1,000 idle WebSockets",
    "catch_up": "a node one block behind on a long chain; initial sync; a deep reorganisation",
    "ledger": "checking 100,000 blocks: at the start, in housekeeping, by a replay; what the digest costs an append",
    "sealers": "verifying a chain with sealers, against one that anybody may seal",
    "browser_miner": "hashes of the page /join for each second of processor time, in a headless Chromium",
    "explorer": "every page on a chain of 100,000 blocks; submission while 100 event streams are open",
    "strangers": "memory and answers of a node while hundreds of connections never read, never finish, or wait",
    "router": "the lab's router: requests with and without it, errors of its latency and its rate",
    "timestamps": "how far false timestamps move the block interval, for each of many strategies",
    "lab": "the simulated lab beside theory: stale blocks, double spends, selfish mining, lies about time",
    "lab_nodes": "eight real nodes of a lab, page open: when it is ready, memory, idle cost; beside ordinary starts",
    "lab_page": "the lab's page in a browser: frames of a large tree, how far behind nodes it is, controls",
    "tie_rules": "what the rule for two tips of equal work is worth to attackers: ours and three others",
    "traces": "processor time of a node and of a transaction with traces off, at the default share, and all traced",
    "scaling_simulation": "1 to 10,000 workers on one broker, simulated",
}


def main(arguments: list[str]) -> int:
    """Run the named benchmarks, or all. Returns 1 if one failed or a target was missed, else 0."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--quick", action="store_true", help="shorter runs, for a first look")
    parser.add_argument("--plots", type=Path, metavar="DIRECTORY", help="write PNG files (needs the extra `bench`)")
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]}; there are {', '.join(BENCHMARKS)}")
    # Settings in the environment are meant for other nodes, not for those that the benchmarks start.
    for name in [name for name in os.environ if name.startswith("QUARRY_")]:
        del os.environ[name]

    logs.configure("warning", "console")  # standard output is for figures

    results: list[Result] = []
    failed = False
    names = chosen.names or list(BENCHMARKS)
    with Progress() as progress:
        progress.say("looking at this machine")
        where = machine()
        for number, name in enumerate(names, 1):
            progress.say(f"{number} of {len(names)}, {name}: {BENCHMARKS[name]}")
            try:
                measured = import_module(f"benchmarks.{name}").run(progress.say, chosen.quick)
            except Exception:  # go on with the others
                failed = True
                progress.pause()
                print(f"The benchmark {name} failed:\n{traceback.format_exc()}", file=sys.stderr, flush=True)
                continue
            results += measured
            progress.pause()
            if not chosen.json:
                terminal.show(*(line for result in measured for line in result.text().split("\n")))
    if chosen.json:
        print(json.dumps(as_json(results, where), indent=2))
    if chosen.plots is not None:
        from benchmarks.plots import write

        for path in write(results, where, chosen.plots):
            print(f"… wrote {path}", file=sys.stderr, flush=True)
    return int(failed or any(figure.met is False for result in results for figure in result.figures))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
