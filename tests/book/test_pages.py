"""The pages of the smoke book, opened from file:// in headless Chromium with the network off."""

import shlex
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
    """One for the tests that come last: while it is open no other can be opened."""
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


CUT_NOTES = """() => [...document.querySelectorAll(".bd-article :is(figcaption, .note)")].filter((note) => {
    const box = note.closest("figure, table");
    return box && note.getBoundingClientRect().right > box.getBoundingClientRect().right + 1;
}).map((note) => note.textContent)"""

# The marks behind a formula that stand at the left of where it ends, on the next line.
PARTED = """() => [...document.querySelectorAll(".bd-article span.math")].filter((formula) => {
    const mark = formula.nextSibling;
    if (mark?.nodeType !== Node.TEXT_NODE || !/^[.,;:)]/.test(mark.data)) return false;
    const range = document.createRange();
    range.setStart(mark, 0);
    range.setEnd(mark, 1);
    return range.getBoundingClientRect().right < formula.getBoundingClientRect().right;
}).map((formula) => formula.parentElement.textContent)"""


def test_on_a_phone_no_note_is_cut_and_no_formula_loses_the_mark_behind_it(smoke_book: Path, executable: str):
    with Browser(executable, PHONE) as browser:
        for file in pages(smoke_book):
            page = browser.open(file)
            page.evaluate("document.querySelectorAll('details').forEach((folded) => folded.open = true)")
            assert (file.name, page.evaluate(CUT_NOTES), page.evaluate(PARTED)) == (file.name, [], [])


def test_the_drawing_of_the_rooms_is_legible_on_a_phone(smoke_book: Path, executable: str):
    with Browser(executable, PHONE) as browser:
        texts = browser.open(smoke_book / "building.html").locator("article svg[role=img] text").all()
        assert texts and min(box["height"] for text in texts if (box := text.bounding_box())) > 11


def test_formulas_are_set(smoke_book: Path, browser: Browser):
    page = browser.open(smoke_book / "method.html")
    assert page.locator("mjx-container").count() > 0
    assert page.locator("mjx-merror").count() == 0


def test_search_finds_the_shadow_class(smoke_book: Path, browser: Browser):
    page = browser.open(smoke_book / "search.html", "?q=shadow+class")
    page.locator("#search-results li a[href*='method.html']").first.wait_for(timeout=10_000)


@pytest.mark.parametrize("name", ["the-code-of-this-page", "make-this-page-again"])
def test_the_foot_of_a_page_opens(smoke_book: Path, browser: Browser, name: str):
    folded = browser.open(smoke_book / "utility.html").locator(f"#{name}")
    inside = folded.locator("pre").first
    assert not inside.is_visible()
    folded.locator("summary").click()
    inside.wait_for(state="visible", timeout=5_000)


def test_the_checks_behind_a_verdict_open(smoke_book: Path, browser: Browser):
    folded = browser.open(smoke_book / "entropy.html").locator("table.verdicts details").first
    assert folded.get_attribute("open") is None
    folded.locator("summary").click()
    assert folded.get_attribute("open") is not None


@pytest.mark.parametrize("width", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_keyboard_turns_from_one_run_to_the_other(smoke_book: Path, browser: Browser, width: int):
    browser.page.set_viewport_size({"width": width, "height": 900})
    tabs = browser.open(smoke_book / "entropy.html").locator(".sd-tab-set").first
    first, second = (tabs.locator("> .sd-tab-content").nth(place) for place in range(2))
    assert (first.is_visible(), second.is_visible()) == (True, False)
    tabs.locator("> input").first.focus()
    browser.page.keyboard.press("ArrowRight")
    assert (first.is_visible(), second.is_visible()) == (False, True)
    browser.page.set_viewport_size({"width": DESKTOP, "height": 900})


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_figure_stands_on_the_page_itself(smoke_book: Path, browser: Browser, dark: bool):
    browser.page.emulate_media(color_scheme="dark" if dark else "light")
    page = browser.open(smoke_book / "entropy.html")
    grounds = page.evaluate("""() => {
        const clear = "rgba(0, 0, 0, 0)";
        const ground = (e) => {
            const own = getComputedStyle(e).backgroundColor;
            return own === clear && e.parentElement ? ground(e.parentElement) : own;
        };
        return [...document.querySelectorAll(".bu-block, .bu-block svg, .bd-main h1")].map(ground);
    }""")
    assert len(set(grounds)) == 1
    browser.page.emulate_media(color_scheme="light")


def test_the_letters_of_a_figure_stay_legible_on_a_phone(smoke_book: Path, browser: Browser):
    browser.page.set_viewport_size({"width": PHONE, "height": 900})
    drawn = browser.open(smoke_book / "entropy.html").locator("figure > svg").first.bounding_box()
    assert drawn is not None
    assert drawn["width"] > 500  # and its box scrolls, which `test_every_page_opens_without_a_fault` sees
    browser.page.set_viewport_size({"width": DESKTOP, "height": 900})


def test_no_output_shows_a_warning_or_progress(smoke_book: Path, browser: Browser):
    noisy = []
    for file in pages(smoke_book):
        page = browser.open(file)
        noisy += [(file.name, text) for text in page.locator(".output.stderr, .output.stream").all_inner_texts()]
    assert noisy == []


def test_a_chapter_names_the_command_that_makes_it(smoke_book: Path, browser: Browser):
    page = browser.open(smoke_book / "entropy.html")
    told = page.locator("#make-this-page-again pre").text_content()
    joined = told.replace("\\\n", "")  # as a shell joins lines
    command = ["papermill", "notebooks/entropy.ipynb", "out.ipynb", "-f", "notebooks/profiles/smoke.yml", "-y"]
    assert shlex.split(joined)[:-1] == command
    link = page.locator("#make-this-page-again a.download").get_attribute("href")
    notebook = nbformat.read((smoke_book / link).resolve(), as_version=4)
    assert any(output for cell in notebook.cells for output in cell.get("outputs", []))
