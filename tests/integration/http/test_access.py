"""Who may change something, and which requests change nothing: pages, prefetching, strangers behind a proxy."""

import base64
import inspect
import json
import re
from typing import Any

import pytest

from api.access import _TELLING, GETS_THAT_CHANGE, learn_host, served
from api.app import create_app
from api.serving import intent
from services.mining.vouchers import digest_of
from services.node import Node
from services.wallet.development import ACCOUNTS
from tests.support.browsers import ASKED, UNASKED
from tests.support.http import Answer, Client, FlaskDoor, Json
from tests.support.keys import ALICE, BOB, TOKEN
from tests.support.nodes import MakeNode, grow, redis_of, transfer
from tests.support.stored import digest

FAUCET = {ACCOUNTS[0].address: "1000"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PEER = "http://127.0.0.1:9"
SECRET = "qv_" + "0" * 32
VOUCHER = {"Authorization": f"Bearer {SECRET}"}


@pytest.fixture
def faucet_node(make_node: MakeNode) -> Node:
    node = make_node(spec={"allocations": FAUCET})
    node.leases._vouchers.add("0" * 16, "phones", "phones", digest_of(SECRET), "", 1.0, 10)
    return node


@pytest.fixture
def faucet_client(faucet_node: Node) -> Client:
    return Client(FlaskDoor(create_app(faucet_node, TOKEN)))


def doors() -> list[tuple[str, str, Any, Json]]:
    """Everything that changes something: method, path, JSON, headers; each is accepted as it is."""
    return [
        ("GET", "/mine?wait=0", None, {}),
        ("POST", "/mine?wait=0", None, {}),
        ("GET", "/nodes/resolve?wait=0", None, {}),
        ("POST", "/nodes/resolve?wait=0", None, {}),
        ("GET", "/miner/nodes/resolve?wait=0", None, {}),
        ("POST", "/miner/nodes/resolve?wait=0", None, {}),
        ("POST", "/faucet", {"address": BOB.address}, {}),
        ("POST", "/transactions/new", transfer(ALICE, 0), {}),
        ("POST", "/transaction/new", transfer(ALICE, 1), {}),
        ("POST", "/transactions/batch", {"transactions": [transfer(ALICE, 2)]}, {}),
        ("POST", "/nodes/register", {"nodes": [PEER]}, BEARER),
        ("POST", "/miner/register", {"nodes": [PEER]}, BEARER),
        ("POST", "/nodes/announce", {"url": PEER, "hash": "ab" * 32, "height": 9, "chainwork": 9}, {}),
        ("DELETE", "/nodes", {"nodes": [PEER]}, BEARER),
        ("POST", "/names", {"address": BOB.address, "name": "bob"}, BEARER),
        ("DELETE", "/names", {"address": BOB.address}, BEARER),
        ("POST", "/tokens", {"name": "anna", "scopes": ["mine"]}, BEARER),
        ("DELETE", "/tokens", {"name": "anna"}, BEARER),
        ("POST", "/vouchers", {"name": "class"}, BEARER),
        ("POST", "/leases", {"name": "anna", "rate": 1000}, VOUCHER),
        ("POST", "/leases/LEASE", {"shares": [], "hashes": 1}, VOUCHER),
        ("DELETE", "/vouchers", {"name": "class"}, BEARER),
        ("POST", "/mining/limit", {"hash_rate_limit": "2M"}, BEARER),
        ("DELETE", "/mining/limit", None, BEARER),
        ("DELETE", "/rounds/ROUND", None, BEARER),
        ("DELETE", "/jobs/JOB", None, {}),
        ("DELETE", "/jobs", None, BEARER),
    ]


def send(client: Client, door: tuple[str, str, Any, Json], headers: Json) -> Answer:
    method, path, value, own = door
    body = None if value is None else json.dumps(value).encode()
    kind = {} if value is None else {"Content_Type": "application/json"}
    return client.door.call(method, path, body, **{**kind, **own, **headers})


def state(node: Node) -> object:
    redis: Any = redis_of(node)
    # Jobs of other tests' nodes expire meanwhile.
    jobs = redis.keys("rq:job:*")
    with redis.pipeline(transaction=False) as pipeline:
        for job in jobs:
            pipeline.hget(job, "description")
        descriptions = pipeline.execute()
    ours = [job for job, text in zip(jobs, descriptions, strict=True) if node.settings.node.encode() in (text or b"")]
    return digest(redis, node.settings.node), sorted(ours)


def test_every_door_that_changes_something_is_tried_here(faucet_node: Node) -> None:
    found = set()
    for rule in create_app(faucet_node).url_map.iter_rules():
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
            reads = rule.endpoint in ("rpc.rpc", "rpc.elsewhere")
            if not reads and (method != "GET" or rule.endpoint in GETS_THAT_CHANGE):
                found.add((method, re.sub("<(.*)_id>", lambda name: name[1].upper(), rule.rule)))
    assert found == {(method, path.partition("?")[0]) for method, path, _, _ in doors()}


@pytest.mark.parametrize("name", UNASKED)
def test_what_nobody_asked_for_changes_nothing(faucet_node: Node, faucet_client: Client, name: str) -> None:
    ids = open_round(faucet_client)
    faucet_node.peers.add(PEER)
    before = state(faucet_node)
    for method, path, value, own in doors():
        answer = send(faucet_client, (method, with_ids(path, ids), value, own), UNASKED[name])
        assert answer.status == 403, (method, path, answer.body)
        answer.refused(403, answer.json["code"])
        assert answer.json["code"] in ("cross_site", "not_asked_for")
        assert state(faucet_node) == before, (method, path)


def open_round(client: Client) -> dict[str, str]:
    """A request, the round that will answer it, and a lease of that."""
    job = client.post("/mine?wait=0").ok(202)["job"]
    lease = client.post("/leases", {"name": "ben", "rate": 1000}, **VOUCHER).ok()
    return {"JOB": job, "ROUND": str(client.get(f"/jobs/{job}").ok()["round"]), "LEASE": lease["lease"]}


def with_ids(path: str, ids: dict[str, str]) -> str:
    return re.sub("JOB|ROUND|LEASE", lambda name: ids[name[0]], path)


def test_only_requests_without_any_header_that_is_judged_are_passed_over() -> None:
    """A header that is judged but missing from that list is never looked at."""
    judged = set(re.findall(r'field\("([\w-]+)"', inspect.getsource(intent.judge)))
    assert len(judged) == 5
    assert judged | set(intent.AHEAD_OF_TIME) == set(intent.TELLING)
    assert {f"HTTP_{name.upper().replace('-', '_')}" for name in intent.TELLING} == _TELLING


@pytest.mark.parametrize("name", ASKED)
def test_people_programs_and_our_own_pages_go_on_as_before(faucet_node: Node, faucet_client: Client, name: str) -> None:
    ids = open_round(faucet_client)
    for method, path, value, own in doors():
        answer = send(faucet_client, (method, with_ids(path, ids), value, own), ASKED[name])
        assert answer.status in (200, 201, 202), (method, path, answer.body)


def test_pages_read_what_they_like_and_wallets_in_pages_go_on(client: Client, node: Node) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    for headers in UNASKED.values():
        client.get("/status", **headers).ok()
        assert client.post("/rpc", call, **headers).ok()["result"] == hex(node.settings.spec.chain_id)


def test_a_look_is_no_wish(faucet_node: Node, faucet_client: Client) -> None:
    before = state(faucet_node)
    for path in ("/mine", "/nodes/resolve", "/miner/nodes/resolve"):
        answer = faucet_client.door.call("HEAD", path)
        assert answer.status == 405 and {"GET", "POST"} <= set(answer.headers["allow"].split(", "))
    assert state(faucet_node) == before


def test_every_other_get_only_reads(faucet_node: Node, faucet_client: Client) -> None:
    """A view that changes something on GET must be named in GETS_THAT_CHANGE."""
    identifier = faucet_client.submit(transfer(ALICE, 0))
    grow(faucet_node)
    open_round(faucet_client)
    faucet_node.peers.add(PEER)
    values = {
        "name": "1", "transaction_id": identifier, "job_id": "0" * 32, "round_id": "0" * 32, "address": ALICE.address,
        "lease_id": "0" * 32, "code": "ABCDE", "step": "hash", "filename": "docs.css", "block_hash": "0" * 64,
    }  # fmt: skip
    before = state(faucet_node)
    tried = 0
    for rule in create_app(faucet_node).url_map.iter_rules():
        if "GET" in (rule.methods or ()) and rule.endpoint not in {*GETS_THAT_CHANGE, "stream.events", "leases.news"}:
            path = re.sub(r"<(?:[a-z]+:)?(\w+)>", lambda found: values[found[1]], rule.rule)
            assert faucet_client.get(path).status < 500, path
            assert state(faucet_node) == before, path
            tried += 1
    assert tried > 25


def test_an_origin_that_is_let_in_by_the_settings_may_call(make_node: MakeNode) -> None:
    client = Client(FlaskDoor(create_app(make_node(CORS_ORIGINS="https://app.example"), TOKEN)))
    page = {"Origin": "https://app.example", "Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "cors"}
    client.post("/mine?wait=0", **page).ok(202)
    client.post("/mine?wait=0", **page | {"Origin": "https://app.example.evil"}).refused(403, "cross_site")
    client.post("/mine?wait=0", **page | {"Sec_Fetch_Mode": "no-cors"}).refused(403, "not_asked_for")
    client.post("/mine?wait=0", **page | {"Sec_Purpose": "prefetch"}).refused(403, "not_asked_for")


# --- This machine, and others behind a proxy ---

FORWARDED = (
    "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Server", "X-Forwarded",
    "Forwarded-For", "X-Real-IP", "Via", "CF-Connecting-IP", "CF-Ray", "CF-Visitor", "CF-IPCountry", "CDN-Loop",
    "True-Client-IP", "X-Client-IP", "Client-IP", "X-Cluster-Client-IP", "Fastly-Client-IP", "Fly-Client-IP",
    "X-Original-Forwarded-For", "X-Original-Host", "X-Original-URI", "X-Envoy-External-Address", "X-Azure-ClientIP",
    "X-Azure-SocketIP", "X-ProxyUser-Ip", "WL-Proxy-Client-IP", "Proxy-Client-IP", "X-Appengine-User-Ip",
    "X-Amzn-Trace-Id", "X-Amz-Cf-Id", "CloudFront-Viewer-Address", "X-Varnish", "Tailscale-User-Login", "X-Remote-Addr",
    "X-Originating-IP", "X-Vercel-Forwarded-For", "X-Nf-Client-Connection-Ip", "Ngrok-Auth-User-Email", "X-Scheme",
    "X-Arr-Ssl", "Do-Connecting-Ip", "X-Cloud-Trace-Context", "Front-End-Https",
)  # fmt: skip


@pytest.mark.parametrize("header", FORWARDED)
def test_who_comes_through_a_proxy_is_not_this_machine(faucet_node: Node, faucet_client: Client, header: str) -> None:
    given = {header: "127.0.0.1"}  # whatever it says
    before = state(faucet_node)
    for method, path, value in (("GET", "/mine?wait=0", None), ("POST", "/mine?wait=0", None), ("POST", "/faucet", 1)):
        door = (method, path, {"address": BOB.address} if value else None, {})
        send(faucet_client, door, given).refused(401, "admin_token_required")
    assert state(faucet_node) == before
    faucet_client.post("/mine?wait=0", **given, **BEARER).ok(202)
    faucet_client.post("/faucet", {"address": BOB.address}, **given, **BEARER).ok(201)


def test_a_name_that_is_no_loopback_name_is_not_this_machine(make_node: MakeNode) -> None:
    node = make_node(spec={"allocations": FAUCET}, ALLOWED_HOSTS="node.example")
    client = Client(FlaskDoor(create_app(node, TOKEN)))
    for host in ("node.example", "NODE.example:8443"):
        client.get("/status", Host=host).ok()
        client.post("/mine?wait=0", Host=host).refused(401, "admin_token_required")
        client.post("/faucet", {"address": BOB.address}, Host=host).refused(401, "admin_token_required")
        client.post("/mine?wait=0", Host=host, **BEARER).ok(202)
    client.post("/mine?wait=0", Host="localhost:5000").ok(202)


def test_without_a_token_nobody_mines_through_a_proxy(node: Node) -> None:
    client = Client(FlaskDoor(create_app(node)))
    for authorization in ({}, BEARER, {"Authorization": "Bearer "}, {"Authorization": basic("")}):
        client.post("/mine?wait=0", X_Real_IP="203.0.113.7", **authorization).refused(401, "admin_token_required")


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"x:{password}".encode()).decode()


def test_a_password_that_a_browser_remembers_is_no_wish(make_node: MakeNode) -> None:
    """Over plain HTTP to another machine, browsers do not tell that a GET is for an image."""
    client = Client(FlaskDoor(create_app(make_node(HOST="192.0.2.1", UNSAFE_DEVELOPMENT="true"), TOKEN)))
    remembered = {"Authorization": basic(TOKEN), "User_Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}
    client.get("/mine?wait=0", **remembered).refused(403, "not_asked_for")
    client.get("/mine?wait=0", **remembered | {"User_Agent": "curl/8.5.0"}).ok(202)
    client.get("/mine?wait=0", **remembered | BEARER).ok(202)
    client.post("/mine?wait=0", **remembered).ok(202)
    client.get("/mine?wait=0", **remembered | {"Sec_Fetch_Site": "none", "Sec_Fetch_Mode": "navigate"}).ok(202)


def test_pages_offer_strangers_no_button_that_is_refused(faucet_client: Client) -> None:
    here, elsewhere = (faucet_client.get("/mining", **given).body for given in ({}, {"X_Real_IP": "203.0.113.7"}))
    assert b'id="mine"' in here and b'id="mine"' not in elsewhere and b"admin token" in elsewhere
    here, elsewhere = (faucet_client.get("/send", **given).body for given in ({}, {"X_Real_IP": "203.0.113.7"}))
    assert b"faucet-form" in here and b"faucet-form" not in elsewhere


def test_the_tutorials_open_registration_is_for_this_machine(make_node: MakeNode) -> None:
    """Its peers may be on this machine, to which strangers must not make it send requests."""
    client = Client(FlaskDoor(create_app(make_node(SPEC="tutorial"), TOKEN)))
    client.post("/nodes/register", {"nodes": [PEER]}).ok(201)
    answer = client.post("/nodes/register", {"nodes": [PEER]}, X_Forwarded_For="203.0.113.7")
    answer.refused(401, "admin_token_required")


def test_hosts_are_remembered_however_many_strangers_name_others(node: Node) -> None:
    app = create_app(node, TOKEN)
    for number in range(100):
        with app.test_request_context(headers={"Host": f"stranger{number}.example"}):
            learn_host()
    with app.test_request_context(headers={"Host": "node.example"}):
        learn_host()
    assert "node.example" in served(app).hosts and len(served(app).hosts) <= 64
