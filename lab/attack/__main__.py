"""`python -m lab.attack` is `quarry attack`."""

import sys

from lab.attack.cli import main

main(sys.argv[1:])
