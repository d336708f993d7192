"""The training loop: what it learns, what it leaves alone, and that nothing but its arguments decides the result."""

import copy
import dataclasses
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from bu_core import store, training
from bu_core.data import Dataset, LabelledImages, pixels
from bu_core.models import Classifier, build
from bu_core.results import Artefact
from bu_core.training import (
    Companions,
    CudaGraphs,
    Recipe,
    Step,
    _batches,
    _normalised_by,
    at_once,
    check_batches,
    diverged,
    estimate_statistics,
    fit,
    predict,
    resolve_device,
)
from tests.helpers import TOY_RECIPE, refusal, same_state, toy_images


def model_for(data: Dataset, seed: int = 0) -> Classifier:
    return build("allcnn", data.channels, len(data.classes), 0.1, seed)


def fitted(data: Dataset, start: Classifier | None = None, **changes) -> Classifier:
    known = ("batchnorm", "companions", "objective", "on_features", "checkpoint")
    options = {name: changes.pop(name) for name in known if name in changes}
    model = copy.deepcopy(start) if start else model_for(data)
    fit(model, data.train, dataclasses.replace(TOY_RECIPE, **changes), label="test", **options)
    return model


def buffers(model: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in model.body.named_buffers(prefix="body")}


@pytest.fixture(scope="module")
def trained(toy: Dataset) -> Classifier:
    return fitted(toy)


# --- learning -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_can_be_learned_is_learned(toy: Dataset, precision: str):
    model = fitted(toy, precision=precision)
    for data in (toy.train, toy.test):
        before = F.cross_entropy(predict(model_for(toy), data.images, "fp32"), data.labels)
        logits = predict(model, data.images, "fp32")
        assert F.cross_entropy(logits, data.labels) < before / 2
        assert (logits.argmax(1) == data.labels).float().mean() > 0.9
    assert {tensor.dtype for tensor in model.parameters()} == {torch.float32}
    assert not model.training


def test_bf16_is_not_fp32(toy: Dataset, trained: Classifier):
    assert not same_state(fitted(toy, precision="bf16"), trained)


def test_one_step_is_the_textbook_step():
    """w - lr * gradient, and in the second step lr * (momentum * first + second gradient), on a linear model."""
    data = LabelledImages(torch.tensor([[[[255, 51]]], [[[0, 102]]]], dtype=torch.uint8), torch.tensor([0, 1]))
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    weight = model[1].weight.detach().clone().double()
    x, onehot = torch.tensor([[1.0, 0.2], [0.0, 0.4]]).double(), torch.eye(2).double()
    velocity = torch.zeros(2, 2).double()
    for _ in range(2):
        gradient = ((x @ weight.T).softmax(1) - onehot).T @ x / 2
        velocity = 0.9 * velocity + gradient
        weight -= 0.5 * velocity
    fit(model, data, Recipe(2, 0.5, 0.9, 2, "fp32", 0), label="test")
    torch.testing.assert_close(model[1].weight.detach().double(), weight, rtol=1e-5, atol=1e-6)


def test_every_epoch_shows_each_sample_once_in_a_new_order():
    count = 20
    images = torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8)
    data = LabelledImages(images, torch.arange(count))
    seen = []

    def objective(logits: Tensor, labels: Tensor) -> Tensor:
        seen.append(labels.tolist())
        return F.cross_entropy(logits, labels)

    model = nn.Sequential(nn.Flatten(), nn.Linear(16, count))
    fit(model, data, Recipe(3, 0.1, 0.9, 8, "fp32", 0), label="test", objective=objective)
    assert [len(batch) for batch in seen] == [8, 8, 4] * 3
    epochs = [sum(seen[start : start + 3], []) for start in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_no_epoch_changes_nothing(toy: Dataset, trained: Classifier):
    assert same_state(fitted(toy, trained, epochs=0), trained)


# --- the same seed ------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights(toy: Dataset, trained: Classifier):
    torch.manual_seed(12345)  # what else was drawn in this process has no part in it
    assert same_state(fitted(toy), trained)


def test_another_seed_gives_another_order(toy: Dataset, trained: Classifier):
    assert not same_state(fitted(toy, seed=1), trained)


def test_no_other_random_draw_is_disturbed(toy: Dataset):
    before = torch.get_rng_state()
    fitted(toy, epochs=1)
    assert torch.equal(torch.get_rng_state(), before)


class Interrupted(Exception):
    pass


class FileCheckpoint:
    """Keeps the state in a file, as the experiment does, and breaks off after some saves."""

    def __init__(self, path: Path, saves: int | None = None):
        self.path, self.saves = path, saves

    def load(self, label: str) -> dict[str, Tensor] | None:
        return store.read(self.path, {}).tensors if self.path.exists() else None

    def save(self, label: str, state: dict[str, Tensor]) -> None:
        store.write(self.path, {}, Artefact(state, {}))
        if self.saves is not None:
            self.saves -= 1
            if self.saves == 0:
                raise Interrupted


@pytest.mark.parametrize("momentum", [0.9, 0.0])
@pytest.mark.parametrize("epochs_before", [1, 3])
def test_an_interrupted_fit_goes_on_to_the_same_weights(toy: Dataset, tmp_path: Path, epochs_before: int, momentum):
    whole = fitted(toy, momentum=momentum)
    with pytest.raises(Interrupted):
        fitted(toy, momentum=momentum, checkpoint=FileCheckpoint(tmp_path / "partial", saves=epochs_before))
    steps = []

    def objective(logits: Tensor, labels: Tensor) -> Tensor:
        steps.append(len(labels))
        return F.cross_entropy(logits, labels)

    resumed = fitted(toy, momentum=momentum, checkpoint=FileCheckpoint(tmp_path / "partial"), objective=objective)
    assert same_state(resumed, whole)
    assert sum(steps) == (TOY_RECIPE.epochs - epochs_before) * len(toy.train)


# --- BatchNorm ----------------------------------------------------------------------------------------------------


def test_frozen_statistics_stay_and_weights_move(toy: Dataset, trained: Classifier):
    model = fitted(toy, trained, epochs=1, batchnorm="frozen")
    assert all(torch.equal(buffer, buffers(trained)[name]) for name, buffer in model.body.named_buffers(prefix="body"))
    norm, before = model.body[0][1], trained.body[0][1]
    assert not torch.equal(norm.weight, before.weight), "scale and shift are weights like any other"
    assert not torch.equal(model.body[0][0].weight, trained.body[0][0].weight)


def test_at_rate_0_statistics_move_alone(toy: Dataset, trained: Classifier):
    model = fitted(toy, trained, lr=0.0, epochs=1)
    weights = dict(trained.named_parameters())
    assert all(torch.equal(parameter, weights[name]) for name, parameter in model.named_parameters())
    moved = [
        name
        for name, buffer in model.body.named_buffers(prefix="body")
        if not torch.equal(buffer, buffers(trained)[name])
    ]
    assert len(moved) == len(buffers(trained))


def test_at_rate_0_with_frozen_statistics_nothing_moves(toy: Dataset, trained: Classifier):
    assert same_state(fitted(toy, trained, lr=0.0, batchnorm="frozen"), trained)


@pytest.mark.parametrize(("count", "batch_size", "works"), [(9, 8, 9), (9, 4, 5), (2, 1, 2), (3, 1, 3), (1, 64, None)])
def test_a_batch_that_batchnorm_cannot_use_is_refused(count: int, batch_size: int, works: int | None):
    """At 4x4 pixels, the last layers of All-CNN see one."""
    data, model = toy_images(1, count, 0, size=4), build("allcnn", 3, 4, 0.1, 0)
    before, recipe = copy.deepcopy(model), dataclasses.replace(TOY_RECIPE, batch_size=batch_size)
    message = refusal(fit, model, data, recipe, label="test")
    assert message.startswith(f"batch_size={batch_size}: leaves a batch of 1 of {count} images")
    assert same_state(model, before)
    if works:
        assert f"; {works} would work" in message
        fit(model, data, dataclasses.replace(recipe, batch_size=works), label="test")
    fit(model, data, recipe, label="test", batchnorm="frozen")
    fit(build("allcnn_groupnorm", 3, 4, 0.1, 0), data, recipe, label="test")


def test_a_batch_of_one_is_fine_where_it_has_pixels(toy: Dataset):
    check_batches(model_for(toy), toy.train.images, 1)
    fitted(toy, epochs=1, batch_size=len(toy.train) - 1)


# --- companions ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def companions(toy: Dataset, trained: Classifier) -> Companions:
    """20 images, of which 8 go beside a batch; half the test images of the toy data, with the model's answers."""
    images = toy.test.images[::2]
    return Companions(images, predict(trained, images, "fp32").softmax(1), 1.0, 8)


def test_companions_come_in_batches_of_one_size_and_each_before_any_comes_again(companions: Companions):
    batches = torch.stack(list(companions.batches(0, 10)))
    assert batches.shape == (10, 8)
    assert all(sorted(batches.flatten()[at : at + 20].tolist()) == list(range(20)) for at in (0, 20, 40, 60))
    assert torch.equal(torch.stack(list(companions.batches(0, 5))), batches[:5])
    assert not torch.equal(torch.stack(list(companions.batches(1, 10))), batches)
    few = dataclasses.replace(companions, batch_size=64)
    assert [len(batch) for batch in few.batches(0, 3)] == [20] * 3


def test_statistics_of_companions_normalise_every_row_and_let_gradients_through():
    """Against the textbook, in float64: y = (x - mean) / sqrt(variance + eps), with moments of the first rows."""
    layer = nn.BatchNorm2d(3).double().train()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 2.0, -1.0]))
        layer.bias.copy_(torch.tensor([0.0, 0.5, 1.0]))
    inputs = torch.randn(7, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3 + 1
    before = copy.deepcopy(layer)
    given, expected_given = (inputs.clone().requires_grad_() for _ in range(2))
    images = torch.empty(4, 3, 4, 4, dtype=torch.uint8)
    with _normalised_by(nn.Sequential(layer), Companions(images, torch.empty(0), 0.0, 8)):
        found = layer(given)
    mean = expected_given[:4].mean((0, 2, 3), keepdim=True)
    deviation = ((expected_given[:4] - mean).square().mean((0, 2, 3), keepdim=True) + layer.eps).sqrt()
    scale, shift = (each.view(1, 3, 1, 1) for each in (layer.weight, layer.bias))
    expected = (expected_given - mean) / deviation * scale + shift
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    for result in (found, expected):
        (result[4:].square() * torch.arange(1, 17).view(4, 4)).sum().backward()
    assert given.grad is not None
    torch.testing.assert_close(given.grad, expected_given.grad, rtol=1e-4, atol=1e-4)
    assert given.grad[:4].abs().max() > 0, "companions are moved by what they do to the others"
    assert all(torch.equal(now, then) for now, then in zip(layer.buffers(), before.buffers(), strict=True))
    plain = copy.deepcopy(layer)
    torch.testing.assert_close(layer(inputs[:4]), found[:4].detach(), rtol=1e-5, atol=1e-5)
    assert torch.equal(plain.eval()(inputs), nn.functional.batch_norm(
        inputs, plain.running_mean, plain.running_var, plain.weight, plain.bias, eps=plain.eps
    ))  # fmt: skip


def test_running_statistics_wait_for_the_end_and_are_then_those_of_all_companions(
    toy: Dataset, trained: Classifier, companions: Companions
):
    seen: list[dict[str, Tensor]] = []
    model = copy.deepcopy(trained)

    def objective(logits: Tensor, labels: Tensor) -> Tensor:
        assert len(logits) == len(labels) == 16
        seen.append(buffers(model))
        return F.cross_entropy(logits, labels)

    options = {"batchnorm": "remaining", "companions": companions, "objective": objective}
    fit(model, toy.train, TOY_RECIPE, label="test", **options)
    before = buffers(trained)
    assert all(torch.equal(then[name], before[name]) for then in seen for name in before)
    again = copy.deepcopy(model)
    estimate_statistics(again, companions.images, "fp32")
    assert same_state(again, model)
    assert not same_state(fitted(toy, trained, batchnorm="frozen"), model)


@pytest.mark.parametrize("batchnorm", ["train", "frozen", "remaining"])
def test_companions_are_held_to_their_targets(toy: Dataset, trained: Classifier, companions: Companions, batchnorm):
    """The data teach each image the next class; how much of the companions' answers is left follows the weight."""
    data = Dataset(**vars(toy) | {"train": LabelledImages(toy.train.images, (toy.train.labels + 1) % 4)})
    kept = []
    for weight in (0.0, 1.0, 5.0):
        beside = dataclasses.replace(companions, weight=weight)
        model = fitted(data, trained, lr=0.003, batchnorm=batchnorm, companions=beside)
        kept.append(-F.cross_entropy(predict(model, companions.images, "fp32"), companions.targets).item())
    assert kept == sorted(kept)


def test_without_weight_and_with_statistics_frozen_companions_change_nothing(
    toy: Dataset, trained: Classifier, companions: Companions
):
    beside = dataclasses.replace(companions, weight=0.0)
    one, other = (fitted(toy, trained, epochs=1, batchnorm="frozen", companions=each) for each in (beside, None))
    for name, tensor in other.state_dict().items():
        torch.testing.assert_close(one.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)


def test_a_fit_with_companions_goes_on_where_it_was(
    toy: Dataset, trained: Classifier, companions: Companions, tmp_path: Path
):
    options = {"batchnorm": "remaining", "companions": companions}
    whole = fitted(toy, trained, **options)
    with pytest.raises(Interrupted):
        fitted(toy, trained, checkpoint=FileCheckpoint(tmp_path / "partial", saves=2), **options)
    assert same_state(fitted(toy, trained, checkpoint=FileCheckpoint(tmp_path / "partial"), **options), whole)
    assert not same_state(fitted(toy, trained, seed=1, **options), whole)


# --- divergence ---------------------------------------------------------------------------------------------------


def test_a_diverged_fit_takes_no_further_step(toy: Dataset, tmp_path: Path):
    steps, epochs = [], []

    def objective(logits: Tensor, labels: Tensor) -> Tensor:
        steps.append(len(labels))
        return F.cross_entropy(logits, labels)

    def around(epoch: int, labels: Tensor) -> None:
        epochs.append(epoch)

    model = model_for(toy)
    assert not diverged(model)
    recipe = dataclasses.replace(TOY_RECIPE, lr=1e30)
    fit(model, toy.train, recipe, label="test", objective=objective, around_step=around)
    assert diverged(model)
    assert not model.training
    assert sum(steps) == len(toy.train), "one epoch of four"
    assert epochs == [0] * 5 + [1, 2, 3], "who looks at a fit sees all of its epochs"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["classifier.bias", "body.0.1.running_mean"])
def test_one_number_that_is_not_finite_is_divergence(toy: Dataset, name: str, value: float):
    model = model_for(toy)
    model.state_dict()[name][0] = 1e38
    assert not diverged(model)
    model.state_dict()[name][0] = value
    assert diverged(model)


# --- prediction ---------------------------------------------------------------------------------------------------


def test_prediction_is_a_plain_forward_pass(toy: Dataset, trained: Classifier):
    model = copy.deepcopy(trained).train()
    with torch.no_grad():
        expected = trained(pixels(toy.test.images))
    found = predict(model, toy.test.images, "fp32")
    assert torch.equal(found, expected)
    assert found.dtype == torch.float32
    assert same_state(model, trained), "prediction leaves the running statistics"


@pytest.mark.parametrize("batch_size", [1, 7, 40])
def test_the_batch_size_of_prediction_does_not_matter(toy: Dataset, trained: Classifier, batch_size: int):
    whole = predict(trained, toy.test.images, "fp32")
    parts = predict(trained, toy.test.images, "fp32", batch_size)
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)


def test_on_a_cpu_fewer_images_are_read_at_once_where_the_outputs_stay_the_same():
    assert [at_once(torch.empty(0, 3, size, size)) for size in (8, 32, 64)] == [500, 64, 500]
    assert at_once(torch.empty(0, 3, 32, 32, device="meta")) == 500


def test_prediction_in_bf16_is_near(toy: Dataset, trained: Classifier):
    exact, rounded = (predict(trained, toy.test.images, precision) for precision in ("fp32", "bf16"))
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    assert (rounded - exact).abs().max() < 0.1 * exact.abs().max()


# --- device and precision -----------------------------------------------------------------------------------------


def test_cuda_without_a_device_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = refusal(resolve_device, "cuda")
    assert message.startswith("device='cuda': ")
    assert "allowed: auto, cpu" in message
    assert resolve_device("auto") == resolve_device("cpu") == torch.device("cpu")


def test_a_device_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == resolve_device("cuda") == torch.device("cuda")
    assert resolve_device("cpu") == torch.device("cpu")


# --- a step, captured on a GPU --------------------------------------------------------------------------------------


def test_a_step_asks_for_its_context_with_labels_on_the_cpu_and_does_without(toy: Dataset, trained: Classifier):
    asked, inside = [], []

    @contextmanager
    def context() -> Iterator[None]:
        inside.append(True)
        yield

    def around(epoch: int, labels: Tensor) -> AbstractContextManager[None] | None:
        asked.append((epoch, len(labels), labels.device.type))
        return context() if len(asked) % 2 else None

    model = model_for(toy)
    fit(model, toy.train, TOY_RECIPE, label="test", around_step=around)
    assert asked == [(epoch, 16, "cpu") for epoch in range(4) for _ in range(5)]
    assert len(inside) == 10
    assert same_state(model, trained)


class Replays:
    """A `Capture` for a device that has none: it computes nothing when it captures, and all of it at each replay."""

    def __init__(self) -> None:
        self.warmed, self.caught, self.replayed = 0, 0, 0

    def warm_up(self, work: Callable[[], None]) -> None:
        self.warmed += 1
        work()

    def captured(self, work: Callable[[], None]) -> Callable[[], None]:
        self.caught += 1

        def replay() -> None:
            self.replayed += 1
            work()

        return replay


def with_all(companions: Companions) -> dict[str, Any]:
    """All that may come into a captured step: companions, their normalisation, and a loss of the features."""
    return {
        "batchnorm": "remaining",
        "companions": companions,
        "on_features": lambda found, beside: found.last.square().mean(),
    }


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize(
    ("batch_size", "warmed", "replayed"),
    [(16, 3, 17), (12, 3, 21), (80, 3, 1), (128, 0, 0)],  # in 4 epochs of 80 images: 5, 6, 1 and no full batches each
)
def test_a_step_is_captured_once_and_replayed_for_every_full_batch(
    toy: Dataset, companions: Companions, monkeypatch, batch_size: int, warmed: int, replayed: int, beside: bool
):
    options: dict[str, Any] = {"batch_size": batch_size} | (with_all(companions) if beside else {})
    plain, made = fitted(toy, **options), Replays()
    monkeypatch.setattr(training, "capture_on", lambda device: made)
    assert same_state(fitted(toy, **options), plain), "the numbers of batch and companions are copied in"
    assert (made.warmed, made.caught, made.replayed) == (warmed, bool(replayed), replayed)


@pytest.mark.parametrize("options", [{"penalty": lambda model, *_: model.classifier.bias.sum()}, {"replayed": False}])
def test_a_fit_that_looks_at_its_batch_from_outside_or_remembers_earlier_ones_is_not_captured(
    toy: Dataset, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
):
    monkeypatch.setattr(training, "capture_on", lambda device: made)
    made = Replays()
    fit(model_for(toy), toy.train, TOY_RECIPE, label="test", **options)
    assert (made.warmed, made.caught) == (0, False)


class Graph:
    """A CUDA graph as torch has it: to replay one while another is captured is an error."""

    capturing = False

    def replay(self) -> None:
        if self.capturing:
            raise RuntimeError("Cannot prepare for replay during capturing stage")


class Stream:
    """A CUDA stream as torch hands it out: one of 32 of its priority, in turn."""

    handed_out: Counter[int] = Counter()

    def __init__(self, priority: int = 0):
        self.cuda_stream = (priority, self.handed_out[priority] % 32)
        self.handed_out[priority] += 1


def test_a_step_is_captured_on_none_of_the_streams_that_other_threads_work_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    threads = {torch.cuda.Stream().cuda_stream for _ in range(100)}
    assert len(threads) == 32
    assert not threads & {CudaGraphs()._stream.cuda_stream for _ in range(100)}


def test_no_step_is_replayed_while_another_thread_captures_one(monkeypatch: pytest.MonkeyPatch):
    inside, go_on = threading.Event(), threading.Event()

    @contextmanager
    def graph(*_: Any, **__: Any) -> Iterator[None]:
        Graph.capturing = True
        yield
        Graph.capturing = False

    def slow() -> None:
        inside.set()
        go_on.wait(10)

    for name, stub in {"Stream": Stream, "CUDAGraph": Graph, "graph": graph}.items():
        monkeypatch.setattr(torch.cuda, name, stub)
    replay = CudaGraphs().captured(lambda: None)
    with ThreadPoolExecutor(2) as threads:
        capture = threads.submit(CudaGraphs().captured, slow)
        assert inside.wait(10)
        replayed = threads.submit(replay)
        assert not wait([replayed], timeout=0.1).done, "it has to wait for the capture"
        go_on.set()
        assert replayed.result(10) is None
        assert capture.result(10)


class Asked(TorchDispatchMode):
    """The operations that are asked of the device, in their order, with the devices of the tensors that they make."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.devices: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        self.names.append(str(func))
        made = found if isinstance(found, (tuple, list)) else (found,)
        self.devices |= {each.device.type for each in made if isinstance(each, Tensor)}
        return found


# Each waits for the device, or makes a tensor whose size its content decides: a graph holds neither.
NOT_CAPTURED = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero", "equal.default")


@pytest.mark.parametrize("beside", [False, True])
def test_a_step_waits_for_nothing_and_asks_for_the_same_whatever_its_batch(
    toy: Dataset, companions: Companions, beside: bool
):
    """So that a graph can hold it. Once warm: the first step makes the optimiser's buffers."""
    model, asked = model_for(toy).train(), []
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True)
    more = (None, companions, with_all(companions)["on_features"]) if beside else ()
    step = Step(model, optimiser, toy.train, TOY_RECIPE, F.cross_entropy, *more)
    with _normalised_by(model, companions) if beside else nullcontext():
        for start in (0, 16, 32):
            with Asked() as seen:
                step.plain(torch.arange(start, start + 16), torch.arange(start // 4, start // 4 + 8))
            asked.append(seen.names)
    assert asked[1] == asked[2]
    assert not [name for name in asked[2] if any(each in name for each in NOT_CAPTURED)]


@pytest.mark.parametrize("beside", [False, True])
def test_a_step_makes_every_tensor_on_the_device_of_the_data(
    toy: Dataset, companions: Companions, monkeypatch: pytest.MonkeyPatch, beside: bool
):
    """On the device `meta`, which knows shapes alone, and refuses to join a tensor with one on another device."""
    monkeypatch.setattr(training, "autocast", lambda device, precision: nullcontext())  # it does not know `meta`
    there = {name: getattr(companions, name).to("meta") for name in ("images", "targets")}
    company, data = dataclasses.replace(companions, **there), toy.train.to(torch.device("meta"))
    model = model_for(toy).to("meta").train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    more = (None, company, with_all(company)["on_features"]) if beside else ()
    step = Step(model, optimiser, data, TOY_RECIPE, F.cross_entropy, *more)
    batch, _ = next(_batches(data, TOY_RECIPE, 0))
    numbers = next(company.batches(0, 5)) if beside else None
    with Asked() as seen, _normalised_by(model, company) if beside else nullcontext():
        step(batch, numbers)
    assert seen.devices == {"meta"}
    assert {each.dtype for each in model.parameters()} == {torch.float32}
    assert {batch.dtype, batch.device.type} == {torch.int64, "meta"}
    assert predict(model, data.images, "fp32").shape == (80, 4)
    assert predict(model, data.images, "fp32").device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="a step is captured on a GPU alone")
@pytest.mark.parametrize("batchnorm", ["train", "frozen", "remaining"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("batch_size", [16, 12])  # 12: the last batch of an epoch is smaller, and runs as a plain step
def test_a_captured_fit_is_the_plain_fit(
    toy: Dataset, companions: Companions, monkeypatch, batch_size: int, precision: str, batchnorm: str
):
    device = torch.device("cuda")
    recipe = dataclasses.replace(TOY_RECIPE, batch_size=batch_size, precision=precision)
    captured, plain = (model_for(toy).to(device) for _ in range(2))
    options: dict[str, Any] = {"batchnorm": batchnorm}
    if batchnorm == "remaining":
        there = {"images": companions.images.to(device), "targets": companions.targets.to(device)}
        options |= with_all(dataclasses.replace(companions, **there))
    fit(captured, toy.train.to(device), recipe, label="captured", **options)
    monkeypatch.setattr(Step, "__call__", Step.plain)
    fit(plain, toy.train.to(device), recipe, label="plain", **options)
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(captured.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)
