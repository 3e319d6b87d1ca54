"""Build contexts: this checkout with the strictest modes and with secrets in it, and an earlier commit."""

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from services.system.programs import ROOT
from tests.image.engine import Engine, Failed

LOCKS = ("requirements.lock", "deploy/build.lock", "deploy/fast.lock")
# What must not reach the builder, in directories that the Dockerfile copies.
SECRETS = (
    "api/.env", "services/node1.key", "services/wallet/private.pem", "lab/node_modules/thing/index.js",
    "shared/.git/config", "worker/admin-token", "quarrynode/prod.env", "deploy/private.key", "api/.venv/pyvenv.cfg",
    "services/keystore-1.json", "api/dump.rdb", "lab/mnemonic",
)  # fmt: skip


def strict_copy(destination: Path) -> None:
    """What git would commit of this checkout, as a checkout under umask 077 has it, with secrets lying about."""
    named = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, named.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, destination / name)
    for name in SECRETS:
        (destination / name).parent.mkdir(parents=True, exist_ok=True)
        (destination / name).write_text("a secret\n")
    for place, _, files in os.walk(destination):
        os.chmod(place, 0o700)
        for file in files:
            os.chmod(os.path.join(place, file), 0o600)


def commit(reference: str, destination: Path) -> str | None:
    """A commit's files. Returns the beginning of its hash; None: there is no such commit."""
    found = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", "--short", f"{reference}^{{commit}}"], cwd=ROOT, capture_output=True
    )
    if found.returncode:
        return None
    archive = subprocess.run(["git", "archive", reference], cwd=ROOT, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(destination, filter="data")
    # Modes are part of the key of the builder's cache: with those of `strict_copy`, what equal locks name is installed
    # once. Only the builder reads them, as root.
    for lock in LOCKS:
        if (destination / lock).exists():
            os.chmod(destination / lock, 0o600)
    return found.stdout.decode().strip()


def require_clean_context(engine: Engine, context: Path, work: Path) -> int:
    """The builder gets no secret. Returns how many files it gets.

    Raises:
        Failed: it gets one, or lacks what it should get.
    """
    got = work / "context"
    dockerfile = b"FROM scratch\nCOPY . /\n"
    engine.docker("build", "--file", "-", "--output", f"type=local,dest={got}", str(context), given=dockerfile)
    files = {str(path.relative_to(got)) for path in got.rglob("*") if path.is_file()}
    if carried := sorted(files & set(SECRETS)):
        raise Failed(f"the build context carries {', '.join(carried)}")
    for wanted in ("shared/amounts.py", "api/cli/__init__.py", "requirements.lock", "deploy/users.acl"):
        if wanted not in files and (context / wanted).exists():
            raise Failed(f"the build context lacks {wanted}")
    return len(files)
