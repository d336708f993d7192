"""Slides and a handout from the executed notebooks: a file of HTML each, with all that it needs inside.

A cell's tags say what it is: `title`, `objective`, `question`, `figure` or `finding`; `short` marks what the short talk
shows. What a cell computed is shown as it is on its page. reveal.js, which turns the slides, comes from a package and
goes into the file, so that a talk can be carried on a stick and given without a network.
"""

import html
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
SHOWN = ("title", "objective", "question", "figure", "finding")
TALKS = {20: "short", 45: ""}  # minutes, and the tag of the cells that are shown; all for none
LEFT_OUT = {20: (), 45: ("privacy",)}  # the steps that a talk has no time for
ON_IMAGES = "audit"  # the chapter whose figure ends a talk


@dataclass(frozen=True)
class Part:
    """What a slide shows: the `kind` of its cell, one of SHOWN, as HTML; `short`: whether the short talk has it."""

    kind: str
    inside: str
    short: bool


def made(source: Path) -> dict[str, str]:
    """The talks and the handout, by file name, from the executed notebooks that are staged in `source`."""
    steps = {name: parts(source / "steps" / f"{name}.ipynb") for name in order()}
    on_images = [part for part in parts(source / f"{ON_IMAGES}.ipynb") if part.kind == "figure"][:1]
    talks = {f"talk-{minutes}.html": talk(minutes, steps, on_images) for minutes in TALKS}
    return talks | {"handout.html": handout(steps)}


def order() -> list[str]:
    """The steps in the order of the contents."""
    contents = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
    pages = [page["file"] for part in contents["parts"] for page in part["chapters"]]
    return [page.removeprefix("steps/") for page in pages if page.startswith("steps/")]


def parts(notebook: Path) -> list[Part]:
    """What an executed notebook has for slides, in its order."""
    found = []
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        tags = cell["metadata"].get("tags", [])
        for kind in (tag for tag in tags if tag in SHOWN):
            for inside in _inside(cell):
                # A drawing's names are its own on a page, and here several pages meet.
                inside = re.sub(r'((?:\bid="|href="#|url\(#))f(\d+-)', rf"\1{notebook.stem}-f\2", inside)
                found.append(Part(kind, inside, "short" in tags))
    return found


def _inside(cell: dict) -> Iterator[str]:
    """The HTML that a cell shows: its text, or its outputs."""
    if cell["cell_type"] == "markdown":
        yield as_html("".join(cell["source"]))
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "text/html" in data:
            yield "".join(data["text/html"])
        elif "text/markdown" in data:
            yield as_html("".join(data["text/markdown"]))


_LETTERS = {"epsilon": "ε", "pm": "±", "cdot": "·", "nabla": "∇", "mathrm": ""}


def as_html(markdown: str) -> str:
    """Markdown as HTML without links and citations; simple formulas as letters, and displayed ones left out."""
    from markdown_it import MarkdownIt

    text = re.sub(r"\$\$.*?\$\$", "", markdown, flags=re.S)
    text = re.sub(r" ?\{[\w:]+\}`[^`]*`", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\$([^$\n]+)\$", lambda formula: _letters(formula.group(1)), text)
    return MarkdownIt("commonmark", {"html": True}).render(text)


def _letters(formula: str) -> str:
    plain = re.sub(r"\\([a-z]+) ?", lambda name: _LETTERS.get(name.group(1), name.group(1)), formula)
    plain = plain.replace(r"\;", " ")
    plain = re.sub(r"_\{?(\w+)\}?", r"<sub>\1</sub>", plain)
    return re.sub(r"\b([A-Za-z])(?=<sub>)", r"<i>\1</i>", plain)


# --- talks --------------------------------------------------------------------------------------------------------

_STYLE = """
:root { color-scheme: light dark; --pst-color-background: #fff; --pst-color-text-base: #111; }
@media (prefers-color-scheme: dark) { :root { --pst-color-background: #14181e; --pst-color-text-base: #eee; } }
body, .reveal-viewport { background: var(--pst-color-background); color: var(--pst-color-text-base); }
body { font-family: sans-serif; }
.reveal { font-size: 30px; line-height: 1.35; }
.reveal .slides section { text-align: left; color: inherit; }
.reveal h1 { font-size: 1.6em; font-weight: bold; margin: 0 0 0.5em; }
.reveal strong { font-weight: bold; }
.reveal em { font-style: italic; }
.reveal :is(p, ul) { margin: 0 0 0.6em; }
.reveal ul { padding-left: 1.2em; }
.reveal :is(sub, sup) { font-size: 0.7em; vertical-align: sub; }
.reveal .question { font-size: 1.25em; }
.reveal figure { margin: 0; }
.reveal figure svg { max-width: 100% !important; max-height: 30rem; }
.reveal :is(figcaption, .movable-caption) { font-size: 0.6em; margin-top: 0.5em; }
.reveal .movable { max-width: none; display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; font-size: 0.7em; }
.reveal .movable > :is(svg, table) { grid-column: 2; grid-row: 1 / 3; max-height: 30rem; }
.reveal .movable-controls { align-self: start; }
.reveal .progress { color: #0072b2; }
.reveal .controls { color: inherit; }
"""


def talk(minutes: int, steps: dict[str, list[Part]], on_images: Sequence[Part]) -> str:
    """The slides of a talk: a question, a figure and a finding, step by step, and a figure of images at the end."""
    wanted = TALKS[minutes]
    slides = [f"<h1>Boundary Unlearning, step by step</h1><p>{minutes} minutes</p>"]
    for name, shown in steps.items():
        chosen = [part for part in shown if part.kind != "title" and (not wanted or part.short)]
        if name in LEFT_OUT[minutes] or not chosen:
            continue
        heading = next(re.findall(r"<h1>.*?</h1>", part.inside) for part in shown if part.kind == "title")[0]
        slides += [(heading if part.kind == "objective" else "") + _slide(part) for part in chosen]
    slides += ["<h1>And among images?</h1>" + _slide(part) for part in on_images]
    sections = "\n".join(f"<section>{slide}</section>" for slide in slides)
    reveal = _dist("reveal.js")
    start = "Reveal.initialize({ hash: true, controls: true, progress: true, center: true, transition: 'none' });"
    return _page(
        f"Boundary Unlearning in {minutes} minutes",
        _dist("reset.css") + _dist("reveal.css") + _own("movable.css") + _STYLE,
        f'<div class="reveal"><div class="slides">{sections}</div></div>',
        reveal, _own("movable.js"), start,
    )  # fmt: skip


def _slide(part: Part) -> str:
    return f'<div class="{part.kind}">{_without_time(part.inside)}</div>'


def _without_time(inside: str) -> str:
    """An aim without the time that its step takes: that of a reader with the notebook, and not of a talk."""
    return re.sub(r" *<strong>Time:.*?(?=</p>)", "", inside)


def _dist(name: str) -> str:
    """A file of reveal.js, without the address of its map, which is not there."""
    text = (files("sphinx_revealjs") / "_static" / "revealjs" / "dist" / name).read_text(encoding="utf-8")
    return re.sub(r"(//|/\*)# sourceMappingURL=\S+( \*/)?", "", text)


def _own(name: str) -> str:
    return (ROOT / "book" / "_static" / name).read_text(encoding="utf-8")


def _page(title: str, style: str, body: str, *scripts: str) -> str:
    inside = "".join("<script>" + script.replace("</script", r"<\/script") + "</script>" for script in scripts)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{style}</style></head>\n<body>{body}{inside}</body></html>\n"
    )


# --- the handout --------------------------------------------------------------------------------------------------

_PAPER_STYLE = """
@page { size: A4; margin: 11mm; }
:root { --pst-color-background: #fff; }
body { max-width: 188mm; margin: 1rem auto; padding: 0 0.5rem; background: #fff; color: #111;
  font: 8.4pt/1.3 sans-serif; }
@media print { body { margin: 0; padding: 0; } }
h1 { font-size: 14pt; margin: 0 0 1.5mm; }
h2 { font-size: 9.5pt; margin: 2mm 0 0.5mm; break-after: avoid; }
p, ul { margin: 0 0 1mm; }
ul { padding-left: 4mm; }
figure { margin: 1mm 0; text-align: center; }
figure svg { max-width: 120mm !important; }
figcaption { font-size: 7.5pt; }
main { columns: 2; column-gap: 7mm; }
@media screen and (max-width: 40rem) { main { columns: 1; } }
"""


def handout(steps: dict[str, list[Part]]) -> str:
    """One printed page: the question of the book in a picture, and of each step its aim and what was found."""
    picture = next(part.inside for part in steps["drift"] if part.kind == "figure")
    blocks = []
    for shown in steps.values():
        heading = next(re.findall(r"<h1>(.*?)</h1>", part.inside) for part in shown if part.kind == "title")[0]
        aim = "".join(_without_time(part.inside) for part in shown if part.kind == "objective")
        found = "".join(part.inside for part in shown if part.kind == "finding")
        blocks.append(f"<h2>{heading}</h2>{aim}{found}")
    title = "Boundary Unlearning on one page"
    body = f"<h1>{title}</h1>{picture}<main>{''.join(blocks)}</main>"
    return _page(title, _PAPER_STYLE, body)
