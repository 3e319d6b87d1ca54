"""Where two branches of the simulated block tree part."""

from lab.simulated.checker import State


def above(fork: State, state: State) -> list[State]:
    """The blocks from above `fork` up to `state`, oldest first."""
    found = []
    while state is not fork:
        found.append(state)
        assert state.parent is not None, "the fork is on the branch"
        state = state.parent
    return found[::-1]


def fork_of(one: State, other: State) -> State:
    """The last block that two branches have in common."""
    while one is not other:
        if one.block.index >= other.block.index:
            assert one.parent is not None, "all branches begin with genesis"
            one = one.parent
        else:
            assert other.parent is not None, "all branches begin with genesis"
            other = other.parent
    return one
