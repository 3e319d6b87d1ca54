"""The stopwatch of the tests (tests/support/stopwatch.py): it runs on while a program waits, and not while it has no
processor.
"""

import os
import subprocess
import sys
import time

from tests.support.processes import alive, linux_only
from tests.support.stopwatch import Stopwatch

BUSY = "import time\nwhile time.process_time() < 0.3: pass"


def test_who_sleeps_is_slow() -> None:
    watch = Stopwatch(os.getpid())
    time.sleep(0.3)
    assert 0.29 < watch.seconds() <= watch.passed()


@linux_only
def test_who_shares_a_processor_is_not() -> None:
    processor = min(os.sched_getaffinity(0))
    pinned = f"import os\nos.sched_setaffinity(0, {{{processor}}})\n"
    with subprocess.Popen([sys.executable, "-c", f"{pinned}while True: pass"]) as rival:
        try:
            with subprocess.Popen([sys.executable, "-c", pinned + BUSY]) as program:
                watch = Stopwatch(program.pid)
                watch.until(lambda: not alive(program.pid), "its end")
                assert watch.waited() > 0.1
                assert watch.seconds() < watch.passed() - 0.1
        finally:
            rival.kill()
