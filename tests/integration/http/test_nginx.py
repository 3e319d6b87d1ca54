"""Debian's nginx in front of a node: with the shipped configuration, and with a bare `proxy_pass`."""

import contextlib
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from services.system.programs import ROOT, module_command, scrubbed
from services.wallet.development import ACCOUNTS
from tests.support.certificates import write_certificate
from tests.support.door import frame
from tests.support.http import Answer
from tests.support.keys import ALICE, BOB, TOKEN
from tests.support.nodes import transfer
from tests.support.raw_server import RawServer, response
from tests.support.running import RunningNode
from tests.support.servers import free_port
from tests.support.waiting import eventually

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
SHIPPED = ROOT / "deploy" / "nginx.conf"
EDGE = ROOT / "deploy" / "edge.sh"
NAME = "node.example"
BEARER = {"Authorization": f"Bearer {TOKEN}"}

pytestmark = pytest.mark.skipif(NGINX is None, reason="there is no nginx on this machine (apt-get install nginx)")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    directory = tmp_path_factory.mktemp("proxied") / "node"
    spec = {"allocations": {ACCOUNTS[0].address: "1000"}}
    with RunningNode(directory, workers=0, upkeep=False, spec=spec, variables={"ALLOWED_HOSTS": NAME}) as running:
        yield running


@contextmanager
def nginx(directory: Path, servers: str, port: int) -> Iterator[None]:
    """A running nginx whose configuration passes `nginx -t`."""
    assert NGINX is not None
    (directory / "http.conf").write_text(servers)
    temporary = "".join(
        f"{name}_temp_path {directory / name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = directory / "nginx.conf"
    # One process and no other user: it is all that has to be stopped.
    main.write_text(
        f"daemon off; master_process off; pid {directory / 'pid'}; error_log {directory / 'error.log'};"
        f"events {{ }} http {{ access_log off; {temporary} include {directory / 'http.conf'}; }}"
    )
    command = [NGINX, "-p", str(directory), "-e", str(directory / "error.log"), "-c", str(main)]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=20)
    assert checked.returncode == 0 and "[warn]" not in checked.stderr, checked.stderr
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        eventually(lambda: process.poll() is None and is_open(port))
        yield
    finally:
        process.terminate()
        process.wait(10)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def rpc(node: RunningNode) -> Iterator[int]:
    """The port of `quarry rpc` of the node."""
    port = free_port()
    log = node.directory / "rpc.log"
    environment = scrubbed(os.environ) | node.environment | {"QUARRY_RPC_PORT": str(port)}
    with log.open("ab") as output:
        process = subprocess.Popen(module_command("api.cli", "rpc"), env=environment, stdout=output, stderr=output)
    try:
        eventually(lambda: process.poll() is None and is_open(port), 20)
        yield port
    finally:
        process.terminate()
        process.wait(15)


@pytest.fixture(scope="module")
def edge(node: RunningNode, rpc: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The TLS port of the proxy of docker-compose.yml's profile `edge`."""
    with edge_of(node.door.port, rpc, tmp_path_factory.mktemp("edge")) as port:
        yield port


@contextmanager
def edge_of(api: int, rpc: int, directory: Path, rate: int = 50) -> Iterator[int]:
    """The proxy as its script starts it. Its patience with slow clients is a second in place of ten.

    Args:
        api: the port of the node's API.
        rpc: the port of its `quarry rpc`.
        rate: of one client, in requests a second; 50 is what is shipped.
    """
    for path, name in zip(
        write_certificate(directory, x509.DNSName(NAME)), ("fullchain.pem", "privkey.pem"), strict=True
    ):
        path.rename(directory / name)
    text = SHIPPED.read_text("utf-8")
    for name in ("client_header_timeout", "client_body_timeout"):
        assert text.count(f"{name} 10s;") == 1
        text = text.replace(f"{name} 10s;", f"{name} 1s;")
    assert text.count(" rate=50r/s;") == 1
    (directory / "shipped.conf").write_text(text.replace(" rate=50r/s;", f" rate={rate}r/s;"))
    tls, plain = free_port(), free_port()
    environment = {
        "PATH": f"{os.environ['PATH']}:/usr/sbin", "EDGE_NAME": NAME, "EDGE_API": f"127.0.0.1:{api}",
        "EDGE_RPC": f"127.0.0.1:{rpc}", "EDGE_CERTIFICATES": str(directory), "EDGE_HTTP": f"127.0.0.1:{plain}",
        "EDGE_HTTPS": f"127.0.0.1:{tls}", "EDGE_CONFIGURATION": str(directory / "shipped.conf"),
        "EDGE_RUN": str(directory),
    }  # fmt: skip
    with (directory / "log").open("ab") as output:
        process = subprocess.Popen(["/bin/sh", EDGE], env=environment, stdout=output, stderr=output)
    try:
        eventually(lambda: process.poll() is None and is_open(tls), what=(directory / "log").read_text())
        yield tls
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def shipped(node: RunningNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The TLS port of an nginx with deploy/nginx.conf, changed only where an operator changes it."""
    directory = tmp_path_factory.mktemp("nginx")
    write_certificate(directory, x509.DNSName(NAME))
    tls, plain = free_port(), free_port()
    text = SHIPPED.read_text("utf-8")
    for old, new in (
        ("server 127.0.0.1:5000;", f"server 127.0.0.1:{node.door.port};"),
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{tls} ssl;"),
        ("/etc/ssl/quarry/fullchain.pem", str(directory / "certificate.pem")),
        ("/etc/ssl/quarry/privkey.pem", str(directory / "key.pem")),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    with nginx(directory, text, tls):
        yield tls


def ask(port: int, method: str, path: str, value: Any = None, *, tls: bool = True, **headers: str) -> Answer:
    """A stranger's request, through nginx."""
    if tls:
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        connection: Any = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=trusting)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    given = {"Host": f"{NAME}:{port}"} | {name.replace("_", "-"): text for name, text in headers.items()}
    body = None if value is None else json.dumps(value)
    if body is not None:
        given["Content-Type"] = "application/json"
    try:
        connection.request(method, path, body, given)
        with connection.getresponse() as answer:
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


LIES: tuple[dict[str, str], ...] = (
    {}, {"X_Real_IP": "127.0.0.1"}, {"X_Forwarded_For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"},
    {"Connection": "close, X-Real-IP, X-Forwarded-For, X-Forwarded-Proto"},
)  # fmt: skip


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_strangers_neither_mine_nor_take_coins(node: RunningNode, shipped: int, lie: dict[str, str]) -> None:
    before = node.digest()
    for method, path, value in (("GET", "/mine", None), ("POST", "/mine", None), ("POST", "/faucet", True)):
        body = {"address": BOB.address} if value else None
        ask(shipped, method, path, body, **lie).refused(401, "admin_token_required")
    assert node.digest() == before


def test_other_names_do_not_come_through(shipped: int) -> None:
    for host in ("localhost", "127.0.0.1:5000", "evil.example"):
        assert ask(shipped, "POST", "/mine?wait=0", Host=host).status in (401, 403)


def test_the_admin_mines_from_elsewhere_and_this_machine_goes_on(node: RunningNode, shipped: int) -> None:
    ask(shipped, "POST", "/mine?wait=0", **BEARER).ok(202)
    node.client.post("/mine?wait=0").ok(202)


def test_pages_wallets_and_streams_work_through_it(node: RunningNode, shipped: int) -> None:
    ours = {"Origin": f"https://{NAME}:{shipped}", "Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors"}
    assert ask(shipped, "GET", "/", Accept="text/html").status == 200
    ask(shipped, "POST", "/transactions/new", transfer(ALICE, 0), **ours).ok(201)
    theirs = {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"}
    ask(shipped, "POST", "/transactions/new", transfer(ALICE, 1), **theirs).refused(403, "cross_site")
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    assert ask(shipped, "POST", "/rpc", call, **theirs).ok()["result"] == hex(node.settings.spec.chain_id)
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", shipped, timeout=10, context=trusting)
    connection.request("GET", "/events", headers={"Host": f"{NAME}:{shipped}"})
    stream = connection.getresponse()
    assert stream.status == 200 and stream.read(len(b"retry: 2000\n\n")) == b"retry: 2000\n\n"  # at once, not buffered
    stream.close()
    connection.close()


def test_a_bare_proxy_pass_lets_no_stranger_mine_either(node: RunningNode, tmp_path: Path) -> None:
    port = free_port()
    bare = f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{node.door.port}; }} }}"
    with nginx(tmp_path, bare, port):
        before = node.digest()
        assert ask(port, "GET", "/status", tls=False).status == 200
        for path, body in (("/mine", None), ("/faucet", {"address": BOB.address})):
            ask(port, "POST", path, body, tls=False).refused(401, "admin_token_required")
        assert node.digest() == before


def tls_socket(port: int) -> ssl.SSLSocket:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", port), 10)
    return trusting.wrap_socket(plain, server_hostname=NAME)


def test_the_edge_shows_its_certificate_and_sends_plain_clients_to_it(edge: int) -> None:
    with tls_socket(edge) as client:
        certificate = client.getpeercert(binary_form=True)
        assert certificate is not None
        names = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        assert names.value.get_values_for_type(x509.DNSName) == [NAME]
    answer = ask(edge, "GET", "/status")
    assert answer.status == 200 and "nginx/" not in answer.headers["server"]


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_the_edge_passes_no_lie_about_where_a_client_is(edge: int, node: RunningNode, lie: dict[str, str]) -> None:
    before = node.digest()
    ask(edge, "POST", "/mine", **lie).refused(401, "admin_token_required")
    assert node.digest() == before


def test_a_large_body_is_refused_before_it_is_read(edge: int) -> None:
    with tls_socket(edge) as client:
        head = f"POST /transactions/new HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: application/json\r\n"
        client.sendall(f"{head}Content-Length: 10000000\r\n\r\n{{".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "begun",
    [
        "POST /transactions/new HTTP/1.1\r\nHost: node.example\r\nContent-Le",
        "POST /transactions/new HTTP/1.1\r\nHost: node.example\r\nContent-Length: 100\r\n\r\n{",
    ],
)
def test_a_slow_client_is_cut(edge: int, begun: str) -> None:
    with tls_socket(edge) as client:
        client.sendall(begun.encode())
        client.settimeout(8)
        received = b""
        with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
            while part := client.recv(1000):
                received += part
        assert received == b"" or received.startswith(b"HTTP/1.1 408 ")


def test_websockets_pass_the_edge(edge: int, node: RunningNode) -> None:
    with tls_socket(edge) as client:
        client.sendall(
            f"GET /ws HTTP/1.1\r\nHost: {NAME}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        received = b""
        while b"\r\n\r\n" not in received:
            part = client.recv(1000)
            assert part, received
            received += part
        assert received.startswith(b"HTTP/1.1 101 "), received
        client.sendall(frame(1, b'{"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}'))
        answer = client.recv(1000)
        assert hex(node.settings.spec.chain_id).encode() in answer


def test_events_and_leases_pass_the_edge(edge: int) -> None:
    with tls_socket(edge) as client:
        client.sendall(f"GET /events HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        received = b""
        while b"retry: 2000" not in received:
            part = client.recv(1000)
            assert part, received
            received += part
    ask(edge, "POST", "/leases", {"name": "anna", "rate": 1}).refused(401, "unknown_voucher")


SERVED = {
    "rpc": ["/leases", "/leases?wait=20", f"/leases/{'0' * 32}", "/leases/news"],
    "api": ["/", "/status", "/rpc", "/join/ABCD-EFGH", "/miners", "/vouchers", "/leasess", "/events", "/mine?wait=0"],
}


def test_miners_are_served_by_the_process_that_bears_a_thousand_of_them(tmp_path: Path) -> None:
    def says(name: str) -> RawServer:
        return RawServer(lambda client: client.send(response(name.encode(), "Connection: close")))

    with says("api") as api, says("rpc") as rpc, edge_of(api.port, rpc.port, tmp_path) as edge:
        found = {path: ask(edge, "GET", path).body.decode() for paths in SERVED.values() for path in paths}
        found["POST"] = ask(edge, "POST", "/leases", {"name": "anna", "rate": 1}).body.decode()
    assert found == {path: name for name, paths in SERVED.items() for path in paths} | {"POST": "rpc"}


def test_one_client_has_a_rate_whatever_it_says_of_itself(node: RunningNode, rpc: int, tmp_path: Path) -> None:
    # A busy machine may not reach 50 requests a second. The other tests keep a proxy that is not used up.
    with edge_of(node.door.port, rpc, tmp_path, rate=5) as edge:
        use_up(edge)


def use_up(edge: int) -> None:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", edge, timeout=20, context=trusting)
    seen: list[int] = []
    with contextlib.closing(connection):
        while len(seen) < 900 and seen[-1:] != [429]:
            lie = f"10.0.{len(seen) // 250}.{len(seen) % 250}"
            connection.request("GET", "/nothing", headers={"Host": NAME, "X-Forwarded-For": lie})
            with connection.getresponse() as answer:
                answer.read()
                seen.append(answer.status)
    assert seen[-1] == 429 and len(seen) > 150, seen
    eventually(lambda: ask(edge, "GET", "/status").status == 200, what="the next request of the budget", every=0.5)


def test_the_edge_says_what_is_missing(tmp_path: Path) -> None:
    for given, words in (
        ({}, "EDGE_NAME must be a name"),
        ({"EDGE_NAME": "a;b"}, "EDGE_NAME must be a name"),
        ({"EDGE_NAME": "a.example", "EDGE_CERTIFICATES": str(tmp_path)}, "fullchain.pem cannot be read"),
    ):
        done = subprocess.run(["/bin/sh", EDGE], env={"PATH": "/bin:/usr/bin"} | given, capture_output=True, text=True)
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and words in done.stderr


def test_the_edge_follows_its_node_to_another_address(tmp_path: Path) -> None:
    """nginx looks names up once. What stands for it here writes down what it is told, and time passes faster."""
    (tmp_path / "bin").mkdir()
    address, told, asked = tmp_path / "address", tmp_path / "told", tmp_path / "asked"
    address.write_text("10.0.0.1\n")
    for name, script in {
        "getent": f'test -s {address} && echo "$2 $(cat {address})"; result=$?; echo >> {asked}; exit $result',
        "sleep": "exec /bin/sleep 0.05",
        "nginx": f'echo "$@" >> {told}; case "$*" in *reload*) ;; *) exec /bin/sleep 60 ;; esac',
    }.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    for name in ("fullchain.pem", "privkey.pem"):
        (tmp_path / name).write_text("")
    environment = {
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "EDGE_NAME": NAME, "EDGE_CERTIFICATES": str(tmp_path),
        "EDGE_RUN": str(tmp_path), "EDGE_CONFIGURATION": str(SHIPPED), "EDGE_API": "node1:5000",
        "EDGE_RPC": "rpc1:8545",
    }  # fmt: skip

    def reloads() -> int:
        return told.read_text().count("-s reload") if told.exists() else 0

    process = subprocess.Popen(["/bin/sh", EDGE], env=environment)
    try:
        eventually(lambda: told.exists() and asked.exists() and asked.read_text().count("\n") >= 2, 10, "the start")
        address.write_text("")  # no name is found for a moment: nginx keeps what it has
        address.write_text("10.0.0.2\n")
        eventually(lambda: reloads() == 1, 10, "nginx is told once")
        address.write_text("10.0.0.3\n")
        eventually(lambda: reloads() == 2, 10, "and again")
    finally:
        process.terminate()
        process.wait(10)
    assert "server node1:5000;" in (tmp_path / "quarry.conf").read_text()
