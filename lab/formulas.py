"""What theory says of the lab's scenarios, each formula with its source.

Hash rates are shares of the whole network's, from 0 to 1; `q` and `alpha` are those of one attacker. All but the stale
rate assume that news takes no time. The rule of the difficulty has no formula: it is simulated with its own code.
"""

from __future__ import annotations

import math

GIVE_UP = 60  # blocks behind at which the lab's double spender gives up


def stale_rate(interval: float, delay: float) -> float:
    """The share of all blocks found that end outside the chain: τ / (2 (T + τ)), for two equal miners.

    Args:
        interval: T, mean seconds between two blocks of both miners together; the difficulty is constant.
        delay: τ, seconds until a miner has the other's block.

    Derivation. A miner works one above the highest block that it knows. So a height has two blocks, and one of them
    is stale, if the second miner finds its block of that height before it has the first one's. Call a block *open*
    from its find until the other miner has it, at most τ later, or has found one of the same height. Open blocks at
    any time belong to one miner, the one ahead; the other's next find has the height of the oldest of them, closes
    it, and makes one stale block. Otherwise the oldest closes when its age is τ.

    Let λ = 1/(2T) be the rate of each miner, and w the age of the oldest open block. While there is one, w grows with
    time; at rate λ the other miner closes it, and at w = τ it closes by itself. Finds of the miner ahead are a Poisson
    process, so the next open block is younger by an exponential time of rate λ; if that is more than w, none is open,
    until the next find of either (rate 2λ) makes w = 0. In equilibrium as many paths cross each age w upwards as
    downwards. With f the density of w:

        f(w) = ∫_w^τ λ f(u) exp(-λ (u - w)) du + f(τ) exp(-λ (τ - w)),

    which a constant f = c solves. The chance that no block is open is then c/(2λ), as c is the rate at which that state
    is left, and c/(2λ) + cτ = 1. Stale blocks come at the rate λcτ, all blocks at 2λ; the quotient is the formula.
    """
    return delay / (2 * (interval + delay))


def double_spend(q: float, confirmations: int, give_up: int | None = None) -> float:
    """The chance to undo a payment after so many confirmations.

    M. Rosenfeld, Analysis of hashrate-based double-spending (2014, arXiv:1402.2009), section 5.

    The attacker has one block in store when the payment is made, waits until the payment has its confirmations, and
    wins when its branch is longer than the public one; equal length is not enough. While the honest miners find
    n = `confirmations` blocks, the attacker finds m with the chance C(m + n - 1, m) pⁿ qᵐ (negative binomial). Then it
    is n - m - 1 behind, and n - m steps from being ahead.

    Args:
        give_up: blocks behind at which the attacker stops; more than `confirmations`. None: never, as in the paper,
            which sums this to 1 - Σ C(m + n - 1, m) (pⁿqᵐ - pᵐqⁿ) for m from 0 to n.
    """
    won = 1.0
    for m in range(confirmations + 1):
        won -= _negative_binomial(m, confirmations, q) * (
            1 - _catch_up(q, confirmations - m, confirmations - m - 1, give_up)
        )
    return won


def double_spend_with_ties(q: float, confirmations: int, give_up: int | None = None) -> float:
    """The same for an attacker that also publishes a branch of equal length if its last block has the lower hash.

    Under the rule of `shared/forkchoice.py` everybody then takes its branch. Each tie is decided by two hashes that no
    earlier tie has used, so the attacker wins half of them. If it loses one, its own next block wins, and a block of
    the others leaves it one behind. So with t the chance from a tie that is about to be decided, and c the chance to
    come back from one behind to the next tie, t = 1/2 + 1/2 (q + p c t).
    """
    p = 1 - q
    back = _catch_up(q, 1, 1, give_up)
    tie = 0.5 * (1 + q) / (1 - 0.5 * p * back)
    won = 1.0
    for m in range(confirmations):
        behind = confirmations - m - 1
        chance = tie * _catch_up(q, behind, behind, give_up)
        won -= _negative_binomial(m, confirmations, q) * (1 - chance)
    return won


def nakamoto(q: float, confirmations: int) -> float:
    """The estimate in section 11 of S. Nakamoto's paper (2008), beside which Rosenfeld's is exact.

    It counts the attacker's blocks as if the honest ones had come at their mean pace (Poisson), has no block in store,
    and counts catching up as success.
    """
    if q >= 0.5:
        return 1.0
    ratio = q / (1 - q)
    mean = confirmations * ratio
    lost = 0.0
    for k in range(confirmations + 1):
        lost += math.exp(-mean) * mean**k / math.factorial(k) * (1 - ratio ** (confirmations - k))
    return 1 - lost


def _negative_binomial(m: int, n: int, q: float) -> float:
    """The chance that the attacker finds `m` blocks while the others find `n`."""
    return math.comb(m + n - 1, m) * (1 - q) ** n * q**m


def _catch_up(q: float, steps: int, behind: int, give_up: int | None) -> float:
    """The chance to gain `steps` blocks on the others before being `give_up` behind, from `behind` (gambler's ruin)."""
    if steps <= 0:
        return 1.0
    if give_up is None:
        return 1.0 if q >= 0.5 else (q / (1 - q)) ** steps
    left = give_up - behind
    if q == 0.5:
        return left / (left + steps)
    odds = (1 - q) / q
    # Divided by odds^(left + steps) where that is large: else it overflows.
    if odds > 1:
        return (odds**-steps - odds ** -(left + steps)) / (1 - odds ** -(left + steps))
    return (1 - odds**left) / (1 - odds ** (left + steps))


def selfish_revenue(alpha: float, gamma: float = 0.5) -> float:
    """The selfish miner's share of the chain's blocks. I. Eyal and E. G. Sirer, Majority is not enough (2014,
    arXiv:1311.0243), equation 8; `alpha` below 1/2.

    Args:
        gamma: the share of the honest hash rate that mines on the attacker's block when two of the same height
            compete. 1/2 under a rule that compares hashes, if the attacker does not look at its own: all or nobody
            go to its block, each in half of the cases, and the expectation is linear in gamma.
    """
    won = alpha * (1 - alpha) ** 2 * (4 * alpha + gamma * (1 - 2 * alpha)) - alpha**3
    return won / (1 - alpha * (1 + (2 - alpha) * alpha))


def selfish_threshold(gamma: float = 0.5) -> float:
    """The share from which selfish mining pays: (1 - γ) / (3 - 2γ). The same paper, observation 1."""
    return (1 - gamma) / (3 - 2 * gamma)


def selfish_low_hash_revenue(alpha: float, part: float = 0.25) -> float:
    """The share of the chain's blocks of a selfish miner that withholds only blocks with a low hash; `alpha` below 1/2.

    Args:
        part: it withholds a block, when it has no other in store, whose hash lies in this lowest part of all valid
            ones. Such a block has the lower hash in a tie with the chance γ = 1 - part/2.

    Derivation, as for equation 8: between two moments at which nothing is withheld, count the blocks of both sides that
    end in the chain. From nothing withheld: the others find a block, or the attacker finds one that it shows, or
    (chance α · part) one that it withholds. Then it finds another, and the lead of 2 brings 2 + α/(1 - 2α) blocks
    before it is used up; or the others find one, and the tie is decided by the next block: the attacker's (2 for it),
    the others' on the attacker's block (1 each) or on their own (2 for them). With part = 1 this is equation 8 with
    γ = 1/2.
    """
    beta, gamma = 1 - alpha, 1 - part / 2
    begun = alpha * part
    tie = begun * beta
    own = alpha * (1 - part) + begun * alpha * (2 + alpha / (1 - 2 * alpha)) + tie * (2 * alpha + gamma * beta)
    others = beta + tie * beta * (gamma + 2 * (1 - gamma))
    return own / (own + others)


def snipe_chance(q: float) -> float:
    """The chance to replace the public tip by a block on its parent, giving up two behind, under the lower-hash rule.

    One behind, the sniper finds a block (q): a tie, which it wins by its hash in half of the cases; else its next block
    wins, or the others' leaves it one behind again. So s = q (1/2 + 1/2 (q + p s)).
    """
    return 0.5 * q * (1 + q) / (1 - 0.5 * q * (1 - q))
