"""The time of `/mine` at difficulty 65,536, compared with the tutorial's own search. The two take turns."""

import http.client
import os
import random
import statistics
import time
from collections.abc import Callable

from benchmarks.loops import tutorial_search
from benchmarks.node import BenchNode
from benchmarks.report import Plot, Result, Series

SAMPLES = 150


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Result "mine"."""
    result = Result("mine")
    samples = 100 if quick else SAMPLES
    ours: list[float] = []
    theirs: list[float] = []
    with BenchNode(workers=os.cpu_count() or 1) as node:  # as many as `quarry up` starts
        for _ in range(5):
            node.mine()
        say(f"/mine, {samples} times")
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
        for _ in range(samples):
            started = time.perf_counter()
            connection.request("POST", "/mine", b"")
            response = connection.getresponse()
            response.read()
            ours.append(1000 * (time.perf_counter() - started))
            if response.status != 200:
                raise RuntimeError(f"/mine answered {response.status}")
            started = time.perf_counter()
            tutorial_search(random.randrange(10**6))
            theirs.append(1000 * (time.perf_counter() - started))
        connection.close()
        counters = {name.decode(): int(value) for name, value in node.redis.hgetall(node.keys.counters).items()}
    cuts, tutorial = statistics.quantiles(ours, n=100), statistics.median(theirs)
    result.add(
        "p50_ms", cuts[49], "ms", target=40, better="lower",
        than=f"the tutorial's search alone in the same run: {tutorial:.0f} ms",
    )  # fmt: skip
    result.add("p90_ms", cuts[89], "ms", than=f"the tutorial's: {statistics.quantiles(theirs, n=10)[8]:.0f} ms")
    result.add("tutorial_p50_ms", tutorial, "ms", than="its loop only, without its HTTP")
    result.add("samples", samples, "")
    result.add("wasted", 100 * counters.get("wasted_hashes", 0) / counters["hashes"], "% of hashes")
    shares = [100 * (i + 1) / samples for i in range(samples)]
    result.plots.append(
        Plot(
            "mine-latency",
            "/mine at difficulty 65,536",
            "milliseconds",
            "% of blocks done within",
            [
                Series("Quarry, over HTTP, durable", sorted(ours), shares),
                Series("the tutorial's loop", sorted(theirs), shares),
            ],
        )
    )
    return [result]
