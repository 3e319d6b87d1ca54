"""The hash kernel: which proof of a range makes a valid hash?

`plain` needs only the standard library; `fast` needs the extra `fast` (Numba) and is some thirty times as fast.
Importing this package does not import Numba, which costs a process about 130 MB.

- `plain`: hashlib.
- `scan`: the fast kernel, and `sha256`: the hash function that it compiles.
"""

from typing import Protocol

from worker.kernel.plain import PlainKernel

__all__ = ["Kernel", "choose"]


class Kernel(Protocol):
    """A way to scan proofs. Any two kernels give the same answers."""

    name: str
    note: str  # one line for the log: why this kernel was chosen, and what it lacks

    def warm_up(self) -> None:
        """Compile or load what scanning needs. A worker calls it at its start, before it takes jobs or forks."""
        ...

    def scan(self, prefix: bytes, difficulty: int, start: int, stop: int) -> int | None:
        """Return the smallest valid proof in [start, stop), or None.

        A proof is valid if SHA-256(prefix + its decimal digits), as an integer, times the difficulty is below 2^256.

        A job's time limit is an alarm signal, which Python handles only after native code returns: callers ask
        for at most about half a second's proofs at once.

        Args:
            prefix: any bytes: a seal (64), or under tutorial rules the digits of the last proof. The fast kernel
                leaves a message to the plain one if its end does not fit one block: len(prefix) % 64 + digits > 55.
            difficulty: expected number of hashes, >= 1.
            start, stop: within 0…2^53; the range may be empty.

        Raises:
            ValueError: the difficulty or the range is out of bounds.
        """
        ...


def choose(preference: str = "auto") -> Kernel:
    """The kernel for a setting. A kernel chosen as "auto" is warmed up; `note` says why it is not the fast one.

    Args:
        preference: "auto" (fast where it works, else plain), "plain" or "fast".

    Raises:
        ValueError: another preference.
        ImportError: "fast", and Numba is missing or does not load.
    """
    if preference == "plain":
        return PlainKernel()
    if preference == "fast":
        return _fast()
    if preference != "auto":
        raise ValueError("the kernel is auto, plain or fast")
    try:
        kernel = _fast()
        kernel.warm_up()
    except ModuleNotFoundError as error:
        return PlainKernel(f"{error.name} is not installed: the extra `fast` brings it")
    except Exception as error:  # whatever the compiler raises, mining slowly is better than not at all
        return PlainKernel(f"the fast kernel does not work here: {error}")
    return kernel


def _fast() -> Kernel:
    from worker.kernel.scan import FastKernel  # imports Numba

    return FastKernel()
