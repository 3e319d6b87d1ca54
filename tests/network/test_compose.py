"""docker-compose.yml: what it promises by its text, and the main job on what it starts."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from redis.exceptions import AuthenticationError, NoPermissionError

from api.cli.client import NodeClient, Refused
from deploy import health
from deploy.in_node import bring_kernel, complete
from deploy.make_cluster import BadCluster, check_limits, make_cluster
from services.connections.servers import connect_for_requests
from services.settings.table import VARIABLES, load
from services.system.programs import ROOT
from tests.network.compose_runner import Cluster, Container, load_compose
from tests.support.waiting import eventually

NODES = ("node1", "node2", "node3")
VALKEYS = ("broker", "valkey1", "valkey2", "valkey3")
DEFAULT = load_compose({})
WORKER = ["quarry", "worker"]
EVERY_SERVICE = pytest.mark.parametrize("name", DEFAULT["services"])


# --- What the files say -----------------------------------------------------------------------------------------------


@EVERY_SERVICE
def test_a_container_has_no_more_rights_than_it_needs(name: str) -> None:
    service = DEFAULT["services"][name]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service and "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(not volume.startswith((".", "/")) for volume in service.get("volumes", ())), "only named volumes"
    # Only `init` writes what all services share.
    assert ("cluster:/cluster" in service["volumes"]) == (name == "init")


@EVERY_SERVICE
def test_a_container_is_looked_after(name: str) -> None:
    service = DEFAULT["services"][name]
    assert service["image"] == ("quarry-miner:local" if name == "miner" else "quarry:local")
    assert service.get("build") == {
        "init": {"context": ".", "target": "node"},
        "miner": {"context": ".", "target": "miner"},
    }.get(name), "one service builds each image"
    once = name == "init"
    assert service["restart"] == ("no" if once else "unless-stopped")
    assert ("healthcheck" in service) == (not once)


@EVERY_SERVICE
def test_a_container_cannot_take_the_machine_with_it(name: str) -> None:
    """Memory, processes; and a Valkey refuses writes long before the kernel kills it."""
    service = DEFAULT["services"][name]
    assert service["pids_limit"] >= (2048 if name.startswith(("node", "rpc")) else 128)
    assert service["mem_limit"] == {"broker": "512m"}.get(name, "3g" if name in VALKEYS else "1g")
    if name in VALKEYS:
        given = service["command"][service["command"].index("--maxmemory") + 1]
        limits = {"VALKEY_MAXMEMORY": given, "VALKEY_MEMORY_LIMIT": service["mem_limit"]}
        check_limits(limits)
        with pytest.raises(BadCluster, match="VALKEY_MEMORY_LIMIT must be at least a quarter more"):
            check_limits(limits | {"VALKEY_MEMORY_LIMIT": given.removesuffix("b")})


@EVERY_SERVICE
def test_a_slow_machine_has_time_to_start(name: str) -> None:
    """A check that fails does not count at first, and a worker that works is seen to do so at the next look."""
    check = DEFAULT["services"][name].get("healthcheck")
    if check is not None:
        assert (check["interval"], check["start_period"]) == ("5s", "180s") and check["retries"] >= 6


def test_only_the_servers_of_http_have_ports_and_those_on_this_machine_only() -> None:
    published = {name: item["ports"] for name, item in DEFAULT["services"].items() if "ports" in item}
    doors = {f"rpc{number}": [f"127.0.0.1:{8544 + number}:{8544 + number}"] for number in (1, 2, 3)}
    assert published == doors | {name: [f"127.0.0.1:{5000 + number}:5000"] for number, name in enumerate(NODES)}
    assert DEFAULT["networks"]["private"] == {"internal": True}
    for name in (*VALKEYS, "miner"):
        assert DEFAULT["services"][name]["networks"] == ["private"]


def test_each_node_has_its_own_volume_and_valkey_and_all_share_the_broker() -> None:
    for number, name in enumerate(NODES, start=1):
        node, ticker = DEFAULT["services"][name], DEFAULT["services"][f"ticker{number}"]
        assert node["environment"] == ticker["environment"], "they would tell the workers different things"
        assert DEFAULT["services"][f"rpc{number}"]["environment"] == node["environment"]
        assert node["environment"]["QUARRY_REDIS_URL"] == f"redis://quarry@valkey{number}:6379/0"
        assert f"{name}:/data" in node["volumes"] and f"{name}:/data:ro" in ticker["volumes"]
        assert f"valkey{number}:/data" in DEFAULT["services"][f"valkey{number}"]["volumes"]
        assert DEFAULT["services"][f"network{number}"]["command"] == ["quarry", "worker", "--queue", "network"]
    brokers = {item["environment"].get("QUARRY_BROKER_URL") for item in DEFAULT["services"].values()} - {None}
    assert brokers == {"redis://quarry@broker:6379/0", "redis://miner@broker:6379/0"}
    miner = DEFAULT["services"]["miner"]["environment"]
    assert miner["QUARRY_BROKER_URL"] == "redis://miner@broker:6379/0"
    assert miner["VALKEY_PASSWORD_FILE"] == "/cluster/miner-password"


def test_workers_are_called_by_their_services_and_containers_keep_host_names_of_their_own() -> None:
    """With one host name for all miners, the health check of one could see the heartbeat of another."""
    workers = {name: item for name, item in DEFAULT["services"].items() if item.get("command", [])[:2] == WORKER}
    assert set(workers) == {"miner", "network1", "network2", "network3"}
    for name, service in DEFAULT["services"].items():
        assert service.get("environment", {}).get("QUARRY_WORKER_NAME") == (name if name in workers else None)
        assert "hostname" not in service and "container_name" not in service, "--scale could not make another"


def test_the_proxy_comes_with_its_profile_and_reaches_no_valkey() -> None:
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    proxy = yaml.safe_load(text)["services"]["proxy"]
    assert proxy["profiles"] == ["edge"] and proxy["networks"] == ["edge"] and "proxy" not in DEFAULT["services"]
    assert proxy["read_only"] and proxy["cap_drop"] == ["ALL"] and proxy["user"] == "10001:10001"
    assert proxy["volumes"] == ["${EDGE_CERTIFICATES:-./certificates}:/certificates:ro"]
    assert proxy["build"]["target"] == "edge" and "build" in proxy and "entrypoint" not in proxy
    stage = re.search(r"\nFROM \$\{EDGE_BASE\} AS edge\n(.*?)\n\n", (ROOT / "Dockerfile").read_text(), re.DOTALL)
    assert stage is not None and "--chmod=0444 deploy/nginx.conf deploy/edge.sh /etc/quarry/" in stage[1]
    assert "\nUSER 10001:10001\n" in stage[1] and "/etc/quarry/edge.sh" in stage[1]


def test_env_example_documents_every_variable_with_its_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    used = {name: default for name, default in re.findall(r"\$\{(\w+):-([^}]*)\}", text)}
    assert text.count("${") == len(re.findall(r"\$\{\w+:-[^}]*\}", text)), "each has a default, if an empty one"
    lines = (ROOT / "deploy/.env.example").read_text().splitlines()
    assert dict(line.split("=", 1) for line in lines if line and not line.startswith("#")) == used


def test_every_setting_can_be_made() -> None:
    # The embedded Valkey is not used; a development chain is not for a cluster; in-node knows the token's file; a
    # cluster has no wallets of a user.
    pointless = {
        "QUARRY_DURABILITY", "QUARRY_UNSAFE_DEVELOPMENT", "QUARRY_DEVELOPMENT_MNEMONIC_FILE", "QUARRY_ADMIN_TOKEN_FILE",
        "QUARRY_NAMED_WALLETS",
    }  # fmt: skip
    made = {name for service in DEFAULT["services"].values() for name in service["environment"]}
    assert set(VARIABLES) - made == pointless, "docker-compose.yml and deploy/.env.example lack a setting"


@pytest.mark.parametrize("name", ["miner", "network1", *NODES, "rpc1", "ticker1"])
def test_the_environment_is_one_that_a_node_takes(name: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("p" * 16)
    given = DEFAULT["services"][name]["environment"] | {"VALKEY_PASSWORD_FILE": str(tmp_path / "password")}
    if "QUARRY_DATA_DIR" in given:
        given["QUARRY_DATA_DIR"] = str(tmp_path / "keys")
    settings = load(complete(given, service=True))
    user = "miner" if name == "miner" else "quarry"
    assert settings.broker_url == f"redis://{user}:{'p' * 16}@broker:6379/0"
    if name in NODES:
        assert settings.spec.name == "network" and not settings.loopback and settings.reaches_private_peers
        assert settings.reward_address.startswith("0x") and settings.admin_token_file is not None
        assert len(settings.peers) == 3 and settings.public_url in settings.peers


def test_the_image_is_built_from_what_is_pinned_and_runs_as_nobody() -> None:
    text = (ROOT / "Dockerfile").read_text()
    stages = {line.split()[1] for line in text.splitlines() if line.startswith("FROM ")}
    assert stages == {"${BASE}", "${WHEELS}", "${EDGE_BASE}", "node"}, "`compiled` and `miner` begin with `node`"
    assert re.search(r"^ARG BASE=python:3\.12-slim@sha256:[0-9a-f]{64}$", text, re.MULTILINE), "make base-image"
    assert "\nARG WHEELS=scratch\n" in text
    final = text[text.index("\nFROM ${BASE} AS node\n") :]
    assert "\nUSER 10001:10001\n" in final and "USER" not in final[final.index(" AS miner\n") :]
    assert all(line.startswith("COPY --from=") for line in final.splitlines() if line.startswith("COPY")), (
        "the modes of what comes from the checkout are set in the stage `build`"
    )
    assert not re.search(r"apt-get|pip install|COPY \. ", final), "no tools, and nothing that was not built before"
    installs = re.findall(r"pip (?:--python \S+ )?(?:install|wheel)(.*)", text.replace("\\\n", " "))
    assert installs and all("--require-hashes" in item or "--no-index" in item for item in installs)


def test_the_lock_pins_what_the_project_asks_for() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text, "where it was made is nobody's business"
    fast = (ROOT / "deploy/fast.lock").read_text()
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\$", text + fast, re.MULTILINE))
    assert "numba==" in fast and "numba==" not in text, "images that do not mine have no use for it"
    blocks = re.split(r"\n(?=[a-z0-9])", text[text.index("\n") :])
    assert all("--hash=sha256:" in block for block in blocks if "==" in block.split("\n")[0])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for wanted in map(Requirement, project["dependencies"] + extras["fast"] + extras["traces"]):
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        assert wanted.specifier.contains(pinned.get(name, "0")), f"make requirements.lock again: {wanted}"


def _compose_command() -> list[str] | None:
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    plugin = ["docker", "compose"]
    if (
        shutil.which("docker")
        and subprocess.run([*plugin, "version"], capture_output=True, check=False).returncode == 0
    ):
        return plugin
    return None


def test_docker_compose_accepts_the_file() -> None:
    command = _compose_command()
    if command is None:
        pytest.skip("neither docker-compose nor docker compose is installed here")
    call = [*command, "--env-file", "deploy/.env.example", "-f", "docker-compose.yml", "config", "--services"]
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    done = subprocess.run(call, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    # docker-compose 1.29 lists what has a profile, too.
    assert set(done.stdout.split()) - {"proxy"} == set(DEFAULT["services"])


# --- The programs of the image ----------------------------------------------------------------------------------------


def test_make_cluster_keeps_the_passwords_that_it_made(tmp_path: Path) -> None:
    rules = ROOT / "deploy/users.acl"
    names = ["password", "miner-password", "operator-password"]

    def found() -> list[str]:
        return [(tmp_path / name).read_text() for name in (*names, "users.acl")]

    make_cluster(rules, tmp_path, {})
    *first, acl = found()
    assert all(len(password) > 40 and password.strip() not in acl for password in first) and len(set(first)) == 3
    assert [line.split()[1] for line in acl.splitlines()] == ["default", "quarry", "miner", "operator"]
    assert "password}" not in acl and acl.count(" #") == 3
    make_cluster(rules, tmp_path, {"VALKEY_PASSWORD": "", "VALKEY_MINER_PASSWORD": ""})
    assert found() == [*first, acl]
    make_cluster(rules, tmp_path, {"VALKEY_PASSWORD": "chosen-by-the-operator", "VALKEY_MINER_PASSWORD": "m" * 16})
    *others, changed = found()
    assert others == ["chosen-by-the-operator\n", "m" * 16 + "\n", first[2]] and changed != acl
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("name", ["VALKEY_PASSWORD", "VALKEY_MINER_PASSWORD", "VALKEY_OPERATOR_PASSWORD"])
@pytest.mark.parametrize("password", ["too-short", "with spaces and more", "with@signs:in/it-------", "ü" * 20])
def test_make_cluster_refuses_a_password_that_urls_or_valkey_would_misread(
    name: str, password: str, tmp_path: Path
) -> None:
    with pytest.raises(BadCluster, match=f"^{name} must be") as refused:
        make_cluster(ROOT / "deploy/users.acl", tmp_path, {name: password})
    assert password not in str(refused.value) and not list(tmp_path.iterdir())


def test_make_cluster_gives_no_two_users_one_password(tmp_path: Path) -> None:
    with pytest.raises(BadCluster, match="must differ"):
        make_cluster(
            ROOT / "deploy/users.acl", tmp_path, {"VALKEY_PASSWORD": "p" * 16, "VALKEY_MINER_PASSWORD": "p" * 16}
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", ["", "0", "much", "-1", "1.5g", "2tb", "2 gb", "٣gb", "9" * 16])
def test_make_cluster_refuses_a_size_that_is_none(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadCluster, match=r"^BROKER_MAXMEMORY must be a size above 0, such as 512mb or 2gb\.$"):
        check_limits({"BROKER_MAXMEMORY": size, "BROKER_MEMORY_LIMIT": "512m"})


@pytest.mark.parametrize(
    ("own", "container", "fits"),
    [("1gb", "1280m", True), ("1gb", "1279m", False), ("1g", "1193m", True), ("1g", "1192m", False), ("4", "5b", True)],
)
def test_valkey_and_docker_mean_different_things_by_a_g(own: str, container: str, fits: bool) -> None:
    given = {"VALKEY_MAXMEMORY": own, "VALKEY_MEMORY_LIMIT": container}
    if fits:
        check_limits(given)
    else:
        with pytest.raises(BadCluster):
            check_limits(given)


def test_a_check_costs_little_and_says_what_is_wrong(tmp_path: Path) -> None:
    """Sixteen containers are looked at every five seconds: none of the modules that take long is imported."""
    (tmp_path / "password").write_text("secret")
    (tmp_path / "in-node.pid").write_text("7")
    given = {
        "TMPDIR": str(tmp_path), "VALKEY_PASSWORD_FILE": str(tmp_path / "password"), "QUARRY_NODE": "node1",
        "QUARRY_REDIS_URL": "redis://quarry@127.0.0.1:1/0", "QUARRY_BROKER_URL": "rediss://quarry@127.0.0.1:1/0",
    }  # fmt: skip
    for check, said in {
        "worker": "unhealthy: QUARRY_BROKER_URL is not redis://quarry@HOST:PORT/0\n",
        "ticker": "unhealthy: [Errno 111] Connection refused\n",
        "api http://127.0.0.1:1/readyz": "unhealthy: [Errno 111] Connection refused\n",
        "valkey 127.0.0.1:1": "unhealthy: [Errno 111] Connection refused\n",
    }.items():
        command = [sys.executable, "-X", "importtime", str(ROOT / "deploy/health.py"), *check.split()]
        done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1 and done.stderr.endswith(said), done.stderr[-500:]
        imported = set(re.findall(r"^import time:.*\|\s+(\S+)$", done.stderr, re.MULTILINE))
        assert "socket" in imported
        assert not imported & {"redis", "services", "urllib.request", "subprocess", "ssl", "asyncio"}
    assert health.main(["everything"]) == 2


def test_a_check_reads_what_a_valkey_says() -> None:
    """Each kind of reply; an error, and the end of the connection, are what is wrong."""
    here, there = socket.socketpair()
    with here, there, here.makefile("rb") as replies:
        server = health.Valkey(here, replies)
        for reply, found in (
            (b"+OK\r\n", b"OK"),
            (b":5\r\n", b"5"),
            (b"$-1\r\n", None),
            (b"$4\r\na\r\nb\r\n", b"a\r\nb"),
            (b"*2\r\n$1\r\nx\r\n$-1\r\n", [b"x", None]),
        ):
            there.sendall(reply)
            assert server.ask(b"GET", b"key") == found
            assert there.recv(100) == b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"
        there.sendall(b"-LOADING Valkey is loading\r\n")
        with pytest.raises(health.Unhealthy, match="Valkey answered -LOADING"):
            server.ask(b"PING")
        there.close()
        here.settimeout(5)
        with pytest.raises((health.Unhealthy, OSError)):
            server.ask(b"PING")


def test_in_node_brings_the_compiled_kernel_once(tmp_path: Path) -> None:
    compiled, cache = tmp_path / "image", tmp_path / "tmp/numba"
    bring_kernel(compiled, cache)
    assert not cache.exists(), "an image without the fast kernel"
    (compiled / "kernel").mkdir(parents=True)
    (compiled / "kernel/scan.nbi").write_text("made with the image")
    bring_kernel(compiled, cache)
    (cache / "kernel/scan.nbi").write_text("made here")
    bring_kernel(compiled, cache)
    assert (cache / "kernel/scan.nbi").read_text() == "made here"
    cache.with_name("file").touch()
    bring_kernel(compiled, cache.with_name("file") / "below")  # cannot be made: the worker compiles


def test_in_node_leaves_what_the_operator_has_set(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    given = {
        "VALKEY_PASSWORD_FILE": str(tmp_path / "password"),
        "QUARRY_REDIS_URL": "redis://me:mine@elsewhere:6380/2",
        "QUARRY_BROKER_URL": "redis://nobody-asked:6379/0",
        "QUARRY_REWARD_ADDRESS": "0x000000000000000000000000000000000000dEaD",
        "QUARRY_DATA_DIR": str(tmp_path / "keys"),
        "QUARRY_MIN_FEE": "",
    }
    got = complete(given, service=False)
    assert {name: got.get(name) for name in given} == given | {"VALKEY_PASSWORD_FILE": None, "QUARRY_MIN_FEE": None}
    assert got["QUARRY_TOKEN"] == (tmp_path / "keys/admin-token").read_text().strip()
    assert "QUARRY_TOKEN" not in complete(given, service=True)


# --- The main job -----------------------------------------------------------------------------------------------------


def _quarry(container: Container, *arguments: str) -> str:
    """As `docker compose exec SERVICE in-node quarry …`, which must succeed."""
    code, output = container.execute("in-node", "quarry", *arguments)
    assert code == 0, output
    return output


def _address(said: str) -> str:
    """The address that a command has named."""
    found = re.search(r"0x[0-9a-fA-F]{40}", said)
    assert found is not None
    return found[0]


def _agreement(clients: list[NodeClient]) -> dict[str, Any] | None:
    """The status that all nodes share; None while they differ, or a transaction waits."""
    found = [client.get("/status") for client in clients]
    same = len({item["tip"] for item in found}) == 1 and not any(item["mempool"]["size"] for item in found)
    return dict(found[0]) if same else None


def _expected_balances(client: NodeClient, accounts: dict[str, str]) -> dict[str, Decimal]:
    """What each account must have, added up from the blocks themselves: rewards (fees included), amounts and fees."""
    balances = dict.fromkeys(accounts.values(), Decimal(0))
    for block, _ in client.blocks():
        for transaction in block["transactions"]:
            balances[transaction["recipient"]] += Decimal(transaction["amount"])
            if transaction["type"] != "reward":
                balances[transaction["sender"]] -= Decimal(transaction["amount"]) + Decimal(transaction["fee"])
    return balances


def _check_access(cluster: Cluster, password: str) -> None:
    """Strangers have no access. Our user has the commands that our code needs, and none that ruins the server."""
    for name in VALKEYS:
        place = f"{cluster.addresses[name]}:6379/0"
        with connect_for_requests(f"redis://quarry:{password}@{place}") as redis:
            statistics = redis.info("stats")
            denied = {key: count for key, count in statistics.items() if key.startswith("acl_access_denied")}
            assert len(denied) >= 4 and not any(denied.values()), (
                f"{name} refused something that our code needs: {denied}"
            )
            assert redis.info("persistence")["aof_enabled"] == 1
            for command in (["FLUSHALL"], ["CONFIG", "GET", "*"], ["KEYS", "*"], ["SET", "other", "1"], ["SHUTDOWN"]):
                with pytest.raises(NoPermissionError):
                    redis.execute_command(*command)
        with connect_for_requests(f"redis://{place}") as stranger, pytest.raises(AuthenticationError):
            stranger.ping()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a program bind any address of 127.0.0.0/8")
def test_three_nodes_agree_and_more_miners_join(tmp_path: Path) -> None:
    # To compile the fast kernel takes each new miner five seconds of a core, and the machine has two.
    changes = {"MINERS": "1", "QUARRY_KERNEL": "plain", "QUARRY_API_PROCESSES": "1", "QUARRY_RESOLVE_SECONDS": "2"}
    with Cluster(tmp_path / "cluster", changes) as cluster:
        node1, node3 = cluster["node1"], cluster["node3"]
        clients = [NodeClient(cluster.url(name)) for name in NODES]

        with pytest.raises(Refused) as refused:
            clients[0].post("/mine")
        assert (refused.value.status, refused.value.code) == (401, "admin_token_required")
        token_file = cluster.directory / "volumes/node1/node1/admin-token"
        admin = NodeClient(cluster.url("node1"), token_file.read_text().strip())
        for height in (2, 3):
            assert admin.post("/mine", wait=30, timeout=40)["index"] == height

        accounts = {name: _address(_quarry(node1, "wallet", "new", name)) for name in ("alice", "bob")}
        accounts |= {name: _address(_quarry(cluster[name], "wallet", "show", name)) for name in NODES}
        _quarry(node1, "send", "--from", "node1", "--to", "alice", "0.5", "--wait")
        # Handed to a node that does not mine, once it has the block with Alice's coins: it reaches node1, whose block
        # comes back.
        alice = f"/accounts/{accounts['alice']}"
        eventually(lambda: clients[1].get(alice)["balance"] == "0.5", 20, "Alice's coins at node2")
        _quarry(node1, "send", "--url", cluster.url("node2"), "--from", "alice", "--to", "bob", "0.2", "--wait")
        _quarry(node3, "mine")

        first = cluster["miner"]
        cluster.scale("miner", 3)
        cluster.wait_until_healthy()
        eventually(lambda: clients[0].get("/status")["workers"] == {"mining": 3, "network": 3})
        password = (cluster.directory / "volumes/cluster/password").read_text().strip()
        with connect_for_requests(f"redis://quarry:{password}@{cluster.addresses['broker']}:6379/0") as broker:
            found = {key.decode().removeprefix("rq:worker:") for key in broker.smembers("rq:workers")}
        assert found == {f"{base}-1" for base in ("network1", "network2", "network3")} | {
            f"miner-{number}" for number in (1, 2, 3)
        }
        cluster.remove(first)  # so that only one of those that have joined can find the next block
        _quarry(cluster["node2"], "mine")

        door = NodeClient(f"http://{cluster.addresses['rpc2']}:8546")
        asked = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": ["latest", False]}
        assert int(door.post("/", asked)["result"]["number"], 16) >= 6

        status = eventually(lambda: _agreement(clients), 20)
        assert status is not None
        assert Decimal(status["supply"]) == status["height"] - 1 >= 6
        expected = _expected_balances(clients[1], accounts)
        assert expected[accounts["bob"]] == Decimal("0.2")
        assert expected[accounts["node2"]] == expected[accounts["node3"]] == 1
        for client in clients:
            for address, balance in expected.items():
                assert Decimal(client.account(address)["balance"]) == balance
        _check_access(cluster, password)
