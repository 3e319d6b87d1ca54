"""`/metrics`: well-formed, true, the same from every process; and deploy/ uses only names that exist."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # its stubs are a package of their own
from prometheus_client.parser import text_string_to_metric_families

from api.rest.metrics import _LEAVING
from services.jobs.queues import ALLOWED
from services.node import Node
from services.system.programs import ROOT
from tests.support.http import Client
from tests.support.keys import ALICE, TOKEN
from tests.support.nodes import MakeNode, grow, mine, redis_of, transfer
from tests.support.running import RunningNode
from tests.support.scene import reorganise
from tests.support.waiting import eventually

DEPLOY = ROOT / "deploy"
# Names that Prometheus makes itself.
OF_PROMETHEUS = frozenset({"up"})
_WORDS = frozenset(
    "sum by rate increase histogram_quantile max min avg on without time clamp_min label_replace and or unless "
    "offset le ignoring group_left changes delta abs".split()
)

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    """Every sample, parsed as Prometheus does."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(client: Client) -> Samples:
    answer = client.get("/metrics")
    assert answer.status == 200 and answer.type.startswith("text/plain; version=")
    return samples(answer.body.decode())


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_names_from_the_store_cannot_forge_a_sample_or_act_on_a_terminal(node: Node, client: Client) -> None:
    hostile = 'x"} 5\nquarry_height 999\n\x1b[2J\r\u202e\u2028\\'
    node.mining._redis.hset(node.mining.keys.counters, f"mempool_{hostile}", "7")
    answer = client.get("/metrics")
    text = answer.body.decode()
    assert not set("\x1b\r\u202e\u2028") & set(text)
    found = samples(text)
    assert value(found, "quarry_height") == 1
    assert {dict(labels)["status"] for name, labels in found if name == "quarry_mempool_left_total"} == set(_LEAVING)


def test_it_tells_what_the_node_knows(node: Node, client: Client) -> None:
    client.submit(transfer(ALICE, 0))
    mine(node)
    client.submit(transfer(ALICE, 1))
    node.peers.add("http://127.0.0.1:5001")
    node.requests.ask()
    found = scrape(client)
    assert value(found, "quarry_height") == 2
    assert value(found, "quarry_chainwork") == 64
    assert value(found, "quarry_mempool_transactions") == 1 and value(found, "quarry_mempool_bytes") > 300
    assert value(found, "quarry_blocks_total", origin="mined") == 1
    assert value(found, "quarry_rounds_total", outcome="sealed") == 1
    assert value(found, "quarry_rounds_total", outcome="opened") == 2
    assert (value(found, "quarry_round_open"), value(found, "quarry_round_difficulty")) == (1, 64)
    assert value(found, "quarry_mining_requests") == 1
    assert value(found, "quarry_peers", state="new") == 1 and value(found, "quarry_peers", state="ok") == 0
    assert value(found, "quarry_queue_jobs", queue="mining") >= 1
    assert value(found, "quarry_queue_age_seconds", queue="mining") >= 0
    assert value(found, "quarry_workers", queue="network") == 0


def test_it_tells_how_much_room_is_left(node: Node, client: Client) -> None:
    redis: Any = redis_of(node)
    found = scrape(client)
    assert value(found, "quarry_store_memory_bytes", store="chain") > 100_000
    of_the_machine = redis.info("memory")["total_system_memory"]
    assert value(found, "quarry_store_memory_limit_bytes", store="chain") == of_the_machine
    assert 0 < value(found, "quarry_disk_free_bytes") <= value(found, "quarry_disk_bytes")
    redis.config_set("maxmemory", 2**30)
    try:
        assert value(scrape(client), "quarry_store_memory_limit_bytes", store="chain") == 2**30
    finally:
        redis.config_set("maxmemory", 0)


def test_reorganisations_are_counted_by_depth(make_node: MakeNode) -> None:
    from api.app import create_app
    from tests.support.http import FlaskDoor

    node, rival = make_node(), make_node()
    grow(node)
    grow(node)
    reorganise(node, rival, 1, 3)
    found = scrape(Client(FlaskDoor(create_app(node))))
    assert value(found, "quarry_reorganisations_total", depth="2") == 1


def counted() -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """Every series that our code can count under, read from the code that counts."""
    scripts = {path.name: path.read_text("utf-8") for path in (ROOT / "services/store/lua").glob("*.lua")}
    services = "".join(path.read_text("utf-8") for path in (ROOT / "services").rglob("*.py"))
    bounds = re.search(r"bucket = .*?, (0)\n.*\{([0-9, ]+)\}", scripts["swap.lua"])
    assert bounds
    leaving = {status for text in scripts.values() for status in re.findall(r"pool_record\([^\n]*?, '(\w+)',", text)}
    leaving |= set(re.findall(r"\.drop\(\w*\[?\w+\]?, \"(\w+)\"", services))
    assert len(leaving) >= 4
    labels = [("quarry_reorganisations_total", {"depth": depth}) for depth in (bounds[1], *bounds[2].split(", "))]
    labels += [("quarry_mempool_left_total", {"status": status}) for status in leaving]
    labels += [("quarry_blocks_total", {"origin": origin}) for origin in ("mined", "fetched")]
    labels += [("quarry_rounds_total", {"outcome": outcome}) for outcome in ("opened", "sealed", "cancelled")]
    labels += [("quarry_responses_total", {"class": f"{first}xx"}) for first in range(1, 6)]
    for function in (name.rpartition(".")[2] for name in ALLOWED):
        labels += [("quarry_job_seconds_total", {"function": function})]
        labels += [("quarry_jobs_total", {"function": function, "outcome": it}) for it in ("finished", "failed")]
    labels += [("quarry_hashes_total", {}), ("quarry_wasted_hashes_total", {})]
    labels += [("quarry_leases_total", {}), ("quarry_reports_refused_total", {}), ("quarry_proofs_refused_total", {})]
    labels += [("quarry_shares_total", {"outcome": outcome}) for outcome in ("credited", "late")]
    # Each counted series belongs to one of these.
    names = {name for text in scripts.values() for name in re.findall(r"'counters', '(\w+)'", text)}
    assert names == {
        "rounds_opened", "rounds_cancelled", "hashes", "wasted_hashes", "mempool_", "reorganisations",
        "reorganisations_", "leases", "shares", "shares_late", "reports_refused", "proofs_refused",
    }  # fmt: skip
    return {(name, frozenset(items.items())) for name, items in labels}


def test_whatever_can_be_counted_is_there_before_it_happens(node: Node, client: Client) -> None:
    """For Prometheus a series that begins at 1 has not increased: it would miss the first deep reorganisation."""
    found, expected = scrape(client), counted()
    missing = expected - set(found)
    assert not missing
    ours = {series: number for series, number in found.items() if series in expected}
    once = {name for (name, _), number in ours.items() if number}
    # Other tests on this broker, and in this process, have had jobs and responses.
    assert once <= {"quarry_jobs_total", "quarry_job_seconds_total", "quarry_responses_total"}


def test_counters_are_named_total_and_are_never_less_than_before(node: Node, client: Client) -> None:
    before = scrape(client)
    mine(node)
    client.get("/nowhere")
    after = scrape(client)
    families = text_string_to_metric_families(client.get("/metrics").body.decode())
    counters = {f"{family.name}_total" for family in families if family.type == "counter"}
    assert counters == {name for name, _ in after if name.endswith("_total")}
    for (name, labels), number in before.items():
        assert not name.endswith(("_total", "_count", "_bucket")) or after[name, labels] >= number, (name, labels)


def test_strangers_words_make_no_series(node: Node, client: Client) -> None:
    """Otherwise anyone who can write to the broker could fill Prometheus."""
    redis: Any = redis_of(node)
    redis.hset("quarry:jobs", 'evil"} 1\n:failed', 7)
    try:
        assert "evil" not in client.get("/metrics").body.decode()
    finally:
        redis.hdel("quarry:jobs", 'evil"} 1\n:failed')


def test_what_is_refused_at_the_door_is_measured_too(client: Client) -> None:
    name, labels = "quarry_responses_total", {"class": "4xx"}
    before = value(scrape(client), name, **labels)
    client.get("/status", Host="evil.example").refused(403, "host_refused")
    client.post("/mine", Origin="http://evil.example").refused(403, "cross_site")
    assert value(scrape(client), name, **labels) == before + 2


def test_routes_are_labels_and_paths_are_not(client: Client) -> None:
    for number in range(30):
        client.get(f"/blocks/{number}")
        client.get(f"/nowhere/{number}")
    found = scrape(client)
    routes = {dict(labels)["route"] for (name, labels) in found if name == "quarry_http_request_seconds_count"}
    assert "/blocks/<name>" in routes and "unknown" in routes and not any("nowhere" in route for route in routes)
    assert value(found, "quarry_http_request_seconds_count", method="GET", route="unknown", status="404") >= 30


def test_hostile_methods_make_no_series(client: Client) -> None:
    client.door.call("BREW", "/status")
    client.door.call("PROPFIND", "/status")
    methods = {dict(labels)["method"] for (name, labels) in scrape(client) if name.startswith("quarry_http_request")}
    assert methods <= {"GET", "POST", "DELETE", "HEAD", "OPTIONS", "other"}


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node with three API processes."""
    directory = tmp_path_factory.mktemp("metrics") / "node"
    with RunningNode(directory, workers=1, variables={"API_PROCESSES": "3"}) as running:
        yield running


def test_several_processes_add_up(several: RunningNode) -> None:
    client = several.client
    before = scrape(client).get(("quarry_http_request_seconds_count", SPEC), 0.0)
    for _ in range(60):  # each on a connection of its own, so that every process serves some
        client.get("/spec").ok()
    counts = [scrape(client)["quarry_http_request_seconds_count", SPEC] for _ in range(6)]
    assert counts == [before + 60] * 6  # whichever process answers


SPEC = frozenset({"method": "GET", "route": "/spec", "status": "200"}.items())


def test_jobs_of_workers_are_counted(several: RunningNode) -> None:
    several.client.post("/mine?wait=20").ok()

    def done() -> Any:
        found = scrape(several.client)
        labels = frozenset({"function": "search", "outcome": "finished"}.items())
        return found.get(("quarry_jobs_total", labels)) and found

    found = eventually(done, 15)
    assert value(found, "quarry_job_seconds_total", function="search") > 0
    for part in ("wait", "run"):
        name = f"quarry_job_{part}_seconds"
        counts = [value(found, f"{name}_bucket", function="search", le=le) for le in ("0.005", "1.0", "300.0", "+Inf")]
        assert counts == sorted(counts) and counts[-1] == value(found, f"{name}_count", function="search") >= 1
        assert 0 <= value(found, f"{name}_sum", function="search") < 60 * counts[-1]
    assert value(found, "quarry_hashes_total") > 0
    assert value(found, "quarry_workers", queue="mining") == 1


def test_workers_are_wanted_while_a_round_is_open(node: Node, client: Client) -> None:
    found = scrape(client)
    assert value(found, "quarry_workers_wanted") == value(found, "quarry_round_expected_seconds") == 0
    client.post("/mine?wait=0").ok(202)
    found = scrape(client)
    assert value(found, "quarry_workers_wanted") == 1, "nobody searches yet"
    client.door.call("DELETE", "/jobs", None, Authorization=f"Bearer {TOKEN}")
    assert value(scrape(client), "quarry_workers_wanted") == 0


# --- What is under deploy/ ---


def names_in(expression: str) -> set[str]:
    """The metrics that a PromQL expression names."""
    bare = re.sub(r'"[^"]*"', "", re.sub(r"\{[^}]*\}", "", expression))
    bare = re.sub(r"\[[^\]]*\]", "", bare)
    bare = re.sub(r"\b(?:by|without|on|ignoring)\s*\([^)]*\)", "", bare)
    return {word for word in re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", bare) if word not in _WORDS}


def expressions() -> dict[str, str]:
    """Where -> PromQL."""
    found: dict[str, str] = {}
    dashboard = json.loads((DEPLOY / "grafana" / "quarry.json").read_text("utf-8"))
    for panel in dashboard["panels"]:
        for number, target in enumerate(panel.get("targets", [])):
            found[f"{panel['title']} {number}"] = target["expr"]
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text("utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            found[rule["alert"]] = rule["expr"]
    return found


def test_dashboard_and_alerts_name_only_metrics_that_exist(node: Node, client: Client) -> None:
    mine(node)
    text = client.get("/metrics").body.decode()
    known = {name for name, _ in samples(text)}
    # Families without a sample yet are announced all the same.
    known |= {name + suffix for name in re.findall(r"# TYPE (\S+) ", text) for suffix in ("", "_total")}
    found = expressions()
    assert len(found) > 15
    for where, expression in found.items():
        named = names_in(expression)
        assert named, where
        assert named - OF_PROMETHEUS <= known, f"{where}: {named - known}"


def test_a_name_that_does_not_exist_would_be_noticed() -> None:
    assert names_in('sum by (route) (rate(quarry_x_total{a="b c"}[5m])) > 2 * up') == {"quarry_x_total", "up"}


def test_alerts_say_what_is_wrong_and_prometheus_reads_them() -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text("utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"]["summary"].endswith(".") and rule["labels"]["severity"] in ("page", "ticket")
            assert re.fullmatch(r"[0-9]+[smh]", rule["for"])
    configuration = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text("utf-8"))
    assert configuration["rule_files"] == ["alerts.yml"]
    assert configuration["scrape_configs"][0]["metrics_path"] == "/metrics"


def test_every_alert_has_a_rule_test() -> None:
    rules, tests = (yaml.safe_load((DEPLOY / "prometheus" / name).read_text("utf-8")) for name in RULES)
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    quiet, fires = set(), set()
    for test in tests["tests"]:
        for case in test["alert_rule_test"]:
            (fires if case["exp_alerts"] else quiet).add(case["alertname"])
    assert alerts == fires == quiet


RULES = ("alerts.yml", "alerts_test.yml")
PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="there is no promtool on this machine (apt-get install prometheus)")
@pytest.mark.parametrize(
    "arguments",
    [("test", "rules", "alerts_test.yml"), ("check", "rules", "alerts.yml"), ("check", "config", "prometheus.yml")],
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    assert PROMTOOL is not None
    ended = subprocess.run(
        [PROMTOOL, *arguments], cwd=DEPLOY / "prometheus", capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_metric_is_on_a_panel(client: Client) -> None:
    """Those that docs/operations.md names, and all others of `/metrics`."""
    text = client.get("/metrics").body.decode()
    families = {name.removesuffix("_total") for name in re.findall(r"# TYPE (quarry_\S+) ", text)}
    dashboard = json.loads((DEPLOY / "grafana" / "quarry.json").read_text("utf-8"))
    shown = {
        name.removesuffix("_total").removesuffix("_bucket").removesuffix("_count")
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in names_in(target["expr"])
    }
    assert len(families) > 30 and families - shown == {name for name in families if name.endswith("_created")}


def test_panels_do_not_overlap() -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "quarry.json").read_text("utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
