"""What proves that the block of a hash is invalid, and what does not."""

from typing import Any

import pytest

from shared.block import Header
from shared.chain_spec import ChainSpec
from shared.evidence import has_work, is_committed
from shared.rules.standard import StandardRules
from tests.support.chains import make_spec, sealed
from tests.support.liars import ForgedChain, header_of


@pytest.fixture
def chain() -> ForgedChain:
    forged = ForgedChain(make_spec())
    forged.grow(3)
    return forged


def headers(chain: ForgedChain) -> list[Header]:
    rules = StandardRules(chain.spec)
    return [rules.read_header(header_of(block)) for block in chain.blocks]


def work(spec: ChainSpec, chain: ForgedChain) -> bool:
    *window, last = headers(chain)
    return has_work(last, window, spec)


@pytest.mark.parametrize("fields", [{}, {"timestamp": 5}, {"index": 99}, {"transactions_root": "0" * 64}])
def test_a_header_with_work_in_its_place_is_evidence(chain: ForgedChain, fields: dict[str, Any]) -> None:
    chain.forge(**fields)
    assert work(chain.spec, chain)


def test_a_header_without_work_is_none(chain: ForgedChain) -> None:
    chain.forge(valid=False)
    assert not work(chain.spec, chain)


def test_work_for_the_difficulty_that_the_header_asks_for_is_not_enough(chain: ForgedChain) -> None:
    block = chain.forge(difficulty=1)
    chain.blocks[-1] = sealed(block, chain.spec.difficulty, valid=False)
    assert not work(chain.spec, chain)


def test_an_honest_header_in_a_wrong_place_is_none(chain: ForgedChain) -> None:
    *window, last = headers(chain)
    assert has_work(last, window, chain.spec)
    assert not has_work(last, window[:-1], chain.spec)


def test_a_body_is_committed_whatever_is_wrong_with_it(chain: ForgedChain) -> None:
    for body in ([], [{"a": 1}], [chain.reward(amount="2"), {"é": [None, "x"]}]):
        chain.forge(body=body)
        header = headers(chain)[-1]
        assert is_committed(header, body)
        assert not is_committed(header, [*body, {}])
