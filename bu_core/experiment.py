"""An experiment: it asks the store first and computes what is missing.

    experiment = Experiment(Config.from_profile("digits"))
    experiment.model("boundary_shrink")     # the unlearned model
    experiment.outputs("boundary_shrink")   # what it says of D_r, D_f, D_rt, D_ft
    experiment.metrics()                    # every number, also left in results_dir/metrics.json

The names of the models are `original` and those in METHODS.
"""

import copy
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from . import measures, models, training
from .config import Config
from .data import SPLITS, Dataset, ForgetSplit, load, pixels, split
from .measures import Outputs
from .models import Classifier
from .store import Artefact, Store, read, write, write_json
from .unlearning import METHODS, UnlearningTask


class Experiment:
    """One configured experiment. Whatever cannot work raises SettingError here, before any work.

    `say` is called with a line of text whenever something was computed, and not when it was found.
    """

    def __init__(self, config: Config, say: Callable[[str], None] = lambda line: None):
        self.config = config
        self.say = say
        self.device = training.resolve_device(config.device)
        self.precision = training.resolve_precision(config.precision, self.device)
        self.folder = Path(config.results_dir)
        self.store = Store(self.folder / "store")
        self.dataset: Dataset = load(config.dataset, config.data_dir)
        self.recipe = training.Recipe(
            config.epochs, config.lr, config.momentum, config.batch_size, self.precision, config.seed
        )
        self._models: dict[str, Classifier] = {}

    # --- what an experiment consists of ---------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """The models of this experiment: the original, and one for each method."""
        return ("original", *self.config.methods)

    @cached_property
    def split(self) -> ForgetSplit:
        """The four sets, on the device."""
        return split(self.dataset, self.config.forget_class, self.device)

    def model(self, name: str) -> Classifier:
        """The original or an unlearned model, on the device and in evaluation mode."""
        if name not in self._models:
            model = self._initial()
            model.load_state_dict(self._weights(name).tensors)
            self._models[name] = model.eval()
        return self._models[name]

    def seconds(self, name: str) -> list[float]:
        """How long it took to make a model, for each time that this was measured; evaluation is left out."""
        return self._weights(name).facts["seconds"]

    def outputs(self, name: str) -> dict[str, Outputs]:
        """What a model says of each of the four sets, on the CPU."""

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            model = self.model(name)
            tensors = {}
            for part in SPLITS:
                data = getattr(self.split, part)
                tensors[f"{part}.logits"] = training.predict(model, data.images, self.precision)
                tensors[f"{part}.labels"] = data.labels
            return tensors, {}

        key = {"of": self._key(name), "forget_class": self.config.forget_class}
        stored = self.store.get(f"outputs-{name}", key, make).tensors
        return {part: Outputs(stored[f"{part}.logits"], stored[f"{part}.labels"]) for part in SPLITS}

    # --- how it is made -------------------------------------------------------------------------------------------

    def _initial(self) -> Classifier:
        config = self.config
        model = models.build(config.model, self.dataset.channels, len(self.dataset.classes), config.width, config.seed)
        return model.to(self.device)

    def _key(self, name: str) -> dict[str, Any]:
        """All that decides a model's weights, and nothing else."""
        config = self.config
        key = {
            "dataset": self.dataset.fingerprint,
            "model": config.model,
            "width": config.width,
            "recipe": vars(self.recipe),
            "device": self.device.type,
        }
        if name == "original":
            return key
        return key | {
            "method": name,
            "settings": dict(config.unlearning[name]),
            "forget_class": config.forget_class,
        }

    def _weights(self, name: str) -> Artefact:
        key = self._key(name)
        return self.store.get(name, key, lambda: self._make(name, _PartialFit(self.store.path(name, key))))

    def _make(self, name: str, checkpoint: "_PartialFit") -> tuple[dict[str, Tensor], dict[str, Any]]:
        initial = self._initial()
        if name == "original":
            make = self._fit_original
        else:
            task = UnlearningTask(self.model("original"), initial, self.split, self.recipe, checkpoint)
            make = lambda: METHODS[name](task, **self.config.unlearning[name])  # noqa: E731
        self._warm_up(initial)
        with training.Stopwatch(self.device) as watch:
            model = make() if name != "original" else make(initial, checkpoint)
        seconds = watch.seconds + checkpoint.seconds_before
        checkpoint.path.unlink(missing_ok=True)
        self.say(f"{name}: {seconds:.1f} s")
        return model.state_dict(), {"seconds": [seconds], "environment": self.environment}

    def _fit_original(self, model: Classifier, checkpoint: "_PartialFit") -> Classifier:
        data = self.dataset.train.to(self.device)
        training.fit(model, data, self.recipe, label="original", checkpoint=checkpoint)
        return model

    def _warm_up(self, model: Classifier) -> None:
        """One throw-away step, so that the first method does not pay for what every later one finds ready."""
        batch = self.split.forget_train
        images = pixels(batch.images[: self.recipe.batch_size])
        with training.autocast(self.device, self.precision):
            logits = copy.deepcopy(model)(images)
        F.cross_entropy(logits.float(), batch.labels[: len(images)]).backward()

    # --- what is reported -----------------------------------------------------------------------------------------

    def metrics(self) -> dict[str, Any]:
        """Every number of this experiment, also written to `metrics.json` in the results folder."""
        results = {
            "config": self.config.as_dict(),
            "dataset": {
                "name": self.dataset.name,
                "origin": self.dataset.origin,
                "fingerprint": self.dataset.fingerprint,
                "classes": list(self.dataset.classes),
            },
            "environment": self.environment,
            "methods": {name: self._measured(name) for name in self.names},
        }
        write_json(self.folder / "metrics.json", results)
        return results

    def _measured(self, name: str) -> dict[str, Any]:
        outputs = self.outputs(name)
        seconds = self.seconds(name)
        return {
            "accuracy": {part: measures.accuracy(outputs[part]) for part in SPLITS},
            "forget_train_shares": measures.shares(outputs["forget_train"]),
            "entropy": {part: measures.entropy(outputs[part]).mean().item() for part in SPLITS},
            "seconds": {"median": statistics.median(seconds), "runs": seconds},
            "settings": dict(self.config.unlearning[name]) if name != "original" else {},
            "environment": self._weights(name).facts["environment"],
        }

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Where this process runs."""
        return environment(self.device, self.precision)


def environment(device: torch.device, precision: str) -> dict[str, Any]:
    """Device, processor, versions, precision and git commit of this process, for a result to be kept with."""
    return {
        "device": device.type,
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "cpu": _processor(),
        "threads": torch.get_num_threads(),
        "precision": precision,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "git_commit": _git_commit(),
        "date": time.strftime("%Y-%m-%d"),
    }


class _PartialFit:
    """The state of a fit under way, kept beside the artefact that it will become (a training.Checkpoint)."""

    every = 20.0  # seconds between two saves at the least, so that a short fit is not slowed by any

    def __init__(self, artefact: Path):
        self.path = artefact.with_suffix(".partial")
        self.key = {"partial": artefact.name}
        self.seconds_before = 0.0

    def load(self) -> dict[str, Tensor] | None:
        self._saved = self._started = time.perf_counter()  # the fit starts now; what led up to it is timed elsewhere
        if not self.path.exists():
            return None
        try:
            found = read(self.path, self.key)
        except ValueError:
            return None  # a fit that cannot be resumed starts anew, and overwrites this
        self.seconds_before = found.facts["seconds"]
        return found.tensors

    def save(self, state: dict[str, Tensor]) -> None:
        now = time.perf_counter()
        if now - self._saved >= self.every:
            write(self.path, self.key, state, {"seconds": self.seconds_before + now - self._started})
            self._saved = now


def _processor() -> str:
    """The processor's model name and the number of cores that this process may use."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text().splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def _git_commit() -> str | None:
    """The commit of this code, with `+` where files differ from it; None outside a repository."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "--", str(here)) else "")
    except (OSError, subprocess.SubprocessError):
        return None
