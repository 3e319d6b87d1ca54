"""`/rq` in a browser: Chromium asks for user and password, and takes the admin token."""

from typing import Any

import pytest

from tests.browser.checks import check
from tests.browser.conftest import DESK, PHONE, Scene, Tab
from tests.support.keys import TOKEN


def test_the_token_as_password_opens_the_dashboard(browser: Any, scene: Scene) -> None:
    context = browser.new_context(http_credentials={"username": "anybody", "password": TOKEN}, viewport=DESK)
    try:
        page = context.new_page()
        page.goto(f"{scene.url}/mining")
        page.click("text=the dashboard of the queues")
        page.wait_for_url("**/rq/**")
        page.wait_for_selector("#queues td")
        assert page.title() == "RQ dashboard"
        page.click("text=Quarry: rounds and workers")
        page.wait_for_url("**/mining")
    finally:
        context.close()


@pytest.mark.parametrize("view", [("light", DESK), ("dark", DESK), ("light", PHONE)], ids=["light", "dark", "phone"])
@pytest.mark.parametrize("password", ["", "wrong"])
def test_who_gives_up_reads_where_the_token_is(browser: Any, scene: Scene, axe: str, view: Any, password: str) -> None:
    scheme, viewport = view
    credentials = {"username": "anybody", "password": password}
    context = browser.new_context(http_credentials=credentials, color_scheme=scheme, viewport=viewport)
    try:
        tab = Tab(context.new_page(), scene.url)
        assert tab.page.goto(f"{scene.url}/rq/").status == 401
        assert tab.page.inner_text("h1") == "This needs the admin token"
        check(tab, axe, "/rq/")
    finally:
        context.close()


def test_chromium_asks_for_a_password(browser: Any, scene: Scene) -> None:
    """Without a window to ask in, headless Chromium ends the login; it would show the answer if it saw no challenge."""
    context = browser.new_context(viewport=DESK)
    try:
        with pytest.raises(Exception, match="ERR_INVALID_AUTH_CREDENTIALS"):
            context.new_page().goto(f"{scene.url}/rq/")
    finally:
        context.close()
