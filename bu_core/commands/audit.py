"""`audit`: how deep a model that comes as a file has forgotten a class: the ladder of audits, beside Retrains."""

import argparse
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from ..audits.ladder import PER_SAMPLE, RUNGS, Climb, Reading, Rung, reading
from ..checks import SettingError, file_of, new_folder, shown
from ..command_line import said, table
from ..experiment.ladder import ladder
from ..models import batchnorms
from ..store import write_bytes, write_json
from . import command
from .given import FORM, Given, add_given, config_of

FILES = ("audit.json", "audit.html", "store")
HERE = Path(__file__).parent

CONCLUSIONS = {
    "inside": "Here nothing tells the model from one that never saw the class.",
    "known": "More of the class is there than in a model that never saw it.",
    "hidden": "The class is hidden further than in a model that never saw it, which shows that it was there.",
    "other": "It treats the class's images unlike a model that never saw them.",
    None: "Without a Retrain nobody can say what a model that never saw the class would show.",
    "alone": "Without a second Retrain nobody can say how far two of them lie from each other.",
}


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = command(commands, audit)
    add_given(parser)
    parser.add_argument("--original", required=True, metavar="FILE", help=f"the model before it forgot: {FORM}")
    parser.add_argument("--unlearned", required=True, metavar="FILE", help="the model that was made to forget")
    several = "models trained without the class, from other seeds; the verdicts compare with their range"
    parser.add_argument("--retrain", nargs="+", action="extend", default=[], metavar="FILE", help=several)
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where audit.json and audit.html go")


def audit(arguments: argparse.Namespace) -> None:
    """Ask of weights in files how deep a class was forgotten, and compare with models that never saw it."""
    named = {"original": ("--original", arguments.original), "unlearned": ("--unlearned", arguments.unlearned)}
    for number, file in enumerate(arguments.retrain):
        named["retrain" if number == 0 else f"retrain_{number + 1}"] = ("--retrain", file)
    for option, file in named.values():
        file_of(option, file)
    folder = new_folder("--out", arguments.out, FILES)
    config = config_of(arguments, ["retrain"] if arguments.retrain else [], str(folder))
    if config.forget:
        raise SettingError("forget: audit asks about one class at a time; name it with --forget")
    experiment = Given(config, named)
    for name, (option, file) in named.items():
        if not experiment.evidence(name).outputs("forget_test").logits.isfinite().all():
            raise SettingError(f"{option}={shown(file)}: its answers to the images are not finite numbers")
    climbs = {}
    for number, name in enumerate(named, 1):
        said(f"{number} of {len(named)}: {name}, {shown(named[name][1])}")
        start = time.perf_counter()
        climbs[name] = ladder(experiment, name)
        said(f"  done in {time.perf_counter() - start:.1f} s")
    report = reported(experiment, climbs)
    write_json(folder / "audit.json", report)
    write_bytes(folder / "audit.html", page(report).encode())
    rows = {rung["title"]: _cells(name, rung) for name, rung in report["rungs"].items()}
    said(f"\n{table(rows)}")
    for name, why in report["left_out"].items():
        said(f"left out: {name}: {why}")
    said(f"everything: {folder / 'audit.json'}; to read: {folder / 'audit.html'}")


def reported(experiment: Given, climbs: Mapping[str, Climb]) -> dict[str, Any]:
    """What `audit.json` holds. See book/audit_your_model.md for what the fields mean."""
    config, classes = experiment.config, experiment.dataset.classes
    images = len(experiment.split.forget_test)
    left_out, named = {"per_sample": PER_SAMPLE}, experiment.named.items()
    if not batchnorms(experiment.model("unlearned")):
        left_out["reestimation"] = "the network keeps no statistics that could be estimated anew"
    return {
        "forget_class": classes[int(config.forget_class)],
        "dataset": experiment.dataset.name,
        "dataset_fingerprint": experiment.dataset.fingerprint,
        "network": {"model": config.model, "width": config.width},
        "files": {name: {"path": file, "sha256": experiment.digests[name]} for name, (_, file) in named},
        "environment": experiment.here,
        "rungs": {name: _rung(rung, climbs, images) for name, rung in RUNGS.items() if name not in left_out},
        "left_out": left_out,
    }


def _rung(rung: Rung, climbs: Mapping[str, Climb], images: int) -> dict[str, Any]:
    """One rung of `audit.json`; `retrain` is a number, of several files their list, and null without any."""
    retrains = [made for name, made in climbs.items() if name.startswith("retrain")]
    found, original = (reading(rung, climbs[name], retrains, images) for name in ("unlearned", "original"))
    known: Any = found.retrains if len(found.retrains) > 1 else next(iter(found.retrains), None)
    return {
        "title": rung.title,
        "asks": rung.asks,
        "value": found.value,
        "original": original.value,
        "retrain": known,
        "range": None if found.low is None else [found.low, found.high],
        "unit": rung.unit,
        "verdict": found.verdict,
        "side": found.side,
        "says": CONCLUSIONS[_conclusion(rung, found)],
    }


def _conclusion(rung: Rung, found: Reading) -> str | None:
    if found.side is None:
        return "alone" if rung.distance and found.value is not None else None
    if found.side == "inside":
        return "inside"
    if rung.distance:
        return "other"
    return "known" if found.side == rung.known else "hidden"


def _cells(name: str, rung: Mapping[str, Any]) -> dict[str, str]:
    """A rung as the cells of a table."""
    known = rung["retrain"] if isinstance(rung["retrain"], list) else [rung["retrain"]]
    ends = (min(known), max(known)) if len(known) > 1 else known
    value, original, *of_retrain = (
        "–" if each is None else format(each, RUNGS[name].form) for each in (rung["value"], rung["original"], *ends)
    )
    numbers = {"unlearned": value, "original": original, "retrain": " to ".join(dict.fromkeys(of_retrain))}
    return numbers | {"unit": rung["unit"], "verdict": rung["verdict"]}


def _sets_named(text: str) -> Markup:
    """Plain text as HTML, with the names of the sets as they are printed."""
    return Markup(re.sub(r"\bD_(ft|f)\b", r"D<sub>\1</sub>", str(escape(text))))


def page(report: Mapping[str, Any]) -> str:
    """`audit.html`: the table, and below it a sentence for each rung; it loads nothing from anywhere."""
    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True)
    environment.filters["sets_named"] = _sets_named
    template = environment.from_string((HERE / "audit.html").read_text(encoding="utf-8"))
    rungs = [(rung, _cells(name, rung)) for name, rung in report["rungs"].items()]
    told = [rung["verdict"] for rung in report["rungs"].values() if rung["side"]]
    return template.render(**report, rows=rungs, known=told.count("still known"), told=len(told))
