"""The paper's own numbers (Chen et al., CVPR 2023), to be shown beside ours."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

_TABLE_1_METHODS = (
    "original",
    "retrain",
    "finetune",
    "negative_gradient",
    "random_labels",
    "boundary_shrink",
    "boundary_expanding",
)
_TABLE_1 = {
    "CIFAR-10": {
        "remain_train": (99.97, 100.00, 100.00, 97.16, 98.49, 99.24, 98.03),
        "forget_train": (99.92, 0.00, 0.22, 7.84, 10.40, 5.94, 8.96),
        "remain_test": (84.83, 85.74, 86.50, 80.42, 81.81, 83.13, 81.07),
        "forget_test": (81.20, 0.00, 0.10, 6.50, 7.50, 5.94, 7.00),
    },
    "VGGFace2": {
        "remain_train": (99.94, 100.00, 99.52, 96.57, 98.89, 98.57, 98.20),
        "forget_train": (98.57, 0.00, 0.00, 2.85, 4.29, 1.54, 4.22),
        "remain_test": (98.87, 99.06, 99.96, 99.58, 95.14, 99.72, 97.12),
        "forget_test": (97.14, 0.00, 5.52, 7.26, 2.86, 0.87, 1.41),
    },
}

TABLE_2_METHODS = ("fisher", "amnesiac")
_TABLE_2 = {
    "CIFAR-10": {
        "remain_train": (61.62, 95.79),
        "forget_train": (1.80, 0.00),
        "remain_test": (54.20, 81.50),
        "forget_test": (1.60, 0.00),
    },
}

# Which of the paper's data sets a data set of ours is set beside, and whether it is the same one; else `_OTHERS`.
COUNTERPART = {"cifar10": ("CIFAR-10", True), "faces": ("VGGFace2", False)}
_OTHERS = ("CIFAR-10", False)


class PaperAccuracy(NamedTuple):
    """Accuracy in percent, by method and set, as printed in one of the tables for `dataset`.

    `same` is False where the paper has no numbers for our data set, so that a difference is no error of either side.
    """

    dataset: str
    same: bool
    accuracy: dict[str, dict[str, float]]


def table_1(dataset: str) -> PaperAccuracy:
    """The part of Table 1 to be set beside our results on `dataset`."""
    title, same = COUNTERPART.get(dataset, _OTHERS)
    return PaperAccuracy(title, same, _by_method(_TABLE_1[title], _TABLE_1_METHODS))


def table_2(dataset: str) -> PaperAccuracy:
    """Table 2 to be set beside our results on `dataset`; it is about CIFAR-10 alone."""
    title = "CIFAR-10"
    return PaperAccuracy(title, COUNTERPART.get(dataset) == (title, True), _by_method(_TABLE_2[title], TABLE_2_METHODS))


def _by_method(columns: Mapping[str, Sequence[float]], methods: Sequence[str]) -> dict[str, dict[str, float]]:
    return {method: {part: values[index] for part, values in columns.items()} for index, method in enumerate(methods)}


def ranking_step(dataset: str) -> float:
    """The least difference on D_f, in points, by which the paper ranks Boundary Shrink above another method."""
    accuracy = {name: found["forget_train"] for name, found in table_1(dataset).accuracy.items()}
    others = ("negative_gradient", "random_labels", "boundary_expanding")
    return min(accuracy[name] for name in others) - accuracy["boundary_shrink"]


class PaperSpeedUp(NamedTuple):
    """Times faster than Retrain, by method, as section 5.4 gives them for `dataset`; `same` as in `PaperAccuracy`."""

    dataset: str
    same: bool
    times: dict[str, float]


_SPEED_UP = {
    "CIFAR-10": {"boundary_expanding": 29.7, "boundary_shrink": 4.8},
    "VGGFace2": {"boundary_expanding": 26.6, "boundary_shrink": 11.7},
}


def speed_up(dataset: str) -> PaperSpeedUp:
    """The speed-ups to be set beside ours on `dataset`."""
    title, same = COUNTERPART.get(dataset, _OTHERS)
    return PaperSpeedUp(title, same, _SPEED_UP[title])


class LogEntry(NamedTuple):
    """Accuracy in percent on D_ft and D_rt, and seconds, evaluation included."""

    forget_test: float
    remain_test: float
    seconds: float


# Of the variants of Boundary Shrink, as a log beside the released code gives them; on which machine it does not say.
RELEASED_LOG = {
    "PGD, reweighting": LogEntry(3.80, 79.67, 70.6),
    "FGSM, reweighting": LogEntry(8.20, 81.50, 25.9),
}
