"""What the API and the door import, loaded in a nursery from which they are forked (`services.launch.nursery`)."""

import importlib
import sys

# What they import while they run: for names of hosts, for dates, for the processes of an API, for pages.
_LATER = (
    "_strptime", "apispec", "apispec_webframeworks.flask", "encodings.idna", "flask", "glob", "jinja2", "mmap",
    "multiprocessing.popen_fork", "rq_dashboard", "werkzeug", "wsgiref.simple_server", "yaml",
)  # fmt: skip


def load() -> None:
    """Import it all, but `prometheus_client`: that reads its environment then, and each API has a directory of its own
    there.
    """
    import api.app
    import api.cli
    import api.cli.node.processes
    import api.door.server
    import api.server  # noqa: F401 # for the processes that are forked
    from shared.ethereum.encoding import rlp_library

    for name in _LATER:
        importlib.import_module(name)
    rlp_library()
    assert "prometheus_client" not in sys.modules
