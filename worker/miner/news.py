"""Hears of new tips, so that no work is done for an old one."""

import random

from worker.miner.board import Board
from worker.miner.door import Away, LeaseDoor

# The node sends a comment every ten seconds.
_SILENCE_SECONDS = 30.0
_LONGEST_PAUSE = 30.0


def hear(door: LeaseDoor, board: Board) -> None:
    """Put each new tip on the board, until the miner is told to stop. Without news the miner goes on: reports tell it
    too, though later.
    """
    pause = 0.5
    while not board.is_stopping:
        try:
            for height, tip in door.tips(_SILENCE_SECONDS):
                board.hear(height, tip)
                pause = 0.5
                if board.is_stopping:
                    return
        except Away:
            board.forget_tip()  # it may be out of date
            if board.wait(pause * random.uniform(0.5, 1.0)):
                return
            pause = min(_LONGEST_PAUSE, 2 * pause)
