"""Two nodes of real processes whose peers' traffic goes through the lab's router: a partition, and its end."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.real.router import Router
from tests.support.keys import KEYS, TOKEN
from tests.support.running import RunningNode
from tests.support.waiting import eventually

ADMIN = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class RoutedNode(RunningNode):
    """A node whose proxy for peers is the router. Its public URL is its own."""

    number: int = 0
    router: Router = field(default_factory=Router)

    def _launch(self, name: str, command: list[str]) -> None:
        port = self.router.add(self.number, "127.0.0.1", self.door.port)
        self.environment |= {"QUARRY_PEER_PROXY": f"http://127.0.0.1:{port}", "QUARRY_PUBLIC_URL": self.url}
        super()._launch(name, command)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.door.port}"

    @property
    def tip(self) -> str:
        return str(self.client.get("/status").ok()["tip"])

    def mine(self) -> str:
        return str(self.client.post("/mine?wait=30").ok()["hash"])

    def register(self, other: "RoutedNode") -> None:
        """Make a peer, or end its pause."""
        self.client.post("/nodes/register", {"nodes": [other.url]}, **ADMIN).ok(201)


@pytest.fixture
def router() -> Iterator[Router]:
    with Router(seed=3) as router:
        yield router


@pytest.fixture
def pair(router: Router, tmp_path: Path) -> Iterator[tuple[RoutedNode, RoutedNode]]:
    with ExitStack() as stack:
        nodes = [
            RoutedNode(
                tmp_path / str(number),
                workers=1,
                variables={"RESOLVE_SECONDS": "1", "API_PROCESSES": "1", "REWARD_ADDRESS": KEYS[number].address},
                number=number,
                router=router,
            )
            for number in (1, 2)
        ]
        threads = [threading.Thread(target=stack.enter_context, args=(node,)) for node in nodes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        one, two = nodes
        one.register(two)
        two.register(one)
        yield one, two


def test_a_partition_makes_two_tips_its_end_one_and_a_dead_router_no_liars(
    router: Router, pair: tuple[RoutedNode, RoutedNode]
) -> None:
    one, two = pair
    links = router.link(1, 2), router.link(2, 1)
    first = one.mine()
    eventually(lambda: two.tip == first, 30, "the same tip at both")
    assert all(link.counters.requests for link in links), "they meet through the router only"
    for link in links:
        link.cut()
    split = one.mine(), two.mine()
    longer = two.mine()
    # The announcements and the resolvers of both have tried.
    eventually(lambda: all(link.counters.cut for link in links), 30, "both are refused")
    assert (one.tip, two.tip) == (split[0], longer) and split[0] != split[1]
    assert one.client.get(f"/blocks/{longer}").status == 404
    # A refusal is counted before the node has written down what it makes of it.
    eventually(lambda: one.client.get("/nodes").ok()["nodes"][0]["state"] == "unreachable", 30, "a peer that is away")
    [peer] = one.client.get("/nodes").ok()["nodes"]
    assert "proxy" in peer["reason"], "the router works; it is the peer that is away"
    router.heal()
    one.register(two)  # ends the pause
    eventually(lambda: one.tip == two.tip == longer, 30, "one tip again")
    assert one.client.get(f"/blocks/{split[0]}").ok()["on_chain"] is False

    # A router that is gone makes no peer a liar, and takes none for away.
    router.stop()
    eventually(lambda: one.client.get("/nodes").ok()["nodes"][0]["state"] == "unasked", 30)
    [peer] = one.client.get("/nodes").ok()["nodes"]
    assert peer["failures"] == 0 and f"The proxy http://127.0.0.1:{router.port_of(1)}" in peer["reason"]
    assert 'quarry_peers{state="unasked"} 1.0' in one.client.get("/metrics").body.decode()
    eventually(lambda: "peer_proxy_failed" in one.log("network"))
