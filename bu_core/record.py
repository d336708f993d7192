"""Recorded runs: what the notebooks need of an experiment, small enough for the repository and without an image.

`publish` leaves a run under `book/results/<name>/`; `Record.find` gives the run that was recorded with a config's very
settings. An experiment with a record shows it without the data.

- `record.json`: settings, data set (names, sizes, fingerprint), machine, and the command.
- `store/`: the artefacts that the chapters ask for, under the names that the store gave them. Logits are float16, which
  keeps three decimal digits, and labels uint8. Of the weights there are the original's and Retrain's; of people none,
  since no model from here should recognise anybody.
"""

import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .config import Config
from .data import Dataset, LabelledImages
from .measurements import Measurements
from .settings import SettingError
from .store import read_any, same, write, write_json

if TYPE_CHECKING:
    from .experiment import Experiment

ROOT = Path(__file__).resolve().parent.parent / "book" / "results"
LIMIT = 25_000_000  # bytes of one record

# Settings that say where and on what a run is made, and not which run it is.
WHERE_MADE = ("data_dir", "device", "precision", "results_dir")

_WEIGHTS_KEPT = ("original", "retrain")  # nothing asks for them; they are there to be used


@dataclass(frozen=True)
class Record:
    """A recorded run in `folder`."""

    folder: Path

    @classmethod
    def find(cls, config: Config) -> "Record | None":
        """The run that was recorded with these settings; None where there is none, or where `data_dir` is given."""
        if config.data_dir is not None:
            return None
        for path in sorted(ROOT.glob("*/record.json")):
            record = cls(path.parent)
            if _which(Config.from_mapping(record._content["config"])) == _which(config):
                return record
        return None

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @cached_property
    def _content(self) -> dict[str, Any]:
        return json.loads((self.folder / "record.json").read_text())

    @property
    def environment(self) -> dict[str, Any]:
        """The machine that the run was made on, as `experiment.environment` says."""
        return self._content["environment"]

    @property
    def dataset(self) -> Dataset:
        """The data set as far as it is known without its images: both sides are empty."""
        facts = self._content["dataset"]
        nothing = LabelledImages(torch.empty(0, *facts["shape"], dtype=torch.uint8), torch.empty(0, dtype=torch.int64))
        classes = tuple(facts["classes"])
        return Dataset(
            facts["name"],
            facts["origin"],
            classes,
            nothing,
            nothing,
            facts["fingerprint"],
            others_fingerprint=facts["others_fingerprint"],
        )


def recorded() -> list[str]:
    """The names of the recorded runs: those of their profiles."""
    return sorted(path.parent.name for path in ROOT.glob("*/record.json"))


def configs(results_dir: str) -> dict[str, Config]:
    """The settings of each recorded run, by its name, with this folder for what is computed from the record."""
    found = {name: Record(ROOT / name)._content["config"] for name in recorded()}
    return {name: Config.from_mapping(config | {"results_dir": results_dir}) for name, config in found.items()}


def publish(experiment: "Experiment", name: str, command: str) -> Path:
    """Compute all that the chapters need and keep it under `book/results/<name>/`; returns that folder.

    A record of that name is replaced, once everything is computed. Raises SettingError where it would exceed LIMIT.
    """
    for _ in range(2):  # the second time all is there, and what is served is what a reader's machine will ask for
        experiment.store.served.clear()
        experiment.metrics()
        Measurements(experiment).all()
    if not _shows_people(experiment.dataset):
        for model in _WEIGHTS_KEPT:
            if model in experiment.names:
                experiment.weights(model)
    kept = sorted(experiment.store.served)
    folder, beside = ROOT / name, ROOT / f".{name}"
    shutil.rmtree(beside, ignore_errors=True)
    (beside / "store").mkdir(parents=True)
    for path in kept:
        key, artefact = read_any(path)
        there, before = beside / "store" / path.name, folder / "store" / path.name
        write(there, key, _narrowed(artefact.tensors), artefact.facts)
        if same(there, before):  # then byte by byte, since a commit keeps every version of a file
            shutil.copyfile(before, there)
    dataset = experiment.dataset
    config = _which(experiment.config)
    write_json(
        beside / "record.json",
        {
            "config": config,
            "dataset": {
                "name": dataset.name,
                "origin": dataset.origin,
                "classes": _unnamed(dataset),
                "shape": list(dataset.train.images.shape[1:]),
                "fingerprint": dataset.fingerprint,
                "others_fingerprint": dataset.others_fingerprint,
            },
            "environment": experiment.environment,
            "command": command,
        },
    )
    size = sum(path.stat().st_size for path in beside.rglob("*") if path.is_file())
    if size > LIMIT:
        shutil.rmtree(beside)
        raise SettingError(f"sample_size={config['sample_size']}: the record takes {size:,} bytes; allowed: {LIMIT:,}")
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)
    return folder


def _shows_people(dataset: Dataset) -> bool:
    return dataset.name == "faces"


def _unnamed(dataset: Dataset) -> list[str]:
    """The names of the classes, but of people, who were not asked, numbers."""
    if _shows_people(dataset):
        return [f"person {number}" for number in range(1, len(dataset.classes) + 1)]
    return list(dataset.classes)


def _which(config: Config) -> dict[str, Any]:
    return {name: value for name, value in config.as_dict().items() if name not in WHERE_MADE}


def _narrowed(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    narrow = {}
    for name, tensor in tensors.items():
        kind = name.rsplit(".", 1)[-1]
        narrow[name] = tensor.to({"logits": torch.float16, "labels": torch.uint8}.get(kind, tensor.dtype))
    return narrow
