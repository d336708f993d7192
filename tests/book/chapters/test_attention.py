"""Grad-CAM on models whose attention is planted, and the share of it that lies on the object."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bu_book.chapters.attention import (
    ASKED,
    MIDDLE,
    MODELS,
    PARTS,
    REGIONS,
    Region,
    centre,
    ink,
    layer,
    look,
    maps,
    share,
    summary,
)
from bu_book.measurements import Measurements
from bu_core.experiment.experiment import Experiment
from bu_core.models import Classifier, build
from bu_core.store import read
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
    assert {name: region.is_object for name, region in REGIONS.items()} == {"digits": True, "faces": True}
    assert not MIDDLE.is_object


def kept(**shares: list[float]) -> dict[str, dict[str, Tensor]]:
    """What `look` keeps, with the same shares for either class that is asked for."""
    found = {}
    for name, values in shares.items():
        part = {"share": torch.tensor(values, dtype=torch.float64), "map": torch.zeros(2, 2)}
        found[name] = {f"{asked}.{of}": tensor for asked in ASKED for of, tensor in part.items()}
    return found


def test_the_summary_of_known_shares():
    nan = float("nan")
    found = summary(kept(original=[40, 50, 60, 10], shrink=[30, 40, 50, nan], blank=[nan] * 4), seed=0)
    original, shrink, blank = (found[name]["predicted"] for name in ("original", "shrink", "blank"))
    assert (original["share"], original["blank"]) == (40, 0)
    assert 10 < original["share_low"] < 40 < original["share_high"] < 60
    assert original["change"] == original["change_low"] == original["change_high"] == 0
    assert (shrink["share"], shrink["blank"]) == (40, 1)
    assert (shrink["change"], shrink["change_low"], shrink["change_high"]) == pytest.approx((-10, -10, -10))
    assert {key: blank[key] for key in ("share", "share_low", "change", "blank")} == {
        "share": None, "share_low": None, "change": None, "blank": 4,
    }  # fmt: skip


def test_an_interval_covers_the_mean_as_often_as_it_says():
    """A mean of 200 draws of deviation 10: its 95 % interval is 1.39 wide on either side."""
    shares = 50 + 10 * torch.randn(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = summary(kept(original=shares.tolist()), seed=0)["original"]["true"]
    assert found["share_high"] - found["share_low"] == pytest.approx(2 * 1.96 * shares.std().item() / 200**0.5, rel=0.1)


def test_nothing_is_kept_of_a_single_map():
    model, images = detector(), patches().repeat(3, 1, 1, 1)
    found = look(model, images, torch.zeros(6, dtype=torch.int64), torch.ones(6, dtype=torch.int64), MIDDLE)
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {
        "predicted.share": (6,), "predicted.map": (16, 16), "true.share": (6,), "true.map": (16, 16),
    }  # fmt: skip


def test_each_question_has_its_own_maps():
    images = patches()
    red = Region("red", True, lambda images: images[:, 0] > 0)
    found = look(detector(), images[:1], labels=torch.tensor([0]), predicted=torch.tensor([1]), region=red)
    assert found["true.share"].item() == pytest.approx(100)
    assert found["predicted.share"].item() == pytest.approx(0)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return small_experiment(tmp_path_factory.mktemp("results"))


def test_an_experiment_looks_at_both_sets_with_four_models(experiment: Experiment):
    found = Measurements(experiment).attention()
    assert found["region"] == {"name": "ink", "is_object": True}
    assert found["map_size"] == [4, 4]
    assert tuple(found["sets"]) == PARTS
    for part in found["sets"].values():
        assert part["images"] == 50
        assert 20 < part["area"] < 50
        assert tuple(part["models"]) == MODELS
        for result in part["models"].values():
            for asked in ASKED:
                assert result[asked]["share_low"] <= result[asked]["share"] <= result[asked]["share_high"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_same_is_found_again(experiment: Experiment, tmp_path: Path):
    assert Measurements(small_experiment(tmp_path)).attention() == Measurements(experiment).attention()


def test_no_file_of_an_experiment_holds_a_map_for_each_image(experiment: Experiment):
    Measurements(experiment).attention()
    files = list(experiment.store.folder.glob("attention-*.safetensors"))
    assert len(files) == len(MODELS)
    for file in files:
        for tensor in read(file, key_of(file)).tensors.values():
            assert tuple(tensor.shape) in ((50,), (8, 8))


def key_of(file: Path) -> dict:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        return json.loads(opened.metadata()["key"])


def test_the_package_imports_without_grad_cam():
    code = "import sys; sys.modules['pytorch_grad_cam'] = None; import bu_core.experiment"
    subprocess.run([sys.executable, "-c", code], check=True)
