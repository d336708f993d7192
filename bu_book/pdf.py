"""The book as one PDF: Chromium prints the built pages, pypdf joins them in the order of the contents.

The pages are those of the built HTML, so there is one book; what print leaves out (sidebar, buttons, folded code) is
said in `book/_static/book.css` under `@media print`.
"""

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

from . import BuildError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MARGIN = "15mm"

# A link to another page of the book would be one to a file of this machine; the bookmarks lead there.
UNLINK = """() => document.querySelectorAll("a[href]").forEach((a) => {
    if (a.protocol === "file:" && a.pathname !== location.pathname) a.removeAttribute("href");
})"""


def chromium() -> str:
    """The path of an installed Chromium or Chrome; BuildError where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise BuildError(f"the PDF needs Chromium or Chrome, and none of {', '.join(NAMES)} is installed here")
    return found


class _Contents(HTMLParser):
    """The page itself and those that its sidebar links to, in order, with their titles."""

    def __init__(self) -> None:
        super().__init__()
        self.pages = {"index.html": ""}
        self._depth, self._at = 0, ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "nav" and (self._depth or "bd-links" in (given.get("class") or "")):
            self._depth += 1
        elif tag == "h1" and not self.pages["index.html"]:
            self._at = "index.html"
        elif tag == "a" and self._depth:
            self._at = urlsplit(given.get("href") or "").path
            if self._at:
                self.pages.setdefault(self._at, "")
        elif tag == "a":
            self._at = ""  # the sign beside a heading that links to it

    def handle_endtag(self, tag: str) -> None:
        if tag == "nav" and self._depth:
            self._depth -= 1
        elif tag in ("a", "h1"):
            self._at = ""

    def handle_data(self, data: str) -> None:
        if self._at:
            self.pages[self._at] = " ".join((self.pages[self._at] + data).split())


def contents(html: Path) -> dict[Path, str]:
    """The pages of the book whose HTML lies in `html`, in the order of its contents, each with its title."""
    parser = _Contents()
    parser.feed((html / "index.html").read_text(encoding="utf-8"))
    return {html / page: title for page, title in parser.pages.items() if (html / page).is_file()}


@contextmanager
def printer() -> Iterator[Callable[[Path], bytes]]:
    """What prints a file of HTML to a PDF, as Chromium shows it on paper; BuildError without a browser."""
    browser = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser)
        page = opened.new_page(color_scheme="light")
        page.emulate_media(media="print", color_scheme="light")

        def printed(file: Path) -> bytes:
            page.goto(file.resolve().as_uri(), wait_until="load")
            page.evaluate("async () => { await window.MathJax?.startup?.promise; await document.fonts.ready; }")
            page.evaluate(UNLINK)
            return page.pdf(format="A4", margin={"top": MARGIN, "right": MARGIN, "bottom": MARGIN, "left": MARGIN})

        yield printed
        opened.close()


def pdf(html: Path, target: Path, say: Callable[[str], None]) -> Path:
    """Print the built book in `html` to `target`, with a bookmark for each page; BuildError without a browser."""
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter()
    with printer() as printed:
        for file, title in contents(html).items():
            writer.append(PdfReader(io.BytesIO(printed(file))), outline_item=title, import_outline=False)
    writer.add_metadata({"/Title": "Boundary Unlearning: an executable reproduction"})
    writer.write(target)
    say(f"the PDF: {target} ({len(writer.pages)} pages)")
    return target
