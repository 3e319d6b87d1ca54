"""Which nonces a waiting transaction needs first: those of its account that are neither mined nor in the mempool."""

from collections.abc import Iterable, Sequence

Range = tuple[int, int]  # first and last nonce


def missing_nonces(account_nonce: int, queued: Iterable[int], nonce: int) -> list[Range]:
    """The nonces that are missing before a transaction can be mined, as ranges in ascending order.

    Args:
        account_nonce: the next nonce of the account on the chain.
        queued: the nonces of the account's transactions in the mempool, in any order.
        nonce: of the transaction.
    """
    missing: list[Range] = []
    expected = account_nonce
    for found in sorted({item for item in queued if account_nonce <= item < nonce} | {nonce}):
        if found > expected:
            missing.append((expected, found - 1))
        expected = max(expected, found + 1)
    return missing


def missing_words(missing: Sequence[Range]) -> str:
    """The missing nonces in words, such as "nonces 6-49 of this account"."""
    ranges = [str(first) if first == last else f"{first}-{last}" for first, last in missing]
    one = len(missing) == 1 and missing[0][0] == missing[0][1]
    return f"nonce{'' if one else 's'} {', '.join(ranges)} of this account"
