"""`export`: a model as a folder for others: its weights, a card that says what it is, its settings, how to load it."""

import argparse
import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from string import Template
from typing import Any

import yaml

from ..checks import SettingError, new_folder, one_of
from ..command_line import add_overrides, overrides, said
from ..config import Config
from ..data import DATASETS, SPLITS, described
from ..experiment.experiment import Experiment
from ..experiment.metrics import evaluated, evaluation
from ..experiment.record import NotRecorded, Record, which_run
from ..models import batchnorms
from ..models.weights import as_bytes
from ..store import write_bytes
from ..unlearning import METHODS, changed_settings
from . import command

FILES = ("weights.safetensors", "README.md", "config.yml", "load.py")
HERE = Path(__file__).parent
REESTIMATED_ON = 5000  # images of the remaining classes at the most


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = command(commands, export)
    parser.add_argument("profile", help="the name of a profile, or the path of a YAML file")
    add_overrides(parser)
    parser.add_argument("--method", required=True, help=f"original, {', '.join(METHODS)}")
    parser.add_argument("--out", required=True, help="the folder to write; new, empty, or one that was exported to")


def export(arguments: argparse.Namespace) -> None:
    """Write a model's weights, a card with its numbers, its settings and an example that loads it into a folder.

    The original and Retrain of a recorded run are in its record, and need no data; anything else is computed, from
    `data_dir` where the data set needs a folder.
    """
    name = one_of("--method", arguments.method, ("original", *METHODS))
    folder = new_folder("--out", arguments.out, FILES)
    config = Config.from_profile(arguments.profile, **overrides(arguments))
    at_hand = config.data_dir or DATASETS[config.dataset].embedded
    beside = Record.find(replace(config, data_dir=None)) if at_hand else None
    write(Experiment(config, said, extend=beside), name, folder)
    said(f"exported: {folder}; README.md says what it is")


def write(experiment: Experiment, name: str, folder: Path) -> None:
    """Write the model `name` of an experiment into `folder`."""
    dataset, config = experiment.dataset, experiment.config
    model, faces = experiment.model(name), dataset.name == "faces"
    if experiment.answered(name).diverged:
        raise SettingError(f"--method={name!r}: diverged, its outputs are not finite; there is nothing to export")
    classes = [f"person {number}" for number in range(1, len(dataset.classes) + 1)] if faces else list(dataset.classes)
    what = {
        "model": config.model,
        "channels": dataset.channels,
        "count": len(classes),
        "width": config.width,
        "shape": ", ".join(map(str, dataset.train.images.shape[1:])),
    }
    normalise = ""
    if model.mean.dim():  # another than the usual one
        values = (values.flatten().tolist() for values in (model.mean, model.deviation))
        normalise = "model.normalise({}, {})\n".format(*values)
    write_bytes(folder / FILES[0], as_bytes(model, bu_core=json.dumps(what | {"classes": classes})))
    card = _filled("card.md", what | _card(experiment, name, classes))
    for opens, kept in (("> **Warning", faces), ("*Re-estimated*", ", re-estimated |" in card)):
        card = "\n\n".join(part for part in card.split("\n\n") if kept or not part.startswith(opens))
    if faces:
        said("warning: this model recognises people; do not publish it without the consent of all of them")
    settings = which_run(replace(config, methods=() if name == "original" else (name,)))
    head = f"# The settings of these weights: {name}, {dataset.name}.\n"
    load = _filled("load.txt", what | {"normalise": normalise, "classes": json.dumps(classes)})
    for file, text in zip(FILES[1:], (card, head + yaml.safe_dump(settings, sort_keys=False), load), strict=True):
        write_bytes(folder / file, text.encode())


def _filled(template: str, values: Mapping[str, Any]) -> str:
    return Template((HERE / template).read_text(encoding="utf-8")).substitute(values)


def _card(experiment: Experiment, name: str, classes: list[str]) -> dict[str, Any]:
    """What the card says of a model."""
    config, dataset, made = experiment.config, experiment.dataset, experiment.answered(name).made
    forgotten, said_of = _request(experiment, classes), experiment.outputs(name)
    sizes = {part: len(found.labels) for part, found in said_of.items()}
    found, original = (evaluated(experiment, each) for each in (said_of, experiment.outputs("original")))
    rows = {name: found.accuracy}
    count = f"{sizes['forget_train']:,} of {sizes['remain_train'] + sizes['forget_train']:,} training images"
    again = min(REESTIMATED_ON, sizes["remain_train"])
    if batchnorms(experiment.model(name)):
        with contextlib.suppress(NotRecorded):  # a record may have neither that nor images to compute it from
            rows[f"{name}, re-estimated"] = evaluation(experiment, name, again).accuracy
    if name != "original":
        rows["original, for comparison"] = original.accuracy
    pretrained = config.pretraining["source"]
    attack, machine = found.attack.asr, made.environment
    commit = machine["git_commit"] or "unknown"
    return {
        "title": f"{config.model} on {dataset.name}, {_in_short(name)}" + ("" if name == "original" else forgotten),
        "network": f"{config.model}, width {config.width:g}",
        "classes": ", ".join(classes),
        "origin": f"{dataset.name}, {dataset.origin}",
        "training": f"{config.epochs} epochs at learning rate {config.lr:g}, momentum {config.momentum:g}, batches of "
        f"{config.batch_size}, seed {config.seed}, {experiment.precision}"
        + ("" if pretrained == "none" else f"; pretrained on {pretrained}"),
        "made_by": "that training alone" if name == "original" else _made_by(name, config.unlearning[name]),
        "forgets": f"nothing; the other models of its run forget {forgotten}"
        if name == "original"
        else f"{forgotten}: {count}",
        "seconds": f"{made.seconds[0]:.1f}",
        "machine": machine["gpu"] or machine["cpu"],
        "date": machine["date"],
        "commit": commit.removesuffix("+") + (", and changes to it" if commit.endswith("+") else ""),
        "forgotten": forgotten,
        "table": _table(rows, forgotten),
        "reestimated_on": f"{again:,}",
        "asr": attack.shown(".1f"),
        "asr_low": format(attack.low, ".1f"),
        "asr_high": format(attack.high, ".1f"),
        "asr_original": "" if name == "original" else f", and {original.attack.asr.shown('.1f')} % with the original",
        "entropy": f"{found.entropy:.2f}",
        "guess": f"{math.log(len(classes)):.2f}",
        "method": name,
    }


def _request(experiment: Experiment, classes: list[str]) -> str:
    """What is to be forgotten, in words that stand alone: `class 4`, `classes deer and horse`."""
    words, named = described(experiment.request, classes), len(experiment.forget_classes)  # people have no names here
    return f"{'classes' if named > 1 else 'class'} {words}" if named else words


def _in_short(name: str) -> str:
    """How a model came to be, for a title; of all but the original, in front of what it forgot."""
    if name == "original":
        return "trained on all classes"
    return "trained without " if name == "retrain" else f"made by {METHODS[name].title} to forget "


def _made_by(name: str, settings: Mapping[str, Any]) -> str:
    changed = ", ".join(f"{setting} {value}" for setting, value in changed_settings(name, settings).items())
    return f"`{name}`, at {f'its defaults but for {changed}' if changed else 'its default settings'}"


def _table(rows: Mapping[str, Mapping[str, float]], forgotten: str) -> str:
    sets = {"remain": "remaining", "forget": forgotten}
    titles = [f"{sets[part.split('_')[0]]}, {part.split('_')[1]}" for part in SPLITS]
    lines = [["model", *titles], ["---", *("---:" for _ in titles)]]
    lines += [[row, *(f"{accuracy[part]:.2f}" for part in SPLITS)] for row, accuracy in rows.items()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
