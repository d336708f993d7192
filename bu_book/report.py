"""The replication report: the book's numbers on at most eight pages, in the order that ReScience C asks for.

The sentences stand in `report.html`, a template of Jinja; here is what they are filled with. What a record lacks is
missing, and the report says so in its place.
"""

import statistics
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import jinja2
import pandas as pd
from markupsafe import Markup
from pandas.io.formats.style import Styler

from bu_core.audits.ladder import RUNGS
from bu_core.config import Config
from bu_core.data import SPLITS
from bu_core.experiment.environment import Environment
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import Metrics, metrics
from bu_core.experiment.record import NotRecorded

from . import BuildError, paper
from .chapters import audit, lasting, ledger, what_forgets
from .claims import ERROR, CannotTest
from .page import MODEL_TITLES
from .pdf import printer
from .replicates import over, replicates, seen
from .style import as_figure, as_table, number, set_title, sets_named, title, use_style
from .variations import trainings, variations

Answer = TypeVar("Answer")

MOST_PAGES = 8


def as_html(experiment: Experiment, profile: str = "") -> str:
    """The report on a run, as a page of HTML with all that it needs inside.

    `profile`: the name under which `make report` finds the run; "" for none.
    """
    use_style()
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True)
    environment.filters |= {"number": number, "title": title, "sets": lambda text: Markup(sets_named(text))}
    environment.globals["drawn"] = lambda *given: Markup(as_figure(*given))
    template = environment.from_string((files("bu_book") / "report.html").read_text(encoding="utf-8"))
    return template.render(_content(experiment), profile=profile) + "\n"


def report(config: Config, profile: str, folder: Path, say: Callable[[str], None]) -> Path:
    """Write `report.html` and print it to `report.pdf` in a folder; returns the path of the PDF.

    Raises BuildError where there is no browser, after the HTML was written, and where MOST_PAGES do not suffice.
    """
    from pypdf import PdfReader

    folder.mkdir(parents=True, exist_ok=True)
    page, target = folder / "report.html", folder / "report.pdf"
    page.write_text(as_html(Experiment(config, say), profile), encoding="utf-8")
    say(f"the report as HTML: {page}")
    with printer() as printed:
        target.write_bytes(printed(page))
    pages = len(PdfReader(target).pages)
    if pages > MOST_PAGES:
        raise BuildError(f"the report has {pages} pages, and {MOST_PAGES} are allowed: {target}")
    say(f"the report: {target} ({pages} pages)")
    return target


def _content(experiment: Experiment) -> dict[str, Any]:
    """What the template names; None for what is not recorded, and then `missing` says why."""
    missing: dict[str, str] = {}

    def ask(what: str, question: Callable[[Experiment], Answer]) -> Answer | None:
        try:
            return question(experiment)
        except (NotRecorded, CannotTest) as reason:
            missing[what] = str(reason)
            return None

    found = ask("metrics", metrics)
    by_verdict = ask("claims", ledger.measure)
    swaps, ladder = ask("swaps", what_forgets.swaps), ask("ladder", audit.climbed)
    lasts, varied = ask("lasting", lasting.measure), ask("variations", variations)
    runs = replicates(experiment)
    several = runs if len(runs) > 1 else {}
    own = [each for each in swaps.own if each.method == "boundary_shrink"] if swaps else []
    verdicts = by_verdict or {}
    printed = paper.table_1(experiment.dataset.name)
    return {
        "version": version("boundary-unlearning-book"),
        "error": ERROR,
        "metrics": found,
        "config": experiment.config,
        "model": MODEL_TITLES.get(experiment.config.model, experiment.config.model),
        "machine": _machine(found.methods["original"].environment) if found else "",
        "replicates": list(several),
        "replicate_machine": _machine(_made_on(several)),
        "claims": sorted((each for some in verdicts.values() for each in some), key=lambda each: each.claim.number),
        "counted": {verdict: len(some) for verdict, some in verdicts.items()},
        "trained": trainings(varied) if varied else [],
        "accuracy": _accuracies(found, experiment, len(several)).to_html() if found else "",
        "theirs": printed.accuracy,
        "same": printed.same,
        "paper_dataset": printed.dataset,
        "swaps": swaps,
        "swap": own[0] if own else None,
        "swap_figure": what_forgets.swap_bars(swaps) if swaps else None,
        "ladder": ladder,
        "ladder_figure": audit.heat_map(ladder) if ladder else None,
        "rungs": len(RUNGS),
        "lasting": lasts,
        "picture": lasting.in_one_picture(lasts) if lasts else None,
        "picture_figure": lasting.comes_back(lasts) if lasts else None,
        "lasting_table": _plain(lasting.rungs_table(lasts)) if lasts else "",
        "missing": missing,
    }


def _machine(made_on: Environment) -> str:
    """What a number was computed on, in plain text."""
    return f"{made_on.get('gpu') or made_on.get('cpu') or 'unknown'}, {made_on.get('precision') or 'unknown'}"


def _made_on(several: Mapping[str, Experiment]) -> Environment:
    """Where the first of the replicates was made, as far as that is recorded."""
    for run in several.values():
        if run.record is not None:
            return run.record.content["environment"]
    return {}


def _plain(table: Styler) -> str:
    """A table without the line beneath it that says what is missing: the report says so once."""
    return table.set_caption("").to_html()


def _accuracies(found: Metrics, experiment: Experiment, seeds: int) -> Styler:
    """Tables 1 and 2: a row a model; for each set the paper's accuracy, ours, and over several seeds their mean."""
    name = found.dataset.name
    theirs = paper.table_1(name).accuracy | paper.table_2(name).accuracy
    rows = {}
    for model, result in found.methods.items():
        row = {}
        for part in SPLITS:
            row[set_title(part), "paper"] = number(theirs.get(model, {}).get(part), ".2f")
            row[set_title(part), "here"] = number(result.accuracy[part], ".2f")
            if seeds > 1:
                row[set_title(part), "seeds"] = _over_seeds(experiment, model, part)
        rows[title(model)] = row
    return as_table(pd.DataFrame.from_dict(rows, orient="index"))


def _over_seeds(experiment: Experiment, model: str, part: str) -> str:
    """The mean and the standard deviation over the replicates; – where there is one, or none."""
    try:
        values = over(experiment, lambda run: seen(run, model).accuracy[part])
    except (NotRecorded, CannotTest):
        return "–"
    mean = statistics.fmean(values.found.values())
    return "–" if values.spread is None else f"{mean:.1f} ± {values.spread:.1f}"
