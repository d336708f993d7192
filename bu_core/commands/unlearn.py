"""`unlearn`: make a model that comes as a file forget a class, and write its new weights to another file."""

import argparse
import tempfile

from ..audits.evidence import Evidence
from ..checks import SettingError, file_of, new_file, one_of, shown
from ..command_line import said, table
from ..measures import accuracy
from ..models import batchnorms
from ..models.weights import as_bytes
from ..store import write_bytes
from ..training import Stopwatch, diverged
from ..unlearning import METHODS, UnlearningTask, changed_settings
from . import command
from .given import FORM, Given, add_given, config_of

FROM_WEIGHTS = [name for name in METHODS if name not in ("amnesiac", "file")]  # which need more than the weights
SHOWN = {"forget_train": "D_f, %", "forget_test": "D_ft, %", "remain_test": "D_rt, %"}


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = command(commands, unlearn)
    add_given(parser)
    parser.add_argument("--weights", required=True, metavar="FILE", help=f"the model: {FORM}")
    parser.add_argument("--method", default="boundary_shrink", help="with the settings of the profile and of -p")
    parser.add_argument("--out", required=True, metavar="FILE", help="the new weights: a new file, as .safetensors")


def unlearn(arguments: argparse.Namespace) -> None:
    """Make a model in a file forget a class, and write its new weights to another file."""
    name = one_of("--method", arguments.method, FROM_WEIGHTS)
    file_of("--weights", arguments.weights)
    out = new_file("--out", arguments.out, ".safetensors")
    with tempfile.TemporaryDirectory() as place:
        experiment = Given(config_of(arguments, [name], place), {"original": ("--weights", arguments.weights)})
        split, original = experiment.split, experiment.model("original")
        settings = experiment.config.unlearning[name]
        # What the model was before its training may take a pretraining to know, and few ask for it.
        first = name == "retrain" or settings.get("reset") or settings.get("output_row") == "relearned"
        initial = experiment.initial() if first else original
        changed = ", ".join(f"{each} {value}" for each, value in changed_settings(name, settings).items())
        said(f"{name} ({changed or 'its defaults'}): forgetting {experiment.forgotten}")
        with Stopwatch(experiment.device) as watch:
            model = METHODS[name](UnlearningTask(original, initial, split, experiment.recipe), **settings)
    said(f"  {len(split.forget_train):,} images forgotten in {watch.seconds:.1f} s")
    if diverged(model):
        raise SettingError(f"--method={shown(name)}: diverged, its weights are not finite; take a smaller lr")
    before, after = experiment.evidence("original"), Evidence(model, split, experiment.precision, 0)
    rows = {"before": before, "after": after} | ({"re-estimated": after.reestimated} if batchnorms(model) else {})
    cells = {
        row: {called: f"{accuracy(found.outputs(part)):.1f}" for part, called in SHOWN.items()}
        for row, found in rows.items()
    }
    said(table(cells))
    write_bytes(out, as_bytes(model))
    said(f"written: {out}; `python -m bu_core audit` asks how deep it goes")
