"""The program `python -m lab.real.nursery SOCKET`: it forks the processes of a lab's nodes (`services.launch.nursery`).

It does not import `prometheus_client`, which reads its environment then: each API has a directory of its own there.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping

from services.launch.nursery import Nursery
from services.launch.nursery_process import serve
from services.system.loading import unmap_code
from services.system.programs import do_without_rich

MODULE = "lab.real.nursery"
# What the programs import while they run: for names of hosts, for dates, for the processes of an API, for pages.
_LATER = (
    "_strptime", "apispec", "apispec_webframeworks.flask", "encodings.idna", "flask", "glob", "jinja2", "mmap",
    "multiprocessing.popen_fork", "rq_dashboard", "werkzeug", "wsgiref.simple_server", "yaml",
)  # fmt: skip


def start_nursery(environment: Mapping[str, str] | None = None) -> Nursery:
    """A nursery for the processes of nodes.

    Args:
        environment: all of its own, None for ours. QUARRY_KERNEL in it names the kernel that it makes ready.
    """
    return Nursery(MODULE, environment)


def load() -> None:
    """Import what API, door, workers and ticker need, and compile or load the hash kernel."""
    import api.app
    import api.cli
    import api.cli.node.processes
    import api.door.server
    import api.server  # noqa: F401 # for the processes that are forked
    import worker.jobs.network
    import worker.jobs.search
    import worker.process
    import worker.programs
    import worker.ticker
    from shared.ethereum.encoding import rlp_library

    for name in _LATER:
        importlib.import_module(name)
    rlp_library()
    worker.process.ready_kernel(os.environ.get("QUARRY_KERNEL") or "auto")
    assert "prometheus_client" not in sys.modules
    unmap_code()  # that of the compiler, which has loaded the kernel


if __name__ == "__main__":
    do_without_rich()
    serve(int(sys.argv[1]), load)
