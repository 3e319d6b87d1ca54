"""Where the servers of a node are reached."""

import pytest

from services.launch.addresses import at_port, door_port


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


def test_the_same_host_at_another_port() -> None:
    assert at_port("http://node.example", 8545) == "http://node.example:8545"
    assert at_port("http://[::1]:5000/", 8545) == "http://[::1]:8545"
