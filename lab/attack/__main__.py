"""`python -m lab.attack` is `quarry attack`."""

import sys

from services.system.interrupts import interrupts_end

with interrupts_end():
    from lab.attack.cli import main

main(sys.argv[1:])
