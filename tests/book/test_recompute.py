"""The opening page says what the records hold, computed again without this book's code; see `recompute`."""

import html
import re
import string
from pathlib import Path

import nbformat
import papermill
import pytest

from bu_core.config import PROFILES, read_profile
from tests.book.recompute import Said, front_page

# What the page says of the paper and of chance, and is no result.
NO_RESULTS = ("the paper says 4.8 and 29.7, on CIFAR-10", "guessing is right 50 %", "CVPR 2023")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All that the page shows of CIFAR-10 above the list of the book's runs, in plain text."""
    out = tmp_path_factory.mktemp("page")
    parameters = read_profile("cifar10") | {"beside": ["digits"], "results_dir": str(out / "results")}
    made = out / "index.ipynb"
    papermill.execute_notebook(str(PROFILES.parent / "index.ipynb"), str(made), parameters, progress_bar=False)
    return shown(made)


def shown(notebook: Path) -> str:
    """The outputs of a page up to its last heading of results, with what is told of figures, and without tags."""
    texts = []
    for cell in nbformat.read(notebook, as_version=4).cells:
        if "## The runs of this book" in cell.source:
            break
        for output in cell.get("outputs", []):
            text = output.get("data", {}).get("text/markdown") or output.get("data", {}).get("text/html", "")
            texts += re.findall(r'aria-label="([^"]*)"', text)[:1]
            texts.append(re.sub(r"<svg.*?</svg>|<[^>]*>", "", text, flags=re.DOTALL))
    return re.sub(r"\s+", " ", html.unescape(" ".join(texts)))


def found(each: Said, text: str) -> re.Match[str] | None:
    """Where the page says this, whatever the numbers are."""
    parts = [re.escape(words) + (r"([-+]?[\d.,]*\d)" if name is not None else "")
             for words, name, *_ in string.Formatter().parse(each.words)]  # fmt: skip
    return re.search("".join(parts), text)


@pytest.mark.slow
def test_the_opening_page_holds_what_the_records_hold(page: str):
    rest = page
    for each in front_page():
        there = found(each, page)
        assert there, f"the page does not say: {each}"
        if each.within:
            for number, value in zip(there.groups(), each.values, strict=True):
                assert abs(float(number) - value) <= each.within + 0.5 * (float(number) % 1 == 0), str(each)
        else:
            assert there.group() == str(each)
        rest = rest.replace(there.group(), "", 1)
    for words in NO_RESULTS:
        rest = rest.replace(words, "")
    assert not re.search(r"\d", rest), f"numbers that nobody recomputed: {rest}"


def test_a_number_that_differs_is_found():
    said = Said("leaves {:.1f} % of {:,} images", (12.34, 1000))
    assert str(said) == "leaves 12.3 % of 1,000 images"
    there = found(said, "It leaves 12.4 % of 1,000 images.")
    assert there and there.groups() == ("12.4", "1,000") and there.group() != str(said)
    assert found(said, "It leaves nothing.") is None
