"""One look for every figure and table of the book, in light and in dark.

A figure is drawn once, on no ground, with INK for what is black on paper and PAPER for what is white. `as_svg` turns
the two into the colours that the page has, so the same drawing serves both modes and stays sharp at any width.
"""

import html
import io
import itertools
import re
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from bu_core.measures import Interval
from bu_core.results import Estimate
from bu_core.unlearning import METHODS

INK, PAPER = "#010203", "#fcfdfe"  # no other colour of the book, so that they can be told apart in a drawing
GREY = "#808080"  # legible on white and on black

SET_TITLES = {"remain_train": "D_r", "forget_train": "D_f", "remain_test": "D_rt", "forget_test": "D_ft"}


def title(model: str) -> str:
    """How a model is called: the original, or what its method says of itself."""
    return "Original" if model == "original" else METHODS[model].title


def colour(model: str) -> str:
    """The one colour of a model, in every figure."""
    return INK if model == "original" else METHODS[model].colour


def use_style() -> None:
    """The book's style for every figure drawn after this call."""
    edge = {name: INK for name in ("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color")}
    clear = {name: "none" for name in ("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor")}
    sns.set_theme(
        context="notebook",
        style="whitegrid",
        rc={
            **edge,
            **clear,
            "axes.titleweight": "bold",
            "figure.dpi": 110,
            "font.family": "DejaVu Sans",
            "grid.alpha": 0.3,
            "grid.color": GREY,
            "legend.edgecolor": "none",
            "savefig.dpi": 160,  # of what is drawn as pixels inside an SVG
            "svg.fonttype": "path",
        },
    )


_drawn = itertools.count()

NARROW = 4  # inches: a figure up to this width is drawn for a phone, which shows it whole; a wider page shows it larger


def as_svg(figure: Figure, alt: str) -> str:
    """A figure as an SVG element for a page, named by `alt` for those who cannot see it; the figure is closed."""
    kept = io.StringIO()
    figure.savefig(kept, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None})
    plt.close(figure)
    drawing = kept.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.S)
    drawing = drawing.replace(INK, "currentColor").replace(PAPER, "var(--pst-color-background, white)")
    mark = f"f{next(_drawn)}-"  # ids are one name space for the whole page
    drawing = re.sub(r'\bid="([^"]+)"', rf'id="{mark}\1"', drawing)
    drawing = re.sub(r'(xlink:href="#|url\(#)', rf"\1{mark}", drawing)
    drawing = re.sub(r'<svg ([^>]*?)width="[\d.]+pt" height="[\d.]+pt"', r"<svg \1", drawing, count=1)
    narrow = figure.get_figwidth() <= NARROW
    width = int(figure.get_figwidth() * 72 / 0.75 * (1.5 if narrow else 1))
    opening = f'<svg role="img" aria-label="{html.escape(alt)}" style="width:100%;max-width:{width}px;height:auto" '
    return opening + ('class="narrow" ' if narrow else "") + drawing[len("<svg ") :]


def as_figure(figure: Figure, caption: str, alt: str) -> str:
    """A figure with its caption, plain text, as HTML."""
    return f"<figure>{as_svg(figure, alt)}<figcaption>{sets_named(caption)}</figcaption></figure>"


# --- tables -------------------------------------------------------------------------------------------------------


def as_table(frame: pd.DataFrame, note: str = "") -> Styler:
    """A table as every page shows it; its cells are HTML. A wide one scrolls in its own frame on a narrow screen.

    `note`: plain text to stand beneath it.
    """
    table = frame.style.set_table_attributes('class="results"')
    if note:
        beneath = "caption-side: bottom; text-align: left; font-style: italic"
        caption = f'<span class="note">{sets_named(note)}</span>'
        table = table.set_caption(caption).set_table_styles([{"selector": "caption", "props": beneath}])
    return table


def set_title(part: str) -> str:
    """The name of one of the four sets, as HTML."""
    letter, subscript = SET_TITLES[part].split("_")
    return f"<i>{letter}</i><sub>{subscript}</sub>"


def number(value: float | None, form: str = ".1f") -> str:
    """A number as text, and – where there is none."""
    return "–" if value is None else format(value, form)


def three_digits(value: float) -> str:
    """A number with three digits that count, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def all_of(names: Sequence[str]) -> str:
    """Some names as a sentence has them: "one, two and three"."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def with_ends(found: Estimate, form: str = ".1f") -> str:
    """A number and below it the ends of its interval, as HTML; – where there is none."""
    if found.value is None or found.low is None or found.high is None:
        return found.shown(form)
    return f"{found.value:{form}}<br><small>{found.low:{form}}&nbsp;to&nbsp;{found.high:{form}}</small>"


def with_half(found: Interval, form: str = ".1f") -> str:
    """A mean and half the width of its interval on one line, as HTML."""
    return found.shown(form).replace(" ± ", "&nbsp;±&nbsp;")


def sets_named(text: str) -> str:
    """Plain text as HTML, with the names of the four sets as they are printed."""
    return re.sub(r"\bD_(rt|ft|r|f)\b", r"<i>D</i><sub>\1</sub>", html.escape(text, quote=False))


# --- text from outside --------------------------------------------------------------------------------------------


def in_html(text: Any) -> str:
    """A name from outside, such as that of a folder, as HTML that says just that."""
    return html.escape(str(text))


def in_markdown(text: Any) -> str:
    """The same for Markdown: no character of it is markup, mathematics or a directive."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|~$<>&:@^=])", lambda found: f"&#{ord(found.group(1))};", str(text))


def in_figure(text: Any) -> str:
    """The same for a figure: a dollar sign opens no formula."""
    return str(text).replace("$", r"\$")
