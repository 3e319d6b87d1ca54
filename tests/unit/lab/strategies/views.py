"""Views for tests of single strategies: what a miner sees, written in a line."""

from lab.strategy import Known, View


def block(height: int, *, mine: bool = False, name: str = "8", fees: int = 0, payments: tuple[str, ...] = ()) -> Known:
    """A block at `height`. Each has a work of 100; `name` is the first digit of its hash."""
    hash = f"{name}{height:x}".ljust(64, "0")
    return Known(hash, height, 100 * height, mine, fees, f"parent of {hash}", payments)


def view(
    *, fork: int = 10, public: int = 10, own: int = 0, published: int = 0, names: str = "", heard: Known | None = None
) -> View:
    """A public branch up to height `public` and an own one of `own` blocks; they part at height `fork`.

    Args:
        names: the first digits of the own blocks' hashes; the public ones have an 8.
        heard: the block in question; None: the own tip, or else the public one.
    """
    names = names or "7" * own
    private = tuple(block(fork + 1 + i, mine=True, name=names[i]) for i in range(own))
    tip = block(public)
    asked = heard or (private[-1] if private else tip)
    return View(heard if heard and heard.height == public else tip, block(fork), private, published, asked)
