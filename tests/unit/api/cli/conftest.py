"""A node that answers as the tests say, beside wallets of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_node import FakeNode, make_node


@pytest.fixture
def node(own_environment: None) -> Iterator[FakeNode]:
    fake = FakeNode()
    yield fake
    fake.close()


@pytest.fixture
def node_of_this_machine(node: FakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands find the node by themselves, with its token, as one that `quarry up` runs."""
    monkeypatch.setenv("QUARRY_DATA_HOME", str(tmp_path))
    make_node(tmp_path, node.url)
