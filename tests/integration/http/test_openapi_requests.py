"""The OpenAPI document, tried: schemathesis makes right and wrong requests from it, and judges the answers by it."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.system.programs import ROOT
from services.wallet.development import ACCOUNTS
from tests.support.running import RunningNode
from tests.support.waiting import eventually

# It runs in processes of its own: importing it here would cost each test process the time.
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("schemathesis") is None, reason="schemathesis is not installed (extra `test`)"
)
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node of its own: thousands of requests leave their traces."""
    spec = {"allocations": {ACCOUNTS[0].address: "1000"}}
    with RunningNode(tmp_path_factory.mktemp("openapi") / "node", workers=1, spec=spec) as running:
        yield running


def run(tried: RunningNode, *arguments: str) -> None:
    url = f"http://127.0.0.1:{tried.door.port}/openapi.json"
    # Streams do not end. Registering peers is not tried with the token: the node would look for whom it is told of.
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "--no-color"),
            *(
                "run",
                url,
                "--exclude-path",
                "/events",
                "--exclude-path",
                "/leases/news",
                "--warnings",
                "off",
                "--suppress-health-check",
                "all",
            ),
            # One thread: in Python 3.11 two that parse source at once can fail with a SystemError (CPython issue
            # 106905), and hypothesis parses the source of lambdas.
            *("--workers", "1", "--continue-on-failure", "--request-timeout", "65", *arguments),
        ],
        cwd=tried.directory,  # where it leaves its cache
        env=os.environ | {"SCHEMATHESIS_HOOKS": "tests.integration.http.schemathesis_formats", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stdout[-12_000:] + ended.stderr[-2000:]
    assert "generated" in ended.stdout
    eventually(lambda: tried.client.get("/readyz").status == 200)


@pytest.mark.timeout(300)
def test_a_few_requests_to_every_endpoint(tried: RunningNode) -> None:
    run(tried, "--phases", "examples,fuzzing", "--max-examples", "1", "--seed", "1")


@pytest.mark.slow
def test_thousands_of_requests(tried: RunningNode) -> None:
    run(tried, "--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--seed", "1")


def test_a_promise_that_is_not_kept_would_be_noticed(tried: RunningNode, tmp_path: Path) -> None:
    document = tried.client.get("/openapi.json").ok()
    document["paths"] = {"/status": document["paths"]["/status"]}
    document["components"]["schemas"]["Status"]["properties"]["height"] = {"type": "string"}
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    url = f"http://127.0.0.1:{tried.door.port}"
    ended = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", str(tmp_path / "openapi.json"), "--url", url, "-n", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1 and "height" in ended.stdout, ended.stdout
