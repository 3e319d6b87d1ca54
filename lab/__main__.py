"""`python -m lab` is `quarry lab`."""

import sys

from lab.cli import main

main(sys.argv[1:])
