"""A recording as one HTML file that needs no server and no network."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

import api.explorer
from lab.recording import Event

HERE = Path(__file__).parent
EXPLORER = Path(api.explorer.__file__).parent / "static"
_STYLES = (EXPLORER / "explorer.css", HERE / "static" / "lab.css")
# The scripts of a page that holds its recording, each after those that it imports.
_SCRIPTS = ("history.js", "drawing.js", "player.js", "recorded.js")
_IMPORT = re.compile(r"^import .*?;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)


def templates() -> jinja2.Environment:
    return jinja2.Environment(loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True)


def exported(events: Sequence[Event]) -> str:
    """The page of a complete recording."""
    begin = events[0].fields
    return (
        templates()
        .get_template("page.html")
        .render(
            title=str(begin["scenario"]).replace("_", " ").capitalize(),
            eyebrow=f"{begin['world']} world, seed {begin['seed']}",
            lead=f"A recording of {begin['nodes']} nodes, {events[-1].t:.0f} s long.",
            footer="Made by quarry lab export. This file needs no server and loads nothing.",
            live=False,
            inlined={
                "style": "\n".join(path.read_text("utf-8") for path in _STYLES),
                "script": _bundle(),
                "recording": _embedded([event.to_object() for event in events]),
            },
        )
    )


def _bundle() -> str:
    """The scripts as one module: their imports name each other, so names are unique and order is enough."""
    texts = [(HERE / "static" / name).read_text("utf-8") for name in _SCRIPTS]
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", text)) for text in texts)


def _embedded(value: Any) -> str:
    """JSON that cannot end the script element that holds it."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
