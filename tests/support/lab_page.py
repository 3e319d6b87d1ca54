"""The page of a lab that does attacks as a test says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lab.attack.asked import Asked
from lab.page.app import Feed, create_app, serving_page
from lab.page.controls import Controls
from lab.runner import SPEC
from lab.simulated.tree.lab import TreeLab
from services.settings.table import load_spec

ASKED = Asked("http://127.0.0.1:9/{id}", 2, "0x00000000000000000000000000000000DeaDBeef", wait=0.0, patience=0.0)


@contextmanager
def page(attack: Any) -> Iterator[str]:
    feed = Feed()
    with serving_page(create_app(Controls(TreeLab(2, load_spec(SPEC), 1), {}), feed, {}, attack), feed) as url:
        yield url
