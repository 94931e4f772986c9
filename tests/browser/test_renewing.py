"""Lists that keep themselves up to date: errors and late answers do no harm, and they say when they have stopped."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
from playwright.sync_api import Error, Page, Route, expect
from sqlalchemy import text

from api.instruments import words
from models.kernel.clock import utc_now
from models.kernel.tenancy import owner_session
from tests.browser.people import Site, run
from tests.instruments.world import run_sql, submit

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
RENEWED_MILLISECONDS = 11_000
ROWS = "**/worklist/rows*"
DAY_MINUTES = 1440
GIVEN_UP = ("htmx:afterRequest", "htmx:sendAbort")


def at_the_list(site: Site) -> Page:
    """A technician before the work list; the page's time passes when the test says so."""
    tech = site.enter("tina", "technician")
    tech.clock.install()
    tech.goto("/worklist")
    return tech


@contextmanager
def held_back(page: Page, address: str) -> Iterator[list[Route]]:
    """Requests to this address wait on their way until the block ends, and then go to the server in order."""
    waiting: list[Route] = []

    def hold(route: Route) -> None:
        waiting.append(route)

    page.route(address, hold)
    yield waiting
    page.unroute(address, hold)
    for route in waiting:
        with suppress(Error):  # the page has given it up
            route.continue_()
    page.wait_for_load_state("networkidle")


def until(page: Page, waiting: list[Route], count: int = 1) -> None:
    """Wait until so many requests are held back."""
    for _ in range(200):
        if len(waiting) >= count:
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"{len(waiting)} requests, not {count}")


def errors_expected(site: Site, *said: str) -> None:
    """Chromium notes each failed request on its console, and htmx those that it gives up for another."""
    site.complaints[:] = [one for one in site.complaints if not any(noise in one for noise in said)]


@contextmanager
def broken_server() -> Iterator[None]:
    """The server has an error of its own for every list."""
    run_sql("ALTER TABLE assignment RENAME COLUMN sample_id TO hidden_sample_id")
    try:
        yield
    finally:
        run_sql("ALTER TABLE assignment RENAME COLUMN hidden_sample_id TO sample_id")


def test_an_error_leaves_the_list_which_goes_on_afterwards(site: Site) -> None:
    (one,) = site.world.order()
    tech = at_the_list(site)
    with broken_server(), tech.expect_response(ROWS) as answer:
        tech.clock.run_for(RENEWED_MILLISECONDS)
    assert answer.value.status == 500
    expect(tech.locator("#poll-trouble")).to_have_text("Stopped: the server answered 500.")
    expect(tech.locator(f"#row-{one}")).to_contain_text("Pending")
    with broken_server():
        tech.locator("#chip-P").click()
        expect(tech.locator("#flash").get_by_role("alert")).to_contain_text("Something went wrong on our side")
    expect(tech.locator(f"#row-{one}")).to_contain_text("Pending")
    assert "{" not in tech.locator("main").inner_text()
    run(submit, assignment_id=one)
    tech.clock.run_for(RENEWED_MILLISECONDS)
    expect(tech.locator(f"#row-{one}")).to_contain_text("Queued")
    expect(tech.locator("#poll-trouble")).to_be_empty()
    errors_expected(site, "status of 500", "Response Status Error")


def test_an_empty_answer_of_a_proxy_is_told_and_takes_nothing_away(site: Site) -> None:
    (one,) = site.world.order()
    tech = at_the_list(site)
    tech.route("**/worklist*", lambda route: route.fulfill(status=502, body=""))
    tech.route(ROWS, lambda route: route.fulfill(status=502, body=""))
    tech.clock.run_for(RENEWED_MILLISECONDS)
    expect(tech.locator("#poll-trouble")).to_have_text("Stopped: the server answered 502.")
    tech.locator("#chip-P").click()
    expect(tech.locator("#flash").get_by_role("alert")).to_contain_text("The server answered 502.")
    expect(tech.locator(f"#row-{one}")).to_be_visible()
    errors_expected(site, "status of 502", "Response Status Error")


def test_a_changed_table_that_comes_before_the_answer_to_a_form_takes_no_box_away(site: Site) -> None:
    first, second, third = site.world.order(3)
    tech = at_the_list(site)
    tech.get_by_label(f"Choose assignment {first}").check()
    tech.get_by_label(f"Choose assignment {second}").check()
    with held_back(tech, "**/worklist/send") as posts:
        tech.get_by_role("button", name="Send chosen").click()
        until(tech, posts)
        run(submit, assignment_id=third)
        tech.clock.run_for(RENEWED_MILLISECONDS)
        expect(tech.locator(f"#row-{third}")).to_contain_text("Queued")
    expect(tech.locator("#flash")).to_contain_text("2 assignments handed over")
    expect(tech.locator("input[name=chosen]")).to_have_count(3)
    run(submit)
    tech.clock.run_for(RENEWED_MILLISECONDS)
    for one in (first, second):  # what was chosen was chosen for sending
        expect(tech.locator(f"#row-{one}")).to_contain_text("Queued")
        expect(tech.get_by_label(f"Choose assignment {one}")).not_to_be_checked()
    expect(tech.locator("input[name=chosen]")).to_have_count(3)


def test_two_rows_sent_one_after_the_other_are_both_sent_and_told(site: Site) -> None:
    first, second = site.world.order(2)
    tech = at_the_list(site)
    with held_back(tech, "**/worklist/send") as posts:
        tech.get_by_role("button", name=f"Send assignment {first}").click()
        tech.get_by_role("button", name=f"Send assignment {second}").click()
        until(tech, posts, 2)
    expect(tech.locator("#flash")).to_contain_text("handed over for sending")
    run(submit)
    assert site.world.states([first, second]) == ["Q", "Q"]


@pytest.mark.parametrize("which", ["the list's own", "the one asked for"])
def test_a_filter_holds_whatever_answer_comes_late(site: Site, which: str) -> None:
    first, second = site.world.order(2)
    run(submit, assignment_id=second)
    tech = at_the_list(site)
    expect(tech.locator(f"#row-{first}")).to_be_visible()
    site.world.order()
    late = ROWS if which == "the list's own" else "**/worklist?state=Q"
    with held_back(tech, late) as waiting:
        if which == "the list's own":
            tech.clock.run_for(RENEWED_MILLISECONDS)
            until(tech, waiting)
            tech.locator("#chip-Q").click()
            expect(tech.locator(f"#row-{first}")).to_be_hidden()
        else:
            tech.locator("#chip-Q").click()
            until(tech, waiting)
            tech.clock.run_for(RENEWED_MILLISECONDS)
            tech.wait_for_timeout(300)
    expect(tech).to_have_url(re.compile(r"state=Q$"))
    expect(tech.locator("#chip-Q")).to_have_attribute("aria-current", "true")
    expect(tech.locator(f"#row-{first}")).to_be_hidden()
    expect(tech.locator(f"#row-{second}")).to_be_visible()
    errors_expected(site, *GIVEN_UP)


def test_of_two_filters_the_later_one_holds(site: Site) -> None:
    first, second = site.world.order(2)
    run(submit, assignment_id=second)
    tech = at_the_list(site)
    with held_back(tech, "**/worklist?state=*") as waiting:
        tech.locator("#chip-P").click()
        tech.locator("#chip-Q").click()
        until(tech, waiting, 2)
    expect(tech).to_have_url(re.compile(r"state=Q$"))
    expect(tech.locator(f"#row-{second}")).to_be_visible()
    expect(tech.locator(f"#row-{first}")).to_be_hidden()
    errors_expected(site, *GIVEN_UP)


def test_enter_on_a_ticked_row_acts_on_no_other(site: Site) -> None:
    ids = site.world.order(3)
    tech = at_the_list(site)
    posts: list[str | None] = []
    tech.on("request", lambda request: posts.append(request.post_data) if request.method == "POST" else None)
    box = tech.get_by_label(f"Choose assignment {ids[0]}")  # the last row
    box.focus()
    tech.keyboard.press("Space")
    expect(box).to_be_checked()
    tech.keyboard.press("Enter")
    tech.wait_for_timeout(500)
    assert posts == []
    tech.get_by_role("button", name="Send chosen").press("Enter")
    expect(tech.locator("#flash")).to_contain_text(f"Assignment {ids[0]} handed over")
    assert len(posts) == 1


def test_the_list_says_when_it_was_brought_up_to_date_and_why_it_stopped(site: Site) -> None:
    (one,) = site.world.order()
    tech = at_the_list(site)
    state, stopped = tech.locator("#poll-state"), tech.locator("#poll-trouble")
    expect(state).to_have_text(re.compile(r"^Last brought up to date \d\d:\d\d\.$"))
    expect(stopped).to_be_empty()
    tech.context.set_offline(True)
    tech.clock.run_for(RENEWED_MILLISECONDS)
    expect(stopped).to_have_text("Stopped: the server cannot be reached.")
    tech.context.set_offline(False)
    tech.clock.run_for(RENEWED_MILLISECONDS)
    expect(stopped).to_be_empty()
    tech.get_by_role("button", name="Pause").click()
    expect(stopped).to_have_text("Stopped: you paused it.")
    tech.clock.run_for(5 * 60_000 + 30_000)
    expect(tech.locator(f"#row-{one} time")).to_have_text("5 min")
    tech.get_by_role("button", name="Paused").click()
    expect(stopped).to_be_empty()
    tech.clock.run_for(11 * 60_000)
    tech.wait_for_load_state("networkidle")
    tech.clock.run_for(RENEWED_MILLISECONDS)
    expect(stopped).to_have_text("Stopped: nobody was here for 10 minutes.")
    run(submit)
    tech.mouse.move(200, 200)
    expect(stopped).to_be_empty()
    expect(tech.locator(f"#row-{one}")).to_contain_text("Queued")  # at once
    errors_expected(site, "ERR_INTERNET_DISCONNECTED", "htmx:afterRequest", "htmx:sendError")


def test_the_browser_tells_ages_as_the_server_does(site: Site) -> None:
    minutes = [0, 1, 59, 60, 61, 119, 120, DAY_MINUTES - 1, DAY_MINUTES, DAY_MINUTES + 60, 3 * DAY_MINUTES + 300]
    tech = at_the_list(site)
    moments = [utc_now() - timedelta(minutes=one, seconds=20) for one in minutes]
    tech.evaluate(
        """moments => document.querySelector("main").append(...moments.map((one) => Object.assign(
            document.createElement("time"), {className: "tried", dateTime: one})))""",
        [one.isoformat() for one in moments],
    )
    tech.evaluate("document.querySelectorAll('.tried').forEach((one) => { one.dataset.age = ''; })")
    tech.clock.run_for(20_000)
    expect(tech.locator(".tried").first).not_to_be_empty()
    assert tech.locator(".tried").all_inner_texts() == [words.age(one) for one in moments]


def test_the_focus_stays_with_the_row_and_closed_filters_stay_closed(site: Site) -> None:
    (one,) = site.world.order()
    tech = at_the_list(site)
    filters = tech.locator("details.filters")
    expect(filters).to_have_attribute("open", "")
    filters.locator("summary").click()
    tech.get_by_role("button", name=f"Send assignment {one}").press("Enter")
    expect(tech.locator("#flash")).to_contain_text("handed over")
    run(submit)
    tech.clock.run_for(RENEWED_MILLISECONDS)
    expect(tech.get_by_role("button", name=f"Fetch the result of assignment {one}")).to_be_focused()
    expect(filters).not_to_have_attribute("open", "")


def test_typing_keeps_the_session_and_tells_when_it_has_ended(site: Site) -> None:
    tech = at_the_list(site)
    tech.goto("/assignments/new")
    run_sql("UPDATE user_session SET last_seen_at = now() - interval '50 minutes'")
    tech.clock.run_for(5 * 60_000)
    with tech.expect_response("**/api/v1/me") as answer:
        tech.get_by_label("Sample").press_sequentially("AB")
    assert answer.value.status == 200
    with owner_session() as session:
        assert session.scalar(text("SELECT now() - last_seen_at < interval '1 minute' FROM user_session"))
    run_sql("UPDATE user_session SET last_seen_at = now() - interval '5 hours'")
    tech.clock.run_for(5 * 60_000)
    tech.get_by_label("Sample").press_sequentially("C")
    expect(tech.locator("#flash").get_by_role("alert")).to_contain_text("Your session has ended")
    errors_expected(site, "status of 401")
