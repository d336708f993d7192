"""How models are made: each once, found by all that decides it and nothing else, and resumed where it broke off."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bu_core import training
from bu_core.checks import SettingError
from bu_core.data import load
from bu_core.experiment import fitting
from bu_core.experiment.experiment import Experiment
from bu_core.models import build
from bu_core.store import DamagedArtefactWarning
from bu_core.unlearning import OF_THE_PAPER
from tests.helpers import QUICK, quick_config, refusal, same_state

NAMES = ("original", *OF_THE_PAPER)


def made(results: Path, **changes: Any) -> tuple[list[str], Experiment]:
    """What was computed, in its order, once every model was asked for; and the experiment."""
    lines: list[str] = []
    experiment = Experiment(quick_config(results, **changes), lines.append)
    for name in experiment.names:
        experiment.model(name)
    return [line.partition(":")[0] for line in lines], experiment


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of one finished experiment."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def first(results: Path) -> tuple[list[str], Experiment]:
    return made(results)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every epoch of every fit from here on."""
    epochs: list[str] = []
    original = training._batches

    def counted(data: Any, recipe: Any, epoch: int) -> Any:
        epochs.append(f"epoch {epoch} of {recipe.epochs}")
        return original(data, recipe, epoch)

    monkeypatch.setattr(training, "_batches", counted)
    return epochs


# --- what is made -------------------------------------------------------------------------------------------------


def test_every_model_is_made_once(first: tuple[list[str], Experiment]):
    assert first[0] == list(NAMES)


def test_the_original_is_a_fit_to_all_data_and_retrain_to_the_remaining(first: tuple[list[str], Experiment]):
    dataset = load("digits")
    remaining = dataset.train[dataset.train.labels != 4]
    for name, data in (("original", dataset.train), ("retrain", remaining)):
        model = build("allcnn", 1, 10, 0.1, seed=0)
        training.fit(model, data, training.Recipe(1, 0.1, 0.9, 64, "fp32", 0), label="")
        assert same_state(first[1].model(name), model)


def test_another_folder_gives_the_same_weights(tmp_path: Path, first: tuple[list[str], Experiment]):
    lines, again = made(tmp_path)
    assert lines == first[0]
    for name in NAMES:
        assert same_state(again.model(name), first[1].model(name)), name


def test_a_method_is_timed_and_the_time_is_kept(results: Path, first: tuple[list[str], Experiment]):
    for name in NAMES:
        (seconds,) = first[1].weights(name).facts["seconds"]
        assert 0 < seconds < 60
        assert Experiment(quick_config(results)).weights(name).facts["seconds"] == [seconds]


def test_no_method_changes_the_original(first: tuple[list[str], Experiment], results: Path):
    assert same_state(first[1].model("original"), Experiment(quick_config(results)).model("original"))


def test_an_original_that_diverges_is_refused_and_not_kept(tmp_path: Path):
    experiment = Experiment(quick_config(tmp_path, lr=1e30, methods=[]))
    message = refusal(experiment.model, "original")
    assert message == "lr=1e+30: the original diverged, its weights are not finite; lower it"
    assert not list((tmp_path / "store").glob("original-*"))


def test_an_original_that_diverges_while_it_is_recorded_leaves_no_recording(tmp_path: Path):
    experiment = Experiment(quick_config(tmp_path, lr=1e30, methods=["amnesiac"]))
    with pytest.raises(SettingError, match="diverged"):
        experiment.model("original")
    assert not list((tmp_path / "store").glob("*.safetensors"))


# --- what is found again ------------------------------------------------------------------------------------------


def test_a_second_run_makes_nothing(results: Path, first: tuple[list[str], Experiment], fits: list[str]):
    lines, again = made(results)
    assert lines == fits == []
    assert all(same_state(again.model(name), first[1].model(name)) for name in NAMES)


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"unlearning": QUICK | {"boundary_shrink": {"epochs": 1, "lr": 1e-3}}}, ["boundary_shrink"]),
        ({"methods": ["boundary_expanding", "retrain"]}, []),
        ({"forget_class": "7"}, list(OF_THE_PAPER)),
        ({"seed": 1}, list(NAMES)),
    ],
    ids=["a method's rate", "fewer methods", "the forgotten class", "the seed"],
)
def test_only_what_a_setting_changes_is_made_again(
    results: Path, first: tuple[list[str], Experiment], changes: dict[str, Any], again: list[str]
):
    lines, other = made(results, **changes)
    assert lines == again
    for name in set(other.names) - set(again):
        assert other.weights(name).facts == first[1].weights(name).facts, "it is the same file"


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
        ({"model": "allcnn_groupnorm"}, {ORIGINAL, OWN}),
        ({"forget_class": 3}, {OWN}),
        ({"shadow_models": 2}, set()),
        ({"sample_size": 60}, set()),
        ({"timing_runs": 2}, set()),
        ({"elsewhere": [{"seed": 1}]}, set()),
        ({"beside": ["digits"], "title": "another"}, set()),
        ({"unlearning": {OWN: {"epsilon": 0.3}}}, {OWN}),
        ({"unlearning": {OWN: {"batchnorm": "frozen"}}}, {OWN}),
        ({"unlearning": {"finetune": {"lr": 0.3}}}, set()),
        ({"unlearning": {OWN: {"epsilon": "0.1", "lr": "1e-5", "epochs": 10}}}, set()),
        ({"forget_class": "4"}, set()),
        ({"methods": [OWN]}, set()),
        ({"lr": "1e-1"}, set()),
        ({"device": "auto"}, set() if not torch.cuda.is_available() else {ORIGINAL, OWN}),
    ],
    ids=lambda value: "+".join(sorted(value)) if isinstance(value, set) else str(value),
)
def test_the_name_of_a_file_depends_on_what_can_change_it_and_on_nothing_else(
    tmp_path: Path, changes: dict[str, Any], changed: set[str]
):
    def files(**settings: Any) -> dict[str, Path]:
        found = Experiment(quick_config(tmp_path, **{"unlearning": {}} | settings))
        return {name: found.store.path(name, found.key(name)) for name in (ORIGINAL, OWN)}

    before, after = files(), files(**changes)
    assert {name for name in before if before[name] != after[name]} == changed


def test_a_key_names_the_settings_that_are_not_at_their_defaults(tmp_path: Path):
    given = {OWN: {"epochs": 10, "epsilon": 0.3}, "finetune": {"lr": 0.1}}
    experiment = Experiment(quick_config(tmp_path, unlearning=given))
    assert experiment.key(OWN)["settings"] == {"epsilon": 0.3}
    assert experiment.key("finetune")["settings"] == {}


def test_nothing_is_taken_from_before_a_change_of_the_numerics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    experiment = Experiment(quick_config(tmp_path))
    before = {name: experiment.key(name) for name in NAMES}
    monkeypatch.setattr(training, "NUMERICS", training.NUMERICS + 1)
    assert all(experiment.key(name) != before[name] for name in NAMES)


def test_a_damaged_model_is_named_and_made_again_and_nothing_else_is(tmp_path: Path):
    made(tmp_path, methods=["finetune"])
    folder = tmp_path / "store"
    (original,) = folder.glob("original-*.safetensors")
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("*.safetensors") if path != original}
    whole = original.read_bytes()
    original.write_bytes(whole[:-100])
    with pytest.warns(DamagedArtefactWarning, match=original.name):
        lines, _ = made(tmp_path, methods=["finetune"])
    assert lines == ["original"]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


# --- shadow models ------------------------------------------------------------------------------------------------


def test_a_shadow_model_is_asked_about_its_own_half_and_the_other(results: Path):
    """Models 0 and 1 swap the halves of D_r, so what is a member of one is none of the other."""
    said: list[str] = []
    experiment = Experiment(quick_config(results, shadow_models=2), said.append)
    (members, others), (swapped, rest) = (experiment.shadow(number) for number in (0, 1))
    assert len(members) == len(rest) == 565
    assert len(others) == len(swapped) == 565
    assert [line.partition(":")[0] for line in said] == ["shadow 0", "shadow 1"]
    assert torch.equal(Experiment(quick_config(results, shadow_models=3)).shadow(1)[0], swapped), "it is kept"


# --- interrupted --------------------------------------------------------------------------------------------------


@pytest.fixture
def breaks_off(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every epoch is saved, and the first save after which `name` is among the files breaks the run off."""
    wanted: list[str] = []
    save = fitting._PartialFit.save

    def save_and_break_off(self: Any, label: str, state: Any) -> None:
        save(self, label, state)
        if wanted and self.path.name.startswith(wanted[0]):
            wanted.clear()
            raise KeyboardInterrupt

    monkeypatch.setattr(fitting._PartialFit, "every", 0.0)
    monkeypatch.setattr(fitting._PartialFit, "save", save_and_break_off)
    yield wanted


@pytest.mark.parametrize("name", ["original", "boundary_expanding"])
def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path, breaks_off: list[str], fits: list[str], name: str):
    names = ["original", "boundary_expanding"]
    settings = {
        "epochs": 3,
        "unlearning": {"boundary_expanding": {"epochs": 3, "lr": 1e-3}},
        "methods": names[1:],
    }
    lines, whole = made(tmp_path / "whole", **settings)
    assert lines == names
    breaks_off.append(name)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path / "broken", **settings)
    (partial,) = (tmp_path / "broken" / "store").glob("*.partial")
    assert partial.name.startswith(name)
    assert not list((tmp_path / "broken" / "store").glob(f"{name}-*.safetensors"))
    fits.clear()
    lines, resumed = made(tmp_path / "broken", **settings)
    assert lines == names[names.index(name) :]
    own = [epoch for epoch in fits if epoch.endswith("of 3")]  # the others warm up
    assert own[:2] == ["epoch 1 of 3", "epoch 2 of 3"], "the first epoch is not fitted again"
    assert not list((tmp_path / "broken" / "store").glob("*.partial"))
    for each in names:
        assert same_state(whole.model(each), resumed.model(each))


def test_a_damaged_partial_fit_starts_anew(tmp_path: Path, breaks_off: list[str], fits: list[str]):
    breaks_off.append("original")
    settings = {"epochs": 2, "methods": []}
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, **settings)
    (partial,) = (tmp_path / "store").glob("*.partial")
    partial.write_bytes(partial.read_bytes()[:-10])
    fits.clear()
    assert made(tmp_path, **settings)[0] == ["original"]
    own = [epoch for epoch in fits if epoch.endswith("of 2")]  # the others warm up
    assert own == ["epoch 0 of 2", "epoch 1 of 2"]
