"""The one training loop, which fits the original and every model that an unlearning method fine-tunes; prediction.

Images stay on the device as uint8; a step indexes them with a permutation and turns its batch into floats. Weights
are float32 throughout; with precision `bf16` the products of the forward and backward pass run in bfloat16. On a GPU a
step is captured once and replayed (`Step`).
"""

import copy
import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn
from tqdm import tqdm

from .checks import AnyBatchNorm, SettingError
from .data import LabelledImages, pixels
from .models import Classifier, Features, batchnorms, build
from .precision import Precision, Workload, faster

# cuDNN's fastest algorithms add in an order that changes from run to run; the same seed shall give the same numbers.
torch.backends.cudnn.deterministic = True

# Held while a step is captured, while a captured one is handed to a device, and while a device is waited for: none of
# the other two may happen during a capture, and the fits of several models may share a GPU, each in a thread with a
# stream of its own.
_CAPTURE = threading.Lock()

# Raised by one whenever a change to models, training or a method alters what comes out of the same settings, so that
# nothing made before it is taken from a store. A changed default does as well: keys leave out what is at its default.
NUMERICS = 1


@dataclass(frozen=True)
class Recipe:
    """How a model is fitted: stochastic gradient descent with momentum at a fixed learning rate.

    The paper's setting (section 5.1) is 30 epochs, lr 0.1, momentum 0.9, batches of 64. No augmentation, no weight
    decay: the paper names none. `seed` decides the order of the samples.
    """

    epochs: int
    lr: float
    momentum: float
    batch_size: int
    precision: Precision
    seed: int


class Checkpoint(Protocol):
    """Where a long fit keeps its state after an epoch, so that an interrupted one goes on where it was.

    `label` tells apart the fits of a method that makes several.
    """

    def load(self, label: str) -> dict[str, Tensor] | None: ...

    def save(self, label: str, state: dict[str, Tensor]) -> None: ...


@dataclass(frozen=True)
class Companions:
    """Unlabelled images that go through the model beside each batch of a fit.

    images: uint8, (M, C, H, W), on the device of the data. targets: what the model shall say of them, probabilities,
    float32, (M, K); their cross-entropy is added to the loss, `weight` times. batch_size: how many of them go beside a
    batch; all of them where there are fewer.
    """

    images: Tensor
    targets: Tensor
    weight: float
    batch_size: int

    def batches(self, seed: int, count: int) -> Iterator[Tensor]:
        """The numbers of the images of so many batches, all of one size, int64, on the device; drawn on the CPU."""
        size, total = min(self.batch_size, len(self.images)), len(self.images)
        generator = torch.Generator().manual_seed(seed)
        rounds = range(math.ceil(count * size / total))
        order = torch.cat([torch.randperm(total, generator=generator) for _ in rounds])
        return iter(order[: count * size].to(self.images.device).split(size))


Objective = Callable[[Tensor, Tensor], Tensor]
Penalty = Callable[[nn.Module, Tensor, Tensor, Tensor | None], Tensor]
OnFeatures = Callable[[Features, Features], Tensor]
OnGradients = Callable[[nn.Module], None]
AroundStep = Callable[[int, Tensor], AbstractContextManager[None] | None]


def fit(
    model: nn.Module,
    data: LabelledImages,
    recipe: Recipe,
    *,
    label: str,
    batchnorm: AnyBatchNorm = "train",
    companions: Companions | None = None,
    objective: Objective = F.cross_entropy,
    penalty: Penalty | None = None,
    on_features: OnFeatures | None = None,
    replayed: bool = True,
    on_gradients: Sequence[OnGradients] = (),
    around_step: AroundStep | None = None,
    checkpoint: Checkpoint | None = None,
) -> None:
    """Fit `model` to `data`, in place, by minimising `objective(logits, labels)`; leave it in evaluation mode.

    `batchnorm="frozen"` normalises with the running statistics that the model came with and leaves them alone; its
    scale and shift are weights, and are trained like the others. `companions`, where given, go through the model in
    front of each batch. `batchnorm="remaining"` normalises every image with the statistics of the companions beside it
    alone (virtual batch normalisation, Salimans et al. 2016); running statistics stay until the last step is done, and
    are then estimated anew on all companions.

    `label` names the fit: its checkpoint, and its progress bar, which shows on a terminal alone. The same seed gives
    the same weights on the same machine, interrupted or not. `penalty(model, images, indices, beside)` is added to the
    loss of each batch, where given; `beside` holds the numbers of its companions, None without any. So is
    `on_features(features, beside)`, with the `Features` of the batch and of its companions, float32, which a Classifier
    alone has; where it remembers earlier batches, no step is to be `replayed`. Each of
    `on_gradients` may change the gradients of a batch in place before the weights follow them. `around_step(epoch,
    labels)` gives a context for a step to run in, or None where it needs none; epochs are counted from 0, and the
    labels of the batch are on the CPU, so that to look at them does not wait for a GPU.

    A model that has `diverged` takes no further step: nothing brings it back. Its epochs are counted to the end, and
    `around_step` is asked once in each, about no label. Raises SettingError, as `check_batches` does.
    """
    if batchnorm == "train" and companions is None:
        check_batches(model, data.images, recipe.batch_size)
    model.train()
    if batchnorm == "frozen":
        for layer in batchnorms(model):
            layer.eval()
    optimiser = torch.optim.SGD(model.parameters(), lr=recipe.lr, momentum=recipe.momentum, fused=True)
    step = Step(model, optimiser, data, recipe, objective, penalty, companions, on_features, on_gradients, replayed)
    labels = data.labels.cpu()
    done = _restore(checkpoint.load(label), model, optimiser) if checkpoint else 0
    bar = tqdm(total=recipe.epochs, initial=done, desc=label, unit="epoch", disable=None, leave=False)
    normalising = companions if batchnorm == "remaining" else None
    with bar, _normalised_by(model, normalising) if normalising else nullcontext():
        for epoch in range(done, recipe.epochs):
            lost = diverged(model)
            if lost and around_step:
                around_step(epoch, labels[:0])
            seed, count = recipe.seed * 1_000_003 + 500_000 + epoch, math.ceil(len(data) / recipe.batch_size)
            # Half a million epochs away from what `_batches` draws with.
            beside: Iterator[Tensor | None] = companions.batches(seed, count) if companions else itertools.repeat(None)
            for batch, here in () if lost else _batches(data, recipe, epoch):
                around = around_step(epoch, labels[here]) if around_step else None
                if around is None:
                    step(batch, next(beside))
                else:
                    with around:
                        step.plain(batch, next(beside))
            bar.update()
            if checkpoint and epoch + 1 < recipe.epochs:
                checkpoint.save(label, _state(model, optimiser, epoch + 1))
    if normalising:
        estimate_statistics(model, normalising.images, recipe.precision)
    model.eval()


@contextmanager
def _normalised_by(model: nn.Module, companions: Companions) -> Iterator[None]:
    """Inside, BatchNorm in training mode normalises by the companions, which lead each batch, and keeps no account."""
    layers, count = batchnorms(model), min(companions.batch_size, len(companions.images))
    for layer in layers:
        layer.__dict__["forward"] = partial(_virtual, layer, count)
    try:
        yield
    finally:
        for layer in layers:
            del layer.__dict__["forward"]


def _virtual(layer: _BatchNorm, count: int, inputs: Tensor) -> Tensor:
    """What `layer` makes of `inputs`, (B, C, ...), by mean and variance of the first `count`; differentiable."""
    if not layer.training:
        return type(layer).forward(layer, inputs)
    axes = [axis for axis in range(inputs.dim()) if axis != 1]
    variance, mean = torch.var_mean(inputs[:count].float(), axes, correction=0)
    scale = layer.weight * (variance + layer.eps).rsqrt()
    scale, shift = (each.view(-1, *[1] * (inputs.dim() - 2)) for each in (scale, layer.bias - mean * scale))
    return torch.addcmul(shift, inputs, scale).to(inputs.dtype)


@torch.no_grad()
def estimate_statistics(model: nn.Module, images: Tensor, precision: Precision, batch_size: int = 500) -> None:
    """Give BatchNorm the statistics of `images`, uint8, (N, C, H, W), in place; leave the model in evaluation mode.

    One pass in training mode; mean and variance are averaged over the batches, and nothing of the old ones stays.
    """
    batches = images.tensor_split(max(1, round(len(images) / batch_size)))  # of one size, or nearly
    with autocast(images.device, precision):
        update_bn(map(pixels, batches), model)
    model.eval()


def stepwise(model: nn.Module, data: LabelledImages, recipe: Recipe) -> Iterator[int]:
    """Fit `model` in place as `fit` does, and after each step say how many were taken, from 0 on, without end.

    For whoever looks at the model on the way, which is then in evaluation mode, and stops when that is enough. Every
    batch is full: the images that an epoch leaves over are not used, and `recipe.epochs` does not count.
    """
    optimiser = torch.optim.SGD(model.parameters(), lr=recipe.lr, momentum=recipe.momentum, fused=True)
    step, full = Step(model, optimiser, data, recipe, F.cross_entropy, None), min(recipe.batch_size, len(data))
    epochs = (_batches(data, recipe, epoch) for epoch in itertools.count())
    batches = (batch for epoch in epochs for batch, _ in epoch if len(batch) == full)
    for taken, batch in enumerate(batches):
        model.eval()
        yield taken
        model.train()
        step(batch)


def diverged(model: nn.Module) -> bool:
    """Whether a weight or a buffer of `model`, such as a running statistic, is not finite."""
    found = [tensor.detach() for tensor in (*model.parameters(), *model.buffers()) if tensor.is_floating_point()]
    return not nn.utils.get_total_norm(found, math.inf).isfinite()


def check_batches(model: nn.Module, images: Tensor, batch_size: int) -> None:
    """Raise SettingError where a batch of the uint8 `images` would hold one image, and BatchNorm see one pixel of it.

    Such a layer has a single value for each channel, and no variance to divide by.
    """
    count = len(images)
    if batch_size != 1 and count % batch_size != 1:
        return
    try:
        with torch.no_grad():
            copy.deepcopy(model).train()(pixels(images[:1]))
    except ValueError as error:
        wrong = f"batch_size={batch_size}: leaves a batch of 1 of {count} images, of which BatchNorm sees one pixel"
        if count == 1:
            raise SettingError(f"{wrong}; allowed: 2 images or more") from error
        better = next(size for size in itertools.count(batch_size + 1) if count % size != 1)
        raise SettingError(f"{wrong}; {better} would work") from error


class Capture(Protocol):
    """How a device does some work again without being asked for every part of it."""

    def warm_up(self, work: Callable[[], None]) -> None:
        """Do the work, in the way in which it will be captured."""

    def captured(self, work: Callable[[], None]) -> Callable[[], None]:
        """Write down what the work asks of the device; nothing is computed before the answer is called."""


class CudaGraphs:
    """A `Capture` by CUDA graphs, on a stream of its own, since the default stream cannot be captured.

    torch hands out 32 streams of a priority in turn. One of high priority is none of those on which other threads work:
    what such a thread asks of a stream under capture is written down and not computed, and its copies fail.
    """

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream(priority=-1)

    def warm_up(self, work: Callable[[], None]) -> None:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            work()
        torch.cuda.current_stream().wait_stream(self._stream)

    def captured(self, work: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        with _CAPTURE, torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            work()

        def replay() -> None:
            with _CAPTURE:
                graph.replay()

        return replay


def capture_on(device: torch.device) -> Capture | None:
    """How this device captures work; None where it does not, since Python asks a CPU for work soon enough."""
    return CudaGraphs() if device.type == "cuda" else None


class Step:
    """One step of gradient descent: `step(batch)`, with the numbers of the batch's images, int64, on their device.

    With `companions` it is `step(batch, beside)`, with the numbers of those that go beside the batch.

    A GPU computes a batch of 64 small images sooner than Python can ask for it, some two hundred kernels one by one. So
    there the step is captured as a CUDA graph once, after WARM_UP plain steps, and replayed for every batch of the full
    size: two calls instead of two hundred. It is the same arithmetic on the same tensors, so plain steps (`plain`, the
    last batch of an epoch) may come between replays. A fit with a `penalty`, or that is not to be `replayed`, has plain
    steps alone.
    """

    WARM_UP = 3  # plain steps before the capture: libraries choose their kernels, the optimiser makes its buffers

    def __init__(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        data: LabelledImages,
        recipe: Recipe,
        objective: Objective,
        penalty: Penalty | None = None,
        companions: Companions | None = None,
        on_features: OnFeatures | None = None,
        on_gradients: Sequence[OnGradients] = (),
        replayed: bool = True,
    ):
        self._model, self._optimiser, self._data, self._recipe = model, optimiser, data, recipe
        self._objective, self._penalty, self._companions = objective, penalty, companions
        self._on_features, self._on_gradients = on_features, on_gradients
        self._replay: Callable[[], None] | None = None
        self._to_warm_up = self.WARM_UP
        self._capture = capture_on(data.images.device) if replayed and not penalty else None
        if self._capture:
            self._batch = torch.empty(recipe.batch_size, dtype=torch.int64, device=data.images.device)
            count = min(companions.batch_size, len(companions.images)) if companions else 0
            self._beside = self._batch.new_empty(count)

    def __call__(self, batch: Tensor, beside: Tensor | None = None) -> None:
        if not self._capture or len(batch) != self._recipe.batch_size:
            self.plain(batch, beside)
        elif self._to_warm_up:
            self._to_warm_up -= 1
            self._capture.warm_up(lambda: self.plain(batch, beside))
        else:
            if self._replay is None:
                # Without gradients, the captured backward pass makes some of its own, in the graph's memory.
                self._optimiser.zero_grad()
                self._replay = self._capture.captured(lambda: self.plain(self._batch, self._beside))
            self._batch.copy_(batch)
            if beside is not None:
                self._beside.copy_(beside)
            self._replay()

    def plain(self, batch: Tensor, beside: Tensor | None = None) -> None:
        images, labels, features = pixels(self._data.images[batch]), self._data.labels[batch], None
        companions, own = self._companions, images
        if companions is not None:
            images = torch.cat([pixels(companions.images[beside]), images])
        with autocast(images.device, self._recipe.precision):
            if self._on_features:
                assert isinstance(self._model, Classifier)
                features = self._model.features_of_two(images)
                logits = self._model.classifier(features.last)
            else:
                logits = self._model(images)
        logits = logits.float()
        loss = self._objective(logits[-len(batch) :], labels)
        if companions is not None and companions.weight:
            kept = F.cross_entropy(logits[: -len(batch)], companions.targets[beside])
            loss = loss + companions.weight * kept
        if self._on_features and features is not None:
            own_features = Features(*(found[-len(batch) :].float() for found in features))
            loss = loss + self._on_features(
                own_features, Features(*(found[: -len(batch)].float() for found in features))
            )
        if self._penalty:
            loss = loss + self._penalty(self._model, own, batch, beside)
        self._optimiser.zero_grad()
        loss.backward()
        for change in self._on_gradients:
            change(self._model)
        self._optimiser.step()


def _batches(data: LabelledImages, recipe: Recipe, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The numbers of the samples of each batch, int64: on the device of `data`, and the same on the CPU."""
    # A generator of its own for each epoch, so that a resumed fit draws what an uninterrupted one would have drawn.
    # The permutation is drawn on the CPU: the order is then the same on every device.
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + epoch)
    order = torch.randperm(len(data), generator=generator)
    there = order.to(data.images.device)
    return zip(there.split(recipe.batch_size), order.split(recipe.batch_size), strict=True)


def _state(model: nn.Module, optimiser: torch.optim.Optimizer, epochs_done: int) -> dict[str, Tensor]:
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, parameter in enumerate(model.parameters()):
        if (buffer := optimiser.state[parameter].get("momentum_buffer")) is not None:  # there is none at momentum 0
            state[f"momentum.{index}"] = buffer
    return state | {"epochs_done": torch.tensor(epochs_done)}


def _restore(state: dict[str, Tensor] | None, model: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    if state is None:
        return 0
    model.load_state_dict({name[6:]: tensor for name, tensor in state.items() if name.startswith("model.")})
    for index, parameter in enumerate(model.parameters()):
        if (buffer := state.get(f"momentum.{index}")) is not None:
            # The fused step walks weights and momentum side by side in memory, so both must have one layout.
            optimiser.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(buffer)
    return int(state["epochs_done"])


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """The context in which a forward pass runs in `precision`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@torch.no_grad()
def predict(
    model: Classifier,
    images: Tensor,
    precision: Precision,
    batch_size: int | None = None,
    of: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Logits, float32, (N, K), of uint8 images in evaluation mode; `batch_size` is `at_once(images)` by default.

    `of`: another function of images in [0, 1] to take the place of the model, such as its `features`.
    """
    model.eval()
    out = []
    for batch in images.split(batch_size or at_once(images)):
        with autocast(images.device, precision):
            out.append((of or model)(pixels(batch)).float())
    return torch.cat(out)


def at_once(images: Tensor) -> int:
    """How many images a model reads in one batch when it is not trained: on a CPU, about as many as its cache holds.

    Up to 32x32 pixels, that leaves every bit of the outputs as it is in batches of 500; a ResNet-50 rounds differently
    above.
    """
    size = images.shape[-2:].numel()
    return min(500, 2**16 // size) if images.device.type == "cpu" and size <= 32 * 32 else 500


def resolve_device(device: str) -> torch.device:
    """`auto` takes a CUDA device where there is one. Raises SettingError for `cuda` without one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise SettingError("device='cuda': torch finds no CUDA device here; allowed: auto, cpu")
    return torch.device(device)


def resolve_precision(precision: Precision | Literal["auto"], device: torch.device, workload: Workload) -> Precision:
    """What to compute in: `fp32` and `bf16` are taken as they are, `auto` stands for the faster of them.

    Which is faster is timed on the `workload` (see `precision.faster`), once a machine. A GPU that does not multiply in
    bfloat16 takes `fp32`.
    """
    if precision != "auto":
        return precision
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "fp32"
    return faster(device, workload, _trial(device, workload))


def _trial(device: torch.device, workload: Workload) -> Callable[[Precision, int], Callable[[], None]]:
    """Prepares a training step of so many random images, as `fit` would run it: warm, and captured on a GPU."""
    channels, height, width = workload.shape
    model = cache(lambda: build(workload.model, channels, 2, workload.width, seed=0).to(device).train())
    generator = torch.Generator().manual_seed(0)

    def prepare(precision: Precision, images: int) -> Callable[[], None]:
        noise = torch.randint(0, 256, (images, height, width, channels), dtype=torch.uint8, generator=generator)
        data = LabelledImages(noise.permute(0, 3, 1, 2), torch.arange(images) % 2).to(device)
        optimiser = torch.optim.SGD(model().parameters(), lr=0.0, momentum=0.9, fused=True)
        step = Step(model(), optimiser, data, Recipe(1, 0.0, 0.9, images, precision, 0), F.cross_entropy)
        batch = data.labels.new_tensor(range(images))

        def run() -> None:
            step(batch)
            synchronise(device)

        for _ in range(Step.WARM_UP + 2 if device.type == "cuda" else 1):
            run()
        return run

    return prepare


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        with _CAPTURE:
            torch.cuda.synchronize(device)


class Stopwatch:
    """Wall-clock seconds of the work inside `with`, the device synchronised on both sides."""

    def __init__(self, device: torch.device):
        self.device = device
        self.seconds = 0.0

    def __enter__(self) -> "Stopwatch":
        synchronise(self.device)
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        synchronise(self.device)
        self.seconds += time.perf_counter() - self._start

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is done inside does not count."""
        self.__exit__()
        yield
        self.__enter__()
