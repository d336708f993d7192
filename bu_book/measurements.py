"""What the chapters look at beside `Experiment.metrics`, each kept in the experiment's store once it was computed.

measurements = Measurements(experiment)
measurements.timing()       # what the methods cost
measurements.parts()        # what does the forgetting: the weights, or BatchNorm's statistics
measurements.all()          # everything, by name
"""

import copy
import statistics
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bu_core import attacks, measures, models, training
from bu_core.audits.channel_shift import shifted
from bu_core.audits.reestimation import reestimated
from bu_core.data import SPLITS, LabelledImages, pixels
from bu_core.measures import Outputs
from bu_core.models import Classifier
from bu_core.store import Artefact
from bu_core.unlearning import METHODS

from . import forgetting
from .chapters import attention, decision_space, neighbours, timing

if TYPE_CHECKING:
    from bu_core.experiment.experiment import Experiment


class Measurements:
    """The measurements of one experiment. Each method computes what the store lacks, and returns plain numbers."""

    def __init__(self, experiment: "Experiment"):
        self.experiment = experiment

    def all(self) -> dict[str, dict[str, Any]]:
        """Every measurement, by name: with `Experiment.metrics`, what the paper's claims are judged by."""
        return {
            "timing": self.timing(),
            "attention": self.attention(),
            "decision_space": self.decision_space(),
            "neighbours": self.neighbours(),
            "parts": self.parts(),
            "parts_repeated": self.parts_repeated(),
            "audit": self.audit(),
            "curves": self.curves(),
            "variants": self.variants(),
            "elsewhere": self.elsewhere(),
        }

    def timing(self) -> dict[str, Any]:
        """What the methods cost: `timing.measure`, and the `environment`, since a time belongs to a machine.

        Retrain is timed even where it is none of the methods: the others are compared with it. `images.<name>`: how
        many images a method goes through in all its epochs, of those that have epochs.
        """
        config = self.experiment.config
        timed = {name: config.unlearning[name] for name in dict.fromkeys(("retrain", *config.methods))}
        key = {
            "of": [self.experiment.key(name) for name in ("original", *sorted(timed))],
            "runs": config.timing_runs,
            "timing": timing.SETTINGS,
            "machine": self.experiment.machine,
        }

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            task = self.experiment.task()
            if "amnesiac" in timed:
                task.recorded(timed["amnesiac"]["window"])  # recording is a part of the original's training
            initial = None if config.model in models.ONE_WIDTH else self.experiment.initial
            found = timing.measure(task, timed, config.timing_runs, initial)
            return {}, found | {"environment": self.experiment.environment}

        sizes = {part: len(said.labels) for part, said in self.experiment.outputs("original").items()}
        epochs = {name: settings["epochs"] for name, settings in timed.items() if "epochs" in settings}
        images = {
            name: count * sizes["remain_train" if name in timing.OVER_REMAINING else "forget_train"]
            for name, count in ({"retrain": config.epochs} | epochs).items()
        }
        return self.experiment.store.get("timing", key, make).facts | {"images": images}

    def attention(self) -> dict[str, Any]:
        """Where the models of Figure 5 look.

        `region`: the `name` of what counts as the object and whether it `is_object`; `mean_image`: of faces the mean of
        the remaining data, in grey, (H, W), else None; `map_size`: height and width of
        the layer's maps. `sets.<set>`, for D_f and as a control D_r: how many `images` were looked at; `area`, the
        mean share of an image that the object takes up, in percent; `outline`, (H, W), the share of the images that
        have the object at a pixel; `models.<name>.<asked>`, as `attention.summary` says.
        """
        region = attention.REGIONS.get(self.experiment.dataset.name, attention.MIDDLE)
        kept = {name: self._looked(name) for name in attention.MODELS if name in self.experiment.names}
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
                "images": len(self.experiment.sample(part)),
                "area": 100 * outlines[part].mean().item(),
                "outline": outlines[part].tolist(),
                "models": attention.summary(found, self.experiment.config.seed),
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
        images = self._chosen("forget_train").images[:count]
        maps = {}
        for name in (name for name in attention.MODELS if name in self.experiment.names):
            predicted = training.predict(self.experiment.model(name), images, self.experiment.precision).argmax(1)
            maps[name] = attention.maps(self.experiment.model(name), images, predicted).numpy()
        return {"images": images.permute(0, 2, 3, 1).cpu().numpy(), "maps": maps}

    def _outlines(self) -> dict[str, Tensor]:
        """For each set the share of its images that have the object at a pixel, float64, (H, W); and of faces

        `mean_image`, the mean of the remaining data, of several people, in grey, 0 to 1.
        """
        region = attention.REGIONS.get(self.experiment.dataset.name, attention.MIDDLE)

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            masks = {part: region.masks(self._chosen(part).images.cpu()).double() for part in attention.PARTS}
            kept = {part: mask.mean(0) for part, mask in masks.items()}
            if self.experiment.dataset.name == "faces":  # aligned, so that a mean shows something
                kept["mean_image"] = pixels(self._chosen("remain_train").images).mean((0, 1)).cpu()
            return kept, {}

        key = {
            "dataset": self.experiment.dataset.fingerprint,
            "seed": self.experiment.config.seed,
            "forget_class": self.experiment.config.forget_class,
            "sample_size": self.experiment.config.sample_size,
            "region": region.name,
            "attention": attention.SETTINGS,
        }
        return self.experiment.store.get("outlines", key, make).tensors

    def _looked(self, name: str) -> Artefact:
        """What `attention.look` keeps of a model and of the two sets."""
        region = attention.REGIONS.get(self.experiment.dataset.name, attention.MIDDLE)
        key = {
            "of": self.experiment.key(name),
            "forget_class": self.experiment.config.forget_class,
            "sample_size": self.experiment.config.sample_size,
            "region": region.name,
            "attention": attention.SETTINGS,
        }

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            model, tensors = self.experiment.model(name), {}
            for part in attention.PARTS:
                chosen, images = self.experiment.sample(part), self._chosen(part).images
                outputs = self.experiment.outputs(name)[part]
                predicted, labels = outputs.logits.argmax(1)[chosen], outputs.labels[chosen]
                found = attention.look(model, images, labels, predicted, region)
                tensors |= {f"{part}.{of}": tensor for of, tensor in found.items()}
            return tensors, {"map_size": attention.layer(model, pixels(images[:1]))[1]}

        return self.experiment.store.get(f"attention-{name}", key, make)

    def decision_space(self) -> dict[str, Any]:
        """Where the models of Figure 6 have the remaining and the forgetting samples.

        `images`: how many of each set are in the map. `models.<name>`: `map`, with `remain` and `forget` (places in the
        plane, (N, 2)), the true labels of the former (`remain_labels`) and the model's answer for the latter
        (`forget_predicted`); `compactness`, over these images; and over all of the set, `margin.<set>` for D_r and D_f
        (`margin_summary`) and `forget`, of D_f (`destinations`).
        """
        names = [name for name in decision_space.MODELS if name in self.experiment.names]
        chosen = {part: self.experiment.sample(part) for part in ("remain_train", "forget_train")}
        key = {
            "of": [self.experiment.key(name) for name in names],
            "forget_class": self.experiment.config.forget_class,
            "sample_size": self.experiment.config.sample_size,
            "space": decision_space.SETTINGS,
        }
        remaining = self.experiment.outputs("original")["remain_train"].labels[chosen["remain_train"]]

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            images = [self._chosen(part).images for part in chosen]
            precision = self.experiment.precision
            samples = {
                name: decision_space.Sample(
                    *(decision_space.features(self.experiment.model(name), part, precision) for part in images)
                )
                for name in names
            }
            places = decision_space.embedded(decision_space.aligned(samples), self.experiment.config.seed)
            tensors = {f"{name}.{side}": part for name in names for side, part in places[name]._asdict().items()}
            return tensors, {name: decision_space.compactness(samples[name], remaining) for name in names}

        kept = self.experiment.store.get("decision_space", key, make)
        outputs = {name: self.experiment.outputs(name) for name in names}
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

        `images`, how many were looked at; `epsilons`, at which reaches; `epsilon`, the reach that Boundary Shrink has
        here; `walks.<search>`, steps and step size; `seconds`, the median time of each search of those images, on the
        machine in `environment`; `outcome.<search>`, for Boundary Shrink with either search: `accuracy` on the four
        sets in percent and `like_retrain`, the share of D_f, in percent, that gets the class that Retrain gives it
        (None without Retrain).
        """
        settings = self.experiment.config.unlearning["boundary_shrink"]
        walks = {"fgsm": [1, 1.0], "pgd": [settings["steps"], settings["step_size"]]}
        epsilons, chosen = neighbours.grid(settings["epsilon"]), self.experiment.sample("forget_train")
        key = {
            "of": self.experiment.key("original"),
            "forget_class": self.experiment.config.forget_class,
            "sample_size": self.experiment.config.sample_size,
            "walks": walks,
            "epsilons": epsilons,
            "machine": self.experiment.machine,
        }

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            model, data = self.experiment.model("original"), self._chosen("forget_train")
            found, seconds = neighbours.search(model, data, self.experiment.precision, walks, epsilons)
            return found, {"seconds": seconds, "environment": self.experiment.environment}

        kept = self.experiment.store.get("neighbours", key, make)
        retrain = self.experiment.outputs("retrain")["forget_train"] if "retrain" in self.experiment.names else None
        outcome = {}
        for search in walks:
            outputs = self.experiment.changed("boundary_shrink", search=search).outputs("boundary_shrink")
            outcome[search] = {
                "accuracy": {part: measures.accuracy(outputs[part]) for part in SPLITS},
                "like_retrain": measures.agreement(outputs["forget_train"], retrain) if retrain else None,
            }
        labels = self.experiment.outputs("original")["forget_train"].labels[chosen]
        return neighbours.summary(kept.tensors, labels, len(self.experiment.dataset.classes)) | {
            "images": len(chosen),
            "epsilons": epsilons,
            "epsilon": settings["epsilon"],
            "walks": walks,
            "seconds": {name: statistics.median(runs) for name, runs in kept.facts["seconds"].items()},
            "environment": kept.facts["environment"],
            "outcome": outcome,
        }

    # --- what does the forgetting -----------------------------------------------------------------------------------

    def parts(self) -> dict[str, Any]:
        """What the statistics and the weights each do (`forgetting.PARTS`): for the methods that fine-tune on D_f.

        `original` and `retrain`: as `_judged` says. `methods.<name>.<part>`: as `_taken_apart` says. What the
        statistics do alone does not depend on the method, and is computed with the first.
        """
        found: dict[str, Any] = {}
        for name in self._dismantled():
            alone = next(iter(found.values()))["statistics"] if found else None
            found[name] = self._taken_apart(name, self._audited_on()[-1], alone)
        yardsticks = {name: self._judged(name) for name in ("original", "retrain") if name in self.experiment.names}
        return yardsticks | {"methods": found}

    def parts_repeated(self) -> list[dict[str, Any]]:
        """`parts` of Boundary Shrink again: of this experiment, and for each class and each seed in `config.elsewhere`
        with which nothing else changes. Empty without Boundary Shrink, and where there is no other class or seed.

        Each: `forget_class`, its name; `seed`; `original`, as `_judged` says; `parts`, as `_taken_apart` says.
        """
        name, config = "boundary_shrink", self.experiment.config
        others = [change for change in config.elsewhere if set(change) in ({"forget_class"}, {"seed"})]
        found = []
        for change in ({}, *others) if name in config.methods and others else ():
            there = Measurements(self.experiment.elsewhere([name], **change))
            forget_class = there.experiment.config.forget_class
            found.append(
                {
                    "forget_class": self.experiment.dataset.classes[forget_class],
                    "seed": there.experiment.config.seed,
                    "original": there._judged("original"),
                    "parts": there._taken_apart(name, self._most_audited(forget_class)),
                }
            )
        return found

    def _taken_apart(
        self, name: str, images: int, statistics_alone: dict[str, Any] | None = None
    ) -> dict[str, dict[str, Any]]:
        """What each part of a method does: those of `forgetting.PARTS`, of which one may be known, and the `shift`:

        the original, of which no weight moves, and each channel as far as the weights alone move it on average over
        D_r (`forgetting.shifted`). Each: as `_judged` says, and `explained`, the part's share of what both together
        take from D_f, in percent. Where weights move also `audited`: what is recognised of D_f, in percent, after the
        statistics were estimated anew on so many `images`; where none moves, that gives back the original, audited.
        """
        there = {part: self._of(name, **settings) for part, settings in forgetting.PARTS.items()}
        parts = {
            part: dict(statistics_alone) if statistics_alone and part == "statistics" else found._judged(name)
            for part, found in there.items()
        }
        parts["shift"] = there["weights"]._shifted(name)
        before, both = (entry["accuracy"]["forget_train"] for entry in (self._judged("original"), parts["both"]))
        for entry in parts.values():
            entry["explained"] = forgetting.share_explained(before, entry["accuracy"]["forget_train"], both)
        parts["weights"]["audited"] = there["weights"]._comes_back(name, images)["forget_train"]
        parts["both"]["audited"] = there["both"]._judged(name, images)["accuracy"]["forget_train"]
        return parts

    def audit(self) -> dict[str, Any]:
        """Does the class come back, once BatchNorm's statistics are estimated anew on remaining images?

        `images`: on how many. `models.<name>`: `before`, as `_judged` says, and `after`, one for each number of images:
        the `accuracy` on D_f and D_ft, and for the most images all that `_judged` says.
        """
        *fewer, most = self._audited_on()
        found = {}
        for name in self.experiment.names:
            after = [{"accuracy": self._comes_back(name, count)} for count in fewer]
            found[name] = {"before": self._judged(name), "after": [*after, self._judged(name, most)]}
        return {"images": [*fewer, most], "models": found}

    def _comes_back(self, name: str, images: int) -> dict[str, float]:
        """Accuracy on D_f and D_ft, in percent, after the statistics were estimated anew on `images` of D_r."""
        key = {"of": self.experiment.key(name), "forget_class": self.experiment.config.forget_class, "images": images}

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            model, found = self._reestimated(name, images), {}
            for part in ("forget_train", "forget_test"):
                data = getattr(self.experiment.split, part)
                found[part] = measures.accuracy(
                    Outputs(training.predict(model, data.images, self.experiment.precision), data.labels)
                )
            return {}, {"accuracy": found}

        return self.experiment.store.get(f"back-{name}", key, make).facts["accuracy"]

    def _reestimated(self, name: str, images: int) -> Classifier:
        shown = self._remaining(images)
        return reestimated(self.experiment.model(name), shown, self.experiment.precision)

    def _remaining(self, count: int) -> Tensor:
        """Images of D_r, drawn at random, that an audit may see."""
        chosen = self.experiment.order("remain_train")[:count].to(self.experiment.device)
        return self.experiment.split.remain_train.images[chosen]

    def _chosen(self, part: str) -> LabelledImages:
        """The images of a set that are looked at one by one: those of `Experiment.sample`."""
        return getattr(self.experiment.split, part)[self.experiment.sample(part).to(self.experiment.device)]

    def curves(self) -> list[dict[str, Any]]:
        """What is forgotten against what is lost, epoch by epoch, over learning rates, and with frozen statistics over

        reaches, which decide labels: where the statistics follow the batches, those matter little.

        Each curve: `method`, `batchnorm`, `lr`, `epsilon` (None where the method has none) and `points`, from the
        original to the last epoch, `forgetting.CURVE_EPOCHS` at the most. Each point has the accuracies in percent
        `before` and `after` the statistics were estimated anew; they rest on `sample_size` images of each set.
        """
        asked = []
        for name in (name for name in forgetting.CURVES if name in self.experiment.config.methods):
            own = self.experiment.config.unlearning[name]
            own = own | {"epochs": min(own["epochs"], forgetting.CURVE_EPOCHS)}
            rates = [{"lr": lr} for lr in forgetting.LEARNING_RATES]
            reaches = [{"epsilon": reach} for reach in forgetting.EPSILONS if "epsilon" in own]
            asked += [(name, own | rate | {"batchnorm": "train"}) for rate in rates]
            asked += [(name, own | variant | {"batchnorm": "frozen"}) for variant in rates + reaches]
        curves = []
        for name, settings in asked:
            points = self._of(name, **settings)._points(name)
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
            for title, variant in variants.items() if name in self.experiment.config.methods else ():
                changed = self._of(name, **forgetting.varied(self.experiment.config.unlearning[name], variant))
                found.setdefault(name, {})[title] = changed._judged(name)
        return found

    def elsewhere(self) -> list[dict[str, Any]]:
        """`parts` and `audit` in short: of this experiment, and then of each change in `config.elsewhere`.

        Each: `title`, the model, its width, and what its training has of its own; `forget_class`, its name; `seed`;
        `changed`, what differs from this experiment; `original`; `statistics`, what they do alone, None for a model
        that keeps none; and `methods.<name>`, with `before` and `after` the audit on the most images, for another class
        the paper's own two methods, else those of `parts`. What stands for a model is as `_judged` says.
        """
        found = []
        for change in ({}, *self.experiment.config.elsewhere):
            asked = forgetting.CURVES if "forget_class" in change else forgetting.METHODS
            methods = [name for name in asked if name in self.experiment.config.methods]
            there = Measurements(self.experiment.elsewhere(methods, **change))
            config = there.experiment.config
            width = "" if config.model in models.ONE_WIDTH else f", width {config.width:g}"
            recipe = f", {config.epochs} epochs at lr {config.lr:g}" if {"epochs", "lr"} & set(change) else ""
            recipe += f", {config.precision}" if "precision" in change else ""
            short = there._in_short(methods, self._most_audited(config.forget_class))
            found.append({"title": config.model + width + recipe, "changed": list(change), **short})
        return found

    def _in_short(self, methods: list[str], images: int) -> dict[str, Any]:
        """See `elsewhere`; the audit sees so many `images`."""
        config, dataset = self.experiment.config, self.experiment.dataset
        network = models.build(config.model, dataset.channels, len(dataset.classes), config.width, config.seed)
        drifts = bool(models.batchnorms(network))
        alone = None
        if methods and drifts:  # no label matters then, and no method
            alone = self._of(methods[0], **forgetting.PARTS["statistics"])._judged(methods[0])
        return {
            "forget_class": dataset.classes[config.forget_class],
            "seed": config.seed,
            "original": self._judged("original"),
            "statistics": alone,
            "methods": {
                # Without running statistics the audit would estimate nothing anew.
                name: {"before": self._judged(name), "after": self._judged(name, images if drifts else 0)}
                for name in methods
            },
        }

    def recognised(self) -> list[dict[str, Any]]:
        """What is recognised of D_f, in percent: of the model and of each other in `elsewhere`, and on average over the
        classes and over the seeds of one, where there are several.

        Each: `model`, its title; `original`; what the `statistics` alone leave, None for a model that has none;
        `methods.<name>`, with `before` the audit and `after` it, on the most images.
        """

        def left(entry: dict[str, Any] | None) -> float | None:
            return entry and entry["accuracy"]["forget_train"]

        def entry(title: str, places: list[dict[str, Any]]) -> dict[str, Any]:
            """The mean over places, all of which keep statistics or none does."""
            names = [name for name in places[0]["methods"] if all(name in place["methods"] for place in places)]
            kept = places[0]["statistics"] is not None
            return {
                "model": title,
                "original": statistics.fmean(left(place["original"]) for place in places),
                "statistics": statistics.fmean(left(place["statistics"]) for place in places) if kept else None,
                "methods": {
                    name: {
                        when: statistics.fmean(forgetting.left(place, name, when) for place in places)
                        for when in ("before", "after")
                    }
                    for name in names
                },
            }

        found = []
        for places in forgetting.by_model(self.elsewhere()):
            title = places[0]["title"] + forgetting.seed_in_words(places[0])
            found.append(entry(title, places[:1]))
            for unit, alike in forgetting.repeated(places).items():
                found.append(entry(f"{title}, mean of {len(alike)} {unit}", alike))
        for name, audited in self.audit()["models"].items():
            if name != "original":
                found[0]["methods"][name] = {"before": left(audited["before"]), "after": left(audited["after"][-1])}
        return found

    def _of(self, method: str, **settings: Any) -> "Measurements":
        """The measurements of the same experiment with other settings for one method."""
        return Measurements(self.experiment.changed(method, **settings))

    def _dismantled(self) -> list[str]:
        return [name for name in forgetting.METHODS if name in self.experiment.config.methods]

    def _audited_on(self) -> list[int]:
        """Numbers of images that the audit sees; of a small D_r, all."""
        most = self._most_audited(self.experiment.config.forget_class)
        return sorted({min(count, most) for count in forgetting.REESTIMATED_ON})

    def _most_audited(self, forget_class: int) -> int:
        """The most images that the audit sees where this or another class of this data set is forgotten.

        Of another class, too, it is asked of this experiment: a record would keep the outputs for every class.
        """
        said = self.experiment.outputs("original")
        labels = torch.cat([said[part].labels for part in ("remain_train", "forget_train")])
        return min(int((labels != forget_class).sum()), max(forgetting.REESTIMATED_ON))

    def _judged(self, name: str, images: int = 0) -> dict[str, Any]:
        """`accuracy` on the four sets in percent, the `attack`'s summary, the mean `entropy` of D_f in nats, and the
        median `seconds` that the model took to make,

        after BatchNorm's statistics were estimated anew on `images` images of D_r; 0 leaves them as they are.
        """
        key = {
            "of": self.experiment.key(name),
            "forget_class": self.experiment.config.forget_class,
            "images": images,
            "attack": attacks.SETTINGS,
        }

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            said = self.experiment.answers(self._reestimated(name, images)) if images else self.experiment.outputs(name)
            return {}, self._judgement(said) | {"seconds": statistics.median(self.experiment.seconds(name))}

        return copy.deepcopy(self.experiment.store.get(f"judged-{name}", key, make).facts)

    def _shifted(self, name: str) -> dict[str, Any]:
        """As `_judged`, but for `seconds`: of the original, its channels shifted as a method's model shifts them."""
        key = {
            "of": self.experiment.key(name),
            "forget_class": self.experiment.config.forget_class,
            "shifted on": forgetting.SHIFTED_ON,
            "attack": attacks.SETTINGS,
        }

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            original, unlearned = (self.experiment.model(of) for of in ("original", name))
            images, precision = self._remaining(forgetting.SHIFTED_ON), self.experiment.precision
            return {}, self._judgement(self.experiment.answers(shifted(original, unlearned, images, precision)))

        return copy.deepcopy(self.experiment.store.get(f"shifted-{name}", key, make).facts)

    def _judgement(self, said: dict[str, Outputs]) -> dict[str, Any]:
        """What `_judged` says of a model's outputs on the four sets."""
        scores = attacks.from_own_outputs(said, self.experiment.config.seed)
        return {
            "accuracy": {part: measures.accuracy(outputs) for part, outputs in said.items()},
            "attack": attacks.summary(scores, None, self.experiment.config.seed),
            "entropy": measures.entropy(said["forget_train"]).mean().item(),
        }

    def _points(self, name: str) -> list[dict[str, Any]]:
        """The points of one curve; see `curves`."""
        key = {
            "of": self.experiment.key(name),
            "forget_class": self.experiment.config.forget_class,
            "sample_size": self.experiment.config.sample_size,
            "forgetting": forgetting.SETTINGS,
        }

        def make() -> tuple[dict[str, Tensor], dict[str, Any]]:
            precision = self.experiment.precision
            parts = {part: self._chosen(part) for part in SPLITS}
            remaining = self._remaining(forgetting.AUDIT_OF_A_CURVE)

            def right(model: Classifier, data: LabelledImages) -> float:
                return measures.accuracy(Outputs(training.predict(model, data.images, precision), data.labels))

            def look(model: Classifier) -> dict[str, Any]:
                both = {"before": model, "after": reestimated(model, remaining, precision)}
                return {
                    when: {part: right(looked, data) for part, data in parts.items()} for when, looked in both.items()
                }

            original = self.experiment.model("original")
            watcher = forgetting.Watcher(original, look)
            last = METHODS[name](self.experiment.task(watcher), **self.experiment.config.unlearning[name])
            return {}, {"points": [look(original), *watcher.seen, look(last)]}

        return self.experiment.store.get(f"curve-{name}", key, make).facts["points"]
