"""rq-dashboard at `/rq`: closed to strangers, read-only, and harmless whatever the broker holds."""

import base64
import json
import re
from pathlib import Path

import pytest
from rq import Worker

from api.app import create_app
from api.rest.dashboard import LazyDashboard
from services.jobs.queues import FAILURE_TTL, MINING, SEARCH, AllowListedJob, queue
from services.node import Node
from tests.support.http import Client, FlaskDoor
from tests.support.keys import TOKEN
from tests.support.nodes import redis_of
from tests.support.running import RunningNode
from tests.support.waiting import eventually

ADMIN = {"Authorization": f"Bearer {TOKEN}"}
PATHS = (
    "/rq",
    "/rq/",
    "/rq/0/view/queues",
    "/rq/0/view/workers",
    "/rq/0/view/jobs/mining/started/8/asc/1",
    "/rq/0/data/queues.json",
    "/rq/0/data/workers.json",
    "/rq/0/data/jobs/mining/queued/8/asc/1.json",
    "/rq/0/view/job/x",
    "/rq/nonsense",
)
XSS = "<img src=x onerror=alert(1)><script>alert(2)</script>"


@pytest.mark.parametrize("path", PATHS)
def test_without_the_token_everything_is_401(client: Client, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": basic("wrong")}):
        answer = client.get(path, **headers)
        answer.refused(401, "admin_token_required")
        assert "Basic" in answer.headers["www-authenticate"]
        assert b"rq" not in answer.body.lower().replace(b"urn:quarry", b"")


@pytest.mark.parametrize("path", PATHS)
def test_people_read_where_the_token_is(client: Client, path: str) -> None:
    answer = client.get(path, Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert (answer.status, answer.type) == (401, "text/html; charset=utf-8")
    page = answer.body.decode()
    assert "QUARRY_ADMIN_TOKEN_FILE" in page and 'href="/mining"' in page and TOKEN not in page
    assert "script" not in page and "style=" not in page


@pytest.mark.parametrize("path", ["/rq/", "/nodes/register"])
def test_each_scheme_has_a_line_of_its_own_and_basic_is_first(shared_node: RunningNode, path: str) -> None:
    """Chromium opens no login window for `Bearer …, Basic …` on one line."""
    method = "GET" if path == "/rq/" else "POST"
    with shared_node.door.open(method, path, b"{}", Accept="text/html") as answer:
        assert answer.status == 401
        lines = answer.headers.get_all("WWW-Authenticate")
    assert lines == ['Basic realm="quarry", charset="UTF-8"', 'Bearer realm="quarry"']


def test_the_dashboard_and_the_page_about_mining_lead_to_each_other(client: Client) -> None:
    assert b'href="/rq/"' in client.get("/mining").body
    for path in ("/rq/", "/rq/0/view/workers"):
        shown = client.get(path, **ADMIN).body
        assert b'href="/mining"' in shown and b'href="/">Explorer' in shown
    assert b'href="/rq/"' in client.get("/").body  # in the footer of every page


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()


def test_browsers_get_in_by_the_token_as_password(client: Client) -> None:
    answer = client.get("/rq/", Authorization=basic(TOKEN))
    assert answer.status == 200 and answer.type.startswith("text/html")


def test_a_node_without_a_token_lets_nobody_in(node: Node) -> None:
    Client(FlaskDoor(create_app(node))).get("/rq/", **ADMIN).refused(401, "admin_token_required")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(client: Client, node: Node, method: str) -> None:
    job = plant(node, "a job")
    for path in (
        f"/rq/0/job/{job.id}/delete",
        f"/rq/0/job/{job.id}/requeue",
        f"/rq/job/{job.id}/delete",
        "/rq/0/queue/mining/empty",
        "/rq/queue/mining/empty",
        "/rq/requeue/mining",
        "/rq/0/requeue/mining",
        "/rq/0/queue/mining/compact",
    ):
        answer = client.door.call(method, path, b"", **ADMIN)
        assert answer.status in (403, 404, 405), path
    assert job.id in queue(MINING, redis_of(node)).get_job_ids()
    forget(job)


def test_get_does_not_requeue(client: Client, node: Node) -> None:
    """The dashboard's own way to requeue all is a GET, which any page could make an admin's browser send."""
    job = plant(node, "failed")
    broker = redis_of(node)
    jobs = queue(MINING, broker)
    jobs.remove(job)
    jobs.failed_job_registry.add(job, ttl=FAILURE_TTL)
    for path in ("/rq/requeue/mining", "/rq/0/requeue/mining", "/rq/requeue/failed"):
        assert client.get(path, **ADMIN).status in (403, 404), path
    client.get("/rq/requeue/mining", **ADMIN).refused(403, "read_only")
    assert job.id not in jobs.get_job_ids() and job.id in jobs.failed_job_registry.get_job_ids(cleanup=False)
    jobs.failed_job_registry.remove(job)
    forget(job)


def test_our_jobs_are_shown_with_a_description_that_people_understand(client: Client, node: Node) -> None:
    node.requests.ask()
    round_id = node.mining.situation().open_round
    # One page for all: nodes of other tests have left jobs in this queue.
    listed = client.get("/rq/0/data/jobs/mining/queued/10000/asc/1.json", **ADMIN).ok()["jobs"]
    ours = [item for item in listed if node.settings.node in item["description"]]
    assert ours[0]["description"] == f"search round {round_id[:8]} height 2 for {node.settings.node}"
    assert client.get(f"/rq/0/view/job/{ours[0]['id']}", **ADMIN).status == 200
    client.get(f"/rq/0/data/job/{ours[0]['id']}.json", **ADMIN).ok()
    names = {item["name"] for item in client.get("/rq/0/data/queues.json", **ADMIN).ok()["queues"]}
    assert MINING in names
    AllowListedJob.fetch(ours[0]["id"], redis_of(node), serializer=queue(MINING, redis_of(node)).serializer).delete()


def test_planted_html_is_harmless(client: Client, node: Node) -> None:
    job = plant(node, XSS)
    job.meta[XSS] = [XSS, {XSS: XSS}]
    job.save_meta()  # type: ignore[no-untyped-call] # untyped there
    redis_of(node).hset(job.key, "exc_info", XSS)
    shown = client.get(f"/rq/0/data/job/{job.id}.json", **ADMIN)
    assert shown.status == 200 and b"<img" not in shown.body and b"&lt;img" in shown.body
    page = client.get(f"/rq/0/view/job/{job.id}", **ADMIN)
    assert b"<img src=x" not in page.body and page.headers["content-security-policy"].count("default-src 'self'") == 1
    forget(job)


def test_texts_of_the_broker_neither_act_nor_hide(client: Client, node: Node) -> None:
    job = plant(node, f"innocent \u202e\u2066\x1b[2J\u200b {XSS}")
    job.meta["lines"] = "first\n  second\u202e\u2028\x9b"
    job.save_meta()  # type: ignore[no-untyped-call] # untyped there
    listed = client.get("/rq/0/data/jobs/mining/queued/10000/asc/1.json", **ADMIN)
    for answer in (client.get(f"/rq/0/data/job/{job.id}.json", **ADMIN), listed):
        text = json.dumps(answer.json, ensure_ascii=False)
        assert not set("\u202e\u2066\u200b\u2028\x9b\x1b") & set(text)
        assert "U+202E" in text
    forget(job)


def test_what_is_unknown_is_404(client: Client) -> None:
    client.get("/rq/0/data/job/no-such-job.json", **ADMIN).refused(404, "unknown_job")
    assert client.get("/rq/0/view/job/no-such-job", **ADMIN).status in (200, 404)  # an empty frame, or our answer
    client.get("/rq/no/such/page", **ADMIN).refused(404, "not_found")


def test_pages_load_nothing_from_elsewhere(client: Client) -> None:
    page = client.get("/rq/", **ADMIN).body.decode()
    loaded = re.findall(r'<(?:script|link|img)\b[^>]*?(?:src|href)="([^"]+)"', page)
    assert len(loaded) > 3
    for target in loaded:
        assert target.startswith(("/rq/", "/assets/", "/static/")), target
        assert client.get(target, **ADMIN).status == 200, target


def test_a_foreign_host_name_is_refused_here_too(client: Client) -> None:
    client.get("/rq/", Host="evil.example", **ADMIN).refused(403, "host_refused")


def test_it_costs_nothing_until_somebody_looks(node: Node) -> None:
    app = create_app(node, TOKEN)
    door = app.wsgi_app._inner  # type: ignore[attr-defined] # behind the gate
    assert isinstance(door, LazyDashboard) and door._app is None
    client = Client(FlaskDoor(app))
    client.get("/rqx").refused(404, "not_found")
    assert door._app is None
    client.get("/rq/", **ADMIN)
    assert door._app is not None


def test_workers_and_queues_of_a_running_node_are_visible(shared_node: RunningNode) -> None:
    client = shared_node.client
    client.get("/rq/0/data/workers.json").refused(401, "admin_token_required")
    workers = eventually(lambda: client.get("/rq/0/data/workers.json", **ADMIN).ok()["workers"])
    assert len(workers) == 3
    assert {name for item in workers for name in item["queues"]} == {"mining", "network"}
    assert client.post("/mine?wait=20").status == 200
    done = client.get("/rq/0/data/jobs/mining/finished/8/asc/1.json", **ADMIN).ok()
    assert "jobs" in done and TOKEN not in str(done)
    with shared_node.redis() as redis:
        assert len(Worker.all(connection=redis)) == 3
    assert Path(shared_node.directory, "token").read_text() == TOKEN


def plant(node: Node, description: str) -> AllowListedJob:
    """A job as a stranger with access to the broker can write it."""
    return queue(MINING, redis_of(node)).enqueue_call(SEARCH, args=("x", "y"), description=description)  # type: ignore[return-value] # the queue's job class


def forget(job: AllowListedJob) -> None:
    job.delete()
