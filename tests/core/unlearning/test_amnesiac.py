"""Amnesiac Unlearning: what is recorded are the true updates, and taking all of them back leads to the start."""

import copy
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bu_core import store
from bu_core.data import Dataset
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import metrics
from bu_core.models import Classifier, build
from bu_core.results import Artefact
from bu_core.training import fit
from bu_core.unlearning import METHODS, UnlearningTask
from bu_core.unlearning.amnesiac import Recorder
from tests.helpers import TOY_RECIPE, quick_config, same_state

amnesiac = METHODS["amnesiac"]


class PlainRecord:
    """What the method's authors keep: the update of each step by itself, and the classes of its batch; in float64."""

    def __init__(self, model: nn.Module):
        self.weights = dict(model.named_parameters())
        self.steps: list[tuple[int, set[int], dict[str, Tensor]]] = []

    @contextmanager
    def step(self, epoch: int, labels: Tensor) -> Iterator[None]:
        before = {name: weight.detach().double() for name, weight in self.weights.items()}
        yield
        update = {name: weight.detach().double() - before[name] for name, weight in self.weights.items()}
        self.steps.append((epoch, set(labels.tolist()), update))

    def of_class(self, label: int, first_epoch: int) -> dict[str, Tensor]:
        chosen = [update for epoch, present, update in self.steps if label in present and epoch >= first_epoch]
        return {name: sum(update[name] for update in chosen) for name in self.weights}


def recorded(toy: Dataset, batch_size: int, first_epoch: int) -> tuple[PlainRecord, Recorder]:
    """The same fit twice, recorded both ways."""
    recipe = dataclasses.replace(TOY_RECIPE, batch_size=batch_size)
    records = []
    for kind in (PlainRecord, lambda model: Recorder(model, 4, first_epoch)):
        model = build("allcnn", toy.channels, 4, 0.1, seed=0)
        records.append(kind(model))
        fit(model, toy.train, recipe, label="", around_step=records[-1].step)
    return records[0], records[1]


# --- the recording ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first_epoch", [0, 3])
@pytest.mark.parametrize("batch_size", [3, 16])
def test_the_sums_are_those_of_the_true_updates(toy: Dataset, batch_size: int, first_epoch: int):
    """With 3 images a batch lacks at least one class; with 16, hardly ever."""
    plain, recorder = recorded(toy, batch_size, first_epoch)
    lacking = [4 - len(present) for _, present, _ in plain.steps]
    assert (min(lacking) == 0) is (batch_size == 16)
    found = recorder.updates()
    for label in range(4):
        for name, expected in plain.of_class(label, first_epoch).items():
            torch.testing.assert_close(found[name][label].double(), expected, rtol=1e-3, atol=2e-5)


def test_recording_changes_nothing(toy: Dataset, task: UnlearningTask):
    """The task's original was recorded; here it is fitted without."""
    model = build("allcnn", toy.channels, 4, 0.1, seed=0)
    fit(model, toy.train, TOY_RECIPE, label="")
    assert same_state(model, task.original)


def test_the_memory_does_not_grow_with_the_training(toy: Dataset):
    sizes = []
    for epochs in (1, 3):
        model = build("allcnn", toy.channels, 4, 0.1, seed=0)
        recorder = Recorder(model, 4)
        recipe = dataclasses.replace(TOY_RECIPE, epochs=epochs)
        fit(model, toy.train, recipe, label="", around_step=recorder.step)
        sizes.append(recorder.bytes)
        assert recorder.watch.seconds > 0
    weights = sum(weight.numel() for weight in model.parameters())
    assert sizes == [5 * 4 * weights] * 2, "K sums and the start, in float32"


class BreakingOff:
    """Keeps the state of a fit in a file, as an experiment does, and breaks off after some saves."""

    def __init__(self, path: Path, saves: int | None = None):
        self.path, self.saves = path, saves

    def load(self, label: str) -> dict[str, Tensor] | None:
        return store.read(self.path, {"label": label}).tensors if self.path.exists() else None

    def save(self, label: str, state: dict[str, Tensor]) -> None:
        store.write(self.path, {"label": label}, Artefact(state, {}))
        if self.saves is not None:
            self.saves -= 1
            if self.saves == 0:
                raise KeyboardInterrupt


@pytest.mark.parametrize(("saves", "first_epoch"), [(3, 0), (1, 2)])
def test_an_interrupted_recording_goes_on(toy: Dataset, tmp_path: Path, saves: int, first_epoch: int):
    recipe = dataclasses.replace(TOY_RECIPE, batch_size=6)

    def record(checkpoint: BreakingOff) -> tuple[Classifier, Recorder]:
        model = build("allcnn", toy.channels, 4, 0.1, seed=0)
        recorder = Recorder(model, 4, first_epoch, checkpoint)
        fit(model, toy.train, recipe, label="", around_step=recorder.step, checkpoint=recorder)
        return model, recorder

    whole, expected = record(BreakingOff(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        record(BreakingOff(tmp_path / "broken", saves))
    resumed, found = record(BreakingOff(tmp_path / "broken"))
    assert same_state(resumed, whole)
    for name, updates in expected.updates().items():
        assert torch.equal(found.updates()[name], updates)


# --- the method ---------------------------------------------------------------------------------------------------


def test_a_full_window_without_repair_gives_back_the_initial_weights(task: UnlearningTask):
    """Exactly so where every batch holds the class; the running statistics stay the original's."""
    everything = {
        name: (weight.detach() - dict(task.initial.named_parameters())[name]).expand(4, *weight.shape)
        for name, weight in task.original.named_parameters()
    }
    every = dataclasses.replace(task, recorded=lambda window: everything)
    model = amnesiac(every, epochs=0)
    for name, weight in task.initial.named_parameters():
        torch.testing.assert_close(dict(model.named_parameters())[name], weight, rtol=0, atol=1e-6)
    for name, buffer in task.original.named_buffers():
        assert torch.equal(dict(model.named_buffers())[name], buffer)


def test_a_real_recording_of_a_class_in_every_batch_gives_back_the_initial_weights(toy: Dataset, task: UnlearningTask):
    """Batches of all the data hold every class."""
    recipe = dataclasses.replace(TOY_RECIPE, batch_size=len(toy.train))
    model = copy.deepcopy(task.initial)
    recorder = Recorder(model, 4)
    fit(model, toy.train, recipe, label="", around_step=recorder.step)
    assert not same_state(model, task.initial)
    back = dataclasses.replace(task, original=model, recipe=recipe, recorded=lambda window: recorder.updates())
    found = dict(amnesiac(back, epochs=0).named_parameters())
    for name, weight in task.initial.named_parameters():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=1e-6)


def test_only_the_updates_of_the_class_are_taken_back(toy: Dataset, task: UnlearningTask):
    plain, recorder = recorded(toy, 3, 0)
    model = build("allcnn", toy.channels, 4, 0.1, seed=0)
    fit(model, toy.train, dataclasses.replace(TOY_RECIPE, batch_size=3), label="")
    forgetting = dataclasses.replace(task, original=model, recorded=lambda window: recorder.updates())
    found = dict(amnesiac(forgetting, epochs=0).named_parameters())
    others = [update for _, present, update in plain.steps if task.split.forget_class not in present]
    assert 0 < len(others) < len(plain.steps)
    for name, weight in task.initial.named_parameters():
        expected = weight.detach().double() + sum(update[name] for update in others)
        torch.testing.assert_close(found[name].double(), expected, rtol=1e-3, atol=2e-5)


def test_the_window_is_asked_for_and_the_repair_sees_the_remaining_data_alone(task: UnlearningTask, monkeypatch):
    asked, fits = [], []

    def recorded(window: int) -> dict[str, Tensor]:
        asked.append(window)
        return {name: torch.zeros(4, *weight.shape) for name, weight in task.original.named_parameters()}

    monkeypatch.setattr("bu_core.unlearning.task.fit", lambda *arguments, **options: fits.append(arguments))
    model = amnesiac(dataclasses.replace(task, recorded=recorded), window=3, epochs=5, lr=0.02)
    assert asked == [3]
    ((fitted, data, recipe),) = fits
    assert data is task.split.remain_train
    assert (recipe.epochs, recipe.lr) == (5, 0.02)
    assert fitted is model
    assert same_state(model, task.original)


def test_without_a_recording_it_says_so(task: UnlearningTask):
    bare = UnlearningTask(task.original, task.initial, task.split, task.recipe)
    with pytest.raises(ValueError, match="nothing was recorded"):
        amnesiac(bare)


# --- in an experiment ---------------------------------------------------------------------------------------------


def test_an_experiment_records_while_it_trains(tmp_path: Path):
    """One training: the recording is kept beside the original, and serves any class to be forgotten."""
    experiment = Experiment(quick_config(tmp_path, methods=["amnesiac"], epochs=2))
    experiment.model("amnesiac")
    assert len(list((tmp_path / "store").glob("recording-*.safetensors"))) == 1
    found = metrics(experiment).methods["amnesiac"].recording
    assert found is not None
    weights = sum(weight.numel() for weight in experiment.model("original").parameters())
    assert found["epochs"] == 2
    assert found["bytes"] == 11 * 4 * weights
    assert 0 < found["seconds"] < found["training_seconds"]
    said: list[str] = []
    other = Experiment(quick_config(tmp_path, methods=["amnesiac"], epochs=2, forget_class=7), said.append)
    other.model("amnesiac")
    assert [line.partition(":")[0] for line in said] == ["amnesiac"]
    assert len(list((tmp_path / "store").glob("recording-*.safetensors"))) == 1


def test_an_original_that_was_not_recorded_is_trained_once_more(tmp_path: Path):
    """It stays the file that it was, and the result is that of a recording made at once."""
    settings = {"epochs": 2, "unlearning": {"amnesiac": {"epochs": 1, "window": 1}}}
    Experiment(quick_config(tmp_path / "late", methods=[], **settings)).model("original")
    (original,) = (tmp_path / "late" / "store").glob("original-*.safetensors")
    made = original.stat().st_mtime_ns
    models = [
        Experiment(quick_config(tmp_path / when, methods=["amnesiac"], **settings)).model("amnesiac")
        for when in ("late", "at once")
    ]
    assert same_state(*models)
    assert original.stat().st_mtime_ns == made
    assert {path.name for path in (tmp_path / "at once" / "store").glob("original-*")} == {original.name}


def test_the_recording_is_no_part_of_the_methods_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Neither of Amnesiac's, which asks for it, nor of the original's, during which it is made."""
    Experiment(quick_config(tmp_path, methods=[])).model("original")
    experiment = Experiment(quick_config(tmp_path, methods=["amnesiac"], unlearning={"amnesiac": {"epochs": 0}}))
    experiment.model("amnesiac")
    training = experiment.weights("amnesiac").facts["recording"]["training_seconds"]
    assert experiment.weights("amnesiac").facts["seconds"][0] < training
