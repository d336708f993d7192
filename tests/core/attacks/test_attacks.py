"""Membership attacks, against planted answers whose truth is known, and on models of the digits."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bu_core import attacks
from bu_core.attacks import Scores, auc, features, from_own_outputs, from_shadows, halves, held_out, summary
from bu_core.config import Config
from bu_core.data import SPLITS
from bu_core.experiment.experiment import Experiment
from bu_core.measures import Outputs

SURE, UNSURE = 9.0, 2.0


def answers(count: int, lead: float, seed: int, classes: int = 10) -> torch.Tensor:
    """Logits, (count, classes), in which one class, drawn at random, leads the others by about `lead`."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes, generator=generator)
    logits[torch.arange(count), torch.randint(classes, (count,), generator=generator)] += lead
    return logits


def planted(**leads: float) -> dict[str, Outputs]:
    """The four sets, with the lead that each is given."""
    sizes = {"remain_train": 1200, "remain_test": 500, "forget_train": 400, "forget_test": 300}
    return {
        part: Outputs(answers(sizes[part], leads[part], seed), torch.zeros(sizes[part], dtype=torch.int64))
        for seed, part in enumerate(SPLITS)
    }


def scores(**shares: float) -> Scores:
    """Scores by which the given shares of 1,000 images a set are called members."""
    return Scores(*((torch.arange(1000) < 1000 * shares[name]).double() for name in Scores._fields))


# --- what an attack finds ---------------------------------------------------------------------------------------------


def both(outputs: dict[str, Outputs]) -> list[Scores]:
    """The attack fitted to the model's own outputs, and that of shadow models that are sure of their members."""
    shadows = [(answers(300, SURE, 10 + number), answers(300, UNSURE, 20 + number)) for number in range(2)]
    return [from_own_outputs(outputs, 0), from_shadows(outputs, shadows, 0)]


def test_members_are_found_where_the_model_is_sure_of_them():
    outputs = planted(remain_train=SURE, remain_test=UNSURE, forget_train=SURE, forget_test=UNSURE)
    for found in both(outputs):
        result = summary(found, None, 0)
        assert result["auc"] > 0.99
        assert result["balanced_accuracy"] > 98
        assert result["asr"] > 98
        assert result["false_positive_rate"] < 3
        assert result["advantage_low"] > 90


def test_a_forgotten_class_is_called_unseen_where_the_model_is_unsure_of_it():
    outputs = planted(remain_train=SURE, remain_test=UNSURE, forget_train=UNSURE, forget_test=UNSURE)
    for found in both(outputs):
        assert summary(found, None, 0)["asr"] < 3


def test_data_that_were_never_trained_on_are_called_members_as_often_as_other_unseen_data():
    """The rate itself is near neither 0 nor 100 here: it is no evidence, and `advantage` says so."""
    outputs = planted(remain_train=SURE, remain_test=UNSURE, forget_train=5.5, forget_test=5.5)
    for found in both(outputs):
        result = summary(found, None, 0)
        assert 10 < result["asr"] < 90
        assert result["advantage_low"] <= 0 <= result["advantage_high"]


def test_shuffled_membership_is_not_found():
    """Members and others drawn from one pile: 19 of 20 intervals should hold 0.5."""
    held = 0
    for seed in range(20):
        pile = torch.cat([answers(150, SURE, 2 * seed), answers(150, UNSURE, 2 * seed + 1)])
        first, second = halves(len(pile), seed)
        value, low, high = auc(*held_out(pile[first], pile[second], seed))
        assert 0.3 < value < 0.7
        held += low <= 0.5 <= high
    assert held >= 17


def test_no_label_and_no_class_reaches_an_attack():
    """Its answer is the same whichever class leads, and whatever the true one is."""
    logits = answers(50, 3, 0)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(features(logits[:, order]), features(logits), atol=1e-12)
    outputs = planted(remain_train=5, remain_test=3, forget_train=4, forget_test=4)
    relabelled = {part: Outputs(found.logits, found.labels + 1) for part, found in outputs.items()}
    for one, other in zip(both(outputs), both(relabelled), strict=True):
        assert all(map(torch.equal, one, other))


def test_features_of_known_posteriors():
    posteriors = torch.tensor([[0.5, 0.125, 0.25, 0.125]], dtype=torch.float64)
    expected = [0.0, np.log(0.25), np.log(0.125), 1.75 * np.log(2)]
    assert features(posteriors.log()).tolist() == [pytest.approx(expected)]


def test_the_same_seed_gives_the_same_scores_and_another_does_not():
    outputs = planted(remain_train=5, remain_test=3, forget_train=4, forget_test=4)
    one, again, other = (from_own_outputs(outputs, seed) for seed in (0, 0, 1))
    assert all(map(torch.equal, one, again))
    assert not torch.equal(one.forget_train, other.forget_train)
    assert summary(one, other, 3) == summary(one, other, 3)


@pytest.mark.parametrize("logit", [0.0, float("nan"), float("inf"), 1e30])
def test_a_model_that_says_the_same_of_everything_gives_nothing_away(logit: float):
    """As one does that a method has wrecked, by diverging or otherwise."""
    flat = {part: Outputs(torch.full((60, 10), logit), torch.zeros(60, dtype=torch.int64)) for part in SPLITS}
    result = summary(from_own_outputs(flat, 0), None, 0)
    assert result["auc"] == pytest.approx(0.5, abs=0.1)
    assert result["advantage"] == 0
    json.dumps(result, allow_nan=False)


def test_a_large_set_is_sampled(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attacks, "SAMPLES", 100)
    outputs = planted(remain_train=SURE, remain_test=UNSURE, forget_train=SURE, forget_test=UNSURE)
    found = from_own_outputs(outputs, 0)
    assert [len(part) for part in found] == [100, 100, 400, 300]
    assert summary(found, None, 0)["images"] == {"members": 100, "others": 100}


@pytest.mark.parametrize("count", [2, 7, 100])
def test_halves_are_disjoint_and_hold_everything(count: int):
    first, second = halves(count, 0)
    assert sorted(torch.cat([first, second]).tolist()) == list(range(count))
    assert len(second) - len(first) in (0, 1)


# --- how it is summed up ----------------------------------------------------------------------------------------------


def test_each_number_is_what_it_is_called():
    found = scores(members=0.8, others=0.3, forget_train=0.6, forget_test=0.25)
    reference = scores(members=1, others=0, forget_train=0.5, forget_test=0)
    result = summary(found, reference, 0)
    assert result["asr"] == pytest.approx(60)
    assert result["false_positive_rate"] == pytest.approx(25)
    assert result["advantage"] == pytest.approx(35)
    assert result["balanced_accuracy"] == pytest.approx(75)
    assert result["auc"] == pytest.approx(0.75)
    assert result["distance_to_retrain"] == pytest.approx(10)
    for name in ("asr", "false_positive_rate", "advantage", "balanced_accuracy", "auc", "distance_to_retrain"):
        assert result[f"{name}_low"] < result[name] < result[f"{name}_high"]
    assert summary(found, None, 0)["distance_to_retrain"] is None


@pytest.mark.parametrize("share", [0, 1])
def test_a_share_that_is_all_or_nothing_is_not_certain(share: int):
    """Of 1,000 images none was called: up to about 3 in 1,000 may be (the rule of three), and so for the difference."""
    result = summary(scores(members=1, others=0, forget_train=share, forget_test=share), None, 0)
    width = result["asr_high"] - result["asr_low"]
    assert 0.1 <= width <= 0.4
    assert result["asr_low"] <= 100 * share <= result["asr_high"]
    assert result["advantage_low"] < 0 < result["advantage_high"]


def test_a_model_is_at_no_distance_from_itself():
    found = scores(members=0.8, others=0.3, forget_train=0.6, forget_test=0.25)
    result = summary(found, found, 0)
    assert [result[f"distance_to_retrain{end}"] for end in ("", "_low", "_high")] == [0, 0, 0]


@pytest.mark.parametrize("share", [0.15, 0.5, 0.8])
def test_an_interval_covers_the_truth_about_19_times_in_20(share: float):
    generator = np.random.default_rng(0)
    never = torch.zeros(50, dtype=torch.float64)
    covered = 0
    for draw in range(200):
        called = torch.from_numpy((generator.random(127) < share).astype(float))
        result = summary(Scores(never, never, called, never), None, draw)
        covered += result["asr_low"] <= 100 * share <= result["asr_high"]
    assert 0.90 <= covered / 200 <= 0.99


def test_the_auc_interval_covers_the_truth_about_19_times_in_20():
    generator = np.random.default_rng(0)
    truth = 0.760250  # of two normal distributions whose means are one deviation apart
    covered = 0
    for _ in range(300):
        _, low, high = auc(torch.from_numpy(generator.normal(1, 1, 80)), torch.from_numpy(generator.normal(0, 1, 60)))
        covered += low <= truth <= high
    assert 0.91 <= covered / 300 <= 0.99


@pytest.mark.parametrize(
    ("members", "others", "expected"),
    [([3, 4], [1, 2], 1), ([1, 2], [3, 4], 0), ([1, 1], [1, 1], 0.5), ([2, 4], [1, 3], 0.75), ([2, 3], [2, 1], 0.875)],
)
def test_auc_counts_pairs(members: list[float], others: list[float], expected: float):
    assert auc(torch.tensor(members).double(), torch.tensor(others).double())[0] == expected


# --- on models --------------------------------------------------------------------------------------------------------


def experiment(results: Path, said: list[str] | None = None, **changes: Any) -> Experiment:
    parameters = {
        "dataset": "digits", "width": 0.1, "epochs": 4, "precision": "fp32", "device": "cpu", "methods": ["retrain"],
        "shadow_models": 2, "results_dir": str(results),
    }  # fmt: skip
    return Experiment(Config.from_mapping(parameters | changes), (said if said is not None else []).append)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def metrics(results: Path) -> dict[str, Any]:
    return experiment(results).metrics()


def test_what_an_attack_learns_of_one_retrained_model_says_nothing_of_another(results: Path):
    """No model here has seen the class, so what told D_f from D_ft on one must be chance, and fail on the next."""
    one, other = (experiment(results, seed=seed, shadow_models=0).outputs("retrain") for seed in (0, 1))
    told = [(one["forget_train"].logits, one["forget_test"].logits)]
    found = from_shadows(other | {"remain_train": other["forget_train"], "remain_test": other["forget_test"]}, told, 0)
    value, low, high = auc(found.members, found.others)
    assert low <= 0.5 <= high
    assert value == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("kind", ["attack", "attack_shadow"])
def test_retrain_gives_nothing_of_the_forgotten_class_away(metrics: dict[str, Any], kind: str):
    """It has seen neither D_f nor D_ft, so it cannot treat them otherwise."""
    found = metrics["methods"]["retrain"][kind]
    assert found["advantage_low"] <= 0 <= found["advantage_high"]
    assert found["distance_to_retrain"] == 0


@pytest.mark.parametrize("kind", ["attack", "attack_shadow"])
def test_metrics_hold_each_attack(metrics: dict[str, Any], kind: str):
    for result in metrics["methods"].values():
        found = result[kind]
        for name in ("asr", "false_positive_rate", "balanced_accuracy"):
            assert 0 <= found[f"{name}_low"] <= found[name] <= found[f"{name}_high"] <= 100
        assert 0 <= found["auc_low"] <= found["auc"] <= found["auc_high"] <= 1
        assert found["advantage"] == pytest.approx(found["asr"] - found["false_positive_rate"])
        retrain = metrics["methods"]["retrain"][kind]["asr"]
        assert found["distance_to_retrain"] == pytest.approx(found["asr"] - retrain)


def test_shadow_models_are_made_once_and_only_where_they_are_asked_for(results: Path, metrics: dict[str, Any]):
    said: list[str] = []
    assert experiment(results, said).metrics()["methods"] == metrics["methods"]
    without = experiment(results, said, shadow_models=0).metrics()["methods"]["retrain"]
    assert without["attack_shadow"] is None
    assert without["attack"] == metrics["methods"]["retrain"]["attack"]
    assert said == []
    experiment(results, said, shadow_models=3).metrics()
    assert [line.partition(":")[0] for line in said] == ["shadow 2"]


def test_a_shadow_model_is_asked_about_its_own_half_and_the_other(results: Path, metrics: dict[str, Any]):
    """Models 0 and 1 swap the halves of D_r, so what is a member of one is none of the other."""
    (members, others), (swapped, rest) = (experiment(results)._shadow(number) for number in (0, 1))
    assert len(members) == len(rest) == 565
    assert len(others) == len(swapped) == 565


def test_without_retrain_nothing_is_measured_against_it(results: Path):
    found = experiment(results, methods=[]).metrics()["methods"]["original"]
    assert found["attack"]["distance_to_retrain"] is None
    assert found["entropy"]["distance_to_retrain"] is None
