"""What every page of the explorer must be, in every view."""

from typing import Any

from tests.browser.conftest import DESK, PHONE, Tab

View = tuple[str, dict[str, int]]  # colour scheme and viewport
LIGHT, DARK, POCKET = ("light", DESK), ("dark", DESK), ("light", PHONE)
VIEWS: tuple[View, ...] = (LIGHT, DARK, POCKET)


def show(tab: Tab, view: View) -> None:
    """Give the page that is open another colour scheme and size."""
    scheme, viewport = view
    tab.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    tab.page.set_viewport_size(viewport)


def check_all(tab: Tab, axe: str, path: str, views: tuple[View, ...] = VIEWS, part: str = "") -> None:
    """`check` the page that is open in each view. It stays in the last one."""
    for view in views:
        show(tab, view)
        check(tab, axe, f"{path} {view[0]} {view[1]['width']}", part)


def check(tab: Tab, axe: str, path: str, part: str = "") -> None:
    """The page fits the window, and axe finds nothing wrong with it.

    Args:
        part: a selector of what axe looks at, where it has looked at the rest of a large page before; "": all.
    """
    page = tab.page
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert over <= 0, f"{path} is {over} pixels too wide"
    # Once in each document, since it takes long. Through the debugger, to which the page's policy does not apply.
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(axe)
    run = "(part) => axe.run(part || document, {resultTypes: ['violations'], selectors: false})"
    found: dict[str, Any] = page.evaluate(run, part)
    violations = [
        f"{item['id']}: {item['help']}: {node['html'][:160]}" for item in found["violations"] for node in item["nodes"]
    ]
    assert violations == [], f"{path}: {violations}"
