"""`python -m lab.simulated`: see `lab/simulated/schedules.py`."""

import sys

from lab.simulated.schedules import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
