"""`python -m worker worker --queue mining|network`, `… ticker`, and `… state load|dump FILE`; settings from the
environment. `python -m worker miner --url URL …` has none of a node; its voucher is QUARRY_VOUCHER.

`quarry worker`, `quarry ticker` and `quarry miner` replace their process by this program, so `api` and `worker` do not
import each other.
"""

import sys

from services.system.interrupts import INTERRUPTED, interrupts_end

if __name__ == "__main__":
    with interrupts_end():
        from services.system.loading import uncollected
        from services.system.programs import do_without_rich

        do_without_rich()
        with uncollected():
            from worker.programs import main
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:  # before the program has handlers of its own
        sys.exit(INTERRUPTED)
