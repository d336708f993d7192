"""What several test files use: a small data set that can be learned, small experiments, a record, two comparisons."""

import copy
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bu_core.checks import SettingError
from bu_core.config import Config
from bu_core.data import Dataset, LabelledImages
from bu_core.experiment import record
from bu_core.experiment.experiment import Experiment
from bu_core.models import Classifier
from bu_core.results import Artefact
from bu_core.store import read_any, write, write_json
from bu_core.training import Recipe
from bu_core.unlearning import Method, UnlearningTask, method

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
    """The smallest experiment that has everything the chapters measure; its models are made once in a process."""
    experiment = _small(results, changes)
    for name in () if experiment.record else (name for name in SMALL if name in experiment.names):
        made, place = _made_once(name), experiment.store.path(name, experiment.key(name))
        if made.name == place.name and not place.exists():
            shutil.copy(made, place)
    return experiment


SMALL = ("original", "retrain", "boundary_shrink", "boundary_expanding")


@cache
def _made_once(name: str) -> Path:
    """The file of a model of `small_experiment` as it is without changes."""
    experiment = _small(Path(_made_in().name), {})
    experiment.weights(name)
    return experiment.store.path(name, experiment.key(name))


@cache
def _made_in() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="small-")


def _small(results: Path, changes: Mapping[str, Any]) -> Experiment:
    methods = SMALL[1:]
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
    return Experiment(Config.from_mapping(given | dict(changes)))


ONE_EPOCH = {"finetune", "negative_gradient", "random_labels", "boundary_shrink", "boundary_expanding", "amnesiac"}
QUICK: dict[str, dict[str, Any]] = {name: {"epochs": 1} for name in ONE_EPOCH} | {"fisher": {"samples": 32}}


def quick_config(results: Path, **changes: Any) -> Config:
    """Every method after one epoch of a thin network on the digits; it takes two seconds."""
    given = {
        "dataset": "digits",
        "width": 0.1,
        "epochs": 1,
        "precision": "fp32",
        "device": "cpu",
        "unlearning": QUICK,
        "results_dir": str(results),
    }
    return Config.from_mapping(given | changes)


def leave_record(experiment: Experiment, folder: Path) -> None:
    """Record in `folder` what the store of an experiment holds, narrowed as `bu_core.results.Kept` says."""
    (folder / "store").mkdir(parents=True)
    for path in experiment.store.folder.glob("*.safetensors"):
        key, found = read_any(path)
        tensors = {
            name: tensor.to(getattr(torch, found.recorded[name])) if name in found.recorded else tensor
            for name, tensor in found.tensors.items()
        }
        write(folder / "store" / path.name, key, Artefact(tensors, found.facts, found.recorded))
    dataset = experiment.dataset
    content = {
        "config": record.which_run(experiment.config),
        "dataset": {
            "name": dataset.name,
            "origin": dataset.origin,
            "classes": list(dataset.classes),
            "shape": list(dataset.train.images.shape[1:]),
            "fingerprint": dataset.fingerprint,
            "others_fingerprint": dataset.others_fingerprint,
        },
        "environment": experiment.environment,
        "command": "the command",
        "files": sorted(path.name for path in (folder / "store").iterdir()),
    }
    write_json(folder / "record.json", content | {"checksum": record.checksum(content)})


def wrecked(when: Callable[[UnlearningTask], bool] = lambda task: True) -> Method:
    """A method that changes nothing, but leaves weights that are no numbers where `when` says so."""

    def wrecked(task: UnlearningTask) -> Classifier:
        model = copy.deepcopy(task.original)
        if when(task):
            with torch.no_grad():
                model.classifier.weight.fill_(torch.nan)
        return model

    return method(title="Wrecked")(wrecked)
