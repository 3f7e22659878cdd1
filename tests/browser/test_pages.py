"""The web pages in a real browser, opened from disk without a network, on a large and on a small
screen."""

import pytest
from checks import try_map
from lab import NOTEBOOKS
from make_site import build, names, read

pytestmark = pytest.mark.browser

PAGES = ["index", *names(NOTEBOOKS)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    build(read(NOTEBOOKS), folder)
    return folder


@pytest.fixture(params=[(1200, "light"), (360, "dark")], ids=["large, light", "small, dark"])
def open_page(request, browser, site):
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    context.set_offline(True)
    problems = []

    def open_page(name):
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text))
        page.on("requestfailed", lambda asked: problems.append(f"failed: {asked.url[:80]}"))
        page.on(
            "request",
            lambda asked: (
                asked.url.startswith(("file:", "data:")) or problems.append(asked.url[:80])
            ),
        )
        page.goto((site / f"{name}.html").as_uri())
        return page

    yield open_page
    context.close()
    assert problems == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_readable_and_its_instruments_move(open_page, serious_findings, name):
    page = open_page(name)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.wait_for_function("!document.querySelector('.instrument:not(.alive)')")
    assert page.locator("figure:visible").count() == 0  # still pictures give way to what moves
    instruments = page.frames[1:]
    assert len(instruments) == page.locator("iframe").count()
    for frame in instruments:
        try_map(frame)
    small = page.viewport_size["width"] < 500  # so the instruments are tested one by one elsewhere
    for frame in page.frames[:1] if small else page.frames:
        assert serious_findings(frame) == []
