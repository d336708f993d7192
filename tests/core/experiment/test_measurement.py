"""A measurement: what its result is found by, when it is computed again, and when it must not be."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from torch import Tensor

from bu_core import attacks
from bu_core.experiment import measurement as measurement_module
from bu_core.experiment import metrics as metrics_module
from bu_core.experiment import record
from bu_core.experiment.experiment import Experiment, outputs
from bu_core.experiment.measurement import MEASUREMENTS, Measurement, measurement
from bu_core.experiment.record import NotRecorded
from bu_core.results import Kept
from bu_core.store import read_any
from tests.constants import undeclared
from tests.helpers import leave_record, quick_config

OWN = ("outputs", "attack", "attack_shadow", "evaluation")
LIMIT = 3  # a constant that the measurement below depends on
UNUSED = 4


@dataclass(frozen=True)
class Norms:
    """`norm`: of the weights of a model; `logits`: of D_ft."""

    norm: float
    logits: Annotated[Tensor, Kept(torch.float32, recorded=torch.float16)]


@pytest.fixture(autouse=True)
def _own_register(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(measurement_module, "MEASUREMENTS", dict(MEASUREMENTS))


def norms(computed: list[str] | None = None, **registered: Any) -> Measurement[Norms]:
    """A measurement that notes the models that it was computed for."""

    @measurement(**registered)
    def norms(experiment: Experiment, model: str, times: int = 1) -> Norms:
        if computed is not None:
            computed.append(model)
        weights = experiment.model(model).state_dict().values()
        found = sum(weight.double().norm().item() for weight in weights)
        return Norms(times * found, experiment.outputs(model)["forget_test"].logits)

    return norms


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def ask(results: Path) -> Callable[..., Experiment]:
    def experiment(**changes: Any) -> Experiment:
        return Experiment(quick_config(results, **{"methods": ["retrain", "finetune"]} | changes))

    return experiment


# --- found by all that decides it -----------------------------------------------------------------------------------


def test_a_key_holds_all_that_decides_the_result(ask: Callable[..., Experiment]):
    asked = norms(of=("retrain",), constants=lambda: {"limit": LIMIT}, version=7)
    experiment = ask(forget_class=3)
    assert asked.key(experiment, "finetune", times=2) == {
        "measurement": "norms",
        "version": 7,
        "constants": {"limit": 3},
        "models": {name: experiment.key(name) for name in ("finetune", "retrain")},
        "forget_class": 3,
        "arguments": {"times": 2},
    }


def test_how_an_argument_is_given_does_not_matter(ask: Callable[..., Experiment]):
    asked, experiment = norms(), ask()
    keys = [
        asked.key(experiment, "finetune"),
        asked.key(experiment, model="finetune", times=1),
        asked.key(experiment, "finetune", 1),
    ]
    assert keys[0] == keys[1] == keys[2]


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"forget_class": 3},
        {"epochs": 2},
        {"unlearning": {"finetune": {"epochs": 1, "lr": 0.3}}},
    ],
    ids=str,
)
def test_another_model_is_another_key(ask: Callable[..., Experiment], changes: dict[str, Any]):
    asked = norms()
    assert asked.key(ask(**changes), "finetune") != asked.key(ask(), "finetune")


@pytest.mark.parametrize(
    "changes",
    [
        {"unlearning": {"retrain": {}, "finetune": {"epochs": 1}, "fisher": {"samples": 7}}},
        {"methods": ["finetune"]},
        {"shadow_models": 2},
        {"timing_runs": 3},
        {"sample_size": 60},
        {"elsewhere": [{"seed": 1}]},
        {"title": "another"},
    ],
    ids=str,
)
def test_what_it_does_not_look_at_is_not_in_its_key(ask: Callable[..., Experiment], changes: dict[str, Any]):
    asked = norms()
    assert asked.key(ask(**changes), "finetune") == asked.key(ask(), "finetune")


def test_the_models_beside_may_depend_on_the_experiment(ask: Callable[..., Experiment]):
    asked = norms(of=lambda experiment: experiment.config.methods)
    assert list(asked.key(ask(), "original")["models"]) == ["original", "retrain", "finetune"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"version": 1}, {"version": 2}),
        ({"constants": lambda: {"limit": 3}}, {"constants": lambda: {"limit": 4}}),
        ({"of": ()}, {"of": ("retrain",)}),
    ],
    ids=["version", "constants", "models"],
)
def test_another_registration_is_another_key(
    ask: Callable[..., Experiment], one: dict[str, Any], other: dict[str, Any]
):
    assert norms(**one).key(ask(), "finetune") != norms(**other).key(ask(), "finetune")


def test_constants_are_read_when_they_are_needed(ask: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch):
    before = metrics_module.attack.key(ask(), "retrain")
    monkeypatch.setattr(attacks, "FOLDS", 7)
    after = metrics_module.attack.key(ask(), "retrain")
    assert (before["constants"]["folds"], after["constants"]["folds"]) == (5, 7)


def test_a_sampled_measurement_depends_on_the_sample(ask: Callable[..., Experiment]):
    keys = [norms(sampled=True).key(ask(sample_size=size), "finetune") for size in (50, 60)]
    assert [key["sample_size"] for key in keys] == [50, 60]


def test_a_timed_measurement_belongs_to_the_machine(ask: Callable[..., Experiment]):
    asked, experiment = norms(timed=True), ask()
    key = asked.key(experiment, "finetune")
    assert key["machine"] == experiment.machine
    assert {"cpu", "gpu", "threads", "precision", "torch"} <= set(key["machine"])
    assert not {"date", "git_commit"} & set(key["machine"]), "another day is no other machine"


# --- computed once --------------------------------------------------------------------------------------------------


def test_a_result_is_computed_once_and_kept_with_its_key(ask: Callable[..., Experiment], results: Path):
    computed: list[str] = []
    asked, experiment = norms(computed, version=11), ask()
    first, again = asked(experiment, "finetune"), asked(ask(), "finetune")
    assert computed == ["finetune"]
    assert (again.norm, again.logits.tolist()) == (first.norm, first.logits.tolist())
    assert asked(experiment, "finetune", times=2).norm == 2 * first.norm
    assert computed == ["finetune", "finetune"]
    path = experiment.store.path("norms-finetune", asked.key(experiment, "finetune"))
    key, artefact = read_any(path)
    assert key["measurement"] == "norms"
    assert artefact.facts == {"norm": first.norm}
    assert artefact.recorded == {"logits": "float16"}


def test_two_modules_cannot_register_one_name():
    """The second would answer for the first."""
    before = dict(measurement_module.MEASUREMENTS)

    def attack(experiment: Experiment, model: str) -> Norms:
        raise NotImplementedError

    with pytest.raises(ValueError, match="bu_core.experiment.metrics has a measurement attack already"):
        measurement()(attack)
    assert before == measurement_module.MEASUREMENTS


# --- shown from a record --------------------------------------------------------------------------------------------


@pytest.fixture
def recorded(
    ask: Callable[..., Experiment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Experiment, Norms]]:
    """An experiment that has a record, which lacks the attacks, and what was measured before it was narrowed."""
    made = ask()
    for name in made.names:
        outputs(made, name)
    exact = norms()(made, "finetune")
    monkeypatch.setattr(record, "ROOT", tmp_path / "book")
    leave_record(made, tmp_path / "book" / "quick")
    for path in (tmp_path / "book" / "quick" / "store").glob("attack-*"):
        path.unlink()
    yield Experiment(quick_config(tmp_path / "elsewhere", methods=["retrain", "finetune"])), exact


def test_what_a_record_holds_is_never_computed_again(recorded: tuple[Experiment, Norms]):
    experiment, exact = recorded
    assert experiment.record is not None
    computed: list[str] = []
    found = norms(computed)(experiment, "finetune")
    assert computed == []
    assert found.norm == exact.norm
    assert found.logits.dtype == torch.float32
    torch.testing.assert_close(found.logits, exact.logits, atol=1e-2, rtol=1e-3)
    assert not list(experiment.store.folder.glob("*.safetensors"))


def test_what_a_record_lacks_is_not_computed_either(recorded: tuple[Experiment, Norms]):
    experiment, _ = recorded
    computed: list[str] = []
    with pytest.raises(NotRecorded, match="norms of original: not recorded in quick; name a data_dir to compute it"):
        norms(computed)(experiment, "original")
    with pytest.raises(NotRecorded, match="^attack of retrain: not recorded"):
        metrics_module.attack(experiment, "retrain")
    assert computed == []


def test_nothing_new_is_computed_from_what_a_record_narrowed(recorded: tuple[Experiment, Norms], tmp_path: Path):
    """With `extend` the outputs are made anew, at their full width, before anything is measured of them."""
    shown, exact = recorded
    assert shown.record is not None
    said: list[str] = []
    experiment = Experiment(
        quick_config(tmp_path / "more", methods=["retrain", "finetune"]), said.append, extend=shown.record
    )
    narrowed = experiment.outputs("finetune")["forget_test"].logits
    assert not torch.equal(narrowed, exact.logits), "this is what the record holds"
    fresh = norms(version=12)(experiment, "finetune")
    assert torch.equal(fresh.logits, exact.logits)
    assert fresh.norm == exact.norm, "weights were not narrowed"
    assert said == [], "and no model was fitted again"


# --- constants ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OWN)
def test_every_constant_that_decides_a_result_is_in_its_key(name: str):
    assert undeclared(MEASUREMENTS[name]) == set()


def helper() -> int:
    return sum(LIMIT for _ in range(2))


def test_a_constant_that_is_left_out_is_noticed():
    """Also where a function that is called uses it, or a module that is asked for it."""

    def plain(experiment: Experiment) -> Norms:
        return Norms(LIMIT, torch.empty(0))

    def through_a_helper(experiment: Experiment) -> Norms:
        return Norms(helper(), torch.empty(0))

    def through_a_module(experiment: Experiment) -> Norms:
        return Norms(attacks.DRAWS, torch.empty(0))

    for compute, missing in ((plain, "LIMIT"), (through_a_helper, "LIMIT"), (through_a_module, "DRAWS")):
        assert undeclared(measurement()(compute)) == {missing}
        both = measurement(constants=lambda: {"limit": LIMIT, "draws": attacks.DRAWS, "unused": UNUSED})(compute)
        assert undeclared(both) == set()
