"""What a chapter's notebook works with: its own run, those that stand beside it, and how results reach the page.

    page = Page.open()                      # the notebook's parameters decide which runs
    found = page.measure(timing.measure)    # one result a run
    page.figure(timing.time_per_method, found, caption="...", alt="...")

Where a record lacks a result, the page says so in its place and goes on.
"""

import ast
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

import pandas as pd
from IPython import get_ipython
from IPython.display import HTML, Markdown, display
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from bu_core.config import Config
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import Metrics, metrics
from bu_core.experiment.record import NotRecorded
from bu_core.models import ONE_WIDTH
from bu_core.results import as_json

from . import claims
from .gaps import in_words, named
from .replicates import beside
from .style import as_figure, as_table, in_html, in_markdown, sets_named, title, use_style

Result = TypeVar("Result")

MODEL_TITLES = {
    "allcnn": "All-CNN",
    "allcnn_groupnorm": "All-CNN with GroupNorm",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
}


@dataclass(frozen=True)
class Found(Generic[Result]):
    """One result a run, by the run's title, the page's own first; `missing`: why a run has none."""

    results: dict[str, Result]
    missing: dict[str, NotRecorded | claims.CannotTest]
    own_title: str

    @property
    def own(self) -> Result | None:
        """The result of the page's own run; None where its record lacks it."""
        return self.results.get(self.own_title)

    @property
    def why_not_own(self) -> str:
        """Why the page's own run has no result: a sentence, as HTML and Markdown alike."""
        return _why([self.missing[self.own_title]])

    def without(self, reasons: Mapping[str, claims.CannotTest]) -> "Found[Result]":
        """The same, but of some runs no result, for these reasons."""
        results = {name: result for name, result in self.results.items() if name not in reasons}
        return Found(results, self.missing | dict(reasons), self.own_title)


class Page:
    """The runs of a page by their titles, its own first."""

    def __init__(self, config: Config):
        use_style()
        self.runs = {run_title(config): Experiment(config)}
        for profile in config.beside:
            other = beside(config, profile)
            name = run_title(other)
            self.runs[name if name not in self.runs else f"{name} ({Path(other.results_dir).name})"] = Experiment(other)
        self.own_title, self.own = next(iter(self.runs.items()))

    @classmethod
    def open(cls) -> "Page":
        """The page of the running notebook."""
        return cls(notebook_config())

    def measure(
        self,
        ask: Callable[[Experiment], Result],
        also: Callable[[Experiment], Sequence[Experiment]] = lambda run: (),
    ) -> Found[Result]:
        """What every run answers to a question; `also`: variations of it with another network, asked as well.

        A run that raises NotRecorded or CannotTest has no answer, and the page says why. A variation that is not
        recorded is left out.
        """
        runs = {}
        for name, run in self.runs.items():
            runs[name] = run
            runs |= {f"{name}: {MODEL_TITLES.get(each.config.model, each.config.model)}": each for each in also(run)}
        results = {}
        missing: dict[str, NotRecorded | claims.CannotTest] = {}
        for name, run in runs.items():
            try:
                results[name] = ask(run)
            except NotRecorded as reason:
                if name in self.runs:
                    missing[name] = reason.with_traceback(None)  # which would keep all that the question held
            except claims.CannotTest as reason:
                missing[name] = reason.with_traceback(None)
        return Found(results, missing, self.own_title)

    def metrics(self) -> Found[Metrics]:
        """The metrics of every run."""
        return self.measure(metrics)

    # --- what is shown --------------------------------------------------------------------------------------------

    def introduce(self) -> None:
        """Which run this is, which stand beside it, and which models diverged."""
        found = self.metrics()
        if found.own is None:
            _lacking(found)
            return
        others = [in_markdown(name) for name in self.runs if name != self.own_title]
        beside = f" *Beside it:* {', '.join(others)}." if others else ""
        lines = [f"*This page:* {run_in_words(found.own)}{beside}"]
        if found.own.diverged:
            names = ", ".join(title(name) for name in found.own.diverged)
            lines.append(f"**Diverged:** {names}. Their outputs are not finite, so no number of them is shown.")
        display(Markdown("\n\n".join(lines)))

    def figure(
        self,
        draw: Callable[[Result], Figure | None],
        found: Found[Result],
        *,
        caption: str | Callable[[Result], str],
        alt: str,
        none: str = "",
        folded: str = "",
    ) -> None:
        """A figure of every run, in tabs. `alt` tells who cannot see it what it shows.

        The `caption` is plain text, or a function that writes it of a run; `none`: what to say, as plain text, of runs
        of which there is no figure. `folded`: the line of plain text that the figure folds out from; "" for unfolded.
        """

        def drawn(result: Result) -> str | None:
            if (figure := draw(result)) is None:
                return None
            return as_figure(figure, caption if isinstance(caption, str) else caption(result), alt)

        tabs = _tabs({name: drawn(result) for name, result in found.results.items()}, found, none)
        _show(f"<details><summary>{sets_named(folded)}</summary>{tabs}</details>" if folded else tabs)

    def table(
        self, make: Callable[[Result], Styler | None], found: Found[Result], *, none: str = "", folded: str = ""
    ) -> None:
        """A table of every run, in tabs; `none`: what to say, as plain text, of runs of which there is no table.

        `folded`: the line of plain text that the table folds out from; "" for unfolded.
        """

        def made(result: Result) -> str | None:
            table = make(result)
            return None if table is None else table.to_html()

        tabs = _tabs({name: made(result) for name, result in found.results.items()}, found, none)
        _show(f"<details><summary>{sets_named(folded)}</summary>{tabs}</details>" if folded else tabs)

    def compare(self, rows: Callable[[Result], Mapping[str, str]], found: Found[Result]) -> None:
        """One table of all runs: a column each, with what `rows` gives of it, as HTML by the title of the row."""
        if not found.results:
            _lacking(found)
            return
        frame = pd.DataFrame({in_html(name): dict(rows(result)) for name, result in found.results.items()})
        _show(as_table(frame.fillna("–")).to_html())

    def words(self, write: Callable[[Result], str], found: Found[Result]) -> None:
        """Sentences about the page's own run, as Markdown; `write` may be given None where that is the answer.

        Where the own run lacks the result, they are about the first run that has it, and say so.
        """
        if not found.results:
            _lacking(found)
            return
        if said := self._said(write, found):  # of an empty text a page would show the object
            display(Markdown(said))

    def in_short(self, write: Callable[..., str], *found: Found[Any]) -> None:
        """The box at the head of a chapter, two or three sentences: what `words` would say, of several answers a run.

        `write` is given those of the first run that has all of them.
        """
        together = _together(found)
        if not together.results:
            _lacking(together)
            return
        said = self._said(lambda answers: write(*answers), together)
        display(Markdown(f"```{{admonition}} In short\n:class: tip\n{said}\n```"))

    def _said(self, write: Callable[[Result], str], found: Found[Result]) -> str:
        name, result = next(iter(found.results.items()))
        said = write(result)
        return said if name == self.own_title or not said else f"*Of {in_markdown(name)}:*\n\n{said}"

    def verdicts(self, *numbers: int) -> None:
        """The verdicts on some of the paper's claims, a column a run; the checks behind each fold out."""
        judged = {name: claims.judged(numbers, run) for name, run in self.runs.items()}
        _show(claims.table(judged).to_html())

    def provenance(self) -> None:
        """Everything that decided the numbers of the page's own run, folded."""
        found = self.metrics()
        inside = found.why_not_own if found.own is None else provenance(found.own).to_html()
        _show(f"<details><summary>Every parameter, machine, version and commit</summary>{inside}</details>")


def notebook_config() -> Config:
    """The config of the running notebook: what its earlier cells assign to the name of a parameter.

    papermill only warns of a parameter that a notebook does not have, so a wrong name in the cell that it injects is
    refused here: `-p forgetclass 3` is not ignored.
    """
    shell = get_ipython()
    cells = [ast.parse(shell.input_transformer_manager.transform_cell(cell)) for cell in shell.user_ns["In"][:-1]]
    injected = [cell.startswith("# Parameters\n") for cell in shell.user_ns["In"][:-1]]
    known = {field.name for field in fields(Config)}
    asked = {
        target.id: statement.value
        for cell, by_papermill in zip(cells, injected, strict=True)
        for statement in cell.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name) and (by_papermill or target.id in known)
    }
    return Config.from_mapping({name: _worth(name, value, shell.user_ns) for name, value in asked.items()})


def _worth(name: str, value: ast.expr, names: Mapping[str, Any]) -> Any:
    """What a cell assigned to a name: as it stands there, since an import may have taken the name since."""
    try:
        return ast.literal_eval(value)
    except ValueError:
        return names[name]


def run_title(config: Config) -> str:
    """How a page calls a run."""
    return config.title or config.dataset


def run_in_words(found: Metrics) -> str:
    """One sentence that says which run this is: data, model, training, and the class to forget, as Markdown."""
    config, dataset = found.config, found.dataset
    width = f" at {config['width']:g} of its published width" if config["model"] not in ONE_WIDTH else ""
    data = in_markdown(dataset.origin if dataset.name == "faces" else f"{dataset.name} ({dataset.origin})")
    model = MODEL_TITLES.get(config["model"], config["model"])
    return (
        f"{data}; {model}{width}, {config['epochs']} epochs, seed {config['seed']}; to forget: "
        f"**{in_markdown(found.forgotten)}**. Trained on {found.methods['original'].environment['date']}."
    )


# The settings stand in rows of their own; where things lie on a disk decides no number.
_NOT_SHOWN = ("unlearning", "data_dir", "results_dir", "title", "beside", "replicates")


def provenance(found: Metrics) -> Styler:
    """Everything that decided these numbers: parameters, machine, versions, commit, data."""
    facts: dict[str, Any] = {
        **{f"parameter {name}": value for name, value in found.config.items() if name not in _NOT_SHOWN},
        **{f"settings of {name}": value for name, value in found.config["unlearning"].items() if value},
        "data": found.dataset.origin,
        "data fingerprint (SHA-256)": found.dataset.fingerprint,
    }
    made: dict[str, list[str]] = {}
    for name, result in found.methods.items():
        made.setdefault(json.dumps(result.environment, sort_keys=True), []).append(title(name))
    for environment, names in made.items():
        facts[f"made on ({', '.join(names)})"] = json.loads(environment)
    facts["shown on"] = found.environment
    frame = pd.DataFrame({"value": {name: in_html(_plain(as_json(value))) for name, value in facts.items()}})
    return as_table(frame).set_properties(None, **{"text-align": "left", "overflow-wrap": "anywhere"})


def _plain(value: Any) -> str:
    if value in ({}, []):
        return "–"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(entry)}" for name, entry in value.items() if entry is not None)
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return "–" if value is None else str(value)


def _together(found: Sequence[Found[Any]]) -> Found[tuple[Any, ...]]:
    """The answers to several questions, of the runs that have all of them."""
    first = found[0]
    alike = [name for name in first.results if all(name in each.results for each in found)]
    missing = {name: reason for each in found for name, reason in each.missing.items()}
    return Found({name: tuple(each.results[name] for each in found) for name in alike}, missing, first.own_title)


def _lacking(found: Found[Any]) -> None:
    """What stands on the page where no run has a result."""
    _show(_note(found.why_not_own))


_sets = itertools.count()


def _tabs(shown: Mapping[str, str | None], found: Found[Any], none: str) -> str:
    """HTML of the runs in tabs, as sphinx-design has them; no tabs on a page of one run.

    A run without HTML has no tab and is named beneath. `none`: why that is so, as plain text, where it has a result.
    """
    parts = {run: inside for run, inside in shown.items() if inside is not None}
    if len(shown) + len(found.missing) == 1:
        return parts.get(found.own_title) or _note(sets_named(none) if shown else found.why_not_own)
    left_out = _left_out([run for run in shown if run not in parts], sets_named(none), found)
    if not parts:
        return left_out
    name = f"runs-{next(_sets)}"
    tabs = "".join(
        f'<input {"checked" if place == 0 else ""} id="{name}-{place}" name="{name}" type="radio">'
        f'<label class="sd-tab-label" for="{name}-{place}">{in_html(run)}</label>'
        f'<div class="sd-tab-content docutils">{inside}</div>'
        for place, (run, inside) in enumerate(parts.items())
    )
    return f'<div class="sd-tab-set docutils">{tabs}</div>{left_out}'


def _left_out(empty: Sequence[str], none: str, found: Found[Any]) -> str:
    """HTML that names the runs without a tab, a sentence for each reason; `none`: that of the `empty` ones, as HTML."""
    alike: dict[str, list[str]] = {}
    for run, reason in found.missing.items():
        alike.setdefault(named(reason), []).append(run)
    said = [f"{_names(empty)}: {none}"] if empty else []
    said += [_why([found.missing[run] for run in runs], _names(runs)) for runs in alike.values()]
    return "".join(map(_note, said))


def _why(reasons: Sequence[NotRecorded | claims.CannotTest], whose: str = "") -> str:
    """Why runs have no result, as HTML and Markdown alike; `whose`: their names as HTML, "" for the page's own run."""
    first, *others = reasons
    if isinstance(first, NotRecorded):
        records = [each.record for each in others if isinstance(each, NotRecorded)]
        return in_words(first, whose or "this run", records)
    return f"Not measured {f'on {whose}' if whose else 'here'}: {in_markdown(first)}."


def _names(runs: Sequence[str]) -> str:
    return "; ".join(map(in_html, runs))


def _note(said: str) -> str:
    return f"<p><em>{said}</em></p>"


def _show(inside: str) -> None:
    display(HTML(f'<div class="bu-block">{inside}</div>'))
