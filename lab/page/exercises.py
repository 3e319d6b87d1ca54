"""Five guided exercises: each says what to do, lets the reader predict, and checks the recording of what was done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.formulas import double_spend
from lab.measures import revenue_share
from lab.page.facts import Facts
from lab.recording import Event

_CONFIRMATIONS = 6
_SHARE = 0.3
_SHOP_DEPTH = 2


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    `check` takes the recording so far and answers with whether the exercise is done and a sentence: what was seen, or
    what is still missing.
    """

    name: str
    title: str
    idea: str
    question: str
    choices: tuple[str, ...]
    answer: int  # place of the right choice
    steps: tuple[str, ...]
    check: Callable[[Facts], tuple[bool, str]]
    lesson: str


def _fork(facts: Facts) -> tuple[bool, str]:
    if facts.forked_while_parted():
        return True, "Both groups built their own chain: the tree has two branches."
    return False, "There is no fork yet: part the nodes into two groups, and wait until each group has found a block."


def _undo(facts: Facts) -> tuple[bool, str]:
    undone = facts.undone()
    if not facts.payments:
        return False, "No payment was sent yet."
    if not undone:
        return False, "No confirmed payment was detached yet: it must be in a block of the branch that loses."
    kept = {id for block in facts.main() for id in block.transactions}
    gone = [id for id in undone if id not in kept]
    if gone:
        return True, f"The payment {gone[0][:10]} was confirmed, and is in no block of the chain that won."
    return False, "A payment was detached and then mined again: double-spend it on the other side before you heal."


def _confirmations(facts: Facts) -> tuple[bool, str]:
    longest = max((max(each) for each in facts.contested()), default=0)
    if longest < _CONFIRMATIONS:
        return False, (
            f"The longest race so far was over {longest} blocks: let both sides work until the larger one has found "
            f"{_CONFIRMATIONS}, and heal then."
        )
    deepest = max(detached for detached, _ in facts.contested())
    if deepest >= _CONFIRMATIONS:
        return True, f"The smaller side won: {deepest} blocks were detached. That is rare, and it happens."
    return True, "The smaller side lost its branch, as it mostly does: its blocks were in vain."


def _selfish(facts: Facts) -> tuple[bool, str]:
    withheld = facts.withheld()
    if len(withheld) < 5:
        return False, f"{len(withheld)} blocks were withheld so far: let the selfish miner work for a while."
    finder = next(block.finder for block in facts.blocks.values() if block.hash in withheld)
    blocks = list(facts.blocks.values())
    found = sum(block.finder == finder for block in blocks) / (len(blocks) - 1)
    share = revenue_share(blocks, finder or 0)
    if share <= found:
        return (
            False,
            f"It found {found:.0%} of all blocks and has {share:.0%} of the chain: give it more hash power, or time.",
        )
    return True, f"It found {found:.0%} of all blocks, and {share:.0%} of those that count are its own."


def _shop(facts: Facts) -> tuple[bool, str]:
    undone = facts.undone(_SHOP_DEPTH)
    if not undone:
        return False, f"No payment with {_SHOP_DEPTH} confirmations was detached yet."
    heights = {id: block.height for block in facts.main() for id in block.transactions}
    again = [id for id in undone if id in heights]
    if again:
        return (
            True,
            f"The payment {again[0][:10]} lost its confirmations, and was mined again in block {heights[again[0]]}.",
        )
    return True, "The payment lost its confirmations and is in no block now: the shop gave its goods for nothing."


_LIKELY = double_spend(_SHARE, _CONFIRMATIONS)

EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        "fork",
        "Make a fork",
        "Nodes that do not hear each other go on, each side with its own chain.",
        "While the network is parted, how many valid chains are there?",
        ("One", "Two", "None"),
        1,
        (
            "Move two nodes into another group.",
            "Wait until each group has found a block.",
            "Heal, and watch one branch win.",
        ),
        _fork,
        "Both branches keep all rules. Only the work behind them decides, once the sides hear of each other.",
    ),
    Exercise(
        "undo",
        "Undo a payment",
        "A payment is as safe as the branch that it is in.",
        "Two payments spend the same coins, one on each side. After healing, which one counts?",
        ("The first one that was sent", "The one in the branch with more work", "Both"),
        1,
        (
            "Part one node from the others, and send a payment from it.",
            "Wait until its group has a block with the payment.",
            "Choose “Double-spend the last one”, and wait for a block on the other side.",
            "Heal.",
        ),
        _undo,
        "The nodes took the branch with more work, and with it the other payment. Nobody broke a rule.",
    ),
    Exercise(
        "confirmations",
        "What six confirmations are worth",
        "Each further block makes it less likely that a branch with less hash power catches up, never impossible.",
        f"An attacker has {_SHARE:.0%} of the hash rate. How often does it undo {_CONFIRMATIONS} confirmations?",
        ("Never", f"{_LIKELY:.0%} of the times", f"{_SHARE:.0%} of the times"),
        1,
        (
            "Give one node about 30 % of the hash power by the dials, and part it from the others.",
            "Wait until the others have found six blocks.",
            "Heal. Try it several times.",
        ),
        _confirmations,
        "The chance falls with each block, and it falls slowly for an attacker with much hash power. "
        "`quarry lab simulate double_spend` compares it with the formula.",
    ),
    Exercise(
        "selfish",
        "Why a selfish miner wins",
        "A miner that keeps its blocks to itself can make others work in vain.",
        "A selfish miner with 40 % of the hash rate gets which part of the chain's blocks?",
        ("Less than 40 %, since it loses blocks", "40 %", "More than 40 %"),
        2,
        (
            "Give one node about 40 % of the hash power by the dials.",
            "Choose the strategy “selfish” for it, and wait for a few dozen blocks.",
            "Then try “selfish_low_hash” with less hash power: it withholds only blocks that would win a tie.",
        ),
        _selfish,
        "It loses some blocks, and the others lose more. Our rule for ties prefers the lower hash, so a miner that "
        "withholds only low hashes profits with even less hash power.",
    ),
    Exercise(
        "shop",
        "What a partition does to your shop",
        "A shop that trusts its own node cannot see that the rest of the network is away.",
        f"A shop delivers after {_SHOP_DEPTH} confirmations, in the smaller part of the network. Is it safe?",
        ("Yes: the blocks are valid", "No: the other side may have more work"),
        1,
        (
            "Part two nodes from the rest, with less hash power, and pay from one to the other.",
            f"Wait until the payment has {_SHOP_DEPTH} confirmations there.",
            "Heal when the other side has more blocks.",
        ),
        _shop,
        "Confirmations count blocks, not the network behind them. A shop should also watch how fast blocks come: in a "
        "part of the network they come more slowly.",
    ),
)


def check(name: str, choice: int | None, events: Sequence[Event]) -> tuple[bool, str]:
    """Whether an exercise is done, and sentences about it.

    Args:
        choice: what the reader predicted, as a place among the choices; None: nothing.

    Raises:
        KeyError: there is no such exercise.
    """
    exercise = {each.name: each for each in EXERCISES}[name]
    done, said = exercise.check(Facts(events))
    if not done:
        return False, said
    right = "" if choice is None else "You predicted it. " if choice == exercise.answer else "You predicted otherwise. "
    return True, f"{said} {right}{exercise.lesson}"
