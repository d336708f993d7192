"""An experiment: it asks the store first and computes what is missing.

    experiment = Experiment(Config.from_profile("digits"))
    experiment.model("boundary_shrink")     # the unlearned model
    experiment.outputs("boundary_shrink")   # what it says of D_r, D_f, D_rt, D_ft
    experiment.metrics()                    # accuracy, attack, entropy and time of each, also in metrics.json

The names of the models are `original` and those in METHODS. What single chapters look at is in `measurements`.
"""

import copy
import hashlib
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from .. import attacks, measures, models, training
from ..checks import SettingError
from ..config import Config, class_index
from ..data import SPLITS, Dataset, ForgetSplit, load, split
from ..measures import Outputs
from ..models import Classifier, pretraining
from ..store import Artefact, Store, read, write, write_json
from ..unlearning import METHODS, UnlearningTask
from ..unlearning.amnesiac import Recorder
from .record import Record, configs


class Experiment:
    """One configured experiment. Whatever cannot work raises SettingError here, before any work.

    `say` is called with a line of text whenever something was computed, and not when it was found. Where this very
    experiment was recorded (`record.py`) and the config names no `data_dir`, it is shown from the `record`: no data are
    read, and numbers, device and precision are those of the recorded run.
    """

    def __init__(
        self,
        config: Config,
        say: Callable[[str], None] = lambda line: None,
        record: Record | None | Literal["find"] = "find",
    ):
        self.say = say
        self.record = Record.find(config) if record == "find" else record
        if self.record:
            self.device, self.precision = torch.device("cpu"), self.record.environment["precision"]
        else:
            self.device = training.resolve_device(config.device)
            self.precision = training.resolve_precision(config.precision, self.device)
        self.folder = Path(config.results_dir)
        beside = self.record.store if self.record else None
        self.store = Store(self.folder / "store", f"results_dir={config.results_dir!r}", beside)
        self.dataset: Dataset = (
            self.record.dataset if self.record else load(config.dataset, config.data_dir, config.seed, config.data)
        )
        self.config = self._with_classes(config)
        self.recipe = training.Recipe(
            config.epochs, config.lr, config.momentum, config.batch_size, self.precision, config.seed
        )
        self._models: dict[str, Classifier] = {}
        self._recordings: dict[int, Artefact] = {}

    def _with_classes(self, config: Config) -> Config:
        """The config with indices for classes: who the classes of a folder of people are is known only now."""

        def numbered(settings: Mapping[str, Any]) -> dict[str, Any]:
            return {
                name: class_index(value, self.dataset.classes, config.dataset) if name == "forget_class" else value
                for name, value in settings.items()
            }

        own = numbered({"forget_class": config.forget_class})
        return replace(config, **own, elsewhere=[numbered(change) for change in config.elsewhere])

    # --- what an experiment consists of ---------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """The models of this experiment: the original, and one for each method."""
        return ("original", *self.config.methods)

    @cached_property
    def split(self) -> ForgetSplit:
        """The four sets, on the device."""
        if self.record:
            raise SettingError(
                f"data_dir: this needs the images of {self.dataset.name}, and {self.record.folder} holds none; "
                "set data_dir to compute anew (book/data.md)"
            )
        return split(self.dataset, self.config.forget_class, self.device)

    def model(self, name: str) -> Classifier:
        """The original or an unlearned model, on the device and in evaluation mode."""
        if name not in self._models:
            model = self.initial()
            model.load_state_dict(self.weights(name).tensors)
            self._models[name] = model.eval()
        return self._models[name]

    def weights(self, name: str) -> Artefact:
        """A model's state_dict, and as facts `environment`, `seconds` and, of Amnesiac, `recording`."""
        return self._fitted(name, self.key(name), lambda partial: self._make(name, partial))

    def seconds(self, name: str) -> list[float]:
        """How long it took to make a model, for each time that this was measured; evaluation is left out."""
        return self._said(name).facts["seconds"]

    def outputs(self, name: str) -> dict[str, Outputs]:
        """What a model says of each of the four sets, on the CPU."""
        stored = self._said(name).tensors
        # A record keeps them in less space than the store does.
        return {part: Outputs(stored[f"{part}.logits"].float(), stored[f"{part}.labels"].long()) for part in SPLITS}

    def _said(self, name: str) -> Artefact:
        """The outputs of a model, and as their facts those of its making: a record keeps few weights."""

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            said = self.answers(self.model(name))
            tensors = {f"{part}.{of}": t for part, outputs in said.items() for of, t in outputs._asdict().items()}
            return tensors, self.weights(name).facts

        key = {"of": self.key(name), "forget_class": self.config.forget_class}
        return self.store.get(f"said-{name}", key, make)

    def answers(self, model: Classifier) -> dict[str, Outputs]:
        """What any model says of each of the four sets, on the CPU; nothing is kept."""
        sets = {part: getattr(self.split, part) for part in SPLITS}
        return {
            part: Outputs(training.predict(model, data.images, self.precision).cpu(), data.labels.cpu())
            for part, data in sets.items()
        }

    def attack(self, name: str) -> attacks.Scores:
        """The membership attack that learns from the model's own outputs, on that model."""
        key = {"of": self.key(name), "forget_class": self.config.forget_class, "attack": attacks.SETTINGS}

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            return attacks.from_own_outputs(self.outputs(name), self.config.seed)._asdict(), {}

        return attacks.Scores(**self.store.get(f"attack-{name}", key, make).tensors)

    def attack_shadow(self, name: str) -> attacks.Scores:
        """The membership attack that learns from shadow models, on one model."""
        key = {"of": self.key(name), "shadows": self._shadow_keys(), "attack": attacks.SETTINGS}

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            shadows = [self._shadow(number) for number in range(self.config.shadow_models)]
            return attacks.from_shadows(self.outputs(name), shadows, self.config.seed)._asdict(), {}

        return attacks.Scores(**self.store.get(f"attack_shadow-{name}", key, make).tensors)

    def changed(self, method: str, **settings: Any) -> "Experiment":
        """This experiment with other settings for one method: the same data, original and store."""
        changed = copy.copy(self)
        unlearning = dict(self.config.unlearning) | {method: self.config.unlearning[method] | settings}
        changed.config = replace(self.config, unlearning=unlearning)
        changed._models = {name: model for name, model in self._models.items() if name != method}
        return changed

    def elsewhere(self, methods: Sequence[str], **change: Any) -> "Experiment":
        """This experiment with some of `config.ELSEWHERE` changed, and fewer methods: the same data and store.

        Another `seed` draws other initial weights and another order of the samples, from the same images.
        """
        changed = copy.copy(self)
        changed.config = config = self._with_classes(replace(self.config, elsewhere=(), methods=methods, **change))
        changed.precision = precision = change.get("precision", self.precision)
        changed.recipe = replace(self.recipe, epochs=config.epochs, lr=config.lr, precision=precision, seed=config.seed)
        changed._models, changed._recordings = {}, {}
        changed.__dict__.pop("split", None)  # made for the class of this one
        changed.__dict__["environment"] = self.environment | {"precision": precision}
        return changed

    def sample(self, part: str) -> Tensor:
        """Which images of a set are looked at one by one: their numbers, drawn at random, int64, on the CPU."""
        return self.order(part)[: self.config.sample_size]

    def order(self, part: str) -> Tensor:
        """The numbers of all images of a set in the random order that samples are taken from, int64, on the CPU."""
        generator = torch.Generator().manual_seed(self.config.seed)
        return torch.randperm(len(self.outputs("original")[part].labels), generator=generator)

    @property
    def machine(self) -> dict[str, Any]:
        """What a time depends on beside the work."""
        return {name: value for name, value in self.environment.items() if name not in ("git_commit", "date")}

    # --- how it is made -------------------------------------------------------------------------------------------

    def initial(self, width: float | None = None) -> Classifier:
        """The model before its training; of another width than the config's, for what only looks at its size."""
        config, channels, classes = self.config, self.dataset.channels, len(self.dataset.classes)
        model = models.build(config.model, channels, classes, width or config.width, config.seed).to(self.device)
        known = config.pretraining
        if known["source"] == "others" and width is None:
            model.body.load_state_dict(self._pretrained().tensors)
        elif known["source"] == "imagenet":
            pretraining.load_imagenet(model, config.model)
        elif known["source"] == "weights":
            pretraining.load_file(model, known["file"])
        return model

    def _pretrained(self) -> Artefact:
        """The body of a model that was fitted to the people who are none of the classes."""
        config, known = self.config, self.config.pretraining
        recipe = replace(self.recipe, epochs=known["epochs"], lr=known["lr"])
        key = {
            "others": self.dataset.others_fingerprint,
            "model": config.model,
            "width": config.width,
            "recipe": vars(recipe),
            "numerics": training.NUMERICS,
            "device": self.environment["device"],
        }

        def make(partial: "_PartialFit") -> tuple[dict[str, Tensor], dict[str, Any]]:
            others = self.dataset.others.to(self.device)
            classes = int(others.labels.max()) + 1
            model = models.build(config.model, self.dataset.channels, classes, config.width, config.seed)
            model = model.to(self.device)
            with training.Stopwatch(self.device) as watch:
                training.fit(model, others, recipe, label="pretraining", checkpoint=partial)
            seconds = watch.seconds + partial.seconds_before
            self.say(f"pretraining: {seconds:.1f} s")
            return model.body.state_dict(), {"seconds": [seconds], "environment": self.environment}

        return self._fitted("pretrained", key, make)

    def key(self, name: str) -> dict[str, Any]:
        """All that decides a model's weights, and nothing else: what the model is found by in the store."""
        config = self.config
        key = {
            "dataset": self.dataset.fingerprint,
            "model": config.model,
            "width": config.width,
            "recipe": vars(self.recipe),
            "numerics": training.NUMERICS,
            "device": self.environment["device"],
        }
        if (known := config.pretraining)["source"] != "none":
            key["pretraining"] = dict(known) | {"others": self.dataset.others_fingerprint}
            if known["source"] == "weights":
                key["pretraining"]["file"] = hashlib.sha256(Path(known["file"]).expanduser().read_bytes()).hexdigest()
        if name == "original":
            return key
        return key | {
            "method": name,
            "settings": dict(config.unlearning[name]),
            "forget_class": config.forget_class,
        }

    def _fitted(
        self,
        kind: str,
        key: dict[str, Any],
        make: Callable[["_PartialFit"], tuple[dict[str, Tensor], dict[str, Any]]],
    ) -> Artefact:
        """The artefact of a fit that can be resumed; its partial state goes once the artefact is there."""
        partial = _PartialFit(self.store.path(kind, key))
        found = self.store.get(kind, key, lambda: make(partial))
        partial.path.unlink(missing_ok=True)
        return found

    def task(self, checkpoint: training.Checkpoint | None = None) -> UnlearningTask:
        """What a method is given."""
        original, initial = self.model("original"), self.initial()
        return UnlearningTask(
            original, initial, self.split, self.recipe, checkpoint, lambda window: self._recording(window).tensors
        )

    def _make(self, name: str, checkpoint: "_PartialFit") -> tuple[dict[str, Tensor], dict[str, Any]]:
        facts: dict[str, Any] = {"environment": self.environment}
        initial, watch = self.initial(), training.Stopwatch(self.device)

        def recorded(window: int) -> dict[str, Tensor]:
            with watch.paused():  # recording is a part of the original's training
                found = self._recording(window)
            facts["recording"] = found.facts
            return found.tensors

        if name == "original":
            make = lambda: self._fit_original(initial, checkpoint, watch)  # noqa: E731
        else:
            task = replace(self.task(checkpoint), recorded=recorded)
            make = lambda: METHODS[name](task, **self.config.unlearning[name])  # noqa: E731
        self._warm_up(initial)
        with watch:
            model = make()
        seconds = watch.seconds + checkpoint.seconds_before
        self.say(f"{name}: {seconds:.1f} s")
        return model.state_dict(), facts | {"seconds": [seconds]}

    def _fit_original(self, model: Classifier, checkpoint: "_PartialFit", watch: training.Stopwatch) -> Classifier:
        """The original; where a method will ask for its updates, they are recorded on the way, and not timed."""
        if "amnesiac" not in self.config.methods:
            data = self.dataset.train.to(self.device)
            training.fit(model, data, self.recipe, label="original", checkpoint=checkpoint)
            return model
        window = self.config.unlearning["amnesiac"]["window"]
        updates, facts = self._record(model, window, checkpoint)
        with watch.paused():
            self.store.get("recording", self._recording_key(window), lambda: (updates, facts))
        watch.seconds -= facts["seconds"]
        return model

    def _recording(self, window: int) -> Artefact:
        """The updates of the last `window` epochs of the original's training (all, for 0), on the device.

        Where the original was trained without recording, it is trained once more: on a CPU to the same weights, on a
        GPU to nearly the same.
        """
        key = self._recording_key(window)
        epochs = key["recorded_epochs"]
        if epochs not in self._recordings:
            found = self._fitted("recording", key, lambda partial: self._record(self.initial(), window, partial))
            tensors = {name: tensor.to(self.device) for name, tensor in found.tensors.items()}
            self._recordings[epochs] = Artefact(tensors, found.facts)
        return self._recordings[epochs]

    def _recording_key(self, window: int) -> dict[str, Any]:
        return self.key("original") | {"recorded_epochs": min(window or self.recipe.epochs, self.recipe.epochs)}

    def _record(
        self, model: Classifier, window: int, checkpoint: "_PartialFit"
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Fit `model` as the original is fitted, and record: the updates, and what recording took."""
        epochs = self._recording_key(window)["recorded_epochs"]
        recorder = Recorder(model, len(self.dataset.classes), self.recipe.epochs - epochs, checkpoint)
        data = self.dataset.train.to(self.device)
        with training.Stopwatch(self.device) as watch:
            training.fit(model, data, self.recipe, label="original", around_step=recorder.step, checkpoint=recorder)
        return recorder.updates(), {
            "epochs": epochs,
            "bytes": recorder.bytes,
            "seconds": recorder.seconds,
            "training_seconds": watch.seconds + checkpoint.seconds_before - recorder.seconds,
            "environment": self.environment,
        }

    def _shadow_keys(self) -> list[dict[str, Any]]:
        """All that decides each shadow model: what decides a Retrain, and its number."""
        key = self.key("original") | {"forget_class": self.config.forget_class}
        return [key | {"shadow": number} for number in range(self.config.shadow_models)]

    def _shadow(self, number: int) -> tuple[Tensor, Tensor]:
        """Logits of a shadow model, on the CPU: for its half of D_r, and for the other half.

        Shadow models 0 and 1 share a division of D_r, each with the half that the other leaves out, 2 and 3 the next.
        """
        key = self._shadow_keys()[number]

        def make(partial: "_PartialFit") -> tuple[dict[str, Tensor], dict[str, Any]]:
            config, data = self.config, self.split.remain_train
            seed = config.seed + 1 + number
            recipe = replace(self.recipe, seed=seed)
            parts = attacks.halves(len(data), config.seed + 1 + number // 2)
            inside, outside = (data[half.to(self.device)] for half in (parts if number % 2 == 0 else parts[::-1]))
            channels, classes = self.dataset.channels, len(self.dataset.classes)
            model = models.build(config.model, channels, classes, config.width, seed).to(self.device)
            with training.Stopwatch(self.device) as watch:
                training.fit(model, inside, recipe, label=f"shadow {number}", checkpoint=partial)
            seconds = watch.seconds + partial.seconds_before
            self.say(f"shadow {number}: {seconds:.1f} s")
            logits = {
                "members": training.predict(model, inside.images, self.precision),
                "others": training.predict(model, outside.images, self.precision),
            }
            return logits, {"seconds": [seconds], "environment": self.environment}

        found = self._fitted("shadow", key, make).tensors
        return found["members"], found["others"]

    def _warm_up(self, model: Classifier) -> None:
        """One throw-away step, so that the first method does not pay for what every later one finds ready."""
        batch = self.split.forget_train[torch.arange(min(self.recipe.batch_size, len(self.split.forget_train)))]
        training.fit(copy.deepcopy(model), batch, replace(self.recipe, epochs=1), label="warm-up")

    # --- what is reported -----------------------------------------------------------------------------------------

    def metrics(self) -> dict[str, Any]:
        """The `numbers`, also written to `metrics.json` in the results folder."""
        numbers = self.numbers()
        write_json(self.folder / "metrics.json", numbers)
        return numbers

    def numbers(self) -> dict[str, Any]:
        """Accuracy, attacks, entropy and time of each model, with all that they depend on."""
        return {
            "config": self.config.as_dict(),
            "dataset": {
                "name": self.dataset.name,
                "origin": self.dataset.origin,
                "fingerprint": self.dataset.fingerprint,
                "classes": list(self.dataset.classes),
                "sizes": {part: len(said.labels) for part, said in self.outputs("original").items()},
            },
            "environment": self.environment,
            "methods": {name: self._measured(name) for name in self.names},
        }

    def _measured(self, name: str) -> dict[str, Any]:
        outputs = self.outputs(name)
        seconds = self.seconds(name)
        return {
            "accuracy": {part: measures.accuracy(outputs[part]) for part in SPLITS},
            "forget_train_shares": measures.shares(outputs["forget_train"]),
            "entropy": self._entropy(name),
            "attack": self._attacked(name, self.attack),
            "attack_shadow": self._attacked(name, self.attack_shadow) if self.config.shadow_models else None,
            "seconds": {"median": statistics.median(seconds), "runs": seconds},
            "settings": dict(self.config.unlearning[name]) if name != "original" else {},
            "recording": self._said(name).facts.get("recording"),
            "environment": self._said(name).facts["environment"],
        }

    def _attacked(self, name: str, attack: Callable[[str], attacks.Scores]) -> dict[str, Any]:
        retrain = attack("retrain") if "retrain" in self.names else None
        return attacks.summary(attack(name), retrain, self.config.seed)

    def _entropy(self, name: str) -> dict[str, Any]:
        outputs = self.outputs(name)
        distances = None
        if "retrain" in self.names:
            distances = measures.entropy_distances(outputs["forget_train"], self.outputs("retrain")["forget_train"])
        return {
            **{part: measures.entropy(outputs[part]).mean().item() for part in SPLITS},
            "distance_to_retrain": distances,
            "histogram": {part: measures.entropy_histogram(outputs[part]) for part in SPLITS},
        }

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Where this process runs; of a recorded experiment, where that was run."""
        return self.record.environment if self.record else environment(self.device, self.precision)


def every_run(experiment: Experiment) -> dict[str, Experiment]:
    """The recorded runs by their names, and this one as "this page" where it is none of them: what a page compares."""
    own = experiment.record.folder.name if experiment.record else "this page"
    recorded = configs(experiment.config.results_dir).items()
    runs = {name: experiment if name == own else Experiment(config) for name, config in recorded}
    return runs | {own: experiment}


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

    def load(self, label: str) -> dict[str, Tensor] | None:
        self._saved = self._started = time.perf_counter()  # the fit starts now; what led up to it is timed elsewhere
        if not self.path.exists():
            return None
        try:
            found = read(self.path, self.key | {"label": label})
        except ValueError:
            return None  # another fit's, or damaged: this one starts anew and overwrites it
        self.seconds_before = found.facts["seconds"]
        return found.tensors

    def save(self, label: str, state: dict[str, Tensor]) -> None:
        now = time.perf_counter()
        if now - self._saved >= self.every:
            write(self.path, self.key | {"label": label}, state, {"seconds": self.seconds_before + now - self._started})
            self._saved = now


def _processor() -> str:
    """The processor's model name and the number of cores that this process may use."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text().splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} {'core' if cores == 1 else 'cores'}"


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
