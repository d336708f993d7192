"""An experiment: it asks the store first and computes what is missing.

    experiment = Experiment(Config.from_profile("digits"))
    experiment.model("boundary_shrink")     # the unlearned model
    experiment.outputs("boundary_shrink")   # what it says of D_r, D_f, D_rt, D_ft
    experiment.metrics()                    # every number, also left in results_dir/metrics.json

The names of the models are `original` and those in METHODS.
"""

import copy
import hashlib
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from . import (
    attacks,
    attention,
    decision_space,
    forgetting,
    measures,
    models,
    neighbours,
    pretraining,
    timing,
    training,
)
from .config import Config, class_index
from .data import SPLITS, Dataset, ForgetSplit, LabelledImages, load, pixels, split
from .measures import Outputs
from .models import Classifier
from .record import Record
from .settings import SettingError
from .store import Artefact, Store, read, write, write_json
from .unlearning import METHODS, UnlearningTask
from .unlearning.amnesiac import Recorder


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
        # Of a folder of people, who the classes are is known only now.
        forget_class = class_index(config.forget_class, self.dataset.classes, config.dataset)
        self.config = replace(config, forget_class=forget_class)
        self.recipe = training.Recipe(
            config.epochs, config.lr, config.momentum, config.batch_size, self.precision, config.seed
        )
        self._models: dict[str, Classifier] = {}
        self._recordings: dict[int, Artefact] = {}

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
            model = self._initial()
            model.load_state_dict(self.weights(name).tensors)
            self._models[name] = model.eval()
        return self._models[name]

    def weights(self, name: str) -> Artefact:
        """A model's state_dict, and as facts `environment`, `seconds` and, of Amnesiac, `recording`."""
        return self._fitted(name, self._key(name), lambda partial: self._make(name, partial))

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
            said = self._answers(self.model(name))
            tensors = {f"{part}.{of}": t for part, outputs in said.items() for of, t in outputs._asdict().items()}
            return tensors, self.weights(name).facts

        key = {"of": self._key(name), "forget_class": self.config.forget_class}
        return self.store.get(f"said-{name}", key, make)

    def _answers(self, model: Classifier) -> dict[str, Outputs]:
        sets = {part: getattr(self.split, part) for part in SPLITS}
        return {
            part: Outputs(training.predict(model, data.images, self.precision).cpu(), data.labels.cpu())
            for part, data in sets.items()
        }

    def attack(self, name: str) -> attacks.Scores:
        """The membership attack that learns from the model's own outputs, on that model."""
        key = {"of": self._key(name), "forget_class": self.config.forget_class, "attack": attacks.SETTINGS}

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            return attacks.from_own_outputs(self.outputs(name), self.config.seed)._asdict(), {}

        return attacks.Scores(**self.store.get(f"attack-{name}", key, make).tensors)

    def attack_shadow(self, name: str) -> attacks.Scores:
        """The membership attack that learns from shadow models, on one model."""
        key = {"of": self._key(name), "shadows": self._shadow_keys(), "attack": attacks.SETTINGS}

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            shadows = [self._shadow(number) for number in range(self.config.shadow_models)]
            return attacks.from_shadows(self.outputs(name), shadows, self.config.seed)._asdict(), {}

        return attacks.Scores(**self.store.get(f"attack_shadow-{name}", key, make).tensors)

    # --- the measurements of single chapters ----------------------------------------------------------------------

    def timing(self) -> dict[str, Any]:
        """What the methods cost: `timing.measure`, and the `environment`, since a time belongs to a machine.

        Retrain is timed even where it is none of the methods: the others are compared with it.
        """
        timed = {name: self.config.unlearning[name] for name in dict.fromkeys(("retrain", *self.config.methods))}
        key = {
            "of": [self._key(name) for name in ("original", *sorted(timed))],
            "runs": self.config.timing_runs,
            "timing": timing.SETTINGS,
            "machine": self._machine,
        }

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            task = self.task()
            if "amnesiac" in timed:
                task.recorded(timed["amnesiac"]["window"])  # recording is a part of the original's training
            initial = None if self.config.model in models.ONE_WIDTH else self._initial
            found = timing.measure(task, timed, self.config.timing_runs, initial)
            return {}, found | {"environment": self.environment}

        return self.store.get("timing", key, make).facts

    def measured(self) -> dict[str, dict[str, Any]]:
        """Every measurement beside `metrics`, by name: what the paper's claims are judged by."""
        return {
            "timing": self.timing(),
            "attention": self.attention(),
            "decision_space": self.decision_space(),
            "neighbours": self.neighbours(),
            "parts": self.parts(),
            "audit": self.audit(),
            "curves": self.curves(),
            "variants": self.variants(),
            "control": self.control(),
        }

    def attention(self) -> dict[str, Any]:
        """Where the models of Figure 5 look.

        `region`: the `name` of what counts as the object and whether it `is_object`; `mean_image`: of faces the mean of
        the remaining data, in grey, (H, W), else None; `map_size`: height and width of
        the layer's maps. `sets.<set>`, for D_f and as a control D_r: how many `images` were looked at; `area`, the
        mean share of an image that the object takes up, in percent; `outline`, (H, W), the share of the images that
        have the object at a pixel; `models.<name>.<asked>`, as `attention.summary` says.
        """
        region = attention.REGIONS.get(self.dataset.name, attention.MIDDLE)
        kept = {name: self._looked(name) for name in attention.MODELS if name in self.names}
        sets = {}
        outlines = self._outlines()
        for part in attention.PARTS:
            found = {
                name: {
                    of.removeprefix(f"{part}."): tensor
                    for of, tensor in artefact.tensors.items()
                    if of.startswith(f"{part}.")
                }
                for name, artefact in kept.items()
            }
            sets[part] = {
                "images": len(self._sample(part)),
                "area": 100 * outlines[part].mean().item(),
                "outline": outlines[part].tolist(),
                "models": attention.summary(found, self.config.seed),
            }
        return {
            "region": {"name": region.name, "is_object": region.is_object},
            "mean_image": outlines["mean_image"].tolist() if "mean_image" in outlines else None,
            "map_size": kept["original"].facts["map_size"],
            "sets": sets,
        }

    def overlays(self, count: int = 4) -> dict[str, Any]:
        """Single forgetting images, for whoever has them: nothing of this is kept.

        `images`: uint8, (count, H, W, 3); `maps.<name>`: each model's maps of them for its own answer, (count, H, W).
        """
        images = self.split.forget_train.images[self._sample("forget_train")[:count].to(self.device)]
        maps = {}
        for name in (name for name in attention.MODELS if name in self.names):
            predicted = training.predict(self.model(name), images, self.precision).argmax(1)
            maps[name] = attention.maps(self.model(name), images, predicted).numpy()
        return {"images": images.permute(0, 2, 3, 1).cpu().numpy(), "maps": maps}

    def _outlines(self) -> dict[str, Tensor]:
        """For each set the share of its images that have the object at a pixel, float64, (H, W); and of faces

        `mean_image`, the mean of the remaining data, of several people, in grey, 0 to 1.
        """
        region = attention.REGIONS.get(self.dataset.name, attention.MIDDLE)

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            masks = {
                part: region.masks(getattr(self.split, part).images.cpu()[self._sample(part)]).double()
                for part in attention.PARTS
            }
            kept = {part: mask.mean(0) for part, mask in masks.items()}
            if self.dataset.name == "faces":  # aligned, so that a mean shows something
                images = self.split.remain_train.images[self._sample("remain_train").to(self.device)]
                kept["mean_image"] = pixels(images).mean((0, 1)).cpu()
            return kept, {}

        key = {
            "dataset": self.dataset.fingerprint,
            "seed": self.config.seed,
            "forget_class": self.config.forget_class,
            "sample_size": self.config.sample_size,
            "region": region.name,
            "attention": attention.SETTINGS,
        }
        return self.store.get("outlines", key, make).tensors

    def _looked(self, name: str) -> Artefact:
        """What `attention.look` keeps of a model and of the two sets."""
        region = attention.REGIONS.get(self.dataset.name, attention.MIDDLE)
        key = {
            "of": self._key(name),
            "forget_class": self.config.forget_class,
            "sample_size": self.config.sample_size,
            "region": region.name,
            "attention": attention.SETTINGS,
        }

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            model, tensors = self.model(name), {}
            for part in attention.PARTS:
                chosen = self._sample(part)
                images = getattr(self.split, part).images[chosen.to(self.device)]
                outputs = self.outputs(name)[part]
                predicted, labels = outputs.logits.argmax(1)[chosen], outputs.labels[chosen]
                found = attention.look(model, images, labels, predicted, region)
                tensors |= {f"{part}.{of}": tensor for of, tensor in found.items()}
            return tensors, {"map_size": attention.layer(model, pixels(images[:1]))[1]}

        return self.store.get(f"attention-{name}", key, make)

    def decision_space(self) -> dict[str, Any]:
        """Where the models of Figure 6 have the remaining and the forgetting samples.

        `images`: how many of each set are in the map. `models.<name>`: `map`, with `remain` and `forget` (places in the
        plane, (N, 2)), the true labels of the former (`remain_labels`) and the model's answer for the latter
        (`forget_predicted`); `compactness`, over these images; and over all of the set, `margin.<set>` for D_r and D_f
        (`margin_summary`) and `forget`, of D_f (`destinations`).
        """
        names = [name for name in decision_space.MODELS if name in self.names]
        chosen = {part: self._sample(part) for part in ("remain_train", "forget_train")}
        key = {
            "of": [self._key(name) for name in names],
            "forget_class": self.config.forget_class,
            "sample_size": self.config.sample_size,
            "space": decision_space.SETTINGS,
        }
        remaining = self.outputs("original")["remain_train"].labels[chosen["remain_train"]]

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            images = [getattr(self.split, part).images[index.to(self.device)] for part, index in chosen.items()]
            samples = {
                name: decision_space.Sample(
                    *(decision_space.features(self.model(name), part, self.precision) for part in images)
                )
                for name in names
            }
            places = decision_space.embedded(decision_space.aligned(samples), self.config.seed)
            tensors = {f"{name}.{side}": part for name in names for side, part in places[name]._asdict().items()}
            return tensors, {name: decision_space.compactness(samples[name], remaining) for name in names}

        kept = self.store.get("decision_space", key, make)
        outputs = {name: self.outputs(name) for name in names}
        retrain = outputs["retrain"]["forget_train"] if "retrain" in names else None
        return {
            "images": {part: len(index) for part, index in chosen.items()},
            "models": {
                name: {
                    "map": {
                        "remain": kept.tensors[f"{name}.remain"].tolist(),
                        "remain_labels": remaining.tolist(),
                        "forget": kept.tensors[f"{name}.forget"].tolist(),
                        "forget_predicted": found["forget_train"].logits.argmax(1)[chosen["forget_train"]].tolist(),
                    },
                    "compactness": kept.facts[name],
                    "margin": {part: decision_space.margin_summary(found[part]) for part in chosen},
                    "forget": decision_space.destinations(
                        found["forget_train"], outputs["original"]["forget_train"], retrain
                    ),
                }
                for name, found in outputs.items()
            },
        }

    def neighbours(self) -> dict[str, Any]:
        """What Boundary Shrink's search finds, in one step and in several: `neighbours.summary` for D_f, and

        `epsilons`, at which reaches; `epsilon`, the reach that Boundary Shrink itself has here; `walks.<search>`, steps
        and step size; `seconds`, the median time of each search of those images, on the machine in `environment`;
        `outcome.<search>`, for Boundary Shrink with either search: `accuracy` on the four sets in percent and
        `like_retrain`, the share of D_f, in percent, that gets the class that Retrain gives it (None without Retrain).
        """
        settings = self.config.unlearning["boundary_shrink"]
        walks = {"fgsm": [1, 1.0], "pgd": [settings["steps"], settings["step_size"]]}
        epsilons, chosen = neighbours.grid(settings["epsilon"]), self._sample("forget_train")
        key = {
            "of": self._key("original"),
            "forget_class": self.config.forget_class,
            "sample_size": self.config.sample_size,
            "walks": walks,
            "epsilons": epsilons,
            "machine": self._machine,
        }

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            data = self.split.forget_train[chosen.to(self.device)]
            found, seconds = neighbours.search(self.model("original"), data, self.precision, walks, epsilons)
            return found, {"seconds": seconds, "environment": self.environment}

        kept = self.store.get("neighbours", key, make)
        retrain = self.outputs("retrain")["forget_train"] if "retrain" in self.names else None
        outcome = {}
        for search in walks:
            outputs = self._changed("boundary_shrink", search=search).outputs("boundary_shrink")
            outcome[search] = {
                "accuracy": {part: measures.accuracy(outputs[part]) for part in SPLITS},
                "like_retrain": measures.agreement(outputs["forget_train"], retrain) if retrain else None,
            }
        labels = self.outputs("original")["forget_train"].labels[chosen]
        return neighbours.summary(kept.tensors, labels, len(self.dataset.classes)) | {
            "epsilons": epsilons,
            "epsilon": settings["epsilon"],
            "walks": walks,
            "seconds": {name: statistics.median(runs) for name, runs in kept.facts["seconds"].items()},
            "environment": kept.facts["environment"],
            "outcome": outcome,
        }

    def _changed(self, method: str, **settings: Any) -> "Experiment":
        """This experiment with other settings for one method: the same data, original and store."""
        changed = copy.copy(self)
        unlearning = dict(self.config.unlearning) | {method: self.config.unlearning[method] | settings}
        changed.config = replace(self.config, unlearning=unlearning)
        changed._models = {name: model for name, model in self._models.items() if name != method}
        return changed

    # --- what does the forgetting -----------------------------------------------------------------------------------

    def parts(self) -> dict[str, Any]:
        """What the statistics and the weights each do (`forgetting.PARTS`): for the methods that fine-tune on D_f.

        `original` and `retrain`: as `_judged` says. `methods.<name>.<part>`: the same, and `explained`, the part's
        share of what both together take from D_f, in percent. What the statistics do alone does not depend on the
        method, and is computed with the first.
        """
        found: dict[str, Any] = {}
        for name in self._dismantled():
            alone = next(iter(found.values()))["statistics"] if found else None
            parts = {
                part: dict(alone) if alone and part == "statistics" else self._changed(name, **settings)._judged(name)
                for part, settings in forgetting.PARTS.items()
            }
            before, both = (entry["accuracy"]["forget_train"] for entry in (self._judged("original"), parts["both"]))
            for entry in parts.values():
                entry["explained"] = forgetting.share_explained(before, entry["accuracy"]["forget_train"], both)
            found[name] = parts
        yardsticks = {name: self._judged(name) for name in ("original", "retrain") if name in self.names}
        return yardsticks | {"methods": found}

    def audit(self) -> dict[str, Any]:
        """Does the class come back, once BatchNorm's statistics are estimated anew on remaining images?

        `images`: on how many. `models.<name>`: `before`, as `_judged` says, and `after`, one for each number of images:
        the `accuracy` on D_f and D_ft, and for the most images all that `_judged` says.
        """
        *fewer, most = self._audited_on()
        found = {}
        for name in self.names:
            after = [{"accuracy": self._comes_back(name, count)} for count in fewer]
            found[name] = {"before": self._judged(name), "after": [*after, self._judged(name, most)]}
        return {"images": [*fewer, most], "models": found}

    def _comes_back(self, name: str, images: int) -> dict[str, float]:
        """Accuracy on D_f and D_ft, in percent, after the statistics were estimated anew on `images` of D_r."""
        key = {"of": self._key(name), "forget_class": self.config.forget_class, "images": images}

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            model, found = self._reestimated(name, images), {}
            for part in ("forget_train", "forget_test"):
                data = getattr(self.split, part)
                found[part] = measures.accuracy(
                    Outputs(training.predict(model, data.images, self.precision), data.labels)
                )
            return {}, {"accuracy": found}

        return self.store.get(f"back-{name}", key, make).facts["accuracy"]

    def _reestimated(self, name: str, images: int) -> Classifier:
        chosen = self._order("remain_train")[:images].to(self.device)
        return forgetting.reestimated(self.model(name), self.split.remain_train.images[chosen], self.precision)

    def curves(self) -> list[dict[str, Any]]:
        """What is forgotten against what is lost, epoch by epoch, over learning rates, and with frozen statistics over

        reaches, which decide labels: where the statistics follow the batches, those matter little.

        Each curve: `method`, `batchnorm`, `lr`, `epsilon` (None where the method has none) and `points`, from the
        original to the last epoch, each with the accuracies in percent `before` and `after` the statistics were
        estimated anew. They rest on `sample_size` images of each set.
        """
        asked = []
        for name in (name for name in forgetting.CURVES if name in self.config.methods):
            own = self.config.unlearning[name]
            rates = [{"lr": lr} for lr in forgetting.LEARNING_RATES]
            reaches = [{"epsilon": reach} for reach in forgetting.EPSILONS if "epsilon" in own]
            asked += [(name, own | rate | {"batchnorm": "train"}) for rate in rates]
            asked += [(name, own | variant | {"batchnorm": "frozen"}) for variant in rates + reaches]
        curves = []
        for name, settings in asked:
            points = self._changed(name, **settings)._points(name)
            shown = {of: settings.get(of) for of in ("batchnorm", "lr", "epsilon")}
            if (curve := {"method": name, **shown, "points": points}) not in curves:
                curves.append(curve)
        return curves

    def variants(self) -> dict[str, dict[str, Any]]:
        """Where the released code differs from the paper's text: `forgetting.VARIANTS`, by method and title.

        Each: as `_judged` says.
        """
        found: dict[str, dict[str, Any]] = {}
        for name, variants in forgetting.VARIANTS.items():
            for title, variant in variants.items() if name in self.config.methods else ():
                changed = self._changed(name, **forgetting.varied(self.config.unlearning[name], variant))
                found.setdefault(name, {})[title] = changed._judged(name)
        return found

    def control(self) -> dict[str, Any] | None:
        """The same methods on a model without running statistics, `config.control`; None where that names none.

        `model`: its name; `models.<name>`, for the original and each method taken apart: as `_judged` says.
        """
        if self.config.control is None:
            return None
        changed = copy.copy(self)
        changed.config = replace(self.config, model=self.config.control)
        changed._models, changed._recordings = {}, {}
        names = ("original", *self._dismantled())
        return {"model": self.config.control, "models": {name: changed._judged(name) for name in names}}

    def _dismantled(self) -> list[str]:
        return [name for name in forgetting.METHODS if name in self.config.methods]

    def _audited_on(self) -> list[int]:
        """Numbers of images that the audit sees; of a small D_r, all."""
        remaining = len(self.outputs("original")["remain_train"].labels)
        return sorted({min(count, remaining) for count in forgetting.REESTIMATED_ON})

    def _judged(self, name: str, images: int = 0) -> dict[str, Any]:
        """`accuracy` on the four sets in percent, the `attack`'s summary, the mean `entropy` of D_f in nats, and the
        median `seconds` that the model took to make,

        after BatchNorm's statistics were estimated anew on `images` images of D_r; 0 leaves them as they are.
        """
        key = {
            "of": self._key(name),
            "forget_class": self.config.forget_class,
            "images": images,
            "attack": attacks.SETTINGS,
        }

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            said = self._answers(self._reestimated(name, images)) if images else self.outputs(name)
            scores = attacks.from_own_outputs(said, self.config.seed)
            return {}, {
                "accuracy": {part: measures.accuracy(outputs) for part, outputs in said.items()},
                "attack": attacks.summary(scores, None, self.config.seed),
                "entropy": measures.entropy(said["forget_train"]).mean().item(),
                "seconds": statistics.median(self.seconds(name)),
            }

        return copy.deepcopy(self.store.get(f"judged-{name}", key, make).facts)

    def _points(self, name: str) -> list[dict[str, Any]]:
        """The points of one curve; see `curves`."""
        key = {
            "of": self._key(name),
            "forget_class": self.config.forget_class,
            "sample_size": self.config.sample_size,
            "forgetting": forgetting.SETTINGS,
        }

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            parts = {part: getattr(self.split, part)[self._sample(part).to(self.device)] for part in SPLITS}
            chosen = self._order("remain_train")[: forgetting.AUDIT_OF_A_CURVE].to(self.device)
            remaining = self.split.remain_train.images[chosen]

            def right(model: Classifier, data: LabelledImages) -> float:
                return measures.accuracy(Outputs(training.predict(model, data.images, self.precision), data.labels))

            def look(model: Classifier) -> dict[str, Any]:
                both = {"before": model, "after": forgetting.reestimated(model, remaining, self.precision)}
                return {
                    when: {part: right(looked, data) for part, data in parts.items()} for when, looked in both.items()
                }

            original = self.model("original")
            watcher = forgetting.Watcher(original, look)
            last = METHODS[name](self.task(watcher), **self.config.unlearning[name])
            return {}, {"points": [look(original), *watcher.seen, look(last)]}

        return self.store.get(f"curve-{name}", key, make).facts["points"]

    def _sample(self, part: str) -> Tensor:
        """Which images of a set are looked at one by one: their numbers, drawn at random, int64, on the CPU."""
        return self._order(part)[: self.config.sample_size]

    def _order(self, part: str) -> Tensor:
        generator = torch.Generator().manual_seed(self.config.seed)
        return torch.randperm(len(self.outputs("original")[part].labels), generator=generator)

    @property
    def _machine(self) -> dict[str, Any]:
        """What a time depends on beside the work."""
        return {name: value for name, value in self.environment.items() if name not in ("git_commit", "date")}

    # --- how it is made -------------------------------------------------------------------------------------------

    def _initial(self, width: float | None = None) -> Classifier:
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

    def _key(self, name: str) -> dict[str, Any]:
        """All that decides a model's weights, and nothing else."""
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
        original, initial = self.model("original"), self._initial()
        return UnlearningTask(
            original, initial, self.split, self.recipe, checkpoint, lambda window: self._recording(window).tensors
        )

    def _make(self, name: str, checkpoint: "_PartialFit") -> tuple[dict[str, Tensor], dict[str, Any]]:
        facts: dict[str, Any] = {"environment": self.environment}
        initial, watch = self._initial(), training.Stopwatch(self.device)

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
            found = self._fitted("recording", key, lambda partial: self._record(self._initial(), window, partial))
            tensors = {name: tensor.to(self.device) for name, tensor in found.tensors.items()}
            self._recordings[epochs] = Artefact(tensors, found.facts)
        return self._recordings[epochs]

    def _recording_key(self, window: int) -> dict[str, Any]:
        return self._key("original") | {"recorded_epochs": min(window or self.recipe.epochs, self.recipe.epochs)}

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
        key = self._key("original") | {"forget_class": self.config.forget_class}
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
