"""A node that answers as the tests say, beside wallets of the test's own."""

from collections.abc import Iterator

import pytest

from tests.support.fake_node import FakeNode


@pytest.fixture
def node(own_environment: None) -> Iterator[FakeNode]:
    fake = FakeNode()
    yield fake
    fake.close()
