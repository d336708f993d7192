"""The paper's own numbers (Chen et al., CVPR 2023), to be shown beside ours."""

from typing import NamedTuple

METHOD_TITLES = {
    "original": "Original",
    "retrain": "Retrain",
    "finetune": "Finetune",
    "negative_gradient": "Negative Gradient",
    "random_labels": "Random Labels",
    "boundary_shrink": "Boundary Shrink",
    "boundary_expanding": "Boundary Expanding",
}

SPLIT_TITLES = {"remain_train": "D_r", "forget_train": "D_f", "remain_test": "D_rt", "forget_test": "D_ft"}

_TABLE_1_METHODS = tuple(METHOD_TITLES)
_TABLE_1 = {
    "CIFAR-10": {
        "remain_train": (99.97, 100.00, 100.00, 97.16, 98.49, 99.24, 98.03),
        "forget_train": (99.92, 0.00, 0.22, 7.84, 10.40, 5.94, 8.96),
        "remain_test": (84.83, 85.74, 86.50, 80.42, 81.81, 83.13, 81.07),
        "forget_test": (81.20, 0.00, 0.10, 6.50, 7.50, 5.94, 7.00),
    },
}

# Which of the paper's data sets a data set of ours is set beside, and whether it is the same one.
_COUNTERPART = {"cifar10": ("CIFAR-10", True), "digits": ("CIFAR-10", False)}


class Published(NamedTuple):
    """Accuracy in percent, by method and set, as printed in Table 1 for `dataset`.

    `same` is False where the paper has no numbers for our data set, so that a difference is no error of either side.
    """

    dataset: str
    same: bool
    accuracy: dict[str, dict[str, float]]


def table_1(dataset: str) -> Published:
    """The part of Table 1 to be set beside our results on `dataset`."""
    title, same = _COUNTERPART[dataset]
    columns = _TABLE_1[title]
    accuracy = {
        method: {part: values[index] for part, values in columns.items()}
        for index, method in enumerate(_TABLE_1_METHODS)
    }
    return Published(title, same, accuracy)
