"""What several test files use: a small data set that can be learned, a small experiment, and two comparisons."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bu_core.checks import SettingError
from bu_core.config import Config
from bu_core.data import Dataset, LabelledImages
from bu_core.experiment.experiment import Experiment
from bu_core.training import Recipe

TOY_RECIPE = Recipe(epochs=4, lr=0.05, momentum=0.9, batch_size=16, precision="fp32", seed=0)


def toy_images(classes: int, per_class: int, seed: int, size: int = 8) -> LabelledImages:
    """RGB noise in which class k has two bright rows, 2k and 2k + 1."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    images = generator.integers(0, 140, (len(labels), size, size, 3), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 2] += 90
    return LabelledImages(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels))


def toy_dataset(classes: int = 4, per_class: int = 20) -> Dataset:
    names = tuple(f"rows {2 * k} and {2 * k + 1}" for k in range(classes))
    train, test = toy_images(classes, per_class, 0), toy_images(classes, per_class // 2, 1)
    return Dataset("toy", "made by the tests", names, train, test, fingerprint="toy")


def same_state(first: nn.Module, second: nn.Module) -> bool:
    """Whether two models hold the same tensors, bit for bit, under the same names."""
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def refusal(call: Callable[..., Any], *arguments: Any, **named: Any) -> str:
    """The message of the SettingError that `call` raises, which must be a single line."""
    with pytest.raises(SettingError) as raised:
        call(*arguments, **named)
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    return message


def small_experiment(results: Path, **changes: Any) -> Experiment:
    """The smallest experiment that has everything the chapters measure; it takes a second."""
    methods = ("retrain", "boundary_shrink", "boundary_expanding")
    given = {
        "width": 0.1,
        "epochs": 2,
        "methods": methods,
        "unlearning": {name: {"epochs": 2} for name in methods[1:]},
        "timing_runs": 1,
        "sample_size": 50,
        "device": "cpu",
        "precision": "fp32",
        "results_dir": str(results),
    }
    return Experiment(Config.from_mapping(given | changes))
