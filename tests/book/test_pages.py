"""The pages of the smoke book, opened from file:// in headless Chromium with the network off."""

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from tests.book.browser import DESKTOP, PHONE, Browser, installed


@pytest.fixture(scope="module")
def executable() -> str:
    found = installed()
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


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_page_shuts_a_reader_out(smoke_book: Path, executable: str, dark: bool):
    rules = ["color-contrast"] if dark else []  # what else there is to find does not depend on the colours
    with Browser(executable, dark=dark) as browser:
        found = {page.relative_to(smoke_book).as_posix(): browser.barriers(page, rules) for page in pages(smoke_book)}
    assert {page: barriers for page, barriers in found.items() if barriers} == {}


def test_formulas_are_set(smoke_book: Path, browser: Browser):
    page = browser.open(smoke_book / "method.html")
    assert page.locator("mjx-container").count() > 0
    assert page.locator("mjx-merror").count() == 0


def test_search_finds_the_shadow_class(smoke_book: Path, browser: Browser):
    page = browser.open(smoke_book / "search.html", "?q=shadow+class")
    page.locator("#search-results li a[href*='method.html']").first.wait_for(timeout=10_000)


def test_folded_code_opens(smoke_book: Path, browser: Browser):
    page = browser.open(smoke_book / "smoke" / "utility.html")
    folded = page.locator("details.hide")
    assert folded.count() > 3
    assert not page.locator("details.hide[open]").count()
    code = folded.first.locator("pre").first
    assert not code.is_visible()
    folded.first.locator("summary").click()
    code.wait_for(state="visible", timeout=5_000)


def test_no_output_shows_a_warning_or_progress(smoke_book: Path, browser: Browser):
    noisy = []
    for file in pages(smoke_book):
        page = browser.open(file)
        noisy += [(file.name, text) for text in page.locator(".output.stderr, .output.stream").all_inner_texts()]
    assert noisy == []


def test_a_chapter_names_the_command_that_makes_it(smoke_book: Path, browser: Browser):
    page = browser.open(smoke_book / "smoke" / "entropy.html")
    told = page.locator("#make-this-page-again pre").inner_text()
    joined = told.replace("\\\n", "")  # as a shell joins lines
    assert joined.split() == ["papermill", "notebooks/entropy.ipynb", "out.ipynb", "-f", "notebooks/profiles/smoke.yml"]
    link = page.locator("#make-this-page-again a.download").get_attribute("href")
    notebook = nbformat.read((smoke_book / "smoke" / link).resolve(), as_version=4)
    assert any(output for cell in notebook.cells for output in cell.get("outputs", []))
