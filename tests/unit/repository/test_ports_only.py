"""Clock, randomness and HTTP come in through the ports. Modules that import them directly are listed, with the reason.

A module that asks the machine for the time cannot be simulated, and a bug that a schedule finds cannot be found again.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.system.programs import ROOT

WATCHED = frozenset(
    {"time", "random", "secrets", "socket", "http", "urllib", "urllib3", "uuid", "datetime", "requests"}
)
# Pure parts of the watched packages.
HARMLESS = frozenset({"urllib.parse"})

# (module, imported package) -> why it may
ALLOWED = {
    ("services/ports.py", "time"): "the clock port",
    ("services/ports.py", "secrets"): "the randomness port",
    ("services/peers/http.py", "urllib3"): "the HTTP port",
    ("services/peers/patience.py", "socket"): "the HTTP port: resolves names, and cuts connections",
    ("services/peers/patience.py", "time"): "the HTTP port: deadlines of a whole exchange",
    ("services/peers/patience.py", "urllib3"): "the HTTP port",
    ("services/peers/proxy.py", "http"): "the HTTP port: what the library raises",
    ("services/peers/proxy.py", "time"): "the HTTP port: for how long the proxy's last answer holds",
    ("services/peers/proxy.py", "urllib3"): "the HTTP port",
    ("services/launch/node_files.py", "secrets"): "makes the admin token, before there is a node",
    ("services/launch/server_files.py", "secrets"): "makes the embedded server's password",
    ("services/launch/server_files.py", "socket"): "tries whether a server can listen on a Unix socket",
    ("services/launch/ending.py", "time"): "ends a process in time",
    ("services/launch/keeper.py", "time"): "waits for a server",
    ("services/launch/embedded.py", "socket"): "looks for a free port",
    ("services/launch/embedded.py", "time"): "waits for a child process",
    ("services/launch/ownership.py", "time"): "waits for other processes",
    ("services/launch/nursery.py", "socket"): "asks a process of its own for children",
    ("services/launch/nursery.py", "time"): "waits for a child process",
    ("services/launch/nursery_process.py", "socket"): "answers the process that started it",
    ("services/launch/supervisor.py", "secrets"): "names its processes",
    ("services/launch/supervisor.py", "time"): "waits for child processes",
    ("services/launch/running.py", "http"): "asks the API process that was started whether it is ready",
    ("services/launch/ports.py", "socket"): "looks for a free port",
    ("services/launch/ports.py", "time"): "waits for a server that ends",
    ("services/settings/hosts.py", "socket"): "resolves the name that the server binds to",
    ("services/connections/request_client.py", "time"): "measures how long an answer of the store was waited for",
    ("services/connections/servers.py", "socket"): "tells a host that is not found from one that does not answer",
    ("services/system/tracing.py", "random"): "which traces begin; no rule depends on it",
    ("services/system/tracing.py", "time"): "bounds the traces of strangers; no rule depends on it",
    ("services/launch/launcher.py", "time"): "waits for child processes",
    ("services/launch/launch.py", "time"): "waits for child processes",
    ("services/launch/peer_router.py", "time"): "waits for a child process",
    ("services/peers/http.py", "http"): "the HTTP port: what the library raises",
    ("services/jobs/queues.py", "time"): "measures jobs",
    ("services/system/allowance.py", "time"): "bounds what is done in a second",
    ("services/wallet/keystores.py", "uuid"): "names a keystore file, as the format asks",
    ("services/wallet/keyring.py", "datetime"): "dates a certificate",
    ("worker/context.py", "time"): "the worker process waits for real",
    ("worker/housekeeper.py", "time"): "measures housekeeping as jobs are measured",
    ("worker/process.py", "time"): "the worker process waits for real",
    ("api/serving/request_metrics.py", "time"): "measures requests",
    ("api/rpc/dispatch.py", "time"): "measures requests",
    ("api/door/server.py", "socket"): "listens",
    ("api/door/sockets.py", "socket"): "bounds what waits in a socket",
    ("api/serving/budget.py", "time"): "waits for a place",
    ("api/serving/gate.py", "time"): "notes when a body begins to arrive",
    ("api/serving/connections.py", "socket"): "ends connections that hold something for too long",
    ("api/serving/connections.py", "time"): "measures how long they have held it",
    ("api/serving/connections.py", "random"): "tells early answers apart by their lengths",
    ("api/serving/connections.py", "http"): "the words of a status",
    ("api/cli/client.py", "time"): "the command line waits for a node",
    ("api/cli/client.py", "urllib3"): "the command line is a client",
    ("api/cli/node/demo.py", "time"): "measures what it shows",
    ("api/cli/node/doctor.py", "time"): "measures latency",
    ("api/cli/node/event_lines.py", "time"): "shows the time of day",
    ("api/cli/moments.py", "time"): "shows the time of day",
    ("api/cli/node/logs.py", "time"): "waits for new lines of a log",
    ("api/cli/node/watching.py", "time"): "bounds how many lines are printed in a second",
    ("api/cli/node/mine.py", "time"): "shows a rate",
    ("api/cli/wallet/transfers.py", "time"): "waits for a confirmation",
    ("api/rest/lease_batches.py", "time"): "batches begin at a pace",
    ("api/rest/lease_door.py", "time"): "measures requests",
    ("api/rest/leases.py", "time"): "a miner waits for a round for real",
    ("worker/miner/board.py", "time"): "the miner waits for real",
    ("worker/miner/door.py", "urllib3"): "the miner is a client",
    ("worker/miner/ways.py", "urllib3"): "the miner is a client",
    ("worker/miner/news.py", "random"): "spreads the tries of many miners",
    ("worker/miner/search.py", "random"): "spreads the tries of many miners",
    ("worker/miner/search.py", "time"): "measures the kernel's speed",
    ("worker/miner/program.py", "time"): "shows a rate, and waits for its processes",
    ("worker/claim_size.py", "time"): "measures the kernel's speed",
    ("worker/kernel/scan.py", "time"): "waits for another process that compiles",
    ("worker/jobs/search.py", "time"): "measures scans; a job's time limit is real",
}


def imports(path: Path) -> Iterator[str]:
    """Dotted names of what a file imports, wherever in it; and "datetime.now" for asking that clock."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today"):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if owner in ("datetime", "date"):
                yield "datetime.now"


def watched(root: Path) -> set[tuple[str, str]]:
    """(module, package) for every import of a watched package under `root`."""
    found = set()
    for package in ("shared", "services", "worker", "api"):
        for path in sorted((root / package).rglob("*.py")):
            for name in imports(path):
                top = name.partition(".")[0]
                if top == "datetime" and name != "datetime.now":
                    continue  # its types are only arithmetic
                if top in WATCHED and not any(name == safe or name.startswith(f"{safe}.") for safe in HARMLESS):
                    found.add((path.relative_to(root).as_posix(), top))
    return found


@pytest.fixture(scope="module", name="found")
def found_fixture() -> set[tuple[str, str]]:
    return watched(ROOT)


def test_nothing_imports_the_world_past_the_ports(found: set[tuple[str, str]]) -> None:
    assert sorted(found - ALLOWED.keys()) == [], "put it behind a port (services/ports.py), or say here why not"


def test_every_allowance_is_used(found: set[tuple[str, str]]) -> None:
    assert sorted(ALLOWED.keys() - found) == [], "an allowance that nobody needs hides the next import"


@pytest.mark.parametrize(
    ("text", "caught"),
    [
        ("import time", {"time"}),
        ("def f():\n    import random as r", {"random"}),
        ("from urllib3.connection import HTTPConnection", {"urllib3"}),
        ("import http.client", {"http"}),
        ("from urllib.request import urlopen", {"urllib"}),
        ("from urllib import request", {"urllib"}),
        ("from urllib.parse import urlsplit", set()),
        ("from urllib import parse", set()),
        ("from time import monotonic", {"time"}),
        ("import datetime\ndatetime.datetime.now()", {"datetime"}),
        ("from datetime import datetime as date\ndate.today()", {"datetime"}),
        ("from datetime import datetime, timedelta\nTen = timedelta(10)", set()),
        ("import timeit\nfrom .time import x", set()),
    ],
)
def test_an_import_is_seen_in_every_spelling(tmp_path: Path, text: str, caught: set[str]) -> None:
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "module.py").write_text(text)
    assert watched(tmp_path) == {("services/module.py", name) for name in caught}
