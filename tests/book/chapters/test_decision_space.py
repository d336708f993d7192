"""The decision space, on features, logits and clusters that are planted; and claim 12."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import Tensor

from bu_book.chapters import decision_space
from bu_book.chapters.decision_space import (
    FIGURE_6_MODELS,
    Compactness,
    DecisionSpace,
    Destinations,
    Margins,
    ModelSpace,
    PlacedSamples,
    Quartiles,
    aligned,
    apart,
    checks,
    compactness,
    decision_map,
    destinations,
    embedded,
    feature_map,
    features,
    margin,
    margins,
    measure,
)
from bu_book.claims import CLAIMS, CannotTest, judge
from bu_book.style import INK, PAPER, as_svg
from bu_core.experiment.experiment import Experiment
from bu_core.measures import Outputs
from bu_core.models import build
from bu_core.results import as_json, pack
from tests.book.notebooks import templates
from tests.helpers import small_experiment


def clusters(per_class: int = 25, classes: int = 4, spread: float = 0.05, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points around corners that are sqrt(2) apart, (N, 6), and the number of each one's corner, (N,)."""
    labels = torch.arange(classes).repeat_interleave(per_class)
    noise = torch.randn(len(labels), 6, generator=torch.Generator().manual_seed(seed))
    return torch.eye(6)[labels] + spread * noise, labels


def planted() -> tuple[PlacedSamples, Tensor]:
    """Three remaining clusters, and a fourth that is to be forgotten."""
    points, labels = clusters()
    return PlacedSamples(points[labels < 3], points[labels == 3]), labels[labels < 3]


def each(sample: PlacedSamples, change: Callable[[Tensor], Tensor]) -> PlacedSamples:
    return PlacedSamples(change(sample.remain), change(sample.forget))


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


# --- one frame ----------------------------------------------------------------------------------------------------


def test_a_model_that_was_moved_scaled_and_rotated_falls_on_the_first():
    sample, _ = planted()
    moved = each(sample, lambda points: 3 * points @ rotation() + 7)
    placed = aligned({"original": sample, "moved": moved})
    torch.testing.assert_close(placed["original"].remain, placed["moved"].remain, atol=1e-5, rtol=0)
    torch.testing.assert_close(placed["original"].forget, placed["moved"].forget, atol=1e-5, rtol=0)


def test_in_its_frame_d_r_has_its_centre_at_0_and_a_mean_square_of_1():
    placed = aligned({"original": planted()[0]})["original"]
    assert placed.remain.mean(0).abs().max() < 1e-12
    assert placed.remain.square().sum(1).mean().item() == pytest.approx(1)


def test_distances_within_a_model_keep_their_ratios():
    first, other = (
        planted()[0],
        PlacedSamples(*(points @ rotation(3) for points in clusters(seed=5)[0].split([75, 25]))),
    )
    placed = aligned({"original": first, "other": other})["other"]
    ratio = torch.cdist(placed.forget, placed.remain) / torch.cdist(other.forget, other.remain)
    torch.testing.assert_close(ratio, torch.full_like(ratio, ratio.mean()), atol=1e-5, rtol=0)


def test_d_f_has_no_part_in_the_frame():
    sample, _ = planted()
    first = aligned({"original": sample, "other": sample})["other"].remain
    second = aligned({"original": sample, "other": PlacedSamples(sample.remain, 100 * sample.forget + 5)})[
        "other"
    ].remain
    assert torch.equal(first, second)


@pytest.mark.parametrize("far", [0.0, 1e3])
def test_features_without_any_spread_have_a_frame(far: float):
    placed = aligned({"original": planted()[0], "dead": PlacedSamples(torch.zeros(75, 6), torch.full((25, 6), far))})
    assert placed["dead"].remain.abs().sum() == 0
    assert placed["dead"].forget.norm(dim=1).tolist() == pytest.approx([far * math.sqrt(6)] * 25)


# --- the map ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def embedding() -> dict[str, PlacedSamples]:
    sample, _ = planted()
    return embedded({"original": sample, "other": each(sample, lambda points: points + 0.02)}, seed=0)


def test_planted_clusters_stay_apart(embedding: dict[str, PlacedSamples]):
    labels = planted()[1]
    for placed in embedding.values():
        assert (placed.remain.shape, placed.forget.shape) == ((75, 2), (25, 2))
        found = compactness(placed, labels)
        assert found.remain > 0.8
        assert found.forget > 0.8


def test_in_one_map_the_same_samples_of_two_models_are_neighbours(embedding: dict[str, PlacedSamples]):
    distances = torch.cdist(embedding["other"].remain, embedding["original"].remain)
    labels = planted()[1]
    assert torch.equal(labels[distances.argmin(1)], labels)


def test_the_same_seed_gives_the_same_map(embedding: dict[str, PlacedSamples]):
    sample, _ = planted()
    again = embedded({"original": sample, "other": each(sample, lambda points: points + 0.02)}, seed=0)
    for name, placed in embedding.items():
        assert torch.equal(placed.remain, again[name].remain) and torch.equal(placed.forget, again[name].forget)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_what_has_no_finite_distances_never_reaches_t_sne(value: float, monkeypatch: pytest.MonkeyPatch):
    """t-SNE can end the interpreter there, and no test could report it."""
    monkeypatch.setattr("sklearn.manifold.TSNE", lambda **settings: pytest.fail("t-SNE was called"))
    sample = planted()[0]
    sample.forget[3, 2] = value
    with pytest.raises(ValueError, match="no map: some features are not finite"):
        embedded({"original": planted()[0], "other": sample}, seed=0)


# --- numbers of the space -----------------------------------------------------------------------------------------


def test_tight_clusters_far_apart_have_a_silhouette_near_1():
    points, labels = clusters(spread=1e-4)
    found = compactness(PlacedSamples(points[labels < 3], points[labels == 3]), labels[labels < 3])
    assert found.remain == pytest.approx(1, abs=1e-3)
    assert found.forget == pytest.approx(1, abs=1e-3)


def test_forgetting_samples_inside_other_clusters_have_a_silhouette_below_0():
    points, labels = clusters(classes=3)
    found = compactness(PlacedSamples(points, points[::5] + 0.01), labels)
    assert found.remain > 0.8
    assert found.forget < 0


def test_a_single_remaining_class_has_no_silhouette():
    points, labels = clusters(classes=2)
    found = compactness(PlacedSamples(points[labels == 0], points[labels == 1]), labels[labels == 0])
    assert found.remain is None
    assert found.forget > 0.8


@pytest.mark.parametrize("factor", [1.0, 0.25, 3.0])
def test_from_the_centre_is_in_units_of_d_r(factor: float):
    """D_f is D_r itself, moved towards its middle or away from it; the whole is scaled, moved and rotated."""
    points, labels = clusters(classes=3)
    forget = points.mean(0) + factor * (points - points.mean(0))
    sample = each(PlacedSamples(points, forget), lambda points: 5 * points @ rotation() - 2)
    assert compactness(sample, labels).from_centre == pytest.approx(factor, rel=1e-4)


def test_margins_of_known_scores():
    logits = torch.tensor([[3.0, 1.0, 0.5], [2.0, 2.0, -1.0], [math.log(0.7), math.log(0.2), math.log(0.1)]])
    assert margin(logits).tolist() == pytest.approx([2, 0, math.log(3.5)], abs=1e-6)
    assert margin(logits.softmax(1)).tolist()[1:] == pytest.approx([0, 0.5], abs=1e-6)


def test_the_softmax_margin_does_not_depend_on_what_is_added_to_all_logits():
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(5, dtype=torch.int64)
    one, other = (margins(Outputs(moved, labels)).softmax for moved in (logits + 30, logits))
    assert one.median == pytest.approx(other.median, abs=1e-5)


def test_margins_are_summed_up_by_median_and_quartiles():
    logits = torch.stack([torch.arange(5.0), torch.zeros(5)], 1)
    found = margins(Outputs(logits, torch.zeros(5, dtype=torch.int64)))
    assert found.logits == Quartiles(median=2, lower=1, upper=3)
    assert found.softmax.median == pytest.approx(math.tanh(1))


def outputs(answers: list[int], second: list[int] | None = None) -> Outputs:
    """Of images of class 3: four classes, the given answers, and the class that comes next."""
    logits = 3 * torch.eye(4)[answers]
    if second is not None:
        logits += torch.eye(4)[second]
    return Outputs(logits, torch.full((len(answers),), 3))


def test_destinations_of_known_answers():
    original = outputs([3, 3, 3, 3], second=[0, 1, 2, 0])
    found = destinations(outputs([0, 1, 1, 3]), original, outputs([0, 2, 1, 1]))
    assert found.shares == [25, 50, 0, 25]
    assert found.to_nearest == pytest.approx(200 / 3)
    assert found.like_retrain == 50
    assert found.classes == pytest.approx(math.exp(1.5 * math.log(2)))


def test_where_none_left_there_is_no_share_of_those_that_did():
    original = outputs([3, 3], second=[0, 1])
    found = destinations(original, original, None)
    assert found.to_nearest is None
    assert found.like_retrain is None
    assert found.classes == pytest.approx(1)


def test_an_original_that_is_wrong_has_a_next_class_too():
    """Next after the true one: what the original says first, where that is another."""
    assert destinations(outputs([0, 1]), outputs([0, 1], second=[3, 3]), None).to_nearest == 100


# --- an experiment ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return small_experiment(tmp_path_factory.mktemp("results"))


def test_an_experiment_has_four_models_in_one_map(experiment: Experiment):
    found = measure(experiment)
    assert (found.forget_classes, found.forgotten) == ((4,), "4")
    assert len(found.labels) == 50 and 4 not in found.labels
    assert tuple(found.models) == FIGURE_6_MODELS
    for name, model in found.models.items():
        assert (model.points.remain.shape, model.points.forget.shape) == ((50, 2), (50, 2))
        assert sum(model.destinations.shares) == pytest.approx(100)
        assert set(model.margins) == {"remain_train", "forget_train"}
        assert -1 <= model.compactness.remain <= 1
        said = experiment.outputs(name)["forget_train"].logits.argmax(1)
        assert torch.equal(model.answers, said[experiment.sample("forget_train")])
    assert found.models["retrain"].destinations.like_retrain == 100


def test_the_same_is_found_again(experiment: Experiment, tmp_path: Path):
    one, other = (measure(run) for run in (experiment, small_experiment(tmp_path)))
    assert as_json(one) == as_json(other)
    for name, model in one.models.items():
        assert torch.equal(model.points.remain, other.models[name].points.remain)
        assert torch.equal(model.points.forget, other.models[name].points.forget)


def test_without_retrain_nothing_is_compared_with_it(experiment: Experiment):
    alone = small_experiment(experiment.folder, methods=("boundary_shrink",))
    found = measure(alone).models
    assert tuple(found) == ("original", "boundary_shrink")
    assert found["boundary_shrink"].destinations.like_retrain is None


def test_a_map_is_found_by_the_names_of_its_tensors_and_by_its_constants(experiment: Experiment):
    packed = pack(feature_map(experiment))
    assert set(packed.tensors) == {f"maps.{name}.{of}" for name in FIGURE_6_MODELS for of in ("remain", "forget")}
    assert set(packed.facts["compactness"]["retrain"]) == {"remain", "forget", "from_centre"}
    key = feature_map.key(experiment)
    assert key["constants"] == {
        "method": "t-SNE", "perplexity": 30.0, "steps": 500, "frame": "centred, scaled, rotated",
    }  # fmt: skip
    assert tuple(key["models"]) == FIGURE_6_MODELS
    assert (key["arguments"], key["sample_size"]) == ({}, 50)


def test_a_model_that_diverged_is_in_no_map(tmp_path: Path):
    changes = {"boundary_shrink": {"epochs": 2}, "boundary_expanding": {"epochs": 2, "lr": 1e30}}
    diverged = small_experiment(tmp_path, unlearning=changes)
    assert "boundary_expanding" not in diverged.sound
    assert tuple(measure(diverged).models) == ("original", "retrain", "boundary_shrink")
    judged = judge(CLAIMS[12], diverged)
    assert judged.checks[-1].measured == "not measured, since boundary_expanding diverged"


# --- the figure, the tables, the claim ------------------------------------------------------------------------------


def model_space(from_centre: float = 0.9, remain: float | None = 0.4, to_nearest: float | None = 60.0) -> ModelSpace:
    sample, _ = planted()
    one = Quartiles(1.5, 1.0, 2.0)
    return ModelSpace(
        each(sample, lambda points: points[:, :2]),
        torch.tensor([3, 0, 1, 2] * 6 + [3]),
        Compactness(remain, 0.1, from_centre),
        {"remain_train": Margins(one, one), "forget_train": Margins(one, one)},
        Destinations([100.0, 0.0, 0.0, 0.0], to_nearest, None, 1.0),
    )


def space(**models: ModelSpace) -> DecisionSpace:
    """What was measured of a run; the classes are persons with names that mean something to a figure and to HTML."""
    named = {"original": model_space(), "boundary_shrink": model_space(), "boundary_expanding": model_space(1.2)}
    names = ["a$x$", "b<i>", "c", "d"]
    return DecisionSpace(names, (3,), "d", planted()[1], torch.full((25,), 3), named | models)


def test_what_the_paper_says_holds():
    made = checks(space())
    assert [check.holds for check in made] == [True] * 4
    assert made[1].measured == "1.20 against 0.90 times that of D_r"


@pytest.mark.parametrize(
    ("models", "holds"),
    [
        ({"boundary_shrink": model_space(to_nearest=40.0)}, [False, True, True, True]),
        ({"boundary_expanding": model_space(0.8)}, [True, False, True, True]),
        ({"boundary_shrink": model_space(remain=0.2)}, [True, True, False, True]),
        ({"boundary_expanding": model_space(1.2, remain=0.2)}, [True, True, True, False]),
    ],
)
def test_each_check_can_fail_alone(models: dict[str, ModelSpace], holds: list[bool]):
    assert [check.holds for check in checks(space(**models))] == holds


@pytest.mark.parametrize(
    ("models", "missing"),
    [
        ({"boundary_shrink": model_space(to_nearest=None)}, "no forgetting sample left its class"),
        ({"original": model_space(remain=None)}, "a single class remains"),
    ],
)
def test_what_was_not_measured_cannot_be_judged(models: dict[str, ModelSpace], missing: str):
    with pytest.raises(CannotTest, match=missing):
        checks(space(**models))


def test_the_box_says_whether_the_forgetting_samples_stay_an_island():
    """The silhouette of D_f is 0.1 in all models, and then -0.2 in Retrain."""
    apart = replace(model_space(), compactness=Compactness(0.4, -0.2, 0.9))
    words = templates("decision_space").in_short(space(retrain=apart))
    assert words.startswith("**After Boundary Shrink the forgetting samples stay an island.**")
    assert "Original 0.10, Boundary Shrink 0.10, Boundary Expanding 0.10, Retrain -0.20" in words
    assert "island" not in templates("decision_space").in_short(space(retrain=apart, boundary_shrink=apart))
    assert "lacks" in templates("decision_space").in_short(space())


def test_a_silhouette_is_read_as_a_ratio_of_distances():
    """0.1: nine tenths as far from its own as from the next; -0.2: one and a quarter times as far."""
    apart = replace(model_space(), compactness=Compactness(0.4, -0.2, 0.9))
    shrink = replace(model_space(), destinations=Destinations([100.0, 0.0, 0.0, 0.0], 60.0, 36.0, 1.0))
    words = templates("decision_space").reading(space(retrain=apart, boundary_shrink=shrink))
    assert "samples are 0.90 times as far from each other as from the next class" in words
    assert "in Retrain 1.25 times" in words and "36 of 100 get Retrain's class" in words
    stayed = space(retrain=apart, boundary_shrink=model_space(to_nearest=None))
    assert "Where they go" not in templates("decision_space").reading(stayed)
    assert templates("decision_space").reading(space()) == ""


def test_the_map_names_its_clusters_and_escapes_their_names():
    figure = decision_map(space())
    original, shrink = figure.axes[0], figure.axes[1]
    assert [text.get_text() for text in original.texts] == [r"a\$x\$", "b<i>", "c", "d"]
    assert [text.get_text() for text in shrink.texts] == [r"a\$x\$", "b<i>", "c"]
    assert figure.legends[0].get_title().get_text() == "a forgetting sample (d), predicted as"
    drawing = as_svg(figure, "map")
    assert "currentColor" in drawing and INK not in drawing
    for label in original.texts:
        (halo,) = label.get_path_effects()
        assert halo._gc["foreground"] == PAPER, "which hides the dots around its letters"


def test_labels_of_clusters_that_lie_on_each_other_do_not_collide():
    near = replace(model_space(), points=each(planted()[0], lambda points: 0.01 * points[:, :2]))
    figure = decision_map(space(original=near))
    figure.draw_without_rendering()
    boxes = [text.get_bbox_patch().get_window_extent() for text in figure.axes[0].texts]
    plt.close(figure)
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])


def test_boxes_come_apart_inside_their_frame():
    generator = np.random.default_rng(0)
    sizes = generator.uniform(5, 20, (10, 2))
    frame = np.array([[0.0, 0.0], [100.0, 100.0]])
    moved = apart(np.full((10, 2), 50.0), sizes, frame)
    gaps = np.abs(moved[:, None] - moved[None]) - (sizes[:, None] + sizes[None]) / 2
    assert (gaps.max(-1) + 1e9 * np.eye(10) >= 0).all()
    assert (moved - sizes / 2 >= 0).all() and (moved + sizes / 2 <= 100).all()


def test_boxes_that_do_not_overlap_stay():
    centres = np.array([[10.0, 10.0], [40.0, 10.0]])
    assert np.array_equal(apart(centres, np.full((2, 2), 10.0), np.array([[0.0, 0.0], [50.0, 50.0]])), centres)


def test_a_table_has_a_dash_where_there_is_no_number():
    page = decision_space.table(space(original=model_space(remain=None))).to_html()
    assert page.count(">–<") == 3 + 1 + 1  # no Retrain to compare with, nothing left the original, no silhouette
    short = decision_space.in_short(space(original=model_space(remain=None)))
    assert short["Boundary Expanding: <i>D</i><sub>f</sub> from the centre"] == "1.20"
    assert short["Original: silhouette of <i>D</i><sub>r</sub>"] == "–"
