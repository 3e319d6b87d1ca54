"""The Makefile makes its virtual environment, and makes it again if a first try left a broken one."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from services.system.programs import ROOT

# A python that has `venv` and `pip` if the test says so, and records its arguments.
FAKE = """#!/bin/sh
echo "$0 $*" >> "{log}"
case "$*" in
  *sys.version_info*) exit {version} ;;
  "-m venv --clear .venv") rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python; [ -e "{ensurepip}" ] ;;
  "-m pip --version") [ -e .venv/with-pip ] || {{ [ -e "{ensurepip}" ] && touch .venv/with-pip; }} ;;
  "-m pip install"*) [ -e .venv/with-pip ] && [ ! -e no-index ] ;;
  *) exit 0 ;;
esac
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


class Checkout:
    """A directory with our Makefile and a python of the test's."""

    def __init__(self, directory: Path, version: int = 0) -> None:
        self.directory = directory
        self.ensurepip = directory / "ensurepip"
        self.log = directory / "log"
        shutil.copy(ROOT / "Makefile", directory)
        (directory / "pyproject.toml").touch()
        self.python = directory / "python3"
        self.python.write_text(FAKE.format(log=self.log, ensurepip=self.ensurepip, version=version))
        self.python.chmod(0o755)

    def make(self, target: str = ".venv/.installed-run") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", f"PYTHON={self.python}", target],
            cwd=self.directory,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.mark.parametrize("target", [".venv/.installed-run", ".venv/.installed-dev"])
def test_the_second_make_recovers_from_a_first_without_ensurepip(tmp_path: Path, target: str) -> None:
    checkout = Checkout(tmp_path)
    first = checkout.make(target)
    assert first.returncode != 0
    assert "python3-venv" in first.stdout
    assert not (tmp_path / ".venv").exists(), "what cannot be used is not left behind"
    checkout.ensurepip.touch()
    second = checkout.make(target)
    assert second.returncode == 0, second.stdout + second.stderr
    assert (tmp_path / target).exists()


@pytest.mark.parametrize("target", [".venv/.installed-run", ".venv/.installed-dev"])
def test_an_installation_that_fails_ends_make_and_is_tried_again(tmp_path: Path, target: str) -> None:
    checkout = Checkout(tmp_path)
    checkout.ensurepip.touch()
    (tmp_path / "no-index").touch()
    assert checkout.make(target).returncode != 0
    assert not (tmp_path / target).exists()
    (tmp_path / "no-index").unlink()
    assert checkout.make(target).returncode == 0
    extras = {".venv/.installed-run": "[fast]", ".venv/.installed-dev": "[test,fast,bench,browser]"}
    assert f"-e .{extras[target]}" in checkout.log.read_text()


def test_an_environment_without_pip_that_is_there_is_made_anew(tmp_path: Path) -> None:
    """As earlier versions of the Makefile left it, or a `python -m venv` by hand."""
    checkout = Checkout(tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    shutil.copy(checkout.python, tmp_path / ".venv/bin/python")
    (tmp_path / ".venv/leftover").touch()
    checkout.ensurepip.touch()
    (tmp_path / ".venv/bin/python").write_text("#!/bin/sh\necho 'No module named pip' >&2; exit 1\n")
    assert checkout.make().returncode == 0
    assert not (tmp_path / ".venv/leftover").exists()


def test_an_environment_whose_python_has_gone_is_made_anew(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to("/nowhere/python3")
    checkout.ensurepip.touch()
    assert checkout.make().returncode == 0


def test_a_good_environment_is_left_alone(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    checkout.ensurepip.touch()
    assert checkout.make().returncode == 0
    checkout.log.write_text("")
    (tmp_path / "pyproject.toml").touch()
    os.utime(tmp_path / "pyproject.toml", (2**31, 2**31))
    assert checkout.make().returncode == 0
    asked = checkout.log.read_text()
    assert "pip install" in asked, "the dependencies may have changed"
    assert "venv --clear" not in asked


def test_a_python_that_will_not_do_is_named(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path, version=1)
    checkout.ensurepip.touch()
    result = checkout.make()
    assert result.returncode != 0
    assert "Quarry needs Python 3.11 to 3.13" in result.stdout
    assert not (tmp_path / ".venv").exists()


def test_the_versions_are_the_same_everywhere() -> None:
    assert 'requires-python = ">=3.11,<3.14"' in (ROOT / "pyproject.toml").read_text("utf-8")
    for name in ("README.md", "CONTRIBUTING.md", "Makefile"):
        assert "Python 3.11 to 3.13" in (ROOT / name).read_text("utf-8"), name
