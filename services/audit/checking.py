"""The helper process of `ahead`: checks signatures until its input ends.

Its owner replays blocks, and checks their signatures itself, while this starts. So it loads little: no PyNaCl but its
compiled part (shared/ed25519.py), no pickle and no json, and the code for transactions of Ethereum wallets only with
the first of them. It starts in 20 ms instead of 65.

It is given lists of questions (`shared.signatures.Question`), each in the form of marshal after its length in four
bytes: the other end is the same Python. It answers each with a line, a word for each question.
"""

import marshal
import sys
from collections.abc import Sequence

# What it says first.
READY = b"\n"
# Words of an answer. Others are addresses.
GOOD, BAD = b"1", b"0"
LENGTH_BYTES = 4


def main() -> None:
    """Answer lists of questions."""
    from shared.ed25519 import is_signed

    given, answered = sys.stdin.buffer, sys.stdout.buffer
    answered.write(READY)
    answered.flush()
    while length := given.read(LENGTH_BYTES):
        questions: Sequence[bytes | str] = marshal.loads(given.read(int.from_bytes(length, "little")))
        words = [
            (GOOD if is_signed(question) else BAD) if isinstance(question, bytes) else _sender(question)
            for question in questions
        ]
        answered.write(b" ".join(words) + b"\n")
        answered.flush()


def _sender(raw: str) -> bytes:
    from shared.signatures import sender_of

    return (sender_of(raw) or BAD.decode()).encode()


if __name__ == "__main__":
    main()
