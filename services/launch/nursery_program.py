"""The program `python -m services.launch.nursery_program SOCKET MODULE…`: a nursery that has called `load()` of MODULE…

The modules are named and not imported here, since those of the API and the workers lie above this room.
"""

import importlib
import sys
from collections.abc import Sequence

from services.launch.nursery_process import serve
from services.system.loading import unmap_code
from services.system.programs import do_without_rich


def load(modules: Sequence[str]) -> None:
    """Import modules and have each load what it will need."""
    for name in modules:
        importlib.import_module(name).load()
    unmap_code()  # that of the compiler, which has loaded the kernel


if __name__ == "__main__":
    do_without_rich()
    serve(int(sys.argv[1]), lambda: load(sys.argv[2:-1]))  # the last one is room for the commands of its children
