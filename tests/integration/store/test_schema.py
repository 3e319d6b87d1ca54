"""The form of a store: an earlier one is taken over as it is, a later one is refused by a sentence."""

import pytest
from redis import Redis

from services.errors import WrongChain
from services.store.schema import SCHEMA, UPGRADE_SECONDS
from tests.support.keys import ALICE
from tests.support.nodes import TestNode
from tests.support.stored import dump


def test_a_new_chain_has_the_form_of_this_release(here: TestNode, redis: Redis) -> None:
    assert redis.get(here.node.chain.keys.schema) == str(SCHEMA).encode()


def test_a_store_of_a_release_without_forms_is_taken_over(here: TestNode, redis: Redis) -> None:
    here.mine(here.sign(ALICE, 0))
    redis.delete(here.node.chain.keys.schema)
    before = dump(redis)
    here.node.begin()
    after = dump(redis)
    assert after.pop(here.node.chain.keys.schema.encode())
    assert after.pop(here.node.chain.keys.packed.encode())
    # The processes of the earlier release may still run.
    assert here.node.chain.packs.totals().held == int(here.clock.now()) + UPGRADE_SECONDS
    here.clock.sleep(UPGRADE_SECONDS + 1)
    here.node.begin()
    assert here.node.chain.packs.totals().held < here.clock.now()
    own = {here.node.chain.keys.run.encode(), here.node.chain.keys.rules.encode()}  # what each start writes
    assert {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)} <= own


@pytest.mark.parametrize("found", ["4", "999999999", "two", "-1", "", "1" * 99])
def test_a_store_of_a_later_release_is_refused_and_nothing_is_written(here: TestNode, redis: Redis, found: str) -> None:
    redis.set(here.node.chain.keys.schema, found)
    before = dump(redis)
    with pytest.raises(WrongChain, match=r"A later release|cannot be read"):
        here.node.begin()
    assert dump(redis) == before
