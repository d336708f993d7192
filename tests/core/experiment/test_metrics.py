"""The metrics: their documented shape, what each number is, and a model that diverged, of which there is none."""

import json
import statistics
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch

from bu_core import measures
from bu_core.__main__ import main
from bu_core.attacks import Scores
from bu_core.attacks.own_outputs import from_own_outputs
from bu_core.attacks.register import ATTACKS, Attack
from bu_core.checks import Range
from bu_core.config import Config
from bu_core.data import SPLITS, load
from bu_core.experiment import metrics as metrics_module
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import Metrics, evaluated, evaluation, metrics, write_metrics
from bu_core.measures import EntropyDistances, entropy_distances
from bu_core.models import Classifier
from bu_core.results import Estimate
from bu_core.unlearning import METHODS, OF_THE_PAPER, UnlearningTask, method
from tests.helpers import ONE_EPOCH, quick_config, refusal, wrecked

NAMES = ("original", *OF_THE_PAPER)

# What each attack is called in metrics.json.
IN_JSON = {
    "own_outputs": "attack", "shadow_models": "attack_shadow", "confidence": "attack_confidence",
    "modified_entropy": "attack_modified_entropy",
}  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of one finished experiment."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def experiment(results: Path) -> Experiment:
    return Experiment(quick_config(results, shadow_models=2))


@pytest.fixture(scope="module")
def found(experiment: Experiment) -> Metrics:
    return write_metrics(experiment)


@pytest.fixture(scope="module")
def content(found: Metrics, results: Path) -> dict[str, Any]:
    """`metrics.json`, which holds nothing that is no JSON."""
    return json.loads((results / "metrics.json").read_text(), parse_constant=pytest.fail)


# --- metrics.json ---------------------------------------------------------------------------------------------------


def test_the_file_has_the_documented_shape(content: dict[str, Any], experiment: Experiment):
    """DESIGN, Results: config, environment, and methods.<name> with accuracy, seconds, attack and entropy."""
    assert set(content) == {"config", "dataset", "environment", "methods"}
    assert content["config"] == json.loads(json.dumps(experiment.config.as_dict()))
    assert content["environment"] == experiment.environment
    assert {"device", "cpu", "torch", "git_commit", "precision"} <= set(content["environment"])
    assert content["dataset"] == {
        "name": "digits",
        "origin": load("digits").origin,
        "fingerprint": load("digits").fingerprint,
        "classes": [str(digit) for digit in range(10)],
        "sizes": {"remain_train": 1130, "forget_train": 127, "remain_test": 486, "forget_test": 54},
    }
    assert tuple(content["methods"]) == NAMES
    estimates = ("asr", "false_positive_rate", "advantage", "balanced_accuracy", "auc", "distance_to_retrain")
    for name, model in content["methods"].items():
        assert set(model) == {
            "accuracy", "forget_train_shares", "entropy", *IN_JSON.values(), "seconds", "settings", "recording",
            "environment",
        }  # fmt: skip
        assert tuple(model["accuracy"]) == SPLITS
        assert set(model["entropy"]) == {*SPLITS, "histogram", "distance_to_retrain"}
        assert tuple(model["entropy"]["histogram"]) == SPLITS
        assert set(model["entropy"]["distance_to_retrain"]) == {"jensen_shannon", "wasserstein"}
        for kind in IN_JSON.values():
            assert set(model[kind]) == {f"{each}{end}" for each in estimates for end in ("", "_low", "_high")} | {
                "images"
            }
        assert set(model["seconds"]) == {"median", "runs"}
        assert (model["recording"] is not None) is (name == "amnesiac")


def test_the_file_says_what_the_typed_metrics_say(content: dict[str, Any], found: Metrics):
    assert content == json.loads(json.dumps(found.as_json()))
    for name, model in found.methods.items():
        assert content["methods"][name]["accuracy"] == model.accuracy
        for kind, key in IN_JSON.items():
            assert content["methods"][name][key]["asr"] == model.attacks[kind].asr.value
            assert content["methods"][name][key]["asr_low"] == model.attacks[kind].asr.low
        assert content["methods"][name]["entropy"]["forget_test"] == model.entropy.mean["forget_test"]


# --- what each number is --------------------------------------------------------------------------------------------


def test_numbers_are_in_their_range(found: Metrics):
    for name, model in found.methods.items():
        assert all(0 <= value <= 100 for value in model.accuracy.values())
        assert all(0 <= model.entropy.mean[part] <= 2.3026 for part in SPLITS), "at most log 10"
        assert all(sum(model.entropy.histogram[part]) == pytest.approx(100) for part in SPLITS)
        assert sum(model.forget_train_shares) == pytest.approx(100)
        assert len(model.forget_train_shares) == 10
        assert model.seconds.median == statistics.median(model.seconds.runs) > 0
        assert model.settings.get("epochs") == (1 if name in ONE_EPOCH else None)


def test_accuracy_is_that_of_the_model_on_its_set(experiment: Experiment, found: Metrics):
    dataset, model = load("digits"), experiment.model("boundary_shrink")
    for side, data in (("train", dataset.train), ("test", dataset.test)):
        with torch.no_grad():
            right = model(data.images / 255).argmax(1) == data.labels
        for part, chosen in (("forget", data.labels == 4), ("remain", data.labels != 4)):
            expected = 100 * right[chosen].double().mean().item()
            assert found.methods["boundary_shrink"].accuracy[f"{part}_{side}"] == pytest.approx(expected, abs=1e-9)
    forgotten = found.methods["boundary_shrink"]
    assert forgotten.forget_train_shares[4] == pytest.approx(forgotten.accuracy["forget_train"])
    assert found.forgotten == "4"


def test_entropy_is_that_of_the_outputs(experiment: Experiment, found: Metrics):
    said, retrain = (experiment.outputs(name)["forget_train"] for name in ("finetune", "retrain"))
    model = found.methods["finetune"].entropy
    assert model.mean["forget_train"] == measures.entropy(said).mean().item()
    assert model.distance_to_retrain == entropy_distances(said, retrain)
    assert found.methods["retrain"].entropy.distance_to_retrain == EntropyDistances(0, 0)


@pytest.mark.parametrize("kind", list(ATTACKS))
def test_each_attack_is_summed_up(found: Metrics, kind: str):
    retrain = found.methods["retrain"].attacks[kind]
    for model in found.methods.values():
        attack = model.attacks[kind]
        for estimate in (attack.asr, attack.false_positive_rate, attack.balanced_accuracy):
            assert 0 <= estimate.low <= estimate.value <= estimate.high <= 100
        assert 0 <= attack.auc.low <= attack.auc.value <= attack.auc.high <= 1
        assert attack.advantage.value == pytest.approx(attack.asr.value - attack.false_positive_rate.value)
        assert attack.distance_to_retrain.value == pytest.approx(attack.asr.value - retrain.asr.value)


@pytest.mark.parametrize("kind", list(ATTACKS))
def test_retrain_gives_nothing_of_the_forgotten_class_away(found: Metrics, kind: str):
    """It has seen neither D_f nor D_ft, so it cannot treat them otherwise."""
    attack = found.methods["retrain"].attacks[kind]
    assert attack.advantage.low <= 0 <= attack.advantage.high
    assert attack.distance_to_retrain == Estimate(0, 0, 0)


def test_without_retrain_nothing_is_measured_against_it(results: Path, found: Metrics):
    model = metrics(Experiment(quick_config(results, methods=[]))).methods["original"]
    assert model.attacks["own_outputs"].distance_to_retrain == Estimate(None, None, None)
    assert model.entropy.distance_to_retrain is None
    assert model.attacks["own_outputs"].asr == found.methods["original"].attacks["own_outputs"].asr


# --- computed once --------------------------------------------------------------------------------------------------


def test_a_second_run_computes_nothing(results: Path, found: Metrics):
    said: list[str] = []
    before = {path: path.stat().st_mtime_ns for path in (results / "store").glob("*.safetensors")}
    again = metrics(Experiment(quick_config(results, shadow_models=2), said.append))
    assert said == []
    assert again.methods == found.methods
    assert {path: path.stat().st_mtime_ns for path in (results / "store").glob("*.safetensors")} == before


def test_another_folder_gives_the_same_numbers(tmp_path: Path, found: Metrics):
    """Same seed, same everything, but for the seconds."""
    again = metrics(Experiment(quick_config(tmp_path, shadow_models=2)))
    for name in NAMES:
        for part in ("accuracy", "entropy", "forget_train_shares", "attacks"):
            assert getattr(again.methods[name], part) == getattr(found.methods[name], part), (name, part)


def test_shadow_models_are_made_only_where_they_are_asked_for(results: Path, found: Metrics):
    said: list[str] = []
    without = metrics(Experiment(quick_config(results), said.append))
    every = found.methods["retrain"].attacks
    assert without.methods["retrain"].attacks == {kind: every[kind] for kind in ATTACKS if kind != "shadow_models"}
    assert without.as_json()["methods"]["retrain"]["attack_shadow"] is None
    assert said == []
    metrics(Experiment(quick_config(results, shadow_models=3), said.append))
    assert [line.partition(":")[0] for line in said] == ["shadow 2"]


# --- a model in short -----------------------------------------------------------------------------------------------


def test_the_evaluation_is_the_model_in_short(experiment: Experiment, found: Metrics):
    short, model = evaluation(experiment, "finetune"), found.methods["finetune"]
    assert short.accuracy == model.accuracy
    assert short.entropy == model.entropy.mean["forget_train"]
    assert short.seconds == model.seconds.median
    assert short.attack.auc == model.attacks["own_outputs"].auc
    assert short.attack.asr.value == model.attacks["own_outputs"].asr.value


def test_after_re_estimation_it_is_another_and_the_model_is_as_it_was(experiment: Experiment):
    before = {name: tensor.clone() for name, tensor in experiment.model("negative_gradient").state_dict().items()}
    plain, again = (evaluation(experiment, "negative_gradient", reestimated_on=count) for count in (0, 300))
    assert again.accuracy != plain.accuracy
    after = experiment.model("negative_gradient").state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_any_outputs_can_be_evaluated(experiment: Experiment):
    found = evaluated(experiment, experiment.outputs("retrain"))
    assert found.seconds is None
    assert found.accuracy == evaluation(experiment, "retrain").accuracy


# --- what diverged --------------------------------------------------------------------------------------------------


def test_a_method_that_diverged_has_no_numbers_and_the_others_keep_theirs(
    tmp_path: Path, results: Path, found: Metrics, monkeypatch: pytest.MonkeyPatch
):
    attacked: list[str] = []
    compute = metrics_module.attack.compute

    def noted(experiment: Experiment, model: str) -> Scores:
        attacked.append(model)
        return compute(experiment, model)

    monkeypatch.setattr(metrics_module.attack, "compute", noted)
    names = ["retrain", "negative_gradient", "random_labels"]
    changes = {"methods": names, "unlearning": {"negative_gradient": {"lr": 1e30}, "random_labels": {"epochs": 1}}}
    diverged = write_metrics(Experiment(quick_config(tmp_path, shadow_models=2, **changes)))
    assert diverged.diverged == ["negative_gradient"]
    assert list(diverged.methods) == ["original", "retrain", "random_labels"]
    assert sorted(attacked) == ["original", "random_labels", "retrain"], "each once, and it never"
    for name, model in diverged.methods.items():
        for part in ("accuracy", "entropy", "forget_train_shares", "attacks"):
            assert getattr(model, part) == getattr(found.methods[name], part), (name, part)
    content = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert content["methods"]["negative_gradient"] == {"diverged": True}
    assert set(content["methods"]) == {"original", *names}
    assert "diverged" not in content
    kept = {path.name.rsplit("-", 1)[0] for path in (tmp_path / "store").glob("*negative_gradient*")}
    assert {name for name in kept if "attack" in name or "evaluation" in name} == set()


def test_nothing_is_measured_against_a_retrain_that_diverged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(METHODS, "retrain", wrecked())
    found = metrics(Experiment(quick_config(tmp_path, methods=["retrain", "finetune"], unlearning={})))
    assert found.diverged == ["retrain"]
    for attack in found.methods["finetune"].attacks.values():
        assert attack.distance_to_retrain == Estimate(None, None, None)
    assert found.methods["finetune"].entropy.distance_to_retrain is None


def test_an_original_that_diverges_ends_the_run_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["run", "smoke", "-p", "lr", "1e30", "-p", "results_dir", str(tmp_path)]) == 1
    out, error = capsys.readouterr()
    assert out == ""
    assert error == "Error: lr=1e+30: the original diverged, its weights are not finite; lower it\n"
    assert not (tmp_path / "metrics.json").exists()


def test_the_command_says_which_method_diverged(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["-p", "methods", "[negative_gradient]", "-p", "unlearning", "{negative_gradient: {lr: 1e30}}"]
    assert main(["run", "smoke", *arguments, "-p", "shadow_models", "0", "-p", "results_dir", str(tmp_path)]) == 0
    out, error = capsys.readouterr()
    assert error == ""
    assert "negative_gradient diverged: its outputs are not finite, so there is no number of it\n" in out
    rows = [line.split()[0] for line in out.splitlines() if line.count(".") == 4]
    assert rows == ["original"]


# --- a new attack, a new method -------------------------------------------------------------------------------------


def test_a_registered_attack_is_made_on_every_model(results: Path, found: Metrics, monkeypatch: pytest.MonkeyPatch):
    """A file and a line in the register."""
    monkeypatch.setitem(ATTACKS, "again", Attack("Again", from_own_outputs))
    measured = metrics(Experiment(quick_config(results, shadow_models=2)))
    for name, model in measured.methods.items():
        assert model.attacks["again"] == found.methods[name].attacks["own_outputs"]
        assert measured.as_json()["methods"][name]["attack_again"]["asr"] == model.attacks["again"].asr.value


def test_a_registered_method_runs_like_any_other(results: Path, found: Metrics, monkeypatch: pytest.MonkeyPatch):
    """A file and a line in the register: its settings are checked, its result is kept and measured."""

    @method(title="Doubt", colour="#000000")
    def doubt(task: UnlearningTask, *, factor: Annotated[float, Range(0, 1)] = 0.5) -> Classifier:
        model = task.fitted(task.original, task.split.forget_train, label="doubt", epochs=0, lr=0.0)
        with torch.no_grad():
            model.classifier.weight *= factor
            model.classifier.bias *= factor
        return model

    monkeypatch.setitem(METHODS, "doubt", doubt)

    def run() -> tuple[list[str], Metrics]:
        said: list[str] = []
        settings: dict[str, Any] = {"methods": ["retrain", "doubt"], "unlearning": {"doubt": {"factor": 0}}}
        return said, metrics(Experiment(quick_config(results, **settings), said.append))

    said, measured = run()
    assert [line.partition(":")[0] for line in said] == ["doubt"]
    assert measured.methods["doubt"].settings == {"factor": 0.0}
    entropies = [measured.methods["doubt"].entropy.mean[part] for part in SPLITS]
    assert entropies == pytest.approx([2.302585] * 4, rel=1e-6), "every class is as likely"
    assert run()[0] == []
    message = refusal(Config.from_mapping, {"unlearning": {"doubt": {"factor": 2}}})
    assert message.startswith("unlearning.doubt.factor=2.0")
