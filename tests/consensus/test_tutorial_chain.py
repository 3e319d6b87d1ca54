"""Chains of the tutorial's own node are chains under its rules, and ours are chains to it.

theirs = TutorialNode()                  # in memory: tests/support/tutorial_node.py
theirs.mine()
replay(served(theirs))                   # accepted, through JSON as it travels
"""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from shared.block import Block
from shared.chain_spec import ChainSpec, spec_from_object
from shared.errors import RuleError
from shared.forkchoice import TipClaim, is_better
from shared.ledger import Account
from shared.replay import Replay
from shared.rules import rules_for
from tests.support.tutorial_node import WORDINGS, TutorialNode, block_hash, find_proof, is_proof, is_valid, ticking
from worker.kernel.plain import PlainKernel

Json = dict[str, Any]

SPEC = spec_from_object(
    {"name": "test", "rules": "tutorial", "chain_id": 4242, "genesis_timestamp": 1767225600, "development": True}
)
MINER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


def served(node: TutorialNode) -> list[Json]:
    """A node's chain as its `/chain` serves it, parsed."""
    chain: list[Json] = json.loads(json.dumps({"chain": node.chain, "length": len(node.chain)}))["chain"]
    return chain


def replay(chain: Sequence[Any], spec: ChainSpec = SPEC) -> Replay:
    result = Replay(rules_for(spec))
    for block in chain:
        result.add(block)
    return result


class OurChain:
    """A chain that is grown with the rules' own templates and the kernel, as a node does."""

    def __init__(self, chain: Sequence[Json] = ()) -> None:
        self.rules = rules_for(SPEC)
        self.clock = ticking(1767225700.25, 0.1)
        self.replay = Replay(self.rules)
        self.blocks: list[Block] = []
        for value in chain or [json.loads(self.rules.genesis().canonical)]:
            self.blocks.append(self.replay.add(value))

    def mine(self, *posts: Json) -> Block:
        transactions = [self.rules.read_request(post) for post in posts]
        template = self.rules.template(self.replay.window, transactions, MINER, self.clock())
        proof = PlainKernel().scan(template.seal, template.difficulty, 0, 10**7)
        assert proof is not None
        # Through JSON, as the template lies in the store while it is searched.
        value = json.loads(json.dumps(template.with_proof(proof)))
        self.blocks.append(self.replay.add(value))
        return self.blocks[-1]

    def served(self) -> list[Json]:
        text = b'{"chain": [' + b", ".join(block.canonical for block in self.blocks) + b"]}"
        chain: list[Json] = json.loads(text)["chain"]
        return chain


def post(number: float = 1, **more: Any) -> Json:
    return {"sender": "me", "recipient": "you", "amount": number, **more}


@pytest.fixture(params=sorted(WORDINGS))
def theirs(request: pytest.FixtureRequest) -> TutorialNode:
    """Four blocks: fractions in times and amounts, names of all kinds, equal transactions."""
    node = TutorialNode(WORDINGS[request.param], clock=ticking())
    node.mine()
    node.submit("me", "you", 5)
    node.submit("me", "you", 5)
    node.submit("mé \n", {"x": [1, None, True]}, 0.1)
    node.mine()
    node.submit(0, "you", -1e22)
    node.mine()
    return node


def test_their_chain_is_valid_and_counts_one_per_block(theirs: TutorialNode) -> None:
    found = replay(served(theirs))
    assert found.claim == TipClaim(3, block_hash(theirs.chain[-1]))
    assert (found.supply, found.allowances) == (0, {})
    # of three texts, one twice; the rewards aside
    assert sorted(found.accounts.values()) == [Account(0, 1), Account(0, 1), Account(0, 2)]
    assert sum(account.nonce for account in found.accounts.values()) == 4


def test_their_blocks_come_back_out_byte_for_byte(theirs: TutorialNode) -> None:
    rules = rules_for(SPEC)
    first, *rest = served(theirs)
    blocks = [rules.adopt_genesis(first), *map(rules.read_block, rest)]
    again = [json.loads(block.canonical) for block in blocks]
    assert again == theirs.chain and is_valid(again)
    assert [block_hash(block) for block in again] == [block.hash for block in blocks]
    assert all(type(block.header.timestamp) is float for block in blocks)


def test_they_adopt_a_chain_that_we_grow() -> None:
    ours = OurChain()
    ours.mine(post(), post(), post(2, note="é", parts=[0.1, 1e300, -0.0, None]))
    ours.mine()
    node = TutorialNode(clock=ticking())
    assert node.consider(3, ours.served())
    assert node.chain == ours.served()
    node.mine()
    assert replay(served(node)).claim.chainwork == 3


@pytest.mark.parametrize("wording", sorted(WORDINGS))
def test_a_chain_that_both_grow_in_turn(wording: str) -> None:
    node = TutorialNode(WORDINGS[wording], clock=ticking())
    ours = OurChain(served(node))
    for turn in range(3):
        node.submit("them", "all", turn / 3)
        node.mine()
        ours = OurChain(served(node))
        ours.mine(post(turn), post(turn))
        assert node.consider(len(ours.blocks), ours.served())
    assert is_valid(node.chain) and len(node.chain) == 7
    assert ours.replay.claim == replay(served(node)).claim


def test_a_longer_chain_is_better_whatever_it_begins_with() -> None:
    ours, node = OurChain(), TutorialNode(clock=ticking())
    ours.mine()
    node.mine()
    node.mine()
    theirs = replay(served(node))
    assert is_better(theirs.claim, ours.replay.claim) and not is_better(ours.replay.claim, theirs.claim)
    assert not node.consider(2, ours.served())


def test_the_kernel_finds_the_proofs_that_they_find() -> None:
    ours, node = OurChain(), TutorialNode(clock=ticking())
    for _ in range(3):
        assert ours.mine().header.proof == node.mine()["proof"] == find_proof(ours.blocks[-2].header.proof)
    proofs = [block["proof"] for block in node.chain]
    assert proofs[:3] == [100, 35293, 35089] and is_proof(*proofs[2:])


# --- what both refuse -------------------------------------------------------------------------------------------------


def refused(chain: list[Json]) -> tuple[int, str]:
    """The height of the first block that is refused, and the rule that it breaks."""
    result = Replay(rules_for(SPEC))
    for height, block in enumerate(chain, start=1):
        before = result.claim if height > 1 else None, dict(result.accounts)
        try:
            result.add(block)
        except RuleError as error:
            assert (result.claim if height > 1 else None, dict(result.accounts)) == before
            return height, error.code
    raise AssertionError("the chain is valid")


def test_a_change_anywhere_breaks_the_link_after_it(theirs: TutorialNode) -> None:
    changes: list[Json] = [
        {"timestamp": 1.0},
        {"transactions": []},
        {"description": "new"},
        {"proof": theirs.chain[1]["proof"], "index": 2, "timestamp": int(theirs.chain[1]["timestamp"])},
    ]
    for change in changes:
        chain = served(theirs)
        chain[1].update(change)
        assert refused(chain) == (3, "wrong_previous_hash") and not is_valid(chain)


def test_a_wrong_proof_with_right_links(theirs: TutorialNode) -> None:
    chain = served(theirs)
    chain[1]["proof"] += 1
    chain[2]["previous_hash"] = block_hash(chain[1])
    chain[3]["previous_hash"] = block_hash(chain[2])
    assert refused(chain) == (2, "wrong_proof") and not is_valid(chain)


def test_a_proof_is_good_after_its_own_predecessor_only(theirs: TutorialNode) -> None:
    chain = served(theirs)
    moved = {**chain[3], "index": 3, "previous_hash": block_hash(chain[1])}
    assert refused([*chain[:2], moved]) == (3, "wrong_proof")
    assert not is_valid([*chain[:2], moved])


def test_a_block_must_stand_at_its_index_though_they_do_not_look(theirs: TutorialNode) -> None:
    chain = served(theirs)
    chain[3]["index"] = 9
    assert refused(chain) == (4, "wrong_index") and is_valid(chain)


def test_a_chain_must_begin_at_its_beginning(theirs: TutorialNode) -> None:
    assert refused(served(theirs)[1:]) == (1, "wrong_genesis")


def test_the_specs_difficulty_counts() -> None:
    easy = spec_from_object({**SPEC.to_object(), "difficulty": 1})
    chain = served(TutorialNode(clock=ticking()))
    chain.append({"index": 2, "timestamp": 1, "transactions": [], "proof": 0, "previous_hash": block_hash(chain[0])})
    assert replay(chain, easy).claim.chainwork == 1
    assert refused(chain) == (2, "wrong_proof")


def test_a_template_of_theirs_mined_by_us_is_the_same_block() -> None:
    """With the same clock, recipient and transactions, both forge the same bytes."""
    node = TutorialNode(clock=ticking(), name=MINER)
    ours = OurChain(served(node))
    node.submit("me", "you", 1.5)
    moment = ticking()
    moment()
    ours.clock = moment
    assert ours.mine(post(1.5)).canonical == json.dumps(node.mine(), sort_keys=True).encode()
