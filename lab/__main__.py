"""`python -m lab` is `quarry lab`."""

import sys

from services.system.interrupts import interrupts_end

with interrupts_end():
    from lab.cli import main

main(sys.argv[1:])
