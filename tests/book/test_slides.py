"""The slides and the handout: what they take from executed notebooks, and how they open without a network."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from bu_book import slides
from bu_book.build import STEPS
from bu_book.slides import Part
from tests.book.browser import DESKTOP, PHONE, Browser, installed

DRAWING = (
    '<figure><svg role="img" aria-label="a line" viewBox="0 0 9 9"><g id="f0-a"></g><use href="#f0-a"/></svg></figure>'
)


def notebook(folder: Path, name: str) -> Path:
    """An executed notebook with a cell of each kind."""
    markdown = (
        ("title", f"# 1. The step {name}\n\nText that no slide has."),
        ("objective short", "**Aim:** see it. **Time:** 5 minutes."),
        ("question short", "**Before you look:** is $D_{rt}$ above $\\epsilon$? [No](no.md)"),
        ("", "Text that no slide has."),
    )
    cells = []
    for tags, source in markdown:
        cells.append(nbformat.v4.new_markdown_cell(source, metadata={"tags": tags.split()}))
    for tags, kind, shown in (("figure short", "text/html", DRAWING), ("finding", "text/markdown", f"It is *{name}*.")):
        output = nbformat.v4.new_output("display_data", {kind: shown})
        cells.append(nbformat.v4.new_code_cell("draw()", outputs=[output], metadata={"tags": tags.split()}))
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "steps").mkdir()
    for name in STEPS:
        notebook(tmp_path / "steps", name)
    notebook(tmp_path, slides.ON_IMAGES)
    return tmp_path


def test_a_notebook_gives_its_marked_cells(tmp_path: Path):
    found = slides.parts(notebook(tmp_path, "drift"))
    assert [part.kind for part in found] == ["title", "objective", "question", "figure", "finding"]
    assert [part.short for part in found] == [False, True, True, True, False]
    assert found[2].inside == "<p><strong>Before you look:</strong> is <i>D</i><sub>rt</sub> above ε? No</p>\n"
    assert 'id="drift-f0-a"' in found[3].inside and 'href="#drift-f0-a"' in found[3].inside


def test_the_long_talk_has_what_the_short_one_has_and_more(source: Path):
    made = slides.made(source)
    short, long = (made[f"talk-{minutes}.html"] for minutes in (20, 45))
    assert "It is <em>drift</em>" in long and "It is <em>drift</em>" not in short
    assert "It is <em>privacy</em>" not in long, "there is no time for it"
    assert short.count("<section>") < long.count("<section>")
    for page in made.values():
        assert "Text that no slide has" not in page
        assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//|@import|url\(\s*["']?http""", page)


def test_formulas_become_letters():
    assert slides.as_html(r"$(\pm1, \pm1)$, $y_{nbi}$ {cite:p}`key` $$x = 1$$").strip() == (
        "<p>(±1, ±1), <i>y</i><sub>nbi</sub></p>"
    )


def test_steps_are_in_the_order_of_the_contents():
    assert set(slides.order()) == set(STEPS)
    assert slides.order()[0] == "boundary" and slides.order()[-1] == "lasting"


# --- in the browser -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = installed()
    if found is None:
        pytest.skip("no Chromium is installed, so no slide is shown")
    with Browser(found) as opened:
        yield opened


def test_the_keyboard_turns_the_slides(browser: Browser, tmp_path: Path):
    parts = {"drift": [Part("title", "<h1>5. Drift</h1>", False), Part("question", "<p>What is forgotten?</p>", True)]}
    (tmp_path / "talk.html").write_text(slides.talk(20, parts, []))
    seen = browser.visit(tmp_path / "talk.html")
    assert not seen.console_errors and not seen.outside_requests
    shown = browser.page.locator("section.present")
    shown.get_by_text("20 minutes").wait_for(state="visible", timeout=5_000)
    browser.page.keyboard.press("ArrowRight")
    shown.get_by_text("What is forgotten?").wait_for(state="visible", timeout=5_000)


@pytest.mark.book
def test_the_talks_of_the_book_open_and_fit(smoke_book: Path, browser: Browser):
    for minutes in slides.TALKS:
        seen = browser.visit(smoke_book / "_static" / f"talk-{minutes}.html")
        assert not seen.console_errors and not seen.outside_requests and not seen.failed_requests
        total = browser.page.evaluate("Reveal.getTotalSlides()")
        assert minutes / 2 < total < minutes * 1.5
        too_tall = browser.page.evaluate("""() => [...document.querySelectorAll(".slides > section")].map((s, at) => {
            Reveal.slide(at);
            return s.scrollHeight > Reveal.getConfig().height ? `${at}: ${s.scrollHeight}` : null;
        }).filter(Boolean)""")
        assert too_tall == []


@pytest.mark.book
def test_the_handout_is_one_page_of_paper(smoke_book: Path, browser: Browser):
    from pypdf import PdfReader

    seen = browser.visit(smoke_book / "_static" / "handout.html")
    assert not seen.console_errors and not seen.outside_requests
    printed = browser.page.pdf(prefer_css_page_size=True)
    assert len(PdfReader(io.BytesIO(printed)).pages) == 1
    browser.page.set_viewport_size({"width": PHONE, "height": 900})
    assert browser.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    browser.page.set_viewport_size({"width": DESKTOP, "height": 900})
