"""The difficulty of the next block, which keeps blocks at the spec's interval whatever the hash rate."""

from collections.abc import Sequence

from shared.block import Header
from shared.chain_spec import FIRST_MINED, ChainSpec

# Headers that `next_difficulty` uses: 60 solve times need 61 timestamps.
WINDOW = 61
MIN_DIFFICULTY = 256
# Below this height there are too few solve times.
FIRST_ADJUSTED = 6


def next_difficulty(window: Sequence[Header], spec: ChainSpec) -> int:
    """Difficulty (expected hashes) of the block after `window`.

    LWMA (zawy12, difficulty-algorithms #3; docs/consensus.md has the formula): recent blocks weigh more, so the
    difficulty follows a jump in hash rate within about 22 intervals of time. A solve time counts as six intervals at
    most, so an idle night does not lower the difficulty much.

    Args:
        window: headers that end at the parent, oldest first: the whole chain, or at least its last `WINDOW`.
            Timestamps are Unix seconds and may be out of order. Each counts as at least one second after the one
            before; clamping raw differences instead would let a lying minority drive the interval down.

    Integers only: a rounding difference here is a fork.
    """
    parent = window[-1]
    spec = spec.at(parent.index + 1)
    # An upgrade that sets the difficulty begins anew: its first block counts as the one after genesis does.
    height = parent.index + 1 - spec.difficulty_from + FIRST_MINED
    interval = spec.block_interval
    if interval == 0 or height < FIRST_ADJUSTED:
        return spec.difficulty
    count = min(WINDOW - 1, height - 3)
    blocks = window[-count:]
    previous = int(window[-count - 1].timestamp)
    difficulties = weighted = 0
    for weight, block in enumerate(blocks, start=1):
        solved = max(int(block.timestamp), previous + 1)
        weighted += weight * min(solved - previous, 6 * interval)
        difficulties += block.difficulty
        previous = solved
    target = difficulties * interval * (count + 1) // (2 * weighted)
    bounded = min(max(target, parent.difficulty * 3 // 4), parent.difficulty * 5 // 4)
    return max(bounded, MIN_DIFFICULTY)
