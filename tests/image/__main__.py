"""The images and the cluster on a real engine: `python -m tests.image [--previous COMMIT] [--cache DIR] [--host URL]`.

Builds both images, upgrades a cluster of an earlier commit, kills, scales, stops, restores. Starts an engine of its
own, as root, and leaves the machine as it was. The last line says how many containers were healthy, or why the test was
skipped, which is no error; exit code 1: an image or the cluster is not as it should be.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from tests.image import machine
from tests.image.engine import Engine, Failed, own_engine
from tests.image.machine import Skipped
from tests.image.steps import Test

_PORTS = [f"NODE{number}_{kind}" for number in (1, 2, 3) for kind in ("PORT", "RPC_PORT")]
_PORTS += ["EDGE_HTTP_PORT", "EDGE_HTTPS_PORT"]


def main(arguments: list[str]) -> int:
    """Parse the command line, test, and say what was found."""
    parser = argparse.ArgumentParser("python -m tests.image", description=__doc__)
    parser.add_argument("--previous", default="HEAD~1", help="the commit whose cluster is upgraded")
    parser.add_argument("--cache", type=Path, default=_cache(), help="what debootstrap and pip fetched before")
    parser.add_argument("--host", default="", help="the address of an engine that runs (unix:, tcp:), in place of ours")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _end)
    work = Path(tempfile.mkdtemp(prefix="quarry-image-"))
    try:
        with ExitStack() as stack:
            if given.host:
                engine = Engine(given.host)
            else:
                machine.require(work)
                (work / "engine").mkdir()
                engine = stack.enter_context(own_engine(work / "engine"))
            given.cache.mkdir(parents=True, exist_ok=True)
            last = Test(engine, work, given.cache.absolute(), given.previous, machine.free_ports(_PORTS)).run()
        print(last, flush=True)
    except Skipped as reason:
        print(f"skipped: the cluster was not run on an engine, since {reason}", flush=True)
    except Failed as error:
        print(f"FAILED: {error}", flush=True)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quarry-image"


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)  # so that everything is undone


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
