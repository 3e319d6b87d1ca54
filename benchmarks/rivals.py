"""Other development chains for comparison: installed with npm, started with the same accounts, stopped at the end."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.node import free_port
from benchmarks.rpc_client import Target
from services.system.programs import scrubbed

_PHRASE = "test test test test test test test test test test test junk"


@contextmanager
def installed(package: str, say: Callable[[str], None]) -> Iterator[Path]:
    """Install a package into a directory of its own; yield the directory.

    Raises:
        RuntimeError: npm is missing, or cannot install it.
    """
    if shutil.which("npm") is None:
        raise RuntimeError("npm is not installed")
    with TemporaryDirectory(prefix="quarry-bench-") as directory:
        say(f"installing {package}")
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-save", "--loglevel=error", package]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise RuntimeError(f"npm cannot install {package}")
        yield Path(directory)


@contextmanager
def started(name: str, directory: Path) -> Iterator[tuple[int, int]]:
    """Run a rival with the development accounts; yield its port and chain id."""
    port = free_port()
    program = str(directory / "node_modules" / ".bin" / name)
    if not Path(program).exists():
        raise RuntimeError(f"the package has no program {name} for this machine")
    command = {
        "anvil": [program, "--port", str(port), "--silent", "--mnemonic", _PHRASE],
        "ganache": [program, "--server.port", str(port), "--logging.quiet", "--wallet.mnemonic", _PHRASE],
    }[name]
    process = subprocess.Popen(
        command, env=scrubbed(os.environ), cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        target = Target(name, port, "/", 0, "", 0)
        deadline = time.monotonic() + 60
        while True:
            try:
                chain_id = int(target.call("eth_chainId"), 16)
                break
            except (OSError, RuntimeError, ValueError):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{name} did not start") from None
                time.sleep(0.1)
        yield port, chain_id
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
