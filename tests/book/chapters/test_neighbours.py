"""The search for neighbours, on linear models whose margins are known."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bu_book.chapters.neighbours import EPSILONS, first_met, grid, search, summary
from bu_book.measurements import Measurements
from bu_core.data import LabelledImages
from bu_core.experiment.experiment import Experiment
from bu_core.models import Classifier
from tests.helpers import small_experiment

WALKS = {"fgsm": (1, 1.0), "pgd": (5, 0.3)}


def linear(weight: Tensor, bias: Tensor) -> Classifier:
    """Logits are weight @ (x - 1/2) + bias, for images of 2x2 pixels x in [0, 1]."""
    model = Classifier(nn.Flatten(), 4, len(weight))
    with torch.no_grad():
        model.classifier.weight.copy_(weight / 2)  # the model scales [0, 1] to [-1, 1]
        model.classifier.bias.copy_(bias)
    return model.eval()


def grey(*levels: int) -> LabelledImages:
    """Even images of class 0, each of its own level from 0 to 255."""
    images = torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2).contiguous()
    return LabelledImages(images, torch.zeros(len(levels), dtype=torch.int64))


def found(model: Classifier, data: LabelledImages) -> dict[str, Tensor]:
    return search(model, data, "fp32", WALKS, EPSILONS)[0]


def test_an_image_crosses_where_the_reach_exceeds_its_margin():
    """Two classes whose logits differ by |4 (x - 1/2)| + b: a step of epsilon changes the difference by 4 epsilon."""
    weight = torch.tensor([[0.5] * 4, [-0.5] * 4])
    data = grey(*range(100, 156, 5))
    model = linear(weight, torch.tensor([0.7, 0.0]))
    level = data.images[:, 0, 0, 0] / 255
    needed = (4 * (level - 0.5) + 0.7) / 4  # the border lies this far away
    assert (needed > 0).all()
    named = found(model, data)
    for name in WALKS:
        for epsilon, row in zip(EPSILONS, named[f"{name}.named"], strict=True):
            assert torch.equal(row == 1, needed < epsilon), (name, epsilon)


@pytest.mark.parametrize("seed", range(3))
def test_the_crossing_rate_is_0_at_reach_0_and_never_falls_on_a_linear_model_of_two_classes(seed: int):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(2, 4, generator=generator)
    images = torch.randint(0, 256, (60, 1, 2, 2), dtype=torch.uint8, generator=generator)
    model = linear(weight, torch.zeros(2))
    with torch.no_grad():
        labels = model(images / 255).argmax(1)
    result = summary(found(model, LabelledImages(images, labels)), labels, 2)
    assert result["images"] == 60
    for name in WALKS:
        crossed = result[name]["crossed"]
        assert crossed[0] == 0
        assert crossed == sorted(crossed)
        assert crossed[-1] > 50


def test_the_label_of_one_step_on_a_linear_model_is_known_in_closed_form():
    """The step has the sign of sum_k p_k w_k - w_y, and the label is the best other class where it ends."""
    generator = torch.Generator().manual_seed(0)
    weight, bias = 3 * torch.randn(5, 4, generator=generator), torch.randn(5, generator=generator)
    images = torch.randint(60, 196, (40, 1, 2, 2), dtype=torch.uint8, generator=generator)
    model = linear(weight, bias)
    start = images.flatten(1).double() / 255
    logits = (start - 0.5) @ weight.T.double() + bias
    labels = logits.argmax(1)
    direction = (logits.softmax(1) @ weight.double() - weight[labels]).sign()
    named = found(model, LabelledImages(images, labels))
    for epsilon, row in zip(EPSILONS, named["fgsm.label"], strict=True):
        ends = ((start + epsilon * direction).clamp(0, 1) - 0.5) @ weight.T.double() + bias
        expected = ends.scatter(1, labels[:, None], -torch.inf).argmax(1)
        assert torch.equal(row, expected), epsilon


def test_on_two_classes_several_steps_end_where_one_does():
    """The gradient keeps its sign, and five steps of 0.3 reach the edge."""
    model = linear(torch.tensor([[1.0, -1, 2, 1], [0.0, 1, -1, 0]]), torch.tensor([0.5, 0.0]))
    named = found(model, grey(100, 120, 140, 160))
    assert torch.equal(named["fgsm.named"], named["pgd.named"])


def test_a_search_is_timed_at_every_reach():
    _, seconds = search(linear(torch.eye(4)[:2], torch.zeros(2)), grey(100), "fp32", WALKS, EPSILONS)
    assert {name: len(runs) for name, runs in seconds.items()} == {"fgsm": len(EPSILONS), "pgd": len(EPSILONS)}
    assert all(run > 0 for runs in seconds.values() for run in runs)


def test_the_class_met_first_by_hand():
    named = torch.tensor([[0, 0, 0, 2], [0, 1, 0, 2], [3, 2, 0, 2], [1, 2, 0, 1]])
    assert first_met(named, torch.zeros(4, dtype=torch.int64)).tolist() == [3, 1, -1, 2]


def rows(*first: list[int]) -> Tensor:
    """Given rows, the last of them up to the end of the grid."""
    return torch.tensor([*first, *[first[-1]] * (len(EPSILONS) - len(first))])


def test_the_summary_by_hand():
    """Four images of class 0, the last of which the model names wrongly."""
    planted = {
        "fgsm.named": rows([0, 0, 0, 1], [0, 0, 0, 1], [1, 2, 0, 1]),
        "fgsm.label": rows([1, 1, 1, 1], [2, 1, 1, 1], [1, 2, 1, 1]),
        "pgd.named": rows([0, 0, 0, 1], [2, 0, 0, 1], [1, 2, 0, 1]),
        "pgd.label": rows([1, 1, 1, 1], [2, 1, 1, 1], [1, 2, 2, 1]),
    }
    result = summary(planted, torch.zeros(4, dtype=torch.int64), 3)
    assert result["images"] == 3
    assert result["fgsm"]["crossed"][:3] == pytest.approx([0, 0, 200 / 3])
    assert result["pgd"]["crossed"][:3] == pytest.approx([0, 100 / 3, 200 / 3])
    assert result["fgsm"]["labels"][1] == pytest.approx([0, 200 / 3, 100 / 3])
    assert result["met"]["images"] == pytest.approx(200 / 3), "one image meets no other class"
    assert result["met"]["labels"] == [0, 0, 100], "the first image meets 2 before 1"
    assert result["fgsm"]["reference"][:3] == [0, 50, 50]
    assert result["pgd"]["reference"][:3] == [0, 50, 50]
    assert result["agreement"][:3] == pytest.approx([100, 100, 200 / 3])


def test_where_every_image_is_named_wrongly_there_is_nothing_to_count():
    planted = {f"{name}.{of}": rows([1, 1]) for name in ("fgsm", "pgd") for of in ("named", "label")}
    result = summary(planted, torch.zeros(2, dtype=torch.int64), 3)
    assert result["images"] == 0
    assert all(math.isnan(value) for value in result["agreement"] + result["fgsm"]["crossed"])


def test_the_grid_starts_at_0_and_holds_the_two_reaches_in_question():
    assert EPSILONS[0] == 0
    assert list(EPSILONS) == sorted(EPSILONS)
    assert {0.1, 0.25} <= set(EPSILONS)
    assert grid(0.1) == list(EPSILONS)
    assert grid(0.12) == sorted([*EPSILONS, 0.12])


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return small_experiment(tmp_path_factory.mktemp("results"), epochs=4)


def test_an_experiment_compares_the_searches_and_what_comes_of_them(experiment: Experiment):
    result = Measurements(experiment).neighbours()
    assert result["epsilon"] == 0.1
    assert result["walks"] == {"fgsm": [1, 1.0], "pgd": [5, 0.3]}
    assert len(result["agreement"]) == len(result["epsilons"]) == len(EPSILONS)
    assert result["agreement"][0] == 100, "without reach there is nothing to disagree on"
    assert result["seconds"].keys() == result["outcome"].keys() == {"fgsm", "pgd"}
    metrics = experiment.metrics()["methods"]
    assert result["outcome"]["fgsm"]["accuracy"] == metrics["boundary_shrink"]["accuracy"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_the_same_is_found_again_but_for_the_seconds(experiment: Experiment, tmp_path: Path):
    first, again = (
        Measurements(experiment).neighbours(),
        Measurements(small_experiment(tmp_path, epochs=4)).neighbours(),
    )
    assert {name: value for name, value in again.items() if name != "seconds"} == {
        name: value for name, value in first.items() if name != "seconds"
    }
