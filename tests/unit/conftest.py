"""Fixtures of the unit tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of whoever runs the tests, and a data home of the test's own."""
    for name in list(os.environ):
        if name.startswith("QUARRY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("QUARRY_DATA_HOME", str(tmp_path / "home"))
