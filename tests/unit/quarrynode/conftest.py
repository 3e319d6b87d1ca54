"""A command that stands in for `quarry`, so that starting a node takes no time."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from quarrynode import QuarryNode
from services.system.programs import ROOT

FAKE = (sys.executable, "-P", str(ROOT / "tests" / "support" / "fake_quarry.py"))


class Fake:
    """Nodes whose command is the stand-in."""

    def __init__(self, directory: Path) -> None:
        self._log = directory / "log.json"

    def environment(self, mode: str = "") -> dict[str, str]:
        return {"FAKE_QUARRY": mode, "FAKE_LOG": str(self._log)}

    def node(self, mode: str = "", **options: Any) -> QuarryNode:
        environment = self.environment(mode) | options.pop("environment", {})
        return QuarryNode(FAKE, environment=environment, **options)

    def log(self) -> Any:
        """The arguments, environment and pid of the last start."""
        return json.loads(self._log.read_text())

    def has_started(self) -> bool:
        return self._log.exists() and self._log.read_text().endswith("}")


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)
