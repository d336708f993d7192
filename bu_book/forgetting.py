"""What does the forgetting, the weights or BatchNorm's running statistics; and does the class come back?

The released code fine-tunes in training mode on batches of one class, so that the running statistics of BatchNorm drift
to that class while the weights change. Three fits take the two apart (`PARTS`); and what the weights do alone is put to
the original without its weights, as a shift of each channel (`shifted`). An audit asks whether the class is gone: the
statistics are estimated anew from remaining images, without a label and without touching a weight.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from torch import Tensor

from bu_core.measures import interval
from bu_core.models import Classifier

# What each part changes of a method's settings. At learning rate 0 no weight moves and no label matters.
PARTS: dict[str, dict[str, Any]] = {
    "statistics": {"lr": 0.0, "batchnorm": "train"},
    "weights": {"batchnorm": "frozen"},
    "both": {"batchnorm": "train"},
}
METHODS = ("boundary_shrink", "boundary_expanding", "random_labels")
CURVES = METHODS[:2]  # the paper's own two, by learning rate and reach

REESTIMATED_ON = (100, 1000, 5000)  # images of D_r that the audit may see
AUDIT_OF_A_CURVE = 1000
SHIFTED_ON = 1000  # images of D_r, at the most, on which the shift of a channel is measured
CURVE_EPOCHS = 10  # at the most: that many epochs the paper's methods have
LEARNING_RATES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
EPSILONS = (0.03, 0.1, 0.25)  # 0.1 is what the released code states, 0.25 what its images are really moved by

# Where the code that the paper's authors released differs from the paper's text, setting by setting; and which entry of
# that code's log (`published.RELEASED_LOG`) a variant belongs to.
_RELEASED = {"epsilon": 0.25}
_PGD = _RELEASED | {"search": "pgd"}
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "boundary_shrink": {
        "as the text has it": {},
        "images moved by 0.25": _RELEASED,
        "FGSM, reweighting": _RELEASED | {"reweighting": True},
        "PGD, reweighting": _PGD | {"reweighting": True},
    },
    "boundary_expanding": {"as the text has it": {}, "a tenth of the learning rate": {"lr": 0.1}},
}

# All that decides what is found here beside the models; stored results are found by it.
SETTINGS = {"re-estimated on": REESTIMATED_ON, "curve's audit": AUDIT_OF_A_CURVE}


def varied(own: Mapping[str, Any], variant: Mapping[str, Any]) -> dict[str, Any]:
    """A method's own settings, changed to a variant; a variant's learning rate is a share of the method's own."""
    return {**own, **variant, "lr": own["lr"] * variant.get("lr", 1)}


class Watcher:
    """Looks at a model after each epoch of a fit: give it as the fit's checkpoint (training.Checkpoint).

    `look(model)` is called with a copy in evaluation mode, of the original's shape: the output neuron that Boundary
    Expanding adds is pruned. The last epoch is not seen, since a fit keeps no state of it; its model is the result.
    """

    def __init__(self, original: Classifier, look: Callable[[Classifier], Any]):
        self._model, self._look = copy.deepcopy(original).eval(), look
        self.seen: list[Any] = []

    def load(self, label: str) -> None:
        return None

    def save(self, label: str, state: Mapping[str, Tensor]) -> None:
        weights = {name.removeprefix("model."): tensor for name, tensor in state.items() if name.startswith("model.")}
        for name, tensor in self._model.classifier.state_dict(prefix="classifier.").items():
            weights[name] = weights[name][: len(tensor)]
        self._model.load_state_dict(weights)
        self.seen.append(self._look(self._model))


def share_explained(before: float, part: float, both: float) -> float | None:
    """How much of the fall of an accuracy from `before` to `both` a part alone brings about, in percent.

    None where nothing falls. Above 100 where the part alone forgets more than the whole.
    """
    return 100 * (before - part) / (before - both) if before > both else None


def by_model(places: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The places of `Measurements.elsewhere`, those of one model together: they differ in class or seed alone.

    Models come in the order of their first place, so the experiment's own is the first.
    """
    models: dict[str, list[Mapping[str, Any]]] = {}
    for place in places:
        models.setdefault(place["title"], []).append(place)
    return list(models.values())


def repeated(places: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """What the places of one model repeat: the first with those that differ from it in class alone, or in seed alone.

    By `classes` and `seeds`; what was not repeated is left out. Two classes share an original, two seeds do not.
    """
    first = places[0]
    found = {
        unit: [place for place in places if place[same] == first[same]]
        for unit, same in {"classes": "seed", "seeds": "forget_class"}.items()
    }
    return {unit: alike for unit, alike in found.items() if len(alike) > 1}


def seed_in_words(place: Mapping[str, Any]) -> str:
    """`, seed 1` for a place of `Measurements.elsewhere` that has another seed than the experiment, else nothing."""
    return f", seed {place['seed']}" if "seed" in place["changed"] else ""


def left(place: Mapping[str, Any], name: str, when: Literal["before", "after"] = "before") -> float:
    """What a method leaves of D_f in one place of `Measurements.elsewhere`, in percent, before or after the audit."""
    return place["methods"][name][when]["accuracy"]["forget_train"]


def expanding_less_shrink(places: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """By how many points Boundary Expanding leaves more of D_f than Boundary Shrink: `interval` over these places."""
    return interval([left(place, "boundary_expanding") - left(place, "boundary_shrink") for place in places])


def survivors(curves: Sequence[Mapping[str, Any]], left: float, cost: float) -> list[dict[str, Any]]:
    """The points of the curves that the audit leaves standing, the cheapest first.

    A point stands where, after the statistics were re-estimated, at most `left` percent of D_f are still recognised,
    and D_rt lies at most `cost` points below the original's, re-estimated in the same way. Each entry: the curve's
    `method`, `batchnorm`, `lr`, `epsilon`, the `epoch`, and `accuracy`, after re-estimation.
    """
    found = []
    for curve in curves:
        start = curve["points"][0]["after"]["remain_test"]
        for epoch, point in enumerate(curve["points"]):
            after = point["after"]
            if after["forget_train"] <= left and start - after["remain_test"] <= cost:
                settings = {name: value for name, value in curve.items() if name != "points"}
                found.append(settings | {"epoch": epoch, "accuracy": after})
    return sorted(found, key=lambda entry: -entry["accuracy"]["remain_test"])
