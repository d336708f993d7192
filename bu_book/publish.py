"""Write a record: what the chapters need of a run, under `book/results/<name>/`; see `bu_core.experiment.record`."""

import contextlib
import json
import shutil
from pathlib import Path

import torch

from bu_core.checks import SettingError
from bu_core.config import Config, profiles
from bu_core.data import Dataset
from bu_core.experiment import record
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import metrics, write_metrics
from bu_core.experiment.record import NotRecorded
from bu_core.results import Artefact
from bu_core.store import digest, read_any, write

from . import chapters, movable, without_batchnorm
from .chapters import audit, deep, lasting, ledger, neighbours, timing, utility
from .claims import CannotTest
from .migrate import seal

LIMIT = 25_000_000  # bytes of one record

_WEIGHTS_KEPT = ("original", "retrain")  # nothing asks for them; they are there to be used


def publish(experiment: Experiment, name: str, command: str) -> Path:
    """Compute what the record `name` lacks of all that the chapters show, and write it; returns its folder.

    What was recorded and has not changed stays byte for byte, since a commit keeps every version of a file. The new
    record takes the old one's place once everything is there. A run that another profile names under `replicates` keeps
    what the claims ask of it and all that it held, and no output of a model. Raises SettingError where it would exceed
    LIMIT.
    """
    repeats = name in {Config.from_profile(profile).replicates for profile in profiles()}
    if not repeats:
        write_metrics(experiment)
    for _ in range(2):  # the second time all is there, and what is served is what a reader's machine will ask for
        experiment = experiment.fresh()
        if repeats:
            ledger.of_replicates(experiment)
            timing.of_replicates(experiment)
            with contextlib.suppress(NotRecorded):
                audit.climbed(experiment, everything=True)
                audit.exchanged(experiment, everything=True)
                deep.measure(experiment, everything=True)  # and with it all of the chapter on lasting
                if experiment.config.dataset == lasting.CHOSEN_FOR:
                    lasting.chosen(experiment, everything=True)
            continue
        metrics(experiment)
        for chapter in chapters.load().values():
            with contextlib.suppress(NotRecorded):  # a chapter of methods that this run has not
                chapter.measure(experiment)
        with contextlib.suppress(CannotTest):
            neighbours.smaller_differences(experiment)
        if name in utility.ONE_STEP_MORE:
            with contextlib.suppress(CannotTest):
                utility.one_step_more(experiment, everything=True)
        with contextlib.suppress(NotRecorded):
            movable.coming_back(experiment)
            audit.record(experiment, singly=name == audit.ASKED_ON)
        if name in timing.ON_A_CPU and experiment.device.type == "cpu":
            timing.cpu_rounds(experiment)
            lasting.time_taken(experiment, everything=True)
        if name in without_batchnorm.ASKED_ON:
            with contextlib.suppress(CannotTest):  # the profile may name no such network
                without_batchnorm.compared(experiment, everything=True)
    if not _shows_people(experiment.dataset) and not repeats:
        for model in _WEIGHTS_KEPT:
            if model in experiment.names:
                experiment.weights(model)
    folder, beside = record.ROOT / name, record.ROOT / f".{name}"
    shutil.rmtree(beside, ignore_errors=True)
    (beside / "store").mkdir(parents=True)
    kept = set(experiment.store.served)
    if repeats:  # weights and settings that were tried took a machine that may be gone, and nothing here asks for them
        kept |= {experiment.store.folder / path.name for path in (folder / "store").glob("*.safetensors")}
    for path in sorted(kept):
        if repeats and path.name.startswith("outputs-"):
            continue
        _keep(path, folder / "store" / path.name, beside / "store" / path.name)
    dataset = experiment.dataset
    content = {
        "config": record.which_run(experiment.config),
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
    }
    seal(beside, content)
    size = sum(path.stat().st_size for path in beside.rglob("*") if path.is_file())
    if size > LIMIT:
        shutil.rmtree(beside)
        asked = experiment.config.sample_size
        raise SettingError(f"sample_size={asked}: the record takes {size:,} bytes; allowed: {LIMIT:,}")
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)
    return folder


def _keep(made: Path, before: Path, there: Path) -> None:
    """Put an artefact into the new record: that of the old one where nothing in it changed, else what was made."""
    old = None
    if before.exists():
        try:
            old = read_any(before)
        except ValueError:
            old = None  # damaged: what was made takes its place
    if not made.exists():  # it was served from the old record
        shutil.copyfile(before, there)
        return
    key, artefact = read_any(made)
    narrowed = _narrowed(artefact)
    if old is not None and digest(old[0]) == digest(key) and _same(old[1], narrowed):
        shutil.copyfile(before, there)
    else:
        write(there, key, narrowed)


def _narrowed(artefact: Artefact) -> Artefact:
    """The artefact with each tensor in the dtype that its class declares for a record."""
    tensors = {
        name: tensor.to(getattr(torch, artefact.recorded.get(name, str(tensor.dtype).removeprefix("torch."))))
        for name, tensor in artefact.tensors.items()
    }
    return Artefact(tensors, artefact.facts, artefact.recorded)


def _same(one: Artefact, other: Artefact) -> bool:
    """Whether two artefacts hold the same bits; NaN equals itself here."""

    def content(artefact: Artefact) -> tuple[str, dict[str, tuple[str, tuple[int, ...], bytes]]]:
        tensors = {
            name: (str(tensor.dtype), tuple(tensor.shape), tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
            for name, tensor in artefact.tensors.items()
        }
        return json.dumps(artefact.facts, sort_keys=True), tensors

    return content(one) == content(other)


def _shows_people(dataset: Dataset) -> bool:
    return dataset.name == "faces"


def _unnamed(dataset: Dataset) -> list[str]:
    """The names of the classes, but of people, who were not asked, numbers."""
    if _shows_people(dataset):
        return [f"person {number}" for number in range(1, len(dataset.classes) + 1)]
    return list(dataset.classes)
