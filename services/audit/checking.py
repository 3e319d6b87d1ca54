"""The helper process of `ahead`: checks the signatures of blocks until its input ends.

It imports little, since blocks are replayed while it starts.
"""

import pickle
import signal
import sys
from typing import Final

from shared.signatures import check_all

# What it says first.
READY: Final = b"\n"


def main() -> None:
    """Answer batches of blocks, each with a list of answers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which then ends this
    given, answered = sys.stdin.buffer, sys.stdout.buffer
    answered.write(READY)
    answered.flush()
    while True:
        try:
            texts = pickle.load(given)
        except (EOFError, pickle.UnpicklingError):
            return
        pickle.dump([answer for text in texts for answer in check_all(text)], answered)
        answered.flush()


if __name__ == "__main__":
    main()
