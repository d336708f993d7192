"""Grad-CAM on models whose attention is planted, the share of it that lies on the object, and claim 11."""

import copy
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch
from torch import Tensor, nn

from bu_book.chapters import attention
from bu_book.chapters.attention import (
    ASKED_TITLES,
    FIGURE_5_MODELS,
    REGIONS,
    AskedMaps,
    AttentionFindings,
    KeptMaps,
    ObjectOutline,
    Region,
    SetAttention,
    attention_maps,
    centre,
    checks,
    floors,
    ink,
    layer,
    look,
    maps,
    measure,
    object_outline,
    overlays,
    region_of,
    share,
    summary,
)
from bu_book.claims import CLAIMS, NOT_MEASURED, CannotTest, judge
from bu_core.data import Dataset
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.record import NotRecorded, Record
from bu_core.models import Classifier, build
from bu_core.results import as_json, pack, unpack
from bu_core.store import read_any
from tests.book.notebooks import templates
from tests.helpers import small_experiment


def detector(pooled: int = 1) -> Classifier:
    """Three classes, each of which the model sees wherever its colour channel is bright; maps are `pooled` smaller."""
    same = nn.Conv2d(3, 3, 1)
    body = nn.Sequential(same, nn.ReLU(), nn.AvgPool2d(pooled), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = Classifier(body, 3, 3)
    with torch.no_grad():
        same.weight.copy_(torch.eye(3)[:, :, None, None])
        same.bias.zero_()
        model.classifier.weight.copy_(torch.eye(3))
        model.classifier.bias.zero_()
    return model.eval()


def patches(size: int = 16) -> Tensor:
    """Two black images: red at the upper left with green at the lower right, and green at the upper right alone."""
    images = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    images[0, 0, 2:6, 2:6] = 255
    images[0, 1, 10:14, 10:14] = 255
    images[1, 1, 2:6, 10:14] = 255
    return images


@pytest.mark.parametrize(("asked", "channel"), [([0, 1], [0, 1]), ([1, 1], [1, 1])])
def test_a_planted_detector_lights_its_patch(asked: list[int], channel: list[int]):
    images = patches()
    lit = torch.stack([image[index] > 0 for image, index in zip(images, channel, strict=True)])
    found = maps(detector(), images, torch.tensor(asked))
    torch.testing.assert_close(found, lit.float(), atol=1e-5, rtol=0)
    assert share(found, lit).tolist() == pytest.approx([100, 100])


def test_an_enlarged_map_lights_its_patch_and_a_rim():
    images = patches()
    images[0, 1] = 0
    found = maps(detector(pooled=4), images, torch.tensor([0, 1]))
    assert found.shape == (2, 16, 16)
    lit = images.amax(1) > 0
    assert (share(found, lit) > 3 * 100 * lit[0].double().mean()).all()
    assert [divmod(index, 16) for index in found.flatten(1).argmax(1).tolist()][0] < (8, 8)


def test_a_class_that_nothing_speaks_for_has_no_map():
    found = maps(detector(), patches(), torch.tensor([2, 0]))
    assert found.abs().sum() == 0
    assert share(found, torch.ones_like(found, dtype=torch.bool)).isnan().all()


def test_maps_in_several_batches_are_the_same():
    images, asked = patches().repeat(4, 1, 1, 1), torch.tensor([0, 1] * 4)
    assert torch.equal(maps(detector(), images, asked, batch_size=3), maps(detector(), images, asked))


def test_the_model_is_left_as_it_was():
    model = build("allcnn", 1, 4, 0.1, seed=0).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    maps(model, torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8), torch.tensor([0, 1, 2, 3, 0]))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(("size", "stage", "map_size"), [(8, 4, (4, 4)), (16, 7, (4, 4)), (32, 7, (8, 8))])
def test_the_layer_is_the_deepest_with_maps_of_4_by_4(size: int, stage: int, map_size: tuple[int, int]):
    model = build("allcnn", 1, 4, 0.1, seed=0)
    assert layer(model, torch.zeros(1, 1, size, size)) == (model.body[stage], map_size)


def test_of_an_even_map_the_object_has_its_share_of_the_image():
    masks = torch.zeros(3, 8, 8, dtype=torch.bool)
    masks[1, :2] = True
    masks[2] = True
    assert share(torch.full((3, 8, 8), 0.3), masks).tolist() == pytest.approx([0, 25, 100])


def test_the_share_of_a_known_map():
    found = torch.tensor([[[0.0, 1.0], [3.0, 4.0]]])
    assert share(found, torch.tensor([[[True, True], [False, True]]])).tolist() == pytest.approx([62.5])


def test_ink_is_what_is_at_least_half_dark():
    scan = torch.tensor([[[[0, 127], [128, 255]]]], dtype=torch.uint8)
    assert ink(scan).tolist() == [[[False, False], [True, True]]]


@pytest.mark.parametrize("size", [8, 32])
def test_the_centre_is_a_quarter_of_the_image(size: int):
    mask = centre(torch.zeros(2, 3, size, size, dtype=torch.uint8))
    assert mask.double().mean((1, 2)).tolist() == [0.25, 0.25]
    assert torch.equal(mask, mask.flip(1)) and torch.equal(mask, mask.flip(2))
    assert not mask[:, 0].any()


def test_only_a_region_with_masks_is_called_an_object():
    assert {name: region.is_object for name, region in REGIONS.items()} == {"ink": True, "face": True, "centre": False}
    regions = {name: region_of(name).name for name in ("digits", "faces", "cifar10", "another")}
    assert regions == {"digits": "ink", "faces": "face", "cifar10": "centre", "another": "centre"}


# --- what is kept, and what it comes to -----------------------------------------------------------------------------


def kept(**shares: list[float]) -> dict[str, AskedMaps]:
    """What is kept of each model's maps, with the same shares for either class that is asked for."""
    found = {}
    for name, values in shares.items():
        same = KeptMaps(torch.tensor(values, dtype=torch.float64), torch.zeros(2, 2))
        found[name] = AskedMaps(same, same)
    return found


def test_the_summary_of_known_shares():
    nan = math.nan
    found = summary(kept(original=[40, 50, 60, 10], shrink=[30, 40, 50, nan], blank=[nan] * 4), seed=0)
    original, shrink, blank = (found[name].predicted for name in ("original", "shrink", "blank"))
    assert (original.share.value, original.blank) == (40, 0)
    assert 10 < original.share.low < 40 < original.share.high < 60
    assert original.change.value == original.change.low == original.change.high == 0
    assert (shrink.share.value, shrink.blank) == (40, 1)
    assert (shrink.change.value, shrink.change.low, shrink.change.high) == pytest.approx((-10, -10, -10))
    assert (blank.share.value, blank.share.low, blank.change.value, blank.blank) == (None, None, None, 4)


def test_an_interval_covers_the_mean_as_often_as_it_says():
    """A mean of 200 draws of deviation 10: its 95 % interval is 1.39 wide on either side."""
    shares = 50 + 10 * torch.randn(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = summary(kept(original=shares.tolist()), seed=0)["original"].true.share
    assert found.high - found.low == pytest.approx(2 * 1.96 * shares.std().item() / 200**0.5, rel=0.1)


def test_nothing_is_kept_of_a_single_map():
    model, images = detector(), patches().repeat(3, 1, 1, 1)
    classes = torch.zeros(6, dtype=torch.int64), torch.ones(6, dtype=torch.int64)
    found = pack(look(model, images, *classes, REGIONS["centre"])).tensors
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {
        "predicted.share": (6,), "predicted.map": (16, 16), "true.share": (6,), "true.map": (16, 16),
    }  # fmt: skip


def test_each_question_has_its_own_maps():
    images = patches()
    red = Region("red", True, lambda images: images[:, 0] > 0)
    found = look(detector(), images[:1], labels=torch.tensor([0]), predicted=torch.tensor([1]), region=red)
    assert found.true.share.item() == pytest.approx(100)
    assert found.predicted.share.item() == pytest.approx(0)
    for asked, kept_maps in (("true", found.true), ("predicted", found.predicted)):
        assert found.of(asked) is kept_maps


@pytest.mark.parametrize("mean", [{}, {"image": torch.rand(2, 2)}])
def test_an_outline_is_kept_with_and_without_a_mean_image(mean: dict[str, Tensor]):
    packed = pack(ObjectOutline(torch.zeros(2, 2), torch.ones(2, 2), mean))
    assert set(packed.tensors) == {"forget_train", "remain_train"} | {f"mean.{name}" for name in mean}
    found = unpack(ObjectOutline, packed.tensors, packed.facts)
    assert found.mean.keys() == mean.keys()
    assert all(torch.equal(found.mean[name], mean[name]) for name in mean)


# --- an experiment ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return small_experiment(tmp_path_factory.mktemp("results"))


def test_an_experiment_looks_at_both_sets_with_four_models(experiment: Experiment):
    found = measure(experiment)
    assert (found.region.name, found.map_size, found.mean_image) == ("ink", [4, 4], None)
    assert tuple(found.models) == FIGURE_5_MODELS
    for one in found.sets.values():
        assert one.images == 50
        assert 20 < one.area < 50
        assert tuple(one.models) == FIGURE_5_MODELS
        for model in one.models.values():
            for asked in ASKED_TITLES:
                share = model.of(asked).share
                assert share.low <= share.value <= share.high


def test_the_same_is_found_again(experiment: Experiment, tmp_path: Path):
    again = measure(small_experiment(tmp_path))
    for set_name, one in measure(experiment).sets.items():
        assert as_json(again.sets[set_name]) == as_json(one)
        for name, model in one.models.items():
            for asked in ASKED_TITLES:
                assert torch.equal(again.sets[set_name].models[name].of(asked).map, model.of(asked).map)


def test_no_file_of_an_experiment_holds_a_map_for_each_image(experiment: Experiment):
    measure(experiment)
    files = list(experiment.store.folder.glob("attention_maps-*.safetensors"))
    assert len(files) == len(FIGURE_5_MODELS)
    for file in files:
        for tensor in read_any(file)[1].tensors.values():
            assert tuple(tensor.shape) in ((50,), (8, 8))


def test_maps_are_found_by_the_names_of_their_tensors_and_by_their_constants(experiment: Experiment):
    packed = pack(attention_maps(experiment, "retrain", "ink"))
    assert set(packed.tensors) == {
        f"{set_name}.{asked}.{of}"
        for set_name in ("forget_train", "remain_train") for asked in ASKED_TITLES for of in ("share", "map")
    }  # fmt: skip
    for key in (
        attention_maps.key(experiment, "retrain", "ink"),
        object_outline.key(experiment, "ink"),
    ):
        assert key["constants"] == {"method": "Grad-CAM", "smallest_map": 4, "ink": 128}
        assert (key["arguments"], key["sample_size"]) == ({"region": "ink"}, 50)
    assert list(attention_maps.key(experiment, "retrain", "ink")["models"]) == ["retrain"]


def test_a_model_that_diverged_is_not_looked_at(tmp_path: Path):
    changes = {"boundary_shrink": {"epochs": 2}, "boundary_expanding": {"epochs": 2, "lr": 1e30}}
    diverged = small_experiment(tmp_path, unlearning=changes)
    assert "boundary_expanding" not in diverged.sound
    assert measure(diverged).models == ["original", "retrain", "boundary_shrink"]
    judged = judge(CLAIMS[11], diverged)
    assert judged.checks[-1].measured == "not measured, since boundary_expanding diverged"


def as_faces(experiment: Experiment) -> Experiment:
    """The same experiment, its scans taken for faces."""
    faces = copy.copy(experiment)
    faces.dataset = replace(experiment.dataset, name="faces")
    return faces


def test_of_faces_there_is_a_mean_image_of_several_people(experiment: Experiment):
    found = measure(as_faces(experiment))
    assert found.region == REGIONS["face"]
    expected = experiment.sampled("remain_train").images.double().mean((0, 1)) / 255
    torch.testing.assert_close(found.mean_image.double(), expected, atol=1e-6, rtol=0)
    assert found.forget_train.area == pytest.approx(
        100 * REGIONS["face"].masks(torch.zeros(1, 1, 8, 8)).double().mean()
    )


def test_single_images_are_shown_with_both_maps_and_the_object(experiment: Experiment):
    found = overlays(experiment)
    assert torch.equal(found.images[..., 0], experiment.sampled("forget_train").images[:8, 0])
    assert torch.equal(found.masks, ink(experiment.sampled("forget_train").images[:8]))
    shapes = dict.fromkeys(FIGURE_5_MODELS, (8, 8, 8))
    for asked in ("predicted", "true"):
        assert {name: tuple(of.shape) for name, of in getattr(found, asked).items()} == shapes
    figure = attention.images_for_true_class(found)
    assert len(figure.axes) == 4 * 8
    assert [axes.get_ylabel() for axes in figure.axes[::8]] == [
        "Original", "Retrain", "Boundary\nShrink", "Boundary\nExpanding",
    ]  # fmt: skip
    plt.close(figure)
    without = replace(experiment.dataset, name="cifar10")
    assert overlays(_named(experiment, without)).masks is None, "of CIFAR-10 nothing says where the object is"


def _named(experiment: Experiment, dataset: Dataset) -> Experiment:
    other = copy.copy(experiment)
    other.dataset = dataset
    return other


def test_the_floor_of_a_map_is_its_least_value_over_its_largest():
    """Red is nowhere 0: 204 beside the patch of 255, three fifths of it above the middle. Green is 0 off the patch."""
    images = patches()[:1].repeat(2, 1, 1, 1)
    images[:, 0][images[:, 0] == 0] = 204
    found = floors(detector(), images, torch.tensor([0, 1]))
    assert found.tolist() == pytest.approx([0.6, 0.0], abs=1e-6)
    assert floors(detector(), images, torch.tensor([2, 2])).isnan().all(), "a blank map has none"


def test_the_floors_of_a_run_are_kept_by_model(experiment: Experiment):
    found = attention.floor_of(experiment)
    assert tuple(found) == FIGURE_5_MODELS
    assert all(each.predicted is None or 0 <= each.predicted < 100 for each in found.values())


def test_no_image_is_shown_from_a_record(experiment: Experiment):
    recorded = as_faces(experiment)
    recorded.record = Record(Path("somewhere"))
    with pytest.raises(NotRecorded, match="where the data are at hand"):
        overlays(recorded)


# --- figures, tables, the claim -----------------------------------------------------------------------------------


def findings(region: str = "ink", **shares: list[float]) -> AttentionFindings:
    """What was measured of models with these shares on four images of each set."""
    one = SetAttention(4, 30.0, torch.eye(2, dtype=torch.float64), summary(kept(**shares), seed=0))
    return AttentionFindings(REGIONS[region], None, [2, 2], one, one)


LOOKING_AWAY = {
    "original": [40.0, 50.0, 60.0, 50.0],
    "retrain": [35.0, 44.0, 55.0, 46.0],
    "boundary_shrink": [20.0, 31.0, 42.0, 33.0],
    "boundary_expanding": [30.0, 41.0, 52.0, 43.0],
}


def test_all_models_that_look_away_and_shrink_most_hold():
    made = checks(findings(**LOOKING_AWAY))
    assert [check.holds for check in made] == [True] * 4
    assert made[-1].measured == "41.50 against 31.50 %"


def test_the_box_says_who_looks_away():
    """The object takes up 30 % of the images."""
    words = templates("attention").in_short(findings(**LOOKING_AWAY))
    assert words.startswith("By its own answer, no model looks away: of the attention, 50.0 % (Original)")
    away = findings(**(LOOKING_AWAY | {"boundary_shrink": [20.0, 21.0, 22.0, 21.0]}))
    assert "Boundary Shrink looks away: of the attention" in templates("attention").in_short(away)
    assert templates("attention").in_short(findings("centre", **LOOKING_AWAY)).startswith("**This run cannot say:** ")


def test_shares_are_read_as_multiples_of_an_even_map():
    words = templates("attention").reading(findings(**LOOKING_AWAY))
    assert "takes up 30.0 % of the image" in words
    assert "Original 1.7, Retrain 1.5, Boundary Shrink 1.1, Boundary Expanding 1.4." in words and "Blank" not in words
    blank = templates("attention").reading(findings(**LOOKING_AWAY | {"retrain": [math.nan] * 4}))
    assert "Retrain" not in blank and "Blank maps, 4 of 4 at the most, are left out." in blank


def test_a_change_whose_interval_holds_0_is_no_looking_away():
    made = checks(findings(**LOOKING_AWAY | {"retrain": [20.0, 70.0, 40.0, 62.0]}))
    assert [check.holds for check in made] == [False, True, True, True]


def test_blank_maps_cannot_be_judged():
    with pytest.raises(CannotTest, match="the attention maps of Retrain are blank"):
        checks(findings(**LOOKING_AWAY | {"retrain": [math.nan] * 4}))


def test_without_an_object_nothing_is_judged(experiment: Experiment, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attention, "OBJECTS", {})
    judged = judge(CLAIMS[11], experiment)
    assert (judged.verdict, judged.checks) == (NOT_MEASURED, [])
    assert judged.reason == "the data set has no object masks"


def test_a_model_without_maps_has_no_dot():
    figure = attention.shares(findings(**LOOKING_AWAY | {"retrain": [math.nan] * 4}))
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o" and len(line.get_xdata()) == 1]
    plt.close(figure)
    assert sorted(line.get_xdata()[0] for line in dots) == pytest.approx([31.5, 31.5, 41.5, 41.5, 50, 50])


def test_the_maps_of_all_models_stand_side_by_side_on_one_scale():
    figure = attention.maps_for_true_class(findings(**LOOKING_AWAY))
    assert [axes.get_title() for axes in figure.axes[:4]] == [
        "Original", "Retrain", "Boundary Shrink", "Boundary Expanding",
    ]  # fmt: skip
    assert len({image.get_clim() for axes in figure.axes[:8] for image in axes.images}) == 1
    plt.close(figure)


def test_the_table_says_what_the_summary_says():
    page = attention.table(findings(**LOOKING_AWAY)).to_html()
    assert "31.5<br>" in page and "-18.5<br>" in page
    assert "0 of 4" in page
    assert attention.in_short(findings(**LOOKING_AWAY))["its share of the image, %"] == "30.0"


@pytest.mark.slow
def test_the_package_imports_without_grad_cam():
    code = "import sys; sys.modules['pytorch_grad_cam'] = None; import bu_book.chapters.attention"
    subprocess.run([sys.executable, "-c", code], check=True)
