"""The decision space, on features, logits and clusters that are planted."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bu_book.chapters.decision_space import (
    MODELS,
    Sample,
    aligned,
    compactness,
    destinations,
    embedded,
    features,
    margin_summary,
    margins,
)
from bu_book.measurements import Measurements
from bu_core.experiment.experiment import Experiment
from bu_core.measures import Outputs
from bu_core.models import build
from tests.helpers import small_experiment


def clusters(per_class: int = 25, classes: int = 4, spread: float = 0.05, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points around corners that are sqrt(2) apart, (N, 6), and the number of each one's corner, (N,)."""
    labels = torch.arange(classes).repeat_interleave(per_class)
    noise = torch.randn(len(labels), 6, generator=torch.Generator().manual_seed(seed))
    return torch.eye(6)[labels] + spread * noise, labels


def planted() -> tuple[Sample, Tensor]:
    """Three remaining clusters, and a fourth that is to be forgotten."""
    points, labels = clusters()
    return Sample(points[labels < 3], points[labels == 3]), labels[labels < 3]


def rotation(seed: int = 0) -> Tensor:
    return torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(seed)))[0]


# --- features -----------------------------------------------------------------------------------------------------


def test_features_are_what_the_last_layer_is_given():
    model = build("allcnn", 1, 4, 0.1, seed=0).eval()
    images = torch.randint(0, 256, (7, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = features(model, images, "fp32", batch_size=3)
    assert found.shape == (7, 19)
    with torch.no_grad():
        torch.testing.assert_close(model.classifier(found), model(images / 255))


def test_features_that_are_no_number_count_as_0():
    model = build("allcnn", 1, 4, 0.1, seed=0)
    with torch.no_grad():
        model.body[7][0].weight.fill_(math.nan)
    assert features(model, torch.zeros(2, 1, 8, 8, dtype=torch.uint8), "fp32").abs().sum() == 0


# --- one frame ----------------------------------------------------------------------------------------------------


def test_a_model_that_was_moved_scaled_and_rotated_falls_on_the_first():
    sample, _ = planted()
    moved = Sample(*(3 * part @ rotation() + 7 for part in sample))
    placed = aligned({"original": sample, "moved": moved})
    for one, other in zip(placed["original"], placed["moved"], strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_in_its_frame_d_r_has_its_centre_at_0_and_a_mean_square_of_1():
    placed = aligned({"original": planted()[0]})["original"]
    assert placed.remain.mean(0).abs().max() < 1e-12
    assert placed.remain.square().sum(1).mean().item() == pytest.approx(1)


def test_distances_within_a_model_keep_their_ratios():
    first, other = planted()[0], Sample(*(part @ rotation(3) for part in clusters(seed=5)[0].split([75, 25])))
    placed = aligned({"original": first, "other": other})["other"]
    ratio = torch.cdist(placed.forget, placed.remain) / torch.cdist(other.forget, other.remain)
    torch.testing.assert_close(ratio, torch.full_like(ratio, ratio.mean()), atol=1e-5, rtol=0)


def test_d_f_has_no_part_in_the_frame():
    sample, _ = planted()
    first = aligned({"original": sample, "other": sample})["other"].remain
    second = aligned({"original": sample, "other": Sample(sample.remain, 100 * sample.forget + 5)})["other"].remain
    assert torch.equal(first, second)


def test_features_without_any_spread_have_a_frame():
    placed = aligned({"original": planted()[0], "dead": Sample(torch.zeros(75, 6), torch.zeros(25, 6))})
    assert placed["dead"].remain.isfinite().all() and placed["dead"].forget.isfinite().all()


# --- the map ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def embedding() -> dict[str, Sample]:
    sample, _ = planted()
    return embedded({"original": sample, "other": Sample(*(part + 0.02 for part in sample))}, seed=0)


def test_planted_clusters_stay_apart(embedding: dict[str, Sample]):
    labels = planted()[1]
    for places in embedding.values():
        assert (places.remain.shape, places.forget.shape) == ((75, 2), (25, 2))
        found = compactness(places, labels)
        assert found["remain"] > 0.8
        assert found["forget"] > 0.8


def test_in_one_map_the_same_samples_of_two_models_are_neighbours(embedding: dict[str, Sample]):
    distances = torch.cdist(embedding["other"].remain, embedding["original"].remain)
    labels = planted()[1]
    assert torch.equal(labels[distances.argmin(1)], labels)


def test_the_same_seed_gives_the_same_map(embedding: dict[str, Sample]):
    sample, _ = planted()
    again = embedded({"original": sample, "other": Sample(*(part + 0.02 for part in sample))}, seed=0)
    for name, places in embedding.items():
        assert torch.equal(places.remain, again[name].remain) and torch.equal(places.forget, again[name].forget)


# --- numbers of the space -----------------------------------------------------------------------------------------


def test_tight_clusters_far_apart_have_a_silhouette_near_1():
    points, labels = clusters(spread=1e-4)
    found = compactness(Sample(points[labels < 3], points[labels == 3]), labels[labels < 3])
    assert found["remain"] == pytest.approx(1, abs=1e-3)
    assert found["forget"] == pytest.approx(1, abs=1e-3)


def test_forgetting_samples_inside_other_clusters_have_a_silhouette_below_0():
    points, labels = clusters(classes=3)
    found = compactness(Sample(points, points[::5] + 0.01), labels)
    assert found["remain"] > 0.8
    assert found["forget"] < 0


@pytest.mark.parametrize("factor", [1.0, 0.25, 3.0])
def test_from_the_centre_is_in_units_of_d_r(factor: float):
    """D_f is D_r itself, moved towards its middle or away from it; the whole is scaled, moved and rotated."""
    points, labels = clusters(classes=3)
    forget = points.mean(0) + factor * (points - points.mean(0))
    sample = Sample(*(5 * part @ rotation() - 2 for part in (points, forget)))
    assert compactness(sample, labels)["from_centre"] == pytest.approx(factor, rel=1e-4)


def test_margins_of_known_logits():
    logits = torch.tensor([[3.0, 1.0, 0.5], [2.0, 2.0, -1.0], [math.log(0.7), math.log(0.2), math.log(0.1)]])
    found = margins(Outputs(logits, torch.zeros(3, dtype=torch.int64)))
    assert found["logits"].tolist() == pytest.approx([2, 0, math.log(3.5)], abs=1e-6)
    assert found["softmax"].tolist()[1:] == pytest.approx([0, 0.5], abs=1e-6)


def test_the_softmax_margin_does_not_depend_on_what_is_added_to_all_logits():
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(5, dtype=torch.int64)
    torch.testing.assert_close(
        margins(Outputs(logits + 30, labels))["softmax"], margins(Outputs(logits, labels))["softmax"], atol=1e-5, rtol=0
    )


def test_margins_are_summed_up_by_median_and_quartiles():
    logits = torch.stack([torch.arange(5.0), torch.zeros(5)], 1)
    found = margin_summary(Outputs(logits, torch.zeros(5, dtype=torch.int64)))
    assert found["logits"] == {"median": 2, "lower": 1, "upper": 3}
    assert found["softmax"]["median"] == pytest.approx(math.tanh(1))


def outputs(answers: list[int], second: list[int] | None = None) -> Outputs:
    """Of images of class 3: four classes, the given answers, and the class that comes next."""
    logits = 3 * torch.eye(4)[answers]
    if second is not None:
        logits += torch.eye(4)[second]
    return Outputs(logits, torch.full((len(answers),), 3))


def test_destinations_of_known_answers():
    original = outputs([3, 3, 3, 3], second=[0, 1, 2, 0])
    found = destinations(outputs([0, 1, 1, 3]), original, outputs([0, 2, 1, 1]))
    assert found["shares"] == [25, 50, 0, 25]
    assert found["to_nearest"] == pytest.approx(200 / 3)
    assert found["like_retrain"] == 50
    assert found["classes"] == pytest.approx(math.exp(1.5 * math.log(2)))


def test_where_none_left_there_is_no_share_of_those_that_did():
    original = outputs([3, 3], second=[0, 1])
    found = destinations(original, original, None)
    assert found["to_nearest"] is None
    assert found["like_retrain"] is None
    assert found["classes"] == pytest.approx(1)


def test_an_original_that_is_wrong_has_a_next_class_too():
    """Next after the true one: what the original says first, where that is another."""
    assert destinations(outputs([0, 1]), outputs([0, 1], second=[3, 3]), None)["to_nearest"] == 100


# --- an experiment ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return small_experiment(tmp_path_factory.mktemp("results"))


def test_an_experiment_has_four_models_in_one_map(experiment: Experiment):
    found = Measurements(experiment).decision_space()
    assert found["images"] == {"remain_train": 50, "forget_train": 50}
    assert tuple(found["models"]) == MODELS
    for name, model in found["models"].items():
        assert {side: len(values) for side, values in model["map"].items()} == dict.fromkeys(model["map"], 50)
        assert 4 not in model["map"]["remain_labels"]
        assert sum(model["forget"]["shares"]) == pytest.approx(100)
        assert set(model["margin"]) == {"remain_train", "forget_train"}
        assert -1 <= model["compactness"]["remain"] <= 1
        answers = experiment.outputs(name)["forget_train"].logits.argmax(1)
        assert set(model["map"]["forget_predicted"]) <= set(answers.tolist())
    assert found["models"]["retrain"]["forget"]["like_retrain"] == 100
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_same_is_found_again(experiment: Experiment, tmp_path: Path):
    assert Measurements(small_experiment(tmp_path)).decision_space() == Measurements(experiment).decision_space()


def test_without_retrain_nothing_is_compared_with_it(experiment: Experiment):
    alone = small_experiment(experiment.folder, methods=("boundary_shrink",))
    found = Measurements(alone).decision_space()["models"]
    assert tuple(found) == ("original", "boundary_shrink")
    assert found["boundary_shrink"]["forget"]["like_retrain"] is None
