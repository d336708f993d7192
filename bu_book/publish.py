"""Write a record: what the chapters need of a run, under `book/results/<name>/`; see `bu_core.experiment.record`."""

import shutil
from pathlib import Path

import torch

from bu_core.checks import SettingError
from bu_core.data import Dataset
from bu_core.experiment import record
from bu_core.experiment.experiment import Experiment
from bu_core.store import read_any, same, write, write_json

from .measurements import Measurements

LIMIT = 25_000_000  # bytes of one record

_WEIGHTS_KEPT = ("original", "retrain")  # nothing asks for them; they are there to be used


def publish(experiment: Experiment, name: str, command: str) -> Path:
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
    folder, beside = record.ROOT / name, record.ROOT / f".{name}"
    shutil.rmtree(beside, ignore_errors=True)
    (beside / "store").mkdir(parents=True)
    for path in kept:
        key, artefact = read_any(path)
        there, before = beside / "store" / path.name, folder / "store" / path.name
        write(there, key, _narrowed(artefact.tensors), artefact.facts)
        if same(there, before):  # then byte by byte, since a commit keeps every version of a file
            shutil.copyfile(before, there)
    dataset = experiment.dataset
    config = record.which_run(experiment.config)
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


def _narrowed(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    narrow = {}
    for name, tensor in tensors.items():
        kind = name.rsplit(".", 1)[-1]
        narrow[name] = tensor.to({"logits": torch.float16, "labels": torch.uint8}.get(kind, tensor.dtype))
    return narrow
