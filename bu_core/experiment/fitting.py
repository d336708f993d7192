"""How the models of an experiment are made: each is fitted once, and found in the store by what made it afterwards."""

import copy
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import models, training
from ..attacks.shadow_models import halves
from ..checks import SettingError
from ..config import Config
from ..data import Dataset, ForgetSplit, LabelledImages
from ..data.request import request_key
from ..models import Classifier, pretraining
from ..models.weights import digest_of
from ..results import Artefact
from ..store import Store, read, write
from ..unlearning import METHODS, UnlearningTask, changed_settings
from ..unlearning.amnesiac import Recorder
from .environment import Environment


class Fitting:
    """The models of one experiment. `Experiment` sets the attributes, and asks."""

    config: Config
    dataset: Dataset
    split: ForgetSplit
    store: Store
    device: torch.device
    precision: training.Precision
    recipe: training.Recipe
    environment: Environment  # where the run belongs, and its models
    here: Environment  # where this process runs
    say: Callable[[str], None]

    def __init__(self) -> None:
        self._models: dict[str, Classifier] = {}
        self._recordings: dict[int, Artefact] = {}

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

    def key(self, name: str) -> dict[str, Any]:
        """All that decides a model's weights, and nothing else: what the model is found by in the store.

        A setting of a method at its default is left out, so whoever changes a default has to raise NUMERICS.
        """
        config = self.config
        key: dict[str, Any] = {"dataset": self.dataset.fingerprint} | self._made_by(self.recipe)
        if (known := config.pretraining)["source"] != "none":
            key["pretraining"] = dict(known) | {"others": self.dataset.others_fingerprint}
            if known["source"] == "weights":
                key["pretraining"]["file"] = digest_of(known["file"])
        if name == "original":
            return key
        settings = changed_settings(name, config.unlearning[name])
        if name == "file":
            settings = {"weights": digest_of(settings["weights"])}
        return key | {"method": name, "settings": settings} | self.forget_key

    @property
    def forget_key(self) -> dict[str, Any]:
        """What is to be forgotten, as a key holds it."""
        config = self.config
        return {"forget": request_key(config.forget)} if config.forget else {"forget_class": config.forget_class}

    def _made_by(self, recipe: training.Recipe) -> dict[str, Any]:
        return {
            "model": self.config.model,
            "width": self.config.width,
            "recipe": vars(recipe),
            "numerics": training.NUMERICS,
            "device": self.environment["device"],
        }

    def initial(self, width: float | None = None) -> Classifier:
        """The model before its training; of another width than the config's, for what only looks at its size."""
        config, known = self.config, self.config.pretraining
        model = self._built(len(self.dataset.classes), width or config.width, config.seed)
        if known["source"] == "others" and width is None:
            model.body.load_state_dict(self._pretrained().tensors)
        elif known["source"] == "imagenet":
            pretraining.load_imagenet(model, config.model)
        elif known["source"] == "weights":
            pretraining.load_file(model, known["file"])
        return model

    def _built(self, classes: int, width: float, seed: int) -> Classifier:
        return models.build(self.config.model, self.dataset.channels, classes, width, seed).to(self.device)

    def task(self, checkpoint: training.Checkpoint | None = None) -> UnlearningTask:
        """What a method is given."""
        given = self.model("original"), self.initial()
        return UnlearningTask(*given, self.split, self.recipe, checkpoint, lambda last: self._recording(last).tensors)

    def _fitted(self, kind: str, key: dict[str, Any], make: Callable[["_PartialFit"], Artefact]) -> Artefact:
        """The artefact of a fit that can be resumed; its partial state goes once the artefact is there."""
        partial = _PartialFit(self.store.path(kind, key))
        found = self.store.get(kind, key, lambda: make(partial))
        partial.path.unlink(missing_ok=True)
        return found

    def _make(self, name: str, checkpoint: "_PartialFit") -> Artefact:
        facts: dict[str, Any] = {"environment": self.here}
        initial, watch = self.initial(), training.Stopwatch(self.device)

        def recorded(window: int) -> dict[str, Tensor]:
            with watch.paused():  # recording is a part of the original's training
                found = self._recording(window)
            facts["recording"] = found.facts
            return found.tensors

        task = None if name == "original" else replace(self.task(checkpoint), recorded=recorded)
        # One throw-away step, so that the first method does not pay for what every later one finds ready.
        batch = self.split.forget_train[torch.arange(min(self.recipe.batch_size, len(self.split.forget_train)))]
        training.fit(copy.deepcopy(initial), batch, replace(self.recipe, epochs=1), label="warm-up")
        with watch:
            if task is None:
                model = self._fit_original(initial, checkpoint, watch)
            else:
                model = METHODS[name](task, **self.config.unlearning[name])
        seconds = watch.seconds + checkpoint.seconds_before
        self.say(f"{name}: {seconds:.1f} s")
        return Artefact(model.state_dict(), facts | {"seconds": [seconds]})

    def _fit_original(self, model: Classifier, checkpoint: "_PartialFit", watch: training.Stopwatch) -> Classifier:
        """The original; where a method will ask for its updates, they are recorded on the way, and not timed."""
        window, recording = self.config.unlearning["amnesiac"]["window"], None
        if "amnesiac" in self.config.methods:
            recording = self._record(model, window, checkpoint)
        else:
            data = self.dataset.train.to(self.device)
            training.fit(model, data, self.recipe, label="original", checkpoint=checkpoint)
        if training.diverged(model):
            raise SettingError(f"lr={self.config.lr:g}: the original diverged, its weights are not finite; lower it")
        if recording is not None:
            with watch.paused():
                self.store.get("recording", self._recording_key(window), lambda: recording)
            watch.seconds -= recording.facts["seconds"]
        return model

    def _pretrained(self) -> Artefact:
        """The body of a model that was fitted to the people who are none of the classes."""
        known = self.config.pretraining
        recipe = replace(self.recipe, epochs=known["epochs"], lr=known["lr"])
        key = {"others": self.dataset.others_fingerprint} | self._made_by(recipe)

        def make(partial: "_PartialFit") -> Artefact:
            assert self.dataset.others is not None  # the config asks for others where it pretrains on them
            others = self.dataset.others.to(self.device)
            model, facts = self._fit_apart("pretraining", int(others.labels.max()) + 1, others, recipe, partial)
            return Artefact(model.body.state_dict(), facts)

        return self._fitted("pretrained", key, make)

    def _fit_apart(
        self, label: str, classes: int, data: LabelledImages, recipe: training.Recipe, partial: "_PartialFit"
    ) -> tuple[Classifier, dict[str, Any]]:
        """A model that is none of the experiment's own, fitted to `data`, and the facts of its making."""
        model = self._built(classes, self.config.width, recipe.seed)
        with training.Stopwatch(self.device) as watch:
            training.fit(model, data, recipe, label=label, checkpoint=partial)
        seconds = watch.seconds + partial.seconds_before
        self.say(f"{label}: {seconds:.1f} s")
        return model, {"seconds": [seconds], "environment": self.here}

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

    def _record(self, model: Classifier, window: int, checkpoint: "_PartialFit") -> Artefact:
        """Fit `model` as the original is fitted, and record: the updates, and what recording took."""
        epochs = self._recording_key(window)["recorded_epochs"]
        recorder = Recorder(model, len(self.dataset.classes), self.recipe.epochs - epochs, checkpoint)
        data = self.dataset.train.to(self.device)
        with training.Stopwatch(self.device) as watch:
            training.fit(model, data, self.recipe, label="original", around_step=recorder.step, checkpoint=recorder)
        facts = {
            "epochs": epochs,
            "bytes": recorder.bytes,
            "seconds": recorder.watch.seconds,
            "training_seconds": watch.seconds + checkpoint.seconds_before - recorder.watch.seconds,
            "environment": self.here,
        }
        return Artefact(recorder.updates(), facts)

    def shadow(self, number: int) -> tuple[Tensor, Tensor]:
        """Logits of a shadow model, on the CPU: for its half of D_r, and for the other half.

        Shadow models 0 and 1 share a division of D_r, each with the half that the other leaves out, 2 and 3 the next.
        """

        def make(partial: "_PartialFit") -> Artefact:
            data, first = self.split.remain_train, self.config.seed + 1
            parts = halves(len(data), first + number // 2)
            inside, outside = (data[half.to(self.device)] for half in (parts if number % 2 == 0 else parts[::-1]))
            recipe, classes = replace(self.recipe, seed=first + number), len(self.dataset.classes)
            model, facts = self._fit_apart(f"shadow {number}", classes, inside, recipe, partial)
            sides = {"members": inside, "others": outside}
            logits = {name: training.predict(model, side.images, self.precision) for name, side in sides.items()}
            return Artefact(logits, facts)

        key = self.key("original") | self.forget_key | {"shadow": number}
        found = self._fitted("shadow", key, make).tensors
        return found["members"], found["others"]


class _PartialFit:
    """The state of a fit under way, kept beside the artefact that it will become (a training.Checkpoint)."""

    every = 20.0  # seconds between two saves at the least, so that a short fit is not slowed by any

    def __init__(self, artefact: Path):
        self.path, self.key, self.seconds_before = artefact.with_suffix(".partial"), {"partial": artefact.name}, 0.0

    def load(self, label: str) -> dict[str, Tensor] | None:
        self._saved = self._started = time.perf_counter()  # the fit starts now; what led up to it is timed elsewhere
        try:
            found = read(self.path, self.key | {"label": label})
        except ValueError:
            return None  # absent, another fit's, or damaged: this one starts anew and overwrites it
        self.seconds_before = found.facts["seconds"]
        return found.tensors

    def save(self, label: str, state: dict[str, Tensor]) -> None:
        now = time.perf_counter()
        if now - self._saved >= self.every:
            facts = {"seconds": self.seconds_before + now - self._started}
            write(self.path, self.key | {"label": label}, Artefact(state, facts))
            self._saved = now
