"""Replicates: a run's own seeds, those of a recorded run that repeats it, and what is missing of them."""

from pathlib import Path
from typing import Any

import pytest

from bu_book import publish
from bu_book.chapters import lasting, ledger
from bu_book.claims import CLAIMS, CannotTest
from bu_book.replicates import attacks_made, by_class, over, replicates, seen, told
from bu_core.config import Config
from bu_core.experiment import record
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import evaluation, metrics
from bu_core.experiment.record import NotRecorded
from bu_core.results import Artefact
from bu_core.store import write
from tests.helpers import leave_record, small_experiment

SEEDS: list[dict[str, Any]] = [{"seed": 1}, {"seed": 2}, {"forget_class": 7}, {"seed": 0}]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return small_experiment(tmp_path_factory.mktemp("results"), elsewhere=SEEDS)


def forgot(run: Experiment) -> float:
    return seen(run, "boundary_shrink").accuracy["forget_train"]


def test_a_runs_replicates_are_its_own_seed_and_those_elsewhere(experiment: Experiment):
    found = replicates(experiment)
    assert list(found) == ["seed 0", "seed 1", "seed 2"]
    assert found["seed 0"] is experiment
    assert [run.config.seed for run in found.values()] == [0, 1, 2]
    assert all(run.config.forget_class == experiment.config.forget_class for run in found.values())
    assert replicates(experiment) is found, "models are loaded once"


@pytest.mark.parametrize(("further", "repeated"), [([], True), ([{"forget_class": 7}], False)])
def test_what_takes_longer_than_retrain_is_repeated_by_a_run_of_seeds_alone(
    tmp_path: Path, further: list[dict[str, Any]], repeated: bool
):
    methods = ("retrain", "boundary_shrink", "fisher", "amnesiac")
    found = replicates(small_experiment(tmp_path, methods=methods, unlearning={}, elsewhere=[{"seed": 1}, *further]))
    assert found["seed 0"].config.methods == methods
    assert found["seed 1"].config.methods == (methods if repeated else methods[:2])


def test_what_is_told_of_a_model_is_what_its_metrics_say(experiment: Experiment):
    found, whole = seen(experiment, "boundary_shrink"), metrics(experiment).methods["boundary_shrink"]
    assert found.accuracy == whole.accuracy
    assert found.entropy == pytest.approx(whole.entropy.mean)
    assert found.asr == pytest.approx({kind: summary.asr.value for kind, summary in whole.attacks.items()})
    assert attacks_made(experiment) == list(whole.attacks)


def test_each_replicate_is_another_model(experiment: Experiment):
    values = over(experiment, lambda run: seen(run, "retrain").accuracy["remain_test"])
    assert len(set(values.found.values())) == 3
    assert values.missing == []
    assert values.spread is not None
    assert values.between_two == pytest.approx(1.96 * 2**0.5 * values.spread)


def test_classes_are_those_elsewhere_and_the_runs_own(experiment: Experiment):
    found = by_class(
        experiment, ("boundary_shrink",), lambda run: evaluation(run, "boundary_shrink").accuracy["forget_train"]
    )
    assert list(found) == ["4", "7"]
    assert found["4"] == forgot(experiment)


def test_a_method_that_a_run_has_not_is_no_number(experiment: Experiment):
    with pytest.raises(CannotTest, match="Fisher was not run"):
        over(experiment, lambda run: seen(run, "fisher").accuracy["forget_train"])


def test_replicates_that_lack_the_same_are_named_together(experiment: Experiment):
    """A reader is told once what is missing, and of which seeds."""

    def ask(run: Experiment) -> float:
        if run is not experiment:
            raise CannotTest("Finetune was not run")
        return 1.0

    assert over(experiment, ask).missing == ["seed 1, seed 2 (Finetune was not run)"]


def test_a_replicate_that_diverged_is_missing(tmp_path: Path):
    run = small_experiment(tmp_path, unlearning={"boundary_expanding": {"epochs": 2, "lr": 1e30}})
    with pytest.raises(CannotTest, match="boundary_expanding diverged"):
        seen(run, "boundary_expanding")


# --- recorded runs --------------------------------------------------------------------------------------------------


def test_what_a_record_lacks_is_missing_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = small_experiment(tmp_path / "results", elsewhere=[{"seed": 1}])
    told(whole, "boundary_shrink")
    monkeypatch.setattr(record, "ROOT", tmp_path / "book")
    leave_record(whole, tmp_path / "book" / "tiny")
    shown = small_experiment(tmp_path / "shown", elsewhere=[{"seed": 1}])
    assert shown.record is not None
    values = over(shown, forgot)
    assert list(values.found) == ["seed 0"]
    assert values.missing == ["seed 1 (the accuracies of Boundary Shrink)"]
    with pytest.raises(NotRecorded):
        over(shown, lambda run: seen(run, "retrain").accuracy["forget_train"])


PROFILE = """dataset: digits
width: 0.1
epochs: 2
methods: [retrain, boundary_shrink, boundary_expanding]
unlearning: {boundary_shrink: {epochs: 2}, boundary_expanding: {epochs: 2}}
sample_size: 60
precision: fp32
device: cpu
elsewhere: [{seed: 5}, {seed: 6}]
"""


@pytest.mark.slow
@pytest.mark.usefixtures("few_steps")
def test_a_recorded_run_that_repeats_another_gives_its_replicates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It is recorded without outputs; a run of another class or with other settings is no replicate."""
    repeats = tmp_path / "repeats.yml"
    repeats.write_text(PROFILE + f"results_dir: {tmp_path / 'repeats'}\n")
    monkeypatch.setattr(record, "ROOT", tmp_path / "book")
    monkeypatch.setattr(publish, "profiles", lambda: {"smoke": ""})
    monkeypatch.setattr(lasting, "LASTING", (lasting.RECOMMENDED, lasting.LONGER, lasting.DEEP, lasting.NO_IMAGE))
    monkeypatch.setattr(lasting, "TUNED", {})
    monkeypatch.setattr(lasting, "DEEP_TUNED", {})
    monkeypatch.setattr(publish.Config, "from_profile", lambda name: Config(replicates="repeats"))
    made = Experiment(Config.from_mapping(_parameters(repeats)))
    publish.publish(made, "repeats", "the command")
    tried = tmp_path / "book" / "repeats" / "store" / "trace-boundary_shrink-0123456789abcdef.safetensors"
    write(tried, {"tried": "once"}, Artefact({}, {"left": 1.0}))
    publish.publish(made, "repeats", "the command")
    assert tried.exists(), "what the record held and nothing asks for is not thrown away"
    monkeypatch.undo()
    monkeypatch.setattr(record, "ROOT", tmp_path / "book")

    kinds = {path.name.rsplit("-", 2)[0] for path in (tmp_path / "book" / "repeats" / "store").iterdir()}
    assert "told" in kinds and not kinds & {"outputs", "original", "retrain"}

    def asking(**changes: Any) -> Experiment:
        return small_experiment(tmp_path / "own", replicates=str(repeats), **changes)

    own = asking()
    assert list(replicates(own)) == ["seed 0", "seed 5", "seed 6"]
    assert all(run.record for run in replicates(own).values())
    assert over(own, forgot).missing == []
    (effect,) = CLAIMS[1].evidence(own).primary
    assert len(effect.values) == 3
    for changes in ({"forget_class": 3}, {"epochs": 3}, {"unlearning": {"boundary_shrink": {"lr": 0.1}}}):
        assert list(replicates(asking(**changes))) == ["seed 0"]
    ledger.of_replicates(own)  # a ledger of the run itself asks no more of the others


def _parameters(profile: Path) -> dict[str, Any]:
    from bu_core.config import read_profile

    return read_profile(str(profile))
