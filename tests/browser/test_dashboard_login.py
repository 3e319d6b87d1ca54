"""`/rq` in a browser: Chromium asks for user and password, and takes the admin token."""

from typing import Any

import pytest

from services.jobs.queues import MINING, queue
from tests.browser.checks import VIEWS, check_all, show
from tests.browser.conftest import DESK, Scene, Tab
from tests.support.keys import TOKEN


def test_the_token_as_password_opens_the_dashboard(browser: Any, scene: Scene) -> None:
    context = browser.new_context(http_credentials={"username": "anybody", "password": TOKEN}, viewport=DESK)
    try:
        page = context.new_page()
        page.goto(f"{scene.url}/mining")
        page.click("text=the dashboard of the queues")
        page.wait_for_url("**/rq/**")
        page.wait_for_selector("#queues td")
        assert page.title() == "Jobs · Quarry"
        page.click("text=Explorer")
        page.wait_for_selector("#strip")
        page.click("footer >> text=Jobs")
        page.wait_for_selector("#queues td")
        page.click("text=Quarry: rounds and workers")
        page.wait_for_url("**/mining")
    finally:
        context.close()


@pytest.mark.parametrize("password", ["", "wrong"])
def test_who_gives_up_reads_where_the_token_is(browser: Any, scene: Scene, axe: str, password: str) -> None:
    credentials = {"username": "anybody", "password": password}
    context = browser.new_context(http_credentials=credentials, viewport=DESK)
    try:
        tab = Tab(context.new_page(), scene.url)
        assert tab.page.goto(f"{scene.url}/rq/").status == 401
        assert tab.page.inner_text("h1") == "This needs the admin token"
        check_all(tab, axe, "/rq/")
    finally:
        context.close()


def test_its_pages_are_like_the_explorers(browser: Any, scene: Scene, axe: str) -> None:
    """They fit, axe finds nothing, and nothing is said on the console, although the package draws them."""
    with scene.running.redis() as redis:
        job = queue(MINING, redis).enqueue_call("nothing.of.ours", description="a job <b>" + "x" * 300)
    credentials = {"username": "anybody", "password": TOKEN}
    context = browser.new_context(http_credentials=credentials, viewport=DESK)
    try:
        tab = Tab(context.new_page(), scene.url)
        tab.page.on("console", lambda said: said.type in ("error", "warning") and tab.note(said.text))
        tab.page.on("pageerror", lambda error: tab.note(f"error: {error}"))
        for number, (path, drawn) in enumerate(
            (
                ("/rq/", "#queues td >> nth=3"),
                ("/rq/0/view/workers", "#workers td >> nth=3"),
                ("/rq/0/view/jobs/mining/failed/8/asc/1", "#jobs td"),
                (f"/rq/0/view/job/{job.id}", "#job-data p >> nth=3"),
            )
        ):
            show(tab, VIEWS[number % 3])
            tab.open(path)
            tab.page.wait_for_selector(drawn)
            check_all(tab, axe, path)
            assert tab.page.locator("h1").count() == 1, path
        assert tab.problems == []
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
