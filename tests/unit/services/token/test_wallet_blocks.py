"""Blocks as wallets see them, from a store that has lost or damaged one."""

import pytest
from fakeredis import FakeRedis, FakeServer

from services.errors import Damaged, NotFound
from shared.errors import NodeError
from tests.support.nodes import TestNode


@pytest.mark.parametrize(("body", "error"), [(None, NotFound), (b"{", Damaged)])
def test_a_block_without_its_body_is_an_error_and_not_an_empty_block(
    body: bytes | None, error: type[NodeError]
) -> None:
    node = TestNode(FakeRedis(server=FakeServer())).node
    stored = node.chain.header(node.chain.tip().hash)
    assert stored is not None
    blocks = node.chain.keys.blocks
    whole = node.chain._redis.hget(blocks, stored.header.hash)
    assert whole is not None
    if body is None:
        node.chain._redis.hdel(blocks, stored.header.hash)
    else:
        node.chain._redis.hset(blocks, stored.header.hash, body)
    with pytest.raises(error):
        node.wallet_blocks.block(stored)
    with pytest.raises(error):
        node.wallet_blocks.events(stored)
    node.chain._redis.hset(blocks, stored.header.hash, whole)  # what was wrong is not remembered
    assert len(node.wallet_blocks.block(stored).transactions) == stored.transactions
