"""The pages of the smoke book, opened from file:// in headless Chromium with the network off."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .browser import DESKTOP, PHONE, Browser, chromium


@pytest.fixture(scope="module")
def executable() -> str:
    found = chromium()
    if found is None:
        pytest.skip("no Chromium is installed, so the pages are not opened")
    return found


@pytest.fixture(scope="module")
def browser(executable: str) -> Iterator[Browser]:
    with Browser(executable) as opened:
        yield opened


def pages(book: Path) -> list[Path]:
    return [page for page in sorted(book.rglob("*.html")) if "_static" not in page.relative_to(book).parts]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_page_opens_without_a_fault(smoke_book: Path, executable: str, width: int, dark: bool):
    faults = {}
    with Browser(executable, width, dark) as browser:
        for page in pages(smoke_book):
            seen = {name: fault for name, fault in vars(browser.visit(page)).items() if fault}
            if seen:
                faults[page.relative_to(smoke_book).as_posix()] = seen
    assert not faults


def test_formulas_are_set(smoke_book: Path, browser: Browser):
    page = browser.open(smoke_book / "method.html")
    assert page.locator("mjx-container").count() > 0
    assert page.locator("mjx-merror").count() == 0


def test_search_finds_the_shadow_class(smoke_book: Path, browser: Browser):
    page = browser.open(smoke_book / "search.html", "?q=shadow+class")
    page.locator("#search-results li a[href*='method.html']").first.wait_for(timeout=10_000)
