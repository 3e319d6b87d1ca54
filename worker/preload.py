"""What workers and the ticker import, loaded in a nursery from which they are forked (`services.launch.nursery`)."""

import os


def load() -> None:
    """Import it all, and compile or load the hash kernel: the one that QUARRY_KERNEL names, or the fastest."""
    import worker.jobs.network
    import worker.jobs.search
    import worker.programs
    import worker.ticker  # noqa: F401 # for the processes that are forked
    from worker.process import ready_kernel

    ready_kernel(os.environ.get("QUARRY_KERNEL") or "auto")
