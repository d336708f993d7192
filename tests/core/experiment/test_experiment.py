"""An experiment: what it computes, what it finds again, and what it leaves on disk."""

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch

from bu_core import training
from bu_core.checks import Range
from bu_core.config import Config
from bu_core.data import SPLITS, load
from bu_core.experiment import experiment as experiment_module
from bu_core.experiment.experiment import Experiment
from bu_core.models import build
from bu_core.store import DamagedArtefactWarning
from bu_core.unlearning import METHODS
from tests.helpers import refusal, same_state

NAMES = ("original", *METHODS)
ONE_EPOCH = {"finetune", "negative_gradient", "random_labels", "boundary_shrink", "boundary_expanding", "amnesiac"}
QUICK = {name: {"epochs": 1} for name in ONE_EPOCH} | {"fisher": {"samples": 32}}


def config(results: Path, **changes: Any) -> Config:
    parameters = {
        "dataset": "digits",
        "width": 0.1,
        "epochs": 1,
        "precision": "fp32",
        "device": "cpu",
        "unlearning": QUICK,
        "results_dir": str(results),
    }
    return Config.from_mapping(parameters | changes)


def computed(results: Path, **changes: Any) -> tuple[list[str], dict[str, Any]]:
    """The models that were computed, in their order, and the metrics."""
    lines: list[str] = []
    metrics = Experiment(config(results, **changes), lines.append).metrics()
    return [line.partition(":")[0] for line in lines], metrics


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of one finished experiment."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def first(results: Path) -> tuple[list[str], dict[str, Any]]:
    return computed(results)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The label of every fit from here on."""
    labels: list[str] = []
    original = training._batches

    def counted(data: Any, recipe: Any, epoch: int) -> Any:
        labels.append(f"epoch {epoch} of {recipe.epochs}")
        return original(data, recipe, epoch)

    monkeypatch.setattr(training, "_batches", counted)
    return labels


# --- what it leaves -----------------------------------------------------------------------------------------------


def test_every_model_is_computed_once(first):
    assert sorted(first[0]) == sorted(NAMES)


def test_metrics_have_the_documented_shape(results: Path, first):
    """DESIGN, Results: config, environment, and methods.<name> with accuracy, seconds and entropy."""
    metrics = json.loads((results / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert metrics == first[1]
    assert metrics["config"] == config(results).as_dict()
    assert {"device", "cpu", "torch", "git_commit", "precision"} <= set(metrics["environment"])
    assert metrics["environment"]["device"] == "cpu"
    assert metrics["environment"]["precision"] == "fp32"
    assert metrics["environment"]["torch"] == torch.__version__
    assert metrics["dataset"]["fingerprint"] == load("digits").fingerprint
    assert tuple(metrics["methods"]) == NAMES
    for name, found in metrics["methods"].items():
        assert tuple(found["accuracy"]) == tuple(found["entropy"]["histogram"]) == SPLITS
        assert all(0 <= value <= 100 for value in found["accuracy"].values())
        assert all(0 <= found["entropy"][part] <= 2.3026 for part in SPLITS), "at most log 10"
        assert sum(found["forget_train_shares"]) == pytest.approx(100)
        assert len(found["forget_train_shares"]) == 10
        assert found["seconds"]["median"] == statistics.median(found["seconds"]["runs"]) > 0
        assert found["settings"].get("epochs") == (1 if name in ONE_EPOCH else None)


def test_accuracy_is_that_of_the_model_on_its_set(results: Path, first):
    experiment = Experiment(config(results))
    dataset = load("digits")
    model = experiment.model("boundary_shrink")
    for side, data in (("train", dataset.train), ("test", dataset.test)):
        with torch.no_grad():
            right = model(data.images / 255).argmax(1) == data.labels
        for part, chosen in (("forget", data.labels == 4), ("remain", data.labels != 4)):
            expected = 100 * right[chosen].double().mean().item()
            found = first[1]["methods"]["boundary_shrink"]["accuracy"][f"{part}_{side}"]
            assert found == pytest.approx(expected, abs=1e-9)
    forgotten = first[1]["methods"]["boundary_shrink"]
    assert forgotten["forget_train_shares"][4] == pytest.approx(forgotten["accuracy"]["forget_train"])


def test_the_original_is_a_fit_to_all_data_and_retrain_to_the_remaining(results: Path, first):
    experiment = Experiment(config(results))
    dataset = load("digits")
    remaining = dataset.train[dataset.train.labels != 4]
    for name, data in (("original", dataset.train), ("retrain", remaining)):
        model = build("allcnn", 1, 10, 0.1, seed=0)
        training.fit(model, data, training.Recipe(1, 0.1, 0.9, 64, "fp32", 0), label="")
        assert same_state(experiment.model(name), model)


def test_outputs_hold_logits_and_true_labels_of_each_set(results: Path, first):
    experiment = Experiment(config(results))
    outputs = experiment.outputs("original")
    assert tuple(outputs) == SPLITS
    assert {part: len(found.labels) for part, found in outputs.items()} == {
        "remain_train": 1130, "forget_train": 127, "remain_test": 486, "forget_test": 54,
    }  # fmt: skip
    for part, found in outputs.items():
        assert found.logits.shape == (len(found.labels), 10)
        assert found.logits.dtype == torch.float32
        assert set(found.labels.tolist()) == ({4} if part.startswith("forget") else set(range(10)) - {4})


# --- what it finds again ------------------------------------------------------------------------------------------


def test_a_second_run_computes_nothing(results: Path, first, fits: list[str]):
    lines, metrics = computed(results)
    assert lines == fits == []
    assert metrics["methods"] == first[1]["methods"]


def test_another_folder_gives_the_same_numbers(tmp_path: Path, first):
    """Same seed, same everything, but for the seconds."""
    lines, metrics = computed(tmp_path)
    assert lines == first[0]
    for name in NAMES:
        one, other = metrics["methods"][name], first[1]["methods"][name]
        for part in ("accuracy", "entropy", "forget_train_shares"):
            assert one[part] == other[part]


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"unlearning": QUICK | {"boundary_shrink": {"epochs": 1, "lr": 1e-3}}}, ["boundary_shrink"]),
        ({"methods": ["boundary_expanding", "retrain"]}, []),
        ({"forget_class": "7"}, list(METHODS)),
        ({"seed": 1}, list(NAMES)),
    ],
    ids=["a method's rate", "fewer methods", "the forgotten class", "the seed"],
)  # fmt: skip
def test_only_what_a_setting_changes_is_computed_again(results: Path, first, changes: dict, again: list[str]):
    lines, metrics = computed(results, **changes)
    assert lines == again
    for name in set(metrics["methods"]) - set(again):
        assert metrics["methods"][name]["seconds"] == first[1]["methods"][name]["seconds"], "it is the same file"


ORIGINAL, OWN = "original", "boundary_shrink"


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"width": 0.2}, {ORIGINAL, OWN}),
        ({"seed": 1}, {ORIGINAL, OWN}),
        ({"epochs": 2}, {ORIGINAL, OWN}),
        ({"batch_size": 32}, {ORIGINAL, OWN}),
        ({"lr": 0.2}, {ORIGINAL, OWN}),
        ({"momentum": 0.5}, {ORIGINAL, OWN}),
        ({"precision": "bf16"}, {ORIGINAL, OWN}),
        ({"forget_class": 3}, {OWN}),
        ({"shadow_models": 2}, set()),
        ({"unlearning": {OWN: {"epsilon": 0.3}}}, {OWN}),
        ({"unlearning": {OWN: {"batchnorm": "frozen"}}}, {OWN}),
        ({"unlearning": {"finetune": {"lr": 0.3}}}, set()),
        ({"unlearning": {OWN: {"epsilon": "0.1", "lr": "1e-5", "epochs": 10}}}, set()),
        ({"forget_class": "4"}, set()),
        ({"methods": [OWN]}, set()),
        ({"lr": "1e-1"}, set()),
        ({"device": "auto"}, set() if not torch.cuda.is_available() else {ORIGINAL, OWN}),
    ],
    ids=str,
)
def test_the_name_of_a_file_depends_on_what_can_change_it_and_on_nothing_else(tmp_path: Path, changes, changed):
    def files(**settings: Any) -> dict[str, Path]:
        found = Experiment(config(tmp_path, unlearning={}) if not settings else config(tmp_path, **settings))
        return {name: found.store.path(name, found.key(name)) for name in (ORIGINAL, OWN)}

    before, after = files(), files(**{"unlearning": {}, **changes})
    assert {name for name in before if before[name] != after[name]} == changed


def test_outputs_are_divided_by_the_forgotten_class_of_their_experiment(results: Path, first):
    """The original is one file for all forgotten classes; what it says of each D_f is not."""
    for forget_class in (7, 4):
        outputs = Experiment(config(results, forget_class=forget_class)).outputs("original")
        assert set(outputs["forget_train"].labels.tolist()) == {forget_class}


def test_a_damaged_model_is_named_and_computed_again_and_nothing_else_is(tmp_path: Path, first):
    computed(tmp_path)
    folder = tmp_path / "store"
    (original,) = folder.glob("original-*.safetensors")
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("*.safetensors") if path != original}
    original.write_bytes(original.read_bytes()[:-100])
    lines: list[str] = []
    with pytest.warns(DamagedArtefactWarning, match=original.name):
        model = Experiment(config(tmp_path), lines.append).model("original")
    assert [line.partition(":")[0] for line in lines] == ["original"]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    outputs = Experiment(config(tmp_path)).outputs("original")["forget_test"]
    found = training.predict(model, Experiment(config(tmp_path)).split.forget_test.images, "fp32")
    torch.testing.assert_close(found, outputs.logits)


# --- interrupted --------------------------------------------------------------------------------------------------


@pytest.fixture
def breaks_off(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every epoch is saved, and the first save after which `name` is among the files breaks the run off."""
    wanted: list[str] = []
    save = experiment_module._PartialFit.save

    def save_and_break_off(self: Any, label: str, state: Any) -> None:
        save(self, label, state)
        if wanted and self.path.name.startswith(wanted[0]):
            wanted.clear()
            raise KeyboardInterrupt

    monkeypatch.setattr(experiment_module._PartialFit, "every", 0.0)
    monkeypatch.setattr(experiment_module._PartialFit, "save", save_and_break_off)
    return wanted


@pytest.mark.parametrize("name", ["original", "boundary_expanding"])
def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path, breaks_off, fits: list[str], name: str):
    three = {"epochs": 3, "unlearning": {"boundary_expanding": {"epochs": 3, "lr": 1e-3}}}
    names = ["original", "boundary_expanding"]
    settings = three | {"methods": names[1:]}
    whole, numbers = computed(tmp_path / "whole", **settings)
    fits.clear()
    breaks_off.append(name)
    with pytest.raises(KeyboardInterrupt):
        computed(tmp_path / "broken", **settings)
    (partial,) = (tmp_path / "broken" / "store").glob("*.partial")
    assert partial.name.startswith(name)
    assert not list((tmp_path / "broken" / "store").glob(f"{name}-*.safetensors"))
    fits.clear()
    lines, resumed = computed(tmp_path / "broken", **settings)
    assert whole == names
    assert lines == names[names.index(name) :]
    own = [epoch for epoch in fits if epoch.endswith("of 3")]  # the others warm up
    assert own[:2] == ["epoch 1 of 3", "epoch 2 of 3"], "the first epoch is not fitted again"
    assert not list((tmp_path / "broken" / "store").glob("*.partial"))
    for each in names:
        one, other = (Experiment(config(tmp_path / part, **settings)).model(each) for part in ("whole", "broken"))
        assert same_state(one, other)
        assert numbers["methods"][each]["accuracy"] == resumed["methods"][each]["accuracy"]


def test_a_damaged_partial_fit_starts_anew(tmp_path: Path, breaks_off, fits: list[str], first):
    breaks_off.append("original")
    settings = {"epochs": 2, "methods": []}
    with pytest.raises(KeyboardInterrupt):
        computed(tmp_path, **settings)
    (partial,) = (tmp_path / "store").glob("*.partial")
    partial.write_bytes(partial.read_bytes()[:-10])
    fits.clear()
    assert computed(tmp_path, **settings)[0] == ["original"]
    own = [epoch for epoch in fits if epoch.endswith("of 2")]  # the others warm up
    assert own == ["epoch 0 of 2", "epoch 1 of 2"]


# --- what cannot work ---------------------------------------------------------------------------------------------


def test_cuda_without_a_device_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = refusal(Experiment, config(tmp_path / "results", device="cuda"))
    assert message.startswith("device='cuda'")
    assert not (tmp_path / "results").exists()


def test_a_results_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path, fits: list[str]):
    (tmp_path / "results").write_text("a file in the way")
    message = refusal(Experiment, config(tmp_path / "results"))
    assert message.startswith("results_dir=")
    assert str(tmp_path / "results") in message
    assert fits == []


def test_a_data_folder_that_is_not_there_is_refused_before_any_work(tmp_path: Path, fits: list[str]):
    wanted = config(tmp_path, dataset="cifar10", data_dir=str(tmp_path / "nowhere"))
    assert refusal(Experiment, wanted).startswith("data_dir=")
    assert fits == []


# --- a new method -------------------------------------------------------------------------------------------------


def test_a_registered_method_runs_like_any_other(results: Path, first, monkeypatch: pytest.MonkeyPatch):
    """A file and a line in the register: its settings are checked, its result is kept and measured."""

    def doubt(task: Any, *, factor: Annotated[float, Range(0, 1)] = 0.5) -> torch.nn.Module:
        model = task.fitted(task.original, task.split.forget_train, label="doubt", epochs=0, lr=0.0)
        with torch.no_grad():
            model.classifier.weight *= factor
            model.classifier.bias *= factor
        return model

    monkeypatch.setitem(METHODS, "doubt", doubt)
    settings = {"methods": ["retrain", "doubt"], "unlearning": {"doubt": {"factor": 0}}}
    lines, metrics = computed(results, **settings)
    assert lines == ["doubt"]
    found = metrics["methods"]["doubt"]
    assert found["settings"] == {"factor": 0.0}
    entropies = [found["entropy"][part] for part in SPLITS]
    assert entropies == pytest.approx([2.302585] * 4, rel=1e-6), "every class is as likely"
    assert computed(results, **settings)[0] == []
    assert refusal(config, results, unlearning={"doubt": {"factor": 2}}).startswith("unlearning.doubt.factor=2.0")
