"""The PDF of the smoke book: every chapter is in it, and nothing is cut off at the right."""

import unicodedata
from pathlib import Path

import pytest
from pypdf import PdfReader

from bu_book import pdf as room
from bu_book.execution import BuildError
from bu_book.pdf import contents, pdf
from tests.book.browser import Browser, installed

PRINTED = 680  # CSS pixels of an A4 page between the margins: (210 - 2 * 15) mm at 96 pixels an inch

# The elements of the article that stick out of the printed page, those in a box that scrolls included: paper does not.
CUT = """() => [...document.querySelectorAll(".bd-article *")]
    .filter((e) => e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + 1
        && !e.closest("mjx-assistive-mml, .headerlink"))
    .map((e) => e.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def executable() -> str:
    found = installed()
    if found is None:
        pytest.skip("no Chromium is installed, so nothing is printed")
    return found


def test_the_pdf_has_every_chapter_under_a_bookmark(smoke_book: Path, executable: str, tmp_path: Path):
    chapters = contents(smoke_book)
    assert {"index.html", "method.html", "ledger.html", "extending.html"} <= {page.name for page in chapters}
    reader = PdfReader(pdf(smoke_book, tmp_path / "book.pdf", print))
    assert [item.title for item in reader.outline] == list(chapters.values())
    for item in reader.outline:
        page = reader.pages[reader.get_destination_page_number(item)]
        text = unicodedata.normalize("NFKC", page.extract_text())  # without the ligatures of a font
        assert "".join(item.title.split())[:20] in "".join(text.split())
    links = [note.get_object() for page in reader.pages for note in page.get("/Annots", ())]
    targets = [link["/A"]["/URI"] for link in links if "/URI" in link.get("/A", {})]
    assert any(target.startswith("https:") for target in targets)
    assert [target for target in targets if target.startswith("file:")] == []  # it would name a folder of this machine


def test_nothing_on_paper_is_cut_off(smoke_book: Path, executable: str):
    cut = {}
    with Browser(executable, PRINTED) as browser:
        browser.page.emulate_media(media="print")
        for page in contents(smoke_book):
            if found := browser.open(page).evaluate(CUT):
                cut[page.name] = found
    assert cut == {}


def test_paper_shows_every_run(smoke_book: Path, executable: str):
    with Browser(executable, PRINTED) as browser:
        browser.page.emulate_media(media="print")
        page = browser.open(smoke_book / "entropy.html")
        tabs = page.locator(".sd-tab-content")
        assert tabs.count() > 1
        assert all(tab.is_visible() for tab in tabs.all())


def test_without_a_browser_one_line_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(room, "NAMES", ("no-such-browser",))
    with pytest.raises(BuildError, match="no-such-browser"):
        room.chromium()
