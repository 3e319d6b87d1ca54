"""Several nodes that start together: what is said meanwhile, and from what their programs are forked."""

from collections.abc import Callable
from unittest.mock import MagicMock

import pytest

from services.launch.launch import Launch


@pytest.mark.parametrize(("workers", "kernel"), [(1, "fast"), (0, "plain")])
def test_nodes_share_a_nursery_and_a_start_says_once_why_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, workers: int, kernel: str
) -> None:
    told: list[str] = []
    nursery = MagicMock()
    nodes = [MagicMock(), MagicMock()]
    for node in nodes:
        node.settings.kernel, node.plan.workers = "fast", workers

    def of_nodes(ready: str, waits: Callable[[float], None]) -> MagicMock:
        assert ready == kernel, "nothing is compiled that no worker needs"
        assert all(node.allocate.called and not node.start.called for node in nodes)
        for seconds in (1.8, 3.6):
            waits(seconds)
        return nursery

    monkeypatch.setattr("services.launch.launch.nursery_of_nodes", of_nodes)
    launch = Launch([], told.append)
    launch.nodes = nodes
    launch.start()
    assert [node.start_program for node in nodes] == [nursery, nursery]
    assert told == [
        "loading the programs (2 s); the first start on a machine compiles the code and the hash kernel",
        "loading the programs (4 s)",
    ]
    nursery.close.assert_not_called()
    launch.stop()
    nursery.close.assert_called_once_with()
