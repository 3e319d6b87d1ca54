"""A stranger with access to the broker can only choose which of our jobs run: other jobs fail without running."""

import http.server
import json
import pickle
import threading
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from services import registry
from services.connections.servers import as_store, connect_for_requests
from services.jobs.queues import MINING, AllowListedJob, RqJobs, queue
from services.launch.embedded import EmbeddedValkey
from tests.integration.worker.planted import json_data, plant
from tests.support.crew import Crew
from tests.support.nodes import make_settings
from tests.support.specs import make_spec
from tests.support.waiting import eventually

SEARCH = "worker.jobs.search.search"


@pytest.fixture
def calls() -> Iterator[tuple[str, list[str]]]:
    """The address of a web server, and the paths that were asked of it."""
    paths: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *args: Any) -> None:
            """Nothing to the test's output."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", paths
        server.shutdown()
        thread.join()


class Runs:
    """Unpickling this touches a file, which shows that pickle ran code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def webhook(url: str) -> str:
    return json.dumps([{"url": url, "job_status": status, "method": "POST"} for status in ("failed", "finished")])


def test_planted_jobs_do_not_run(
    valkey: EmbeddedValkey, redis: Redis, tmp_path: Path, calls: tuple[str, list[str]]
) -> None:
    url, asked = calls
    touched = tmp_path / "touched"
    intruder = "import pathlib\n" + "".join(
        f"def {name}(*_): pathlib.Path({str(touched) + '-' + name!r}).touch()\n"
        for name in ("success", "failure", "stopped", "lost")
    )
    (tmp_path / "intruder.py").write_text(intruder)

    def touch(name: str) -> str:
        return f"touch {touched}-{name}"

    # A job of ours that would succeed: only its webhooks and callbacks are wrong.
    harmless = json_data(SEARCH, "node1", "0" * 32)
    planted = {
        "function": plant(redis, json_data("os.system", touch("function"))),
        "builtin": plant(redis, json_data("builtins.exec", f"open({str(touched) + '-builtin'!r}, 'w')")),
        "import": plant(redis, json_data("worker.jobs.search._log.info", "no job")),
        "instance": plant(redis, json_data("search", touch("instance"), instance="os")),
        "pickle": plant(redis, zlib.compress(pickle.dumps(Runs(Path(f"{touched}-pickle"))))),
        "raw pickle": plant(redis, pickle.dumps(Runs(Path(f"{touched}-raw-pickle")))),
        "webhook": plant(redis, harmless, webhooks=webhook(f"{url}/hook")),
    }
    for moment in ("success", "failure", "stopped"):
        callback = {f"{moment}_callback_name": f"intruder.{moment}", f"{moment}_callback_timeout": "60"}
        planted[moment] = plant(redis, harmless, **callback)
        planted[f"{moment} of another"] = plant(redis, json_data("os.getpid"), **callback)
    # A job whose worker seems to have died: maintenance reads it in the worker itself, not in a horse.
    abandoned = plant(
        redis,
        harmless,
        failure_callback_name="intruder.lost",
        failure_callback_timeout="60",
        webhooks=webhook(f"{url}/lost"),
    )
    redis.lrem(f"rq:queue:{MINING}", 1, abandoned)
    redis.hset(f"rq:job:{abandoned}", "status", "started")
    redis.zadd(f"rq:wip:{MINING}", {f"{abandoned}:{uuid.uuid4().hex}": 1})

    spec = make_spec()
    registry.register(as_store(redis), make_settings(spec, redis_url=valkey.url, broker_url=valkey.url))
    with Crew(tmp_path, valkey.url, spec) as crew:
        crew.environment["PYTHONPATH"] += f":{tmp_path}"
        worker = crew.worker()
        names = {f"rq:job:{job_id}" for job_id in [*planted.values(), abandoned]}
        eventually(
            lambda: all(redis.hget(name, "status") in (b"failed", b"finished") for name in names), what="all jobs' end"
        )
        assert worker.poll() is None, "the worker itself outlived them"
    assert [name for name in names if redis.hget(name, "status") != b"failed"] == []
    assert list(tmp_path.glob("touched*")) == []
    assert asked == []


def test_our_own_jobs_are_json_and_carry_nothing_but_ids(redis: Redis, valkey: EmbeddedValkey) -> None:
    with connect_for_requests(valkey.url) as broker:
        RqJobs(broker).enqueue_search("node1", "a" * 32, 2, 1)
        (job_id,) = queue(MINING, broker).get_job_ids()
        raw: Any = redis.hget(f"rq:job:{job_id}", "data")
        assert json.loads(zlib.decompress(raw)) == [SEARCH, None, ["node1", "a" * 32], {}]
        job = AllowListedJob.fetch(job_id, connection=broker, serializer="json")
        assert isinstance(job, AllowListedJob)
        job.require_allowed()
        assert job.failure_ttl is not None and job.failure_ttl <= 86_400  # RQ's default is a year
