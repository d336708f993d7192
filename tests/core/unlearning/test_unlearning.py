"""The methods: what each does to an original whose every output is known, and what none may do."""

import copy
import dataclasses
import inspect
import math
import re
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bu_core.config import Config
from bu_core.data import Dataset, LabelledImages, pixels
from bu_core.models import Classifier, Features, build
from bu_core.training import predict
from bu_core.unlearning import METHODS, OF_THE_PAPER, UnlearningTask
from bu_core.unlearning import method as register_method
from bu_core.unlearning import task as task_module
from bu_core.unlearning.boundary_shrink import (
    border_weights,
    cross_samples,
    crossed_logits,
    input_curvature,
    kept_curvature,
    nearest_incorrect,
    weighted_targets,
)
from tests.helpers import same_state, toy_images

MAKING = [name for name in METHODS if name != "file"]  # a model, and not reading one
STARTING = [name for name in MAKING if name not in ("retrain", "amnesiac")]  # from the original as it is
FITTING = [name for name in METHODS if "batchnorm" in inspect.signature(METHODS[name].unlearn).parameters]


def nearest_labels(model: nn.Module, data: LabelledImages, epsilon: float, precision: str) -> torch.Tensor:
    """The nearest but incorrect label of each image, as equations 2 and 3 find it."""
    return nearest_incorrect(crossed_logits(model, data, epsilon, precision), data.labels)


def run(method: str, task: UnlearningTask, **settings: Any) -> Classifier:
    """The method with those of `settings` that it has."""
    known = inspect.signature(METHODS[method].unlearn).parameters
    return METHODS[method](task, **{name: value for name, value in settings.items() if name in known})


def loss(model: Classifier, data: LabelledImages) -> float:
    return F.cross_entropy(predict(model, data.images, "fp32"), data.labels).item()


# --- every method -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", STARTING)
def test_at_rate_0_with_frozen_statistics_the_outputs_are_the_originals(task: UnlearningTask, method: str):
    """Boundary Expanding too: what was widened and pruned is the original again."""
    model = run(method, task, lr=0.0, batchnorm="frozen", epochs=2, alpha=0.0, output_row="kept")
    assert model is not task.original
    for data in (task.split.remain_train, task.split.forget_train, task.split.remain_test, task.split.forget_test):
        assert torch.equal(predict(model, data.images, "fp32"), predict(task.original, data.images, "fp32"))


@pytest.mark.parametrize("method", STARTING)
def test_without_an_epoch_the_model_is_the_original(task: UnlearningTask, method: str):
    assert same_state(run(method, task, epochs=0, alpha=0.0, output_row="kept"), task.original)


@pytest.mark.parametrize("method", MAKING)
def test_a_new_model_of_the_same_shape_is_returned_and_the_original_is_untouched(task: UnlearningTask, method: str):
    before = [copy.deepcopy(model) for model in (task.original, task.initial)]
    data = {field.name: getattr(task.split, field.name) for field in dataclasses.fields(task.split)}
    data = {name: part.images.clone() for name, part in data.items() if isinstance(part, LabelledImages)}
    model = run(method, task, lr=0.01, epochs=2)
    assert same_state(task.original, before[0])
    assert same_state(task.initial, before[1])
    assert all(torch.equal(getattr(task.split, name).images, images) for name, images in data.items())
    assert all(parameter.grad is None for parameter in task.initial.parameters())
    assert not same_state(model, task.original)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in task.original.state_dict().items()}
    taken = {tensor.data_ptr() for tensor in task.original.state_dict().values()}
    assert not any(tensor.data_ptr() in taken for tensor in model.state_dict().values())
    assert not model.training


@pytest.mark.parametrize("method", MAKING)
def test_the_seed_decides_the_result(task: UnlearningTask, method: str):
    other = dataclasses.replace(task, recipe=dataclasses.replace(task.recipe, seed=1))
    torch.manual_seed(1)  # what else was drawn in this process has no part in it
    first = run(method, task, lr=0.01, epochs=2)
    torch.manual_seed(2)
    assert same_state(run(method, task, lr=0.01, epochs=2), first)
    assert not same_state(run(method, other, lr=0.01, epochs=2), first)


# Finetune forgets where the classes compete for what is learned; in the toy data they do not. Fisher Forgetting's
# noise falls on all classes alike.
@pytest.mark.parametrize("method", [name for name in MAKING if name not in ("finetune", "fisher")])
def test_the_class_is_forgotten(task: UnlearningTask, method: str):
    """The original names all of D_f; at a rate that suits 20 images, each method takes most of that away."""
    forget = task.split.forget_train
    assert (predict(task.original, forget.images, "fp32").argmax(1) == forget.labels).all()
    model = run(method, task, lr=0.01, epochs=12)
    assert (predict(model, forget.images, "fp32").argmax(1) == forget.labels).float().mean() < 0.5
    assert loss(model, forget) > loss(task.original, forget)


@pytest.mark.parametrize("method", FITTING)
def test_running_statistics_follow_the_batches_or_stay(task: UnlearningTask, method: str):
    before = dict(task.original.named_buffers())
    for batchnorm, stay in (("frozen", True), ("train", False)):
        model = run(method, task, lr=0.001, epochs=1, batchnorm=batchnorm)
        assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers()) is stay


# --- what each method trains on -----------------------------------------------------------------------------------


class Fit:
    """Stands in for training.fit and keeps what it was called with."""

    def __init__(self):
        self.calls: list[dict[str, Any]] = []

    def __call__(self, model: nn.Module, data: LabelledImages, recipe: Any, **options: Any) -> None:
        self.calls.append({"model": copy.deepcopy(model), "data": data, "recipe": recipe, **options})

    def only(self) -> dict[str, Any]:
        (call,) = self.calls
        return call


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch) -> Fit:
    stand_in = Fit()
    monkeypatch.setattr(task_module, "fit", stand_in)
    return stand_in


def test_retrain_fits_the_initial_model_to_the_remaining_data(task: UnlearningTask, fit: Fit):
    run("retrain", task)
    call = fit.only()
    assert same_state(call["model"], task.initial)
    assert call["data"] is task.split.remain_train
    assert call["recipe"] == task.recipe
    assert call.get("batchnorm", "train") == "train"


def test_finetune_fits_the_original_to_the_remaining_data(task: UnlearningTask, fit: Fit):
    run("finetune", task, lr=0.02, epochs=3)
    call = fit.only()
    assert same_state(call["model"], task.original)
    assert call["data"] is task.split.remain_train
    assert call["recipe"] == dataclasses.replace(task.recipe, lr=0.02, epochs=3)


def test_boundary_expanding_teaches_a_class_of_its_own(task: UnlearningTask, fit: Fit):
    run("boundary_expanding", task)
    call = fit.only()
    assert call["model"].classifier.out_features == 5
    assert call["data"].labels.tolist() == [4] * 20
    assert torch.equal(call["data"].images, task.split.forget_train.images)


def test_boundary_shrink_teaches_the_labels_that_one_search_found(
    task: UnlearningTask, fit: Fit, monkeypatch: pytest.MonkeyPatch
):
    searches = []

    def search(*arguments: Any) -> Tensor:
        searches.append(arguments)
        return crossed_logits(*arguments)

    # the method has the name of its module, so the module is asked of the function
    monkeypatch.setitem(METHODS["boundary_shrink"].unlearn.__globals__, "crossed_logits", search)
    run("boundary_shrink", task, epochs=5, epsilon=0.2)
    call = fit.only()
    assert len(searches) == 1
    expected = nearest_labels(task.original, task.split.forget_train, 0.2, "fp32")
    assert torch.equal(call["data"].labels, expected)
    assert torch.equal(call["data"].images, task.split.forget_train.images), "x is learned, and not the crossed x'"
    assert same_state(call["model"], task.original)


@pytest.mark.parametrize("forget_class", [0, 2, 4])
def test_random_labels_are_never_the_own_and_evenly_spread(task: UnlearningTask, fit: Fit, forget_class: int):
    from scipy.stats import chisquare

    count = 4000
    part = LabelledImages(torch.zeros(count, 3, 8, 8, dtype=torch.uint8), torch.full((count,), forget_class))
    parts = dataclasses.replace(task.split, classes=tuple("abcde"), forget_classes=(forget_class,), forget_train=part)
    run("random_labels", dataclasses.replace(task, split=parts))
    labels = fit.only()["data"].labels
    counts = labels.bincount(minlength=5).tolist()
    assert counts.pop(forget_class) == 0
    assert sum(counts) == count
    assert chisquare(counts).pvalue > 0.001
    assert labels[:-1].ne(labels[1:]).float().mean() > 0.6, "drawn in no order"


def test_delete_teaches_the_originals_answers_without_the_class(task: UnlearningTask, fit: Fit):
    run("delete", task)
    call, forget = fit.only(), task.split.forget_train
    logits, others = predict(task.original, forget.images, "fp32"), [0, 1, 3]
    assert torch.equal(call["data"].images, forget.images)
    torch.testing.assert_close(call["data"].labels[:, others], logits[:, others].softmax(1))
    assert (call["data"].labels[:, 2] == 0).all()
    assert same_state(call["model"], task.original)


def test_spotter_shares_its_loss_between_the_class_and_what_lies_near_it(task: UnlearningTask, fit: Fit):
    """share L_u + (1 - share) L_o + disperse L_sim, with images within epsilon of D_f in L_o."""
    run("spotter", task, share=0.6, disperse=2.0, epsilon=0.05)
    call, forget = fit.only(), task.split.forget_train
    near, answers = call["companions"], call["data"].labels
    assert 0 < (near.images.int() - forget.images.int()).abs().max() <= 13
    assert near.weight == pytest.approx(0.4)
    assert (near.targets[:, 2] == 0).all()
    assert (answers[:, 2] == 0).all()
    logits = torch.randn(len(forget), 4, generator=torch.Generator().manual_seed(0))
    assert call["objective"](logits, answers).item() == pytest.approx(0.6 * F.cross_entropy(logits, answers).item())
    features = Features(torch.tensor([[1.0, 0.0], [3.0, 0.0]]), torch.empty(2, 0))
    assert call["on_features"](features, features).item() == pytest.approx(2.0)
    assert call["batchnorm"] == "frozen"


def test_negative_gradient_raises_the_loss_step_by_step(task: UnlearningTask):
    forget = task.split.forget_train
    losses = [loss(task.original, forget)]
    losses += [loss(run("negative_gradient", task, lr=1e-3, epochs=n, batchnorm="frozen"), forget) for n in (1, 2, 4)]
    assert losses == sorted(losses)
    assert losses[0] < losses[-1]


def test_negative_gradient_is_gradient_descent_turned_round(task: UnlearningTask):
    """One step from the original goes as far up as a fit to D_f goes down."""
    whole = dataclasses.replace(task.recipe, batch_size=len(task.split.forget_train))
    one = dataclasses.replace(task, recipe=whole)
    up = run("negative_gradient", one, lr=0.5, epochs=1, batchnorm="frozen")
    down = one.fitted(one.original, one.split.forget_train, label="", epochs=1, lr=0.5, batchnorm="frozen")
    for start, rise, fall in zip(one.original.parameters(), up.parameters(), down.parameters(), strict=True):
        torch.testing.assert_close(rise - start, start - fall, rtol=1e-2, atol=1e-6)


# --- Boundary Shrink: cross samples -------------------------------------------------------------------------------


class Linear(nn.Module):
    """Logits W x of the flattened image: every gradient and every boundary is known in closed form."""

    def __init__(self, weight: list[list[float]]):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight.T


def row(*values: int) -> Tensor:
    """One image of a single row of pixels."""
    return torch.tensor(values, dtype=torch.uint8).reshape(1, 1, 1, -1)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("epsilon", [0.0, 0.01, 0.1, 0.25, 1.0])
def test_cross_samples_stay_within_epsilon_and_within_the_image(task: UnlearningTask, epsilon: float, precision: str):
    forget = task.split.forget_train
    images = pixels(forget.images)
    images[0], images[1] = 0, 1  # black and white, where half of all steps lead outside
    crossed = cross_samples(task.original, images, forget.labels, epsilon, precision)
    assert crossed.dtype == torch.float32
    assert crossed.shape == images.shape
    assert (crossed - images).abs().max() <= epsilon + 1e-7  # a rounding of values near 1
    assert crossed.min() >= 0
    assert crossed.max() <= 1
    assert (crossed.equal(images)) is (epsilon == 0)
    assert not crossed.requires_grad


def test_the_step_raises_the_loss(task: UnlearningTask):
    forget = task.split.forget_train
    images = pixels(forget.images)
    crossed = cross_samples(task.original, images, forget.labels, 0.02, "fp32")
    with torch.no_grad():
        before, after = (
            F.cross_entropy(task.original(given), forget.labels, reduction="none") for given in (images, crossed)
        )
    assert (after > before).all()


def test_the_input_gradient_is_that_of_finite_differences():
    """The sign that each pixel moves by is the sign of the loss's difference quotient there, in float64."""
    model = build("allcnn", 2, 5, 0.05, seed=0).double()
    generator = torch.Generator().manual_seed(0)
    images = 0.3 + 0.4 * torch.rand(3, 2, 6, 6, generator=generator, dtype=torch.float64)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean += 0.1 * torch.randn(module.running_mean.shape, generator=generator)
            module.running_var *= 0.5
    model.eval()
    labels = torch.tensor([0, 3, 4])
    step = 1e-6 * torch.eye(72, dtype=torch.float64).reshape(72, 2, 6, 6)
    quotients = []
    with torch.no_grad():
        for image, label in zip(images, labels, strict=True):
            up, down = (
                F.cross_entropy(model(image + side * step), label.repeat(72), reduction="none") for side in (1, -1)
            )
            quotients.append(((up - down) / 2e-6).reshape(2, 6, 6))
    quotient = torch.stack(quotients)
    moved = cross_samples(model, images, labels, 0.1, "fp32") - images
    clear = quotient.abs() > 1e-3 * quotient.abs().max()
    assert clear.float().mean() > 0.9, "nearly all pixels matter"
    assert torch.equal(moved.sign()[clear], quotient.sign()[clear])
    torch.testing.assert_close(moved[clear].abs(), torch.full_like(moved[clear], 0.1))


def test_on_a_linear_model_the_step_is_known():
    """Of two classes, each pixel moves towards the other's weights, whatever the sample."""
    model = Linear([[1.0, -2.0, 0.5, 0.0], [0.0, 3.0, 1.0, 0.0]])
    images = torch.tensor([[0.5, 0.5, 0.95, 0.3], [0.2, 0.02, 0.4, 0.6]]).reshape(2, 1, 1, 4)
    crossed = cross_samples(model, images, torch.tensor([0, 1]), 0.1, "fp32").reshape(2, 4)
    expected = torch.tensor([[0.4, 0.6, 1.0, 0.3], [0.3, 0.0, 0.3, 0.6]])  # kept in [0, 1]; a dead pixel stays
    torch.testing.assert_close(crossed, expected)


# --- Boundary Shrink: nearest labels ------------------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [0.0, 0.001, 0.1, 1.0])
def test_of_two_classes_the_nearest_is_the_other(epsilon: float):
    model = Linear([[5.0, 0.0], [0.0, 5.0]])
    data = LabelledImages(torch.cat([row(250, 10), row(10, 250), row(10, 250)]), torch.tensor([0, 1, 0]))
    assert nearest_labels(model, data, epsilon, "fp32").tolist() == [1, 0, 1]


@pytest.mark.parametrize("epsilon", [0.0, 0.05, 0.1, 0.3])
def test_of_three_classes_the_nearest_is_the_one_with_the_nearest_boundary(epsilon: float):
    """Each pixel is the logit of its class: the distance to a boundary is the difference of two pixels."""
    model = Linear(torch.eye(3).tolist())
    images = torch.cat([row(153, 128, 26), row(153, 26, 128), row(100, 200, 120), row(100, 120, 200)])
    data = LabelledImages(images, torch.tensor([0, 0, 1, 2]))
    assert nearest_labels(model, data, epsilon, "fp32").tolist() == [1, 2, 2, 1]


def test_the_label_is_that_of_the_cross_sample_and_not_of_the_sample():
    """At x the second class is likelier than the third; along the gradient the third is reached first.

    Logits: a = 4 x0, b = 2 x0 + 0.1, c = 10 x1 in effect. At x = (0.6, 0.1) they are 2.4, 1.3 and 1.0. The step
    lowers x0 and raises x1; at x' = (0.4, 0.3) they are 1.6, 0.9 and 3.0.
    """
    model = Linear([[4.0, 0.0, 0.0], [2.0, 0.0, 0.1], [0.0, 10.0, 0.0]])
    data = LabelledImages(row(153, 26, 255), torch.tensor([0]))
    logits = model(pixels(data.images))[0]
    assert logits.argsort(descending=True).tolist() == [0, 1, 2]
    assert nearest_labels(model, data, 0.0, "fp32").tolist() == [1]
    assert nearest_labels(model, data, 0.2, "fp32").tolist() == [2]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("epsilon", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_the_own_class_is_never_the_nearest(task: UnlearningTask, toy: Dataset, epsilon: float, precision: str):
    labels = nearest_labels(task.original, toy.train, epsilon, precision)
    assert labels.dtype == torch.int64
    assert labels.shape == toy.train.labels.shape
    assert not (labels == toy.train.labels).any()
    assert 0 <= labels.min() <= labels.max() < 4


def test_the_own_class_is_not_even_the_nearest_where_nothing_crosses():
    """A model that says class 1 of everything, with no gradient to follow."""
    model = Linear([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    data = LabelledImages(row(255, 255).repeat(3, 1, 1, 1), torch.tensor([0, 1, 2]))
    labels = nearest_labels(model, data, 0.1, "fp32")
    assert not (labels == data.labels).any()


def test_the_batches_of_the_search_do_not_matter(task: UnlearningTask, monkeypatch: pytest.MonkeyPatch):
    data = toy_images(4, 15, seed=7)
    whole = nearest_labels(task.original, data, 0.1, "fp32")
    monkeypatch.setattr(sys.modules[crossed_logits.__module__], "at_once", lambda images: 7)
    assert torch.equal(nearest_labels(task.original, data, 0.1, "fp32"), whole)


def test_the_search_leaves_no_gradient_on_the_weights(task: UnlearningTask):
    model = copy.deepcopy(task.original).train()
    for parameter in model.parameters():
        parameter.grad = None
    nearest_labels(model, task.split.forget_train, 0.1, "fp32")
    assert all(parameter.grad is None for parameter in model.parameters())
    assert same_state(model, task.original), "read in evaluation mode: the running statistics stay"


# --- Boundary Shrink: the settings of the released code -------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [0.0, 0.03, 0.3, 1.0])
@pytest.mark.parametrize("step_size", [0.3, 1.0])
def test_several_steps_stay_within_epsilon_and_within_the_image(task: UnlearningTask, epsilon: float, step_size: float):
    forget = task.split.forget_train
    images = pixels(forget.images)
    images[0], images[1] = 0, 1
    kept = images.clone()
    crossed = cross_samples(task.original, images, forget.labels, epsilon, "fp32", steps=5, step_size=step_size)
    assert torch.equal(images, kept)
    assert (crossed - images).abs().max() <= epsilon + 1e-7
    assert crossed.min() >= 0
    assert crossed.max() <= 1
    assert not crossed.requires_grad


def test_one_step_of_size_epsilon_is_the_fast_gradient_sign_method(task: UnlearningTask):
    forget = task.split.forget_train
    images = pixels(forget.images).requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(task.original(images), forget.labels), images)
    plain = (images.detach() + 0.1 * gradient.sign()).clamp(0, 1)
    torch.testing.assert_close(cross_samples(task.original, images, forget.labels, 0.1, "fp32"), plain)
    both = [run("boundary_shrink", task, lr=0.01, epochs=2, search="pgd", steps=1, step_size=1.0)]
    both.append(run("boundary_shrink", task, lr=0.01, epochs=2, search="fgsm"))
    assert same_state(*both)


def test_several_steps_raise_the_loss_further_than_one(task: UnlearningTask):
    """Where the gradient turns on the way, following it finds a higher loss within the same distance."""
    data = toy_images(4, 15, seed=7)
    losses = []
    for steps, size in ((1, 1.0), (10, 0.25)):
        crossed = cross_samples(task.original, pixels(data.images), data.labels, 0.1, "fp32", steps, size)
        with torch.no_grad():
            losses.append(F.cross_entropy(task.original(crossed), data.labels).item())
    assert losses[1] > losses[0]


def test_with_both_additions_off_the_default_is_unchanged(task: UnlearningTask, fit: Fit):
    run("boundary_shrink", task, curvature=0.0, reweighting=False)
    call = fit.only()
    assert "penalty" not in call and not call["on_gradients"]
    assert torch.equal(call["data"].labels, nearest_labels(task.original, task.split.forget_train, 0.1, "fp32"))


def test_the_nearer_to_the_border_the_more_a_sample_counts():
    """By hand: 3 / (1 + exp(-5 (margin - 0.5))) of margins 0 (on the border), -0.8 (beyond it), 0.8 (before it)."""
    logits = torch.tensor([[0.5, 0.5, 0.0], [0.1, 0.9, 0.0], [0.9, 0.1, 0.0]]).log()
    weights = border_weights(logits, torch.tensor([1, 1, 1]))
    expected = [3 / (1 + math.exp(-5 * (margin - 0.5))) for margin in (0.0, -0.8, 0.8)]
    assert weights.tolist() == pytest.approx(expected, rel=1e-5)


def test_weighted_targets_weigh_the_loss_of_each_sample(task: UnlearningTask, fit: Fit):
    generator = torch.Generator().manual_seed(0)
    logits, crossed = torch.randn(2, 6, 4, generator=generator)
    labels = torch.tensor([0, 1, 1, 2, 0, 2])  # not every class is some sample's neighbour
    each = F.cross_entropy(logits, labels, reduction="none") * border_weights(crossed, labels)
    assert F.cross_entropy(logits, weighted_targets(crossed, labels)).item() == pytest.approx(each.mean().item())
    run("boundary_shrink", task, reweighting=True)
    targets = fit.only()["data"].labels
    assert torch.equal(targets.argmax(1), nearest_labels(task.original, task.split.forget_train, 0.1, "fp32"))


def test_the_input_gradient_of_a_linear_loss_does_not_turn_and_that_of_a_curved_one_does():
    """Two classes and logits (a x, 0): grad L = -a (1 - p), so its change along the step is a times that of p."""
    model = Linear([[3.0], [0.0]])
    images = torch.tensor([0.5, 40.0]).reshape(2, 1, 1, 1)
    found = input_curvature(model, images, torch.tensor([0, 0]))
    step = -0.45  # against the gradient's own side: the loss of class 0 falls with x
    expected = 3 * (torch.sigmoid(torch.tensor(3 * 0.5)) - torch.sigmoid(torch.tensor(3 * (0.5 + step))))
    assert found[0].item() == pytest.approx(expected.item(), rel=1e-4)
    assert found[1].item() == pytest.approx(0, abs=1e-5)


def test_the_penalty_is_nothing_at_the_original_and_leaves_the_model_in_its_mode(task: UnlearningTask):
    forget = task.split.forget_train
    model = copy.deepcopy(task.original).train()
    model.body[0][1].eval()
    before = copy.deepcopy(model)
    penalty = kept_curvature(task.original, forget, 0.35)
    batch = torch.arange(3, 9)
    images = pixels(forget.images[batch])
    assert penalty(model, images, batch, None).item() == pytest.approx(0, abs=1e-6)
    assert [module.training for module in model.modules()] == [module.training for module in before.modules()]
    assert same_state(model, before), "running statistics follow the plain batches alone"
    with torch.no_grad():
        model.classifier.weight *= 2
    value = penalty(model, images, batch, None)
    change = input_curvature(model.eval(), images, forget.labels[batch]) - input_curvature(
        task.original, images, forget.labels[batch]
    )
    assert value.item() == pytest.approx(0.35 * change.norm().item() / 6, rel=1e-5)
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(value, model.classifier.weight))


def test_a_heavier_penalty_keeps_the_curvature_nearer_to_the_originals(task: UnlearningTask):
    forget = task.split.forget_train
    before = input_curvature(task.original, pixels(forget.images), forget.labels)
    changes = []
    for weight in (0.0, 2.0):
        model = run("boundary_shrink", task, lr=0.003, epochs=20, batchnorm="frozen", curvature=weight)
        changes.append((input_curvature(model, pixels(forget.images), forget.labels) - before).norm().item())
    assert changes[1] < changes[0]


# --- the register -------------------------------------------------------------------------------------------------


def test_the_methods_of_the_paper_are_registered_under_their_names():
    expected = {"retrain", "finetune", "negative_gradient", "random_labels", "boundary_shrink", "boundary_expanding"}
    assert expected | {"fisher", "amnesiac"} == set(OF_THE_PAPER)
    assert Config().methods == OF_THE_PAPER
    assert all(method.unlearn.__name__ == name for name, method in METHODS.items())


def test_every_setting_of_a_method_has_a_type_and_a_default():
    for method in METHODS.values():
        first, *settings = inspect.signature(method.unlearn, eval_str=True).parameters.values()
        assert first.name == "task"
        for setting in settings:
            assert setting.kind is inspect.Parameter.KEYWORD_ONLY
            assert setting.annotation is not inspect.Parameter.empty
            assert setting.default is not inspect.Parameter.empty


def test_each_method_has_a_title_and_a_colour_of_its_own():
    titles = [method.title for method in METHODS.values()]
    colours = [method.colour for method in METHODS.values()]
    assert len(set(titles)) == len(set(colours)) == len(METHODS)
    assert all(re.fullmatch("#[0-9A-F]{6}", colour) for colour in colours)
    through = {name for name, method in METHODS.items() if method.goes_through == "remain"}
    assert through == {"retrain", "finetune", "fisher", "amnesiac"}, "what they take grows with D_r, not with D_f"


def test_a_method_without_a_title_is_called_by_its_name():
    @register_method()
    def slight_doubt(task: UnlearningTask) -> Classifier:
        return task.original

    assert (slight_doubt.title, slight_doubt.goes_through) == ("Slight Doubt", "forget")
