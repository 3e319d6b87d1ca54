"""Rounds aside: workers search for the proof of a block that does not extend the tip, and nothing is appended.

Walk: `find` (a template, a round aside, search jobs) → workers claim ranges of proofs as in any round → `Rounds.seal`
ends the round with the proof → `find` returns the block. So a whole branch can be mined beside the chain and swapped in
when it is complete (services/development/forks.py).
"""

from services.errors import Busy, PolicyError
from services.mining.policy import MiningPolicy
from services.mining.rounds import Rounds
from services.ports import Ports
from services.store.mining import MiningStore
from shared.block import Block, Template
from shared.errors import NodeError
from shared.rules import Rules

# Seconds between two looks for a proof: at first, and at most.
_LOOK, _LONGEST_LOOK = 0.002, 0.05
# Seconds between two calls for workers, whose jobs may be lost.
_CALL = 5.0


class NoProof(NodeError):
    """Workers found no proof in time."""


class RoundsAside:
    """The rounds of one node whose blocks do not extend its tip. One is open at a time."""

    def __init__(self, policy: MiningPolicy, store: MiningStore, rounds: Rounds, rules: Rules, ports: Ports) -> None:
        self._policy = policy
        self._store = store
        self._rounds = rounds
        self._rules = rules
        self._clock = ports.clock
        self._randomness = ports.randomness

    @property
    def recipient(self) -> str:
        """The address that rewards go to.

        Raises:
            PolicyError: `no_reward_address`.
        """
        if not self._policy.recipient:
            raise PolicyError("no_reward_address", "This node does not mine: it has no QUARRY_REWARD_ADDRESS.")
        return self._policy.recipient

    def find(self, template: Template, transactions: int, seconds: float, *, patient: bool = False) -> Block:
        """Have the node's workers search for a template's proof; the block.

        Args:
            transactions: in the template, besides the reward.
            seconds: how long to wait.
            patient: while another round is open aside, wait for its end, also within `seconds`.

        Raises:
            Busy: `too_many_requests`: another round is open aside.
            NoProof: none was found in time, or the round was ended. Nothing has changed.
        """
        round_id, began = self._randomness.token(), self._clock.now()
        waited, look, called = 0.0, _LOOK, 0.0
        while not self._store.open_aside(round_id, template, transactions, began, max(1, int(seconds) + 1)):
            if not patient or waited >= seconds:
                raise Busy("too_many_requests", "Another branch is being mined; try again.")
            self._clock.sleep(_LONGEST_LOOK)
            waited += _LONGEST_LOOK
        try:
            self._rounds.call_workers(round_id, template.height)
            while waited < seconds:
                proof = self._store.proof_aside(round_id)
                if proof is not None:
                    return self._rules.read_block(template.with_proof(proof))
                self._clock.sleep(look)
                # Counted in turns, so that a clock that is set back does not make the wait longer.
                waited, called = waited + look, called + look
                look = min(2 * look, _LONGEST_LOOK)
                if called > _CALL:
                    self._rounds.call_workers(round_id, template.height)
                    called = 0.0
            raise NoProof(f"The workers found no proof of block {template.height} within {seconds:.0f} s.")
        finally:
            self._store.end_aside(round_id, self._clock.now())
