"""Where the servers of a node are reached."""

import pytest

from services.launch.addresses import at_port, door_port, knows_voucher


@pytest.mark.parametrize(
    ("url", "rpc_url", "port"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:8545", 8545),
        ("http://node.example", "http://127.0.0.1:8545/", 8545),
        ("http://[::1]:5000", "http://[::1]:8545", 8545),
        # A proxy, which knows by itself where `quarry rpc` is. From https to http a voucher would be readable.
        ("https://node.example", "http://node.example:8545", None),
        ("http://node.example/quarry", "http://node.example:8545", None),
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545", None),
        ("http://node.example", "http://node.example:80", None),
        ("http://user@node.example", "http://node.example:8545", None),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000/rpc", None),
        ("http://127.0.0.1:5000", "http://127.0.0.1", None),
        ("http://127.0.0.1:5000", "http://127.0.0.1:port", None),
        ("http://127.0.0.1:5000", "http://[", None),
        ("http://127.0.0.1:5000", "file:///etc:5", None),
        ("http://127.0.0.1:5000", None, None),
        ("http://127.0.0.1:5000", ["http://127.0.0.1:8545"], None),
    ],
)
def test_the_door_that_a_node_names(url: str, rpc_url: object, port: int | None) -> None:
    assert door_port(url, rpc_url) == port


@pytest.mark.parametrize(
    ("code", "known"), [("unknown_lease", True), ("unknown_voucher", False), ("", False), (None, False), ([], False)]
)
def test_a_server_that_knows_the_voucher_says_that_the_lease_is_unknown(code: object, known: bool) -> None:
    asked = []

    def report(path: str, body: object) -> object:
        asked.append((path, body))
        return code

    assert knows_voucher(report) is known
    assert asked == [(f"/leases/{'0' * 32}", {"shares": [], "hashes": 0})]


def test_the_same_host_at_another_port() -> None:
    assert at_port("http://node.example", 8545) == "http://node.example:8545"
    assert at_port("http://[::1]:5000/", 8545) == "http://[::1]:8545"
