"""Every page in a real browser: both colour schemes, desk and phone, no complaint of browser or axe.

A page is loaded in one view, of which pages take turns, and then shown in all: loading takes longer than looking.
"""

from typing import Any

import pytest

from api.headers import CONTENT_POLICY
from tests.browser.checks import LIGHT, VIEWS, check, check_all, show
from tests.browser.conftest import PHONE, Scene, Tab
from tests.support.keys import ALICE, TOKEN


def paths(scene: Scene) -> list[str]:
    return [
        "/", "/block/2", "/block/latest", f"/block/{scene.fork[0]}", f"/tx/{scene.confirmed}", f"/tx/{scene.waiting}",
        f"/address/{ALICE.address}", "/pool", "/network", "/mining", "/learn", "/send", "/?before=5", "/miners",
        "/token/0x0000000000000000000000000000000000005eed", "/supply", "/search?q=0x2", "/join/AB-CDE",
    ]  # fmt: skip


@pytest.mark.timeout(300)  # three views, on a busy machine
def test_pages_fit_and_are_accessible(tab: Tab, scene: Scene, axe: str) -> None:
    for number, path in enumerate(paths(scene)):
        show(tab, VIEWS[number % 3])
        tab.open(path)
        check_all(tab, axe, path)


def test_missing_pages_fit_and_are_accessible(tab: Tab, axe: str) -> None:
    for number, path in enumerate(
        ("/block/0x0", "/token/0x12", "/block/99999", "/search?q=%3Cscript%3Ealert(1)%3C/script%3E" + "x" * 150)
    ):
        show(tab, VIEWS[number % 3])
        tab.open(path)
        check_all(tab, axe, path)
        assert any("404" in item for item in tab.problems)  # Chromium tells the console of every 404
        tab.problems.clear()


@pytest.mark.parametrize("tab", [("light", PHONE)], indirect=True)
def test_on_a_phone_tables_are_cards_and_drawings_scroll_with_a_hint(tab: Tab, scene: Scene) -> None:
    for path in ("/", "/block/latest", f"/address/{ALICE.address}", "/pool", "/network", "/supply", "/miners"):
        tab.open(path)
        cells = tab.page.locator(".cards td[data-label]")
        assert cells.count() > 0, path
        name = cells.first.evaluate("(cell) => getComputedStyle(cell, '::before').content")
        assert name == f'"{cells.first.get_attribute("data-label")}"', path
        over = (
            "(boxes) => boxes.filter((box) => box.querySelector('.cards') && box.scrollWidth > box.clientWidth).length"
        )
        assert tab.page.locator(".scroll").evaluate_all(over) == 0, path
    tab.open("/network")
    assert tab.page.locator(".fork .hint").first.is_visible()
    assert tab.page.locator(".fork .scroll").first.evaluate("(box) => box.scrollWidth > box.clientWidth")


def test_at_a_desk_tables_are_tables_and_need_no_hint(tab: Tab) -> None:
    tab.open("/network")
    assert tab.page.locator(".cards thead").first.is_visible() and tab.page.locator(".fork .hint").first.is_hidden()
    assert tab.page.locator("table").first.evaluate("(table) => getComputedStyle(table).display") == "table"


def test_axe_would_notice(tab: Tab, axe: str) -> None:
    tab.open("/")
    tab.page.evaluate("document.querySelector('.wordmark').replaceChildren()")
    with pytest.raises(AssertionError, match="link-name"):
        check(tab, axe, "/")


def test_the_policy_is_in_force(tab: Tab) -> None:
    tab.open("/")
    tab.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(1)>')")
    tab.page.wait_for_timeout(200)
    assert any("Content Security Policy" in item for item in tab.problems)
    assert not any(item.startswith("dialog") for item in tab.problems)
    tab.problems.clear()


def test_hostile_text_runs_and_hides_nothing(tab: Tab, scene: Scene) -> None:
    tab.open(f"/tx/{scene.confirmed}")
    memo = tab.page.locator(".memo")
    assert "<script>alert(1)</script>" in memo.inner_text() and "U+202E" in memo.inner_text()
    assert tab.page.locator(".memo img, .memo script").count() == 0


def test_everything_is_reached_by_keyboard_and_shows_its_focus(tab: Tab) -> None:
    tab.open("/")
    keyboard, seen = tab.page.keyboard, []
    for _ in range(14):
        keyboard.press("Tab")
        seen.append(
            tab.page.evaluate(
                "(() => { const e = document.activeElement; const s = getComputedStyle(e);"
                " return [e.textContent.trim() || e.id, s.outlineStyle !== 'none']; })()"
            )
        )
    assert seen[0][0] == "Skip to the content" and all(shown for _, shown in seen)
    assert {"Chain", "Mempool", "Mining", "Network", "Learn", "Send", "search", "theme"} <= {name for name, _ in seen}


def test_the_search_field_is_one_key_away(tab: Tab) -> None:
    tab.open("/mining")
    tab.page.keyboard.press("/")
    tab.page.keyboard.type("2")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url("**/block/2")


def test_the_theme_is_chosen_and_kept(tab: Tab) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    tab.open("/")
    light = tab.page.evaluate(ground)
    tab.page.click("#theme")
    dark = tab.page.evaluate(ground)
    tab.open("/pool")
    assert tab.page.evaluate(ground) == dark != light
    tab.page.click("#theme")
    assert tab.page.evaluate(ground) == light


def test_pages_can_be_read_without_scripts(browser: Any, scene: Scene) -> None:
    context = browser.new_context(java_script_enabled=False, viewport=PHONE)
    page = context.new_page()
    for path in ("/", "/mining", "/learn/anatomy", "/send"):
        page.goto(scene.url + path)
        assert page.locator("h1").count() == 1
    assert "need scripts" in page.goto(scene.url + "/send").text() or "needs scripts" in page.content()
    context.close()


@pytest.mark.timeout(300)  # three views, on a busy machine
def test_the_endpoints_are_drawn_in_groups_can_be_tried_and_are_accessible(tab: Tab, axe: str) -> None:
    """All on one page, since a large script draws it for seconds."""
    tab.page.goto(tab.url + "/docs#operations-tag-Blocks", wait_until="commit")
    tab.page.wait_for_selector(".opblock")
    document: dict[str, Any] = tab.page.evaluate("fetch('/openapi.json').then((answer) => answer.json())")
    assert tab.page.locator(".opblock").count() == sum(len(item) for item in document["paths"].values())
    groups = tab.page.locator("#index li a")
    for number in range(groups.count()):
        target = groups.nth(number).get_attribute("href")
        assert target and tab.page.locator(target).count() == 1, target
    assert groups.last.inner_text() == "Aliases"
    submit = tab.page.locator(".opblock", has=tab.page.locator('[data-path="/transactions/new"]'))
    for view in VIEWS:
        check_all(tab, axe, "/docs", (view,))
        submit.locator(".opblock-summary-control").focus()
        tab.page.keyboard.press("Enter")
        submit.get_by_role("button", name="Try it out").click()
        assert '"for lunch"' in submit.locator("textarea").input_value()
        submit.get_by_role("button", name="Execute").click()
        submit.locator(".live-responses-table .response-col_status", has_text="400").wait_for()
        assert "insufficient_funds" in submit.locator(".live-responses-table").inner_text()
        check(tab, axe, "/docs", ".opblock.is-open")
        assert len(tab.problems) == 1 and "400" in tab.problems.pop()  # Chromium tells the console of every 400
        submit.get_by_role("button", name="Clear").click()  # as it was, for the next view
        submit.get_by_role("button", name="Cancel").click()
        submit.locator(".opblock-summary-control").focus()
        tab.page.keyboard.press("Enter")
    show(tab, LIGHT)
    healthz = tab.page.locator(".opblock", has=tab.page.locator('[data-path="/healthz"]'))
    healthz.locator(".opblock-summary-control").click()
    healthz.get_by_role("button", name="Try it out").click()
    healthz.get_by_role("button", name="Execute").click()
    healthz.locator(".live-responses-table .response-col_status", has_text="200").wait_for()
    assert tab.problems == []


@pytest.mark.timeout(300)  # three views, on a busy machine
@pytest.mark.parametrize("tab", [("light", PHONE)], indirect=True)
def test_the_admin_token_is_sent_by_the_tab_and_kept_nowhere(tab: Tab, axe: str) -> None:
    page = tab.page
    page.goto(tab.url + "/docs", wait_until="commit")
    page.wait_for_selector(".opblock")
    names = page.locator(".opblock.opblock-delete", has=page.locator('[data-path="/names"]'))
    names.locator(".opblock-summary-control").first.click()
    names.get_by_role("button", name="Try it out").click()

    def answered(status: str) -> None:
        names.get_by_role("button", name="Execute").click()
        names.locator(".live-responses-table .response-col_status", has_text=status).wait_for()

    answered("401")
    page.get_by_role("button", name="Authorize").first.click()
    field = page.get_by_label("Admin token")
    assert field.get_attribute("type") == "password" and field.get_attribute("autocomplete") == "off"
    check_all(tab, axe, "/docs", part=".dialog-ux")  # the test above has looked at the rest
    field.fill(TOKEN)
    form = page.locator("form", has_text="adminToken")
    form.get_by_role("button", name="Apply credentials").click()
    page.get_by_role("dialog").get_by_role("button", name="Close").last.click()
    answered("404")  # nobody has given the address of the example a name
    kept = page.evaluate(
        "[JSON.stringify(localStorage), JSON.stringify(sessionStorage), document.cookie, location.href]"
    )
    assert TOKEN not in "".join(kept) and page.context.cookies() == []
    policy = page.request.get(tab.url + "/docs").headers["content-security-policy"]
    assert policy == f"{CONTENT_POLICY}; img-src 'self' data:"
    page.reload(wait_until="commit")
    page.wait_for_selector(".opblock")
    names.locator(".opblock-summary-control").first.click()
    names.get_by_role("button", name="Try it out").click()
    answered("401")
    assert all("401" in item or "404" in item for item in tab.problems)  # Chromium tells the console of them
    tab.problems.clear()
