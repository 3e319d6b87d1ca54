"""What the images are built from, without a registry: Debian by debootstrap, and the wheels that the locks pin.

Both are kept in a cache directory, so that a second run fetches nothing.
"""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from tests.image import machine
from tests.image.checkout import LOCKS
from tests.image.engine import Engine, Failed
from tests.image.machine import Skipped

SUITE = "trixie"  # as python:3.12-slim is made of
BASE = "quarry-base:local"
WHEELS = "quarry-wheels:local"
_OLDEST = 30 * 86400.0  # seconds; then the base is made again, with Debian's updates
_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def make_base(engine: Engine, cache: Path, work: Path) -> str:
    """Import the base image, and name it also as the Dockerfiles of earlier commits do. Returns what it is.

    Raises:
        Skipped: Debian's mirror does not give it.
    """
    file = cache / f"{SUITE}.tar"
    source = "from the cache"
    if not file.exists() or time.time() - file.stat().st_mtime > _OLDEST:
        _bootstrap(file, cache / "debs", work / "base")
        source = "by debootstrap"
    engine.import_file(file, BASE, f"ENV {_PATH}")
    engine.docker("tag", BASE, "python:3.12-slim")
    engine.require_containers(BASE)
    version = engine.docker("run", "--rm", "--network", "none", BASE, "python", "--version").decode().strip()
    return f"Debian {SUITE} with {version}, {source}"


def _bootstrap(file: Path, debs: Path, root: Path) -> None:
    debs.mkdir(parents=True, exist_ok=True)
    packages = "--include=ca-certificates,python3,python3-venv"
    command = [
        machine.find("debootstrap") or "",
        "--variant=minbase",
        f"--cache-dir={debs}",
        packages,
        SUITE,
        str(root),
    ]
    done = subprocess.run([*command, *_mirror()], capture_output=True, text=True)
    if done.returncode == 0:
        # As the official image has it: Python, with pip, in /usr/local.
        done = subprocess.run(
            ["chroot", str(root), "python3", "-m", "venv", "/usr/local"], capture_output=True, text=True
        )
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise Skipped(f"debootstrap cannot make a base image: {said[-1] if said else done.returncode}")
    if _CA_BUNDLE.exists():  # that of this machine, behind whose proxy pip may have to fetch
        shutil.copy(_CA_BUNDLE, root / _CA_BUNDLE.relative_to("/"))
        (root / "etc/pip.conf").write_text(f"[global]\ncert = {_CA_BUNDLE}\n")
    shutil.rmtree(root / "var/cache/apt", ignore_errors=True)
    shutil.rmtree(root / "var/lib/apt/lists", ignore_errors=True)
    made = file.with_suffix(".new")
    subprocess.run(["tar", "-C", str(root), "-cf", str(made), "."], check=True)
    made.replace(file)
    shutil.rmtree(root)


def _mirror() -> list[str]:
    """The mirror that apt uses here; none: debootstrap's own default."""
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for source in sources:
        if source.is_file():
            found = re.search(r"^(?:URIs:|deb(?: \[.*\])?)\s+(https?://\S+/debian/?)(?:\s|$)", source.read_text(), re.M)
            if found is not None:
                return [found[1]]
    return []


def make_wheels(engine: Engine, checkout: Path, cache: Path) -> str:
    """Import an image that holds the wheels of the locks. Returns how many there are, and whence.

    Raises:
        Failed: the package index does not give them.
    """
    wheels = cache / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    os.chmod(wheels, 0o755)
    source = "from the cache"
    for lock in LOCKS:
        if (checkout / lock).exists():
            download = (
                *(
                    "run",
                    "--rm",
                    "--network",
                    "host",
                    "--volume",
                    f"{checkout}:/locks:ro",
                    "--volume",
                    f"{wheels}:/wheels",
                ),
                *(BASE, "python", "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-cache-dir"),
                *("--require-hashes", "--only-binary", ":all:", "--find-links", "/wheels", "--dest", "/wheels"),
                *("--requirement", f"/locks/{lock}"),
            )
            try:
                engine.docker(*download, "--no-index")
            except Failed:
                engine.docker(*download)
                source = "from the package index"
    engine.import_directory(wheels, WHEELS)
    return f"{len(list(wheels.glob('*.whl')))} wheels, {source}"
