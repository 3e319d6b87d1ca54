"""The formulas against the papers' tables, and against chains of states that are followed step by step."""

import pytest

from lab import formulas

# Rosenfeld 2014, table 1: per cent, after 1 to 7 confirmations.
ROSENFELD = {
    0.02: (4, 0.237, 0.016, 0.001, 0, 0, 0),
    0.10: (20, 5.6, 1.712, 0.546, 0.178, 0.059, 0.020),
    0.20: (40, 20.8, 11.584, 6.669, 3.916, 2.331, 1.401),
    0.30: (60, 43.2, 32.616, 25.207, 19.762, 15.645, 12.475),
    0.40: (80, 70.4, 63.488, 57.958, 53.314, 49.300, 45.769),
}
# Nakamoto 2008, section 11.
NAKAMOTO = {
    (0.1, 0): 1.0,
    (0.1, 1): 0.2045873,
    (0.1, 2): 0.0509779,
    (0.1, 5): 0.0009137,
    (0.1, 10): 0.0000012,
    (0.3, 5): 0.1773523,
    (0.3, 10): 0.0416605,
    (0.3, 50): 0.0000006,
}


@pytest.mark.parametrize("q", ROSENFELD)
def test_double_spend_has_the_papers_values(q: float) -> None:
    found = [100 * formulas.double_spend(q, z) for z in range(1, 8)]
    assert found == pytest.approx(ROSENFELD[q], abs=0.0005)


@pytest.mark.parametrize(("q", "z"), NAKAMOTO)
def test_nakamoto_has_the_papers_values(q: float, z: int) -> None:
    assert formulas.nakamoto(q, z) == pytest.approx(NAKAMOTO[q, z], abs=5e-8)


def followed(q: float, z: int, give_up: int, ties: bool) -> float:
    """The chance of success: all states (blocks of the others, lead) of one attempt, step by step."""
    won = 0.0
    states = {(0, 1): 1.0}
    while sum(states.values()) > 1e-13:
        after: dict[tuple[int, int], float] = {}
        for (honest, lead), chance in states.items():
            for honest_now, lead_now, part in ((honest, lead + 1, q), (min(honest + 1, z), lead - 1, 1 - q)):
                mass = chance * part
                if honest_now == z and lead_now > 0:
                    won += mass
                    continue
                if ties and honest_now == z and lead_now == 0:
                    won += mass / 2
                    mass /= 2
                if lead_now > -give_up:
                    after[honest_now, lead_now] = after.get((honest_now, lead_now), 0.0) + mass
        states = after
    return won


@pytest.mark.parametrize(("q", "z", "give_up"), [(0.1, 1, 60), (0.15, 2, 60), (0.3, 6, 60), (0.4, 2, 8), (0.5, 3, 6)])
@pytest.mark.parametrize("ties", [False, True])
def test_double_spends_are_what_a_walk_through_all_states_gives(q: float, z: int, give_up: int, ties: bool) -> None:
    formula = formulas.double_spend_with_ties if ties else formulas.double_spend
    assert formula(q, z, give_up) == pytest.approx(followed(q, z, give_up, ties), abs=1e-9)


def test_a_majority_that_gives_up_does_not_always_win() -> None:
    assert formulas.double_spend(0.6, 6) == formulas.double_spend(0.5, 6) == 1.0
    assert formulas.double_spend(0.6, 2, 8) == pytest.approx(followed(0.6, 2, 8, False), abs=1e-9)
    assert formulas.double_spend(0.6, 2, 8) < 1


def test_ties_are_worth_much() -> None:
    assert formulas.double_spend(0.15, 2) == pytest.approx(0.1215)
    assert formulas.double_spend_with_ties(0.15, 2) == pytest.approx(0.2747432)


def revenue(alpha: float, gamma: float, part: float) -> float:
    """Both sides' blocks of one cycle of a selfish miner, from nothing withheld until nothing is withheld again."""
    own = others = 0.0
    beta = 1 - alpha
    states: dict[object, float] = {}

    def go(state: object, chance: float) -> None:
        states[state] = states.get(state, 0.0) + chance

    others += beta
    own += alpha * (1 - part)
    go(1, alpha * part)
    while sum(states.values()) > 1e-13:
        now, states = states, {}
        for state, chance in now.items():
            if state == "tie":
                own += chance * (2 * alpha + beta * gamma)
                others += chance * beta * (gamma + 2 * (1 - gamma))
            elif state == 1:
                go(2, chance * alpha)
                go("tie", chance * beta)
            else:
                assert isinstance(state, int)
                go(state + 1, chance * alpha)
                # Each block of the others is answered: one of ours is safe then, and two at the end.
                own += chance * beta * (2 if state == 2 else 1)
                if state > 2:
                    go(state - 1, chance * beta)
    return own / (own + others)


@pytest.mark.parametrize("alpha", [0.1, 0.25, 0.33, 0.45])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_selfish_revenue_is_what_a_walk_through_all_states_gives(alpha: float, gamma: float) -> None:
    assert formulas.selfish_revenue(alpha, gamma) == pytest.approx(revenue(alpha, gamma, 1.0), abs=1e-9)


@pytest.mark.parametrize("part", [0.05, 0.25, 1.0])
def test_low_hash_revenue_is_what_a_walk_through_all_states_gives(part: float) -> None:
    for alpha in (0.05, 0.2, 0.4):
        found = formulas.selfish_low_hash_revenue(alpha, part)
        assert found == pytest.approx(revenue(alpha, 1 - part / 2, part), abs=1e-9)


def test_selfish_mining_pays_from_its_threshold_on() -> None:
    for gamma, threshold in ((0.0, 1 / 3), (0.5, 1 / 4), (1.0, 0.0)):
        assert formulas.selfish_threshold(gamma) == pytest.approx(threshold)
        if threshold:
            assert formulas.selfish_revenue(threshold, gamma) == pytest.approx(threshold)
            assert formulas.selfish_revenue(threshold - 0.02, gamma) < threshold - 0.02
        assert formulas.selfish_revenue(threshold + 0.02, gamma) > threshold + 0.02


def test_our_tie_rule_pays_selfish_miners_below_the_threshold() -> None:
    assert formulas.selfish_low_hash_revenue(0.15) == pytest.approx(0.1523289)
    assert formulas.selfish_low_hash_revenue(0.20) == pytest.approx(0.2063291)
    assert formulas.selfish_low_hash_revenue(0.01, 0.01) > 0.01  # there is no threshold at all


def test_stale_rate_at_its_ends() -> None:
    assert formulas.stale_rate(2.0, 0.2) == pytest.approx(0.1 / 2.2)
    assert formulas.stale_rate(1.0, 0.0) == 0.0
    assert formulas.stale_rate(1.0, 1e9) == pytest.approx(0.5)  # two chains, of which one is in vain


def test_a_snipe_is_a_walk_of_two_states() -> None:
    q, won, behind = 0.3, 0.0, 1.0
    for _ in range(60):
        tie = behind * q
        won += tie / 2 + tie / 2 * q
        behind = tie / 2 * (1 - q)
    assert formulas.snipe_chance(q) == pytest.approx(won)
