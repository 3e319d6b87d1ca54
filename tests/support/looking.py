"""A program that prints what it finds around itself and exits with 3, for tests of how programs are started."""

import gc
import json
import os
import signal
import sys
import threading
from pathlib import Path

child = os.fork()
if child == 0:
    os._exit(7)
main = sys.modules["__main__"]
print(
    json.dumps(
        {
            "arguments": [sys.argv, sys.orig_argv[-4:]],
            "main": [main.__name__, getattr(main.__spec__, "name", None), getattr(main, "__file__", None)],
            "environment": dict(sorted(os.environ.items())),
            "directory": os.getcwd(),
            "path": sys.path,
            "flags": str(sys.flags),
            "leads": os.getsid(0) == os.getpgid(0) == os.getpid(),
            "umask": os.umask(0o77),
            "main thread": threading.main_thread() is threading.current_thread()
            and threading.get_native_id() == os.getpid(),
            "threads": [threading.active_count(), len(os.listdir("/proc/self/task"))],
            "files": {
                name: os.readlink(f"/proc/self/fd/{name}")
                for name in sorted(os.listdir("/proc/self/fd"))
                if os.path.exists(f"/proc/self/fd/{name}")
            },
            "handlers": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals()) if number < 32],
            "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
            "collects": gc.isenabled(),
            "buffers": [sys.stdout.line_buffering, sys.stderr.line_buffering, sys.stdout.encoding],
            "forks": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]),
            "limits": Path("/proc/self/limits").read_text(),
            "command seen": Path("/proc/self/cmdline").read_bytes().rstrip(b"\0").decode(),
            "environment seen": sorted(Path("/proc/self/environ").read_bytes().rstrip(b"\0").decode().split("\0")),
            "name seen": Path("/proc/self/comm").read_text(),
        }
    ),
    flush=True,
)
print("an error", file=sys.stderr)
sys.exit(3)
