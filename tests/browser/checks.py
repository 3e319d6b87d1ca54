"""What every page of the explorer must be, in every view."""

from typing import Any

from tests.browser.conftest import Tab


def check(tab: Tab, axe: str, path: str) -> None:
    """The page fits the window, and axe finds nothing wrong with it."""
    page = tab.page
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert over <= 0, f"{path} is {over} pixels too wide"
    # Once in each document, since it takes long. Through the debugger, to which the page's policy does not apply.
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(axe)
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations'], selectors: false})")
    violations = [
        f"{item['id']}: {item['help']}: {node['html'][:160]}" for item in found["violations"] for node in item["nodes"]
    ]
    assert violations == [], f"{path}: {violations}"
