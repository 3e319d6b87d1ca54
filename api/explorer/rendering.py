"""How a page is rendered: what every page shows besides its own content, and the pages for what is missing or fails."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from flask import Response, render_template, url_for

from api.access import current_node
from api.errors import asks_for_page, problem
from services.clocks import waiting_words
from services.connections.servers import RedisError
from services.settings.table import Settings
from services.system.about import VERSION

STATIC = Path(__file__).parent / "static"
_HTML = "text/html"
_NOT_THERE = "There is no such thing on this node."


def render_page(
    name: str,
    json_url: str,
    context: dict[str, Any],
    *,
    live: bool = False,
    status: int = 200,
    with_store: bool = True,
    section: str = "",
) -> Response:
    """A page. Without `with_store`, nothing more is read from the store, which may not answer.

    Args:
        json_url: where the JSON behind the page is; "" if there is none.
        section: the entry of the navigation that the page belongs to, if it is not `name`.
    """
    settings: Settings = current_node().settings
    now = current_node().clock.now()
    until = current_node().rounds.waits_until() if with_store else None
    body = render_template(
        f"explorer/{name}.html",
        page=section or name,
        json_url=json_url,
        live=live,
        settings=settings,
        spec=settings.spec,
        has_accounts=current_node().rules.has_accounts,
        version=VERSION,
        asset=asset_url,
        now=now,
        mining_waits=None if until is None else waiting_words(until, now),
        fault=_fault() if with_store else "",
        **context,
    )
    return Response(body, status, mimetype=_HTML)


def _fault() -> str:
    """The warning that every page shows if the stored state is wrong; "" if there is none."""
    try:
        found = current_node().faults.read()
    except RedisError:
        return ""
    return "" if found is None else found.sentence


def render_missing(kind: str, asked: str, reason: str = "") -> Response:
    """The answer 404: for browsers a page that says what was asked for, for programs a problem."""
    if not asks_for_page():
        return problem(404, f"unknown_{kind}" if kind != "search" else "nothing_found", reason or _NOT_THERE)
    return render_page(
        "missing", "/status", {"kind": kind, "asked": asked, "reason": reason}, status=404, with_store=False
    )


def render_failure(status: int, code: str, sentence: str, field: str | None = None) -> Response:
    """The answer to what cannot be shown: for browsers a page, for programs a problem."""
    if not asks_for_page():
        return problem(status, code, sentence, field)
    return render_page("failed", "/healthz", {"status": status, "sentence": sentence}, status=status, with_store=False)


def asset_url(name: str) -> str:
    """Where browsers load a file from, by its path below `STATIC`."""
    return url_for("explorer.asset", name=name, v=digests()[name])


@cache
def digests() -> dict[str, str]:
    """Path of a file below `STATIC` -> first 12 digits of its SHA-256."""
    return {
        path.relative_to(STATIC).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        for path in STATIC.rglob("*")
        if path.is_file()
    }
