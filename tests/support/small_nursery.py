"""A nursery that imports nothing, for tests of nurseries. TEST_NURSERY_LEAVES has it do what a nursery must not."""

import os
import sys
import threading
import time

from services.launch.nursery_process import serve

_left: list[object] = []


def load() -> None:
    leaves = os.environ.get("TEST_NURSERY_LEAVES")
    if leaves == "a thread":
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    elif leaves == "a file":
        _left.append(open(os.devnull))
    elif leaves == "not before":
        while not os.path.exists(os.environ["TEST_NURSERY_WANTS"]):
            time.sleep(0.01)
    elif leaves == "an error":
        raise ImportError("no such package")


if __name__ == "__main__":
    serve(int(sys.argv[1]), load)
