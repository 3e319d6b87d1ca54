"""Miners at the real servers: the API under granian, where another thread answers, and the door of `quarry rpc`."""

import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import pytest

from services.launch.children import Child
from services.node import Node
from services.system.programs import module_command
from shared.proof import accepts
from tests.support.crew import Crew
from tests.support.http import Client, SocketDoor
from tests.support.keys import TOKEN
from tests.support.nodes import local_node
from tests.support.processes import in_sessions
from tests.support.servers import free_port, make_server
from tests.support.waiting import eventually

RATE = 1000
WORKERS = 8


class Miners:
    """A node whose blocks take 2^40 hashes, an open round, and the servers that lease it."""

    def __init__(self, node: Node, crew: Crew) -> None:
        self.node = node
        self.ports = {"api": free_port(), "rpc": free_port()}
        self.processes: dict[str, Child] = {}
        self._crew = crew
        self.voucher = {"Authorization": f"Bearer {node.leases.vouchers.new('class').secret}"}

    def start(self, program: str) -> Client:
        """Start a program unless it runs already."""
        client = Client(SocketDoor(self.ports[program]))
        if program not in self.processes:
            self.processes[program] = self._crew.run(program, module_command("api.cli", program))
            eventually(lambda: _is_up(client), 60)
        return client

    def log(self, program: str) -> str:
        """What a program has said."""
        return (self._crew.directory / f"{program}.log").read_text()

    def kill(self, program: str) -> None:
        """End all processes of a program in the middle of whatever they do."""
        for pid in in_sessions({self.processes.pop(program).pid}):
            os.kill(pid, signal.SIGKILL)


def _is_up(client: Client) -> bool:
    with suppress(OSError):
        return client.get("/readyz").status == 200
    return False


@pytest.fixture(scope="module")
def miners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Miners]:
    directory = tmp_path_factory.mktemp("miners")
    with make_server(directory / "valkey") as valkey:
        node = local_node(valkey.url, directory, spec={"difficulty": 2**40})
        node.requests.ask()
        node.rounds.ensure_open()
        (directory / "token").write_text(TOKEN)
        (directory / "token").chmod(0o600)
        with Crew(
            directory, valkey.url, node.settings.spec, node=node.settings.node, api_processes="1", min_fee="0",
            cors_origins="https://friend.example",
            admin_token_file=str(directory / "token"), data_dir=str(directory),
        ) as crew:  # fmt: skip
            found = Miners(node, crew)
            for name, port in found.ports.items():
                crew.environment[{"api": "QUARRY_PORT", "rpc": "QUARRY_RPC_PORT"}[name]] = str(port)
            yield found


def searched(lease: dict[str, Any]) -> list[int]:
    seal, difficulty = lease["seal"].encode(), lease["share_difficulty"]
    return [proof for proof in range(lease["start"], lease["stop"]) if accepts(seal, difficulty, proof)]


class Connection:
    """One miner's connection, which is kept."""

    def __init__(self, port: int, voucher: dict[str, str]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self.head = {**voucher, "Content-Type": "application/json"}
        self.fields: dict[str, str] = {}  # of the last answer
        self.text = b""  # its body

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        self._connection.request("POST", path, json.dumps(body), self.head)
        with self._connection.getresponse() as response:
            text = response.read()
            self.fields = {name.lower(): value for name, value in response.getheaders()}
        self.text = text
        return response.status, json.loads(text) if text else None


def work(miners: Miners, port: int, name: str, found: list[dict[str, Any]], most: int) -> None:
    """Take leases and hand in their shares, until there are `most` in `found`, or the server has ended."""
    with Connection(port, miners.voucher) as connection, suppress(OSError, http.client.HTTPException):
        while len(found) < most:
            status, lease = connection.post("/leases?wait=20", {"name": name, "rate": RATE})
            assert status == 200
            shares = searched(lease)
            status, answer = connection.post(f"/leases/{lease['lease']}", {"shares": shares, "hashes": 1500})
            assert status == 200
            credited = len(shares) * lease["share_difficulty"]
            assert answer == {
                "accepted": len(shares), "rejected": 0, "credited": credited, "sealed": None, "stale": False,
            }  # fmt: skip
            found.append(lease | {"miner": name, "credited": credited})


def crowd(miners: Miners, program: str, prefix: str, most: int) -> tuple[list[dict[str, Any]], list[threading.Thread]]:
    """Miners at work: what they were credited with, so far."""
    found: list[dict[str, Any]] = []
    port = miners.ports[program]
    arguments = [(miners, port, f"{prefix} {number}", found, most) for number in range(WORKERS)]
    threads = [threading.Thread(target=work, args=each) for each in arguments]
    for thread in threads:
        thread.start()
    return found, threads


def credited_by_name(miners: Miners, prefix: str) -> dict[str, int]:
    return {each.name: each.credited for each in miners.node.leases.miners(100) if each.name.startswith(prefix)}


@pytest.mark.parametrize("program", ["api", "rpc"])
def test_many_miners_at_once_get_what_is_theirs(miners: Miners, program: str) -> None:
    miners.start(program)
    found, threads = crowd(miners, program, f"many {program}", 60)
    for thread in threads:
        thread.join(60)
    ranges = sorted((lease["start"], lease["stop"]) for lease in found)
    assert len(found) >= 60 and all(one[1] <= two[0] for one, two in pairwise(ranges))
    for name, credited in credited_by_name(miners, f"many {program}").items():
        assert credited == sum(lease["credited"] for lease in found if lease["miner"] == name)


@pytest.mark.parametrize("program", ["api", "rpc"])
def test_what_was_acknowledged_is_stored_when_the_server_is_killed(miners: Miners, program: str) -> None:
    miners.start(program)
    found, threads = crowd(miners, program, f"kill {program}", 10**6)
    eventually(lambda: len(found) > 30, 60)
    miners.kill(program)
    for thread in threads:
        thread.join(60)
    most = 3 * 1500  # of the one report of each miner that may have been stored and not acknowledged
    for name, credited in credited_by_name(miners, f"kill {program}").items():
        acknowledged = sum(lease["credited"] for lease in found if lease["miner"] == name)
        assert acknowledged <= credited <= acknowledged + most, name
    miners.start(program)
    with Connection(miners.ports[program], miners.voucher) as connection:
        assert connection.post("/leases", {"name": "a", "rate": 1})[0] == 200


@pytest.mark.parametrize("program", ["api", "rpc"])
def test_who_leaves_before_the_answer_costs_nobody_anything(miners: Miners, program: str) -> None:
    miners.start(program)
    with Connection(miners.ports[program], miners.voucher) as connection:
        connection.post("/leases", {"name": "stays", "rate": 1})
        body = json.dumps({"name": "leaves", "rate": 1}).encode()
        head = "".join(f"{name}: {value}\r\n" for name, value in connection.head.items())
        request = f"POST /leases HTTP/1.1\r\nHost: 127.0.0.1:{miners.ports[program]}\r\n{head}"
        for _ in range(30):
            with SocketDoor(miners.ports[program]).raw(f"{request}Content-Length: {len(body)}\r\n\r\n".encode() + body):
                pass
        assert connection.post("/leases", {"name": "stays", "rate": 1})[0] == 200
    assert "Traceback" not in miners.log(program)


@pytest.fixture
def connection(miners: Miners) -> Iterator[Connection]:
    """To the API, which knows its Host header from now on."""
    miners.start("api")
    with Connection(miners.ports["api"], miners.voucher) as found:
        found.post("/leases", {"name": "known", "rate": 1})
        yield found


def test_both_ways_of_the_api_answer_alike(miners: Miners, connection: Connection) -> None:
    """The second content type is one that only the views take."""
    _, lease = connection.post("/leases", {"name": "both", "rate": RATE})
    report = f"/leases/{lease['lease']}"
    shares = searched(lease)
    assert connection.post(report, {"shares": shares[:1], "hashes": 1})[0] == 200

    def both(path: str, body: Any, *, differs: bool = False, **headers: str) -> int:
        found, lines = [], []
        for kind in ("application/json", "application/json; charset=utf-8"):
            connection.head = {**miners.voucher, **headers, "Content-Type": kind}
            status, answer = connection.post(path, body)
            fields = {
                name: value for name, value in connection.fields.items() if name not in ("date", "content-length")
            }
            found.append((status, sorted(answer) if differs else answer, fields))
            assert fields["vary"] == "Origin"
            lines.append(connection.text.endswith(b"\n"))
        assert found[0] == found[1]
        assert found[0][0] != 200 or lines == [False, True]  # Flask's JSON is a line: both ways were taken
        return found[0][0]

    assert both("/leases", {"name": "both", "rate": 1}, differs=True) == 200
    assert both("/leases?wait=0.5", {"name": "both", "rate": 1}, differs=True) == 200
    assert both(report, {"shares": [], "hashes": 1}) == 200
    assert both("/leases?wait=x", {"name": "both", "rate": 1}) == 400
    assert both("/leases?wait=0&wait=0", {"name": "both", "rate": 1}) == 400
    assert both("/leases", {"name": "", "rate": 1}) == 400
    assert both("/leases", {"name": "both"}) == 422
    assert both("/leases", {"name": "both", "rate": 1}, Authorization="Bearer nobody") == 401
    assert both(report, {"shares": [], "hashes": 1}, Authorization="Bearer nobody") == 401
    assert both(report, {"shares": shares[:1], "hashes": 1}) == 400
    assert both(report, {"shares": [lease["stop"]], "hashes": 1}) == 400
    assert both("/leases/" + "0" * 32, {"shares": [], "hashes": 1}) == 404
    assert both("/leases/nothing", {"shares": [], "hashes": 1}) == 404
    assert both("/leases", {"name": "both", "rate": 1}, Origin="https://evil.example") == 403
    assert both("/leases", {"name": "both", "rate": 1}, Host="evil.example") in (200, 403)


def test_a_miner_waits_at_the_api_until_a_round_opens(miners: Miners, connection: Connection) -> None:
    """Its request goes on to the view, in another thread than that which read it."""
    node = miners.node
    node.requests.cancel(node.mining.situation().open_round)
    assert connection.post("/leases", {"name": "waits", "rate": 1}) == (204, None)
    assert connection.fields["retry-after"] == "1"
    answers: list[tuple[int, Any]] = []
    thread = threading.Thread(
        target=lambda: answers.append(connection.post("/leases?wait=30", {"name": "waits", "rate": 1}))
    )
    thread.start()
    node.requests.ask()
    node.rounds.ensure_open()
    thread.join(30)
    assert answers[0][0] == 200 and answers[0][1]["height"] == 2
