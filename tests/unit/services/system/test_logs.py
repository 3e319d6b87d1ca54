"""Log lines: each entry is one line, whatever text strangers put into it."""

import json
import os
import subprocess
import sys

import pytest

from services.system.programs import ROOT
from services.system.visible import is_plain

HOSTILE = "a\r\n2026-01-01T00:00:00Z [info     ] FORGED\x1b[2J\x9b31m\u202e\u2028\ud800\x7f"
SCRIPT = """
import logging, sys, structlog
from services.system import logs
style, hostile = sys.argv[1], sys.argv[2].encode().decode("unicode_escape")
logs.configure("debug", style)
ours, theirs = structlog.get_logger("quarry"), logging.getLogger("rq.worker")
ours.info("peer_refused", reason=hostile, path=[hostile], number=1, none=None, name=b"\\x1b")
ours.warning(hostile, **{"key" + hostile: hostile})
theirs.warning("job %s", hostile)
theirs.error("Traceback\\n  in a job\\n%s", hostile)
try:
    raise ValueError(hostile)
except ValueError:
    ours.exception("bug", error=hostile)
    theirs.exception("failed")
"""


def lines(style: str) -> list[str]:
    written = HOSTILE.encode("unicode_escape").decode()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, style, written],
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm"},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b""
    return done.stderr.decode().removesuffix("\n").split("\n")


def test_lines_for_people_name_what_hides_or_acts() -> None:
    found = lines("console")
    assert all(is_plain(line) for line in found)
    entries = [line for line in found if not line.startswith("    ")]
    assert len(entries) == 6, found  # no other begins a line
    assert not any(line.lstrip().startswith("FORGED") for line in found)
    assert r"FORGED\x1b[2J\x9b31m\u202e\u2028\ud800\x7f" in "".join(found)
    assert any(line.startswith("      File ") for line in found)  # the traceback is there, in its lines


def test_lines_for_machines_are_json_in_ascii() -> None:
    found = lines("json")
    assert len(found) == 6
    assert all(line.isascii() and is_plain(line) for line in found)
    entries = [json.loads(line) for line in found]
    assert entries[0]["reason"] == HOSTILE
    assert entries[2]["event"] == f"job {HOSTILE}"
    assert HOSTILE in entries[4]["exception"] and "ValueError" in entries[5]["exception"]


@pytest.mark.parametrize("style", ["console", "json"])
def test_a_long_value_is_cut_for_people(style: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import structlog\nfrom services.system import logs\nlogs.configure('info', '{style}')\n"
            "structlog.get_logger().info('x', reason='y' * 100_000)",
        ],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    assert (len(done.stderr) > 100_000) == (style == "json")
