"""What the images are built from, without a registry: Debian by debootstrap, and the wheels that the locks pin.

Both are kept in a cache directory, so that a second run fetches nothing.
"""

import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.image import machine
from tests.image.checkout import LOCKS
from tests.image.engine import Engine, Failed
from tests.image.machine import Skipped

SUITE = "trixie"  # as python:3.12-slim is made of
BASE = "quarry-base:local"
WHEELS = "quarry-wheels:local"
NGINX = "nginx:stable"  # as the Dockerfile names it
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


def make_nginx(engine: Engine, cache: Path, work: Path) -> str:
    """Import Debian's nginx under the name that docker-compose.yml gives to the proxy's base. Returns what it is.

    Raises:
        Skipped: Debian's mirror does not give it.
    """
    file, source = cache / f"{SUITE}-nginx.tar", "from the cache"
    if not file.exists() or time.time() - file.stat().st_mtime > _OLDEST:
        _install(file, cache / f"{SUITE}.tar", work / "nginx")
        source = "by apt"
    engine.import_file(file, NGINX, f"ENV {_PATH}")
    said = engine.docker("run", "--rm", "--network", "none", NGINX, "sh", "-c", "nginx -v 2>&1").decode().strip()
    return f"{said.rpartition(' ')[2]}, {source}"


def _install(file: Path, base: Path, root: Path) -> None:
    """Make a tar file of a base and nginx, which apt installs in it."""
    root.mkdir()
    subprocess.run(["tar", "-C", str(root), "-xpf", str(base)], check=True)
    name, *_ = [*_mirror(), "http://deb.debian.org/debian"]
    (root / "etc/apt/sources.list").write_text(f"deb {name} {SUITE} main\n")
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    (root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")  # nothing is started here
    (root / "usr/sbin/policy-rc.d").chmod(0o755)
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "PATH": _PATH.removeprefix("PATH=")}
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    for command in (
        "update -q",
        "install -q --yes --no-install-recommends nginx-light curl",
    ):
        done = subprocess.run(
            ["chroot", str(root), "apt-get", *command.split()], env=quiet | proxies, capture_output=True, text=True
        )
        if done.returncode:
            said = (done.stdout + done.stderr).strip().splitlines()
            raise Skipped(f"apt cannot install nginx in an image: {said[-1] if said else done.returncode}")
    for part in ("var/cache/apt", "var/lib/apt/lists"):
        shutil.rmtree(root / part, ignore_errors=True)
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

    pip looks through the wheels of before, unless it has done so for the same locks and the same base. The build checks
    the digest of each in any case.

    Raises:
        Failed: the package index does not give them.
    """
    wheels, known = cache / "wheels", cache / "wheels-looked-through"
    wheels.mkdir(parents=True, exist_ok=True)
    os.chmod(wheels, 0o755)
    locks = [checkout / lock for lock in LOCKS if (checkout / lock).exists()]
    source = "from the cache"
    if not known.exists() or known.read_text() != looked_through(locks, wheels, cache / f"{SUITE}.tar"):
        for lock in locks:
            source = _download(engine, lock, wheels) or source
        known.write_text(looked_through(locks, wheels, cache / f"{SUITE}.tar"))
    engine.import_directory(wheels, WHEELS)
    return f"{len(list(wheels.glob('*.whl')))} wheels, {source}"


def looked_through(locks: Sequence[Path], wheels: Path, base: Path) -> str:
    """A digest of what pip's answer depends on: the locks, the wheels by name and size, and the Python of the base."""
    said = hashlib.sha256()
    for lock in locks:
        said.update(hashlib.sha256(lock.read_bytes()).digest())
    for name, size in sorted((wheel.name, wheel.stat().st_size) for wheel in wheels.iterdir()):
        said.update(f"{name} {size}\n".encode())
    said.update(f"{base.stat().st_size} {base.stat().st_mtime_ns}".encode())
    return said.hexdigest()


def _download(engine: Engine, lock: Path, wheels: Path) -> str:
    """Have pip look for a lock's wheels, first among those of before. Returns whence they are, if not from there."""
    download = (
        *("run", "--rm", "--network", "host", "--volume", f"{lock.parent}:/locks:ro", "--volume", f"{wheels}:/wheels"),
        *(BASE, "python", "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-cache-dir"),
        *("--require-hashes", "--only-binary", ":all:", "--find-links", "/wheels", "--dest", "/wheels"),
        *("--requirement", f"/locks/{lock.name}"),
    )
    try:
        engine.docker(*download, "--no-index")
        return ""
    except Failed:
        engine.docker(*download)
        return "from the package index"
