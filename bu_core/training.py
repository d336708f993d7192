"""The one training loop, which fits the original and every model that an unlearning method fine-tunes; prediction.

Images stay on the device as uint8; a step indexes them with a permutation and turns its batch into floats. Weights
are float32 throughout; with precision `bf16` the products of the forward and backward pass run in bfloat16.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from .data import LabelledImages, pixels
from .models import Classifier
from .settings import SettingError

Precision = Literal["fp32", "bf16"]

# Raised by one whenever a change to models, training or a method alters what comes out of the same settings, so that
# nothing made before it is taken from a store.
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


Objective = Callable[[Tensor, Tensor], Tensor]
Penalty = Callable[[nn.Module, Tensor, Tensor], Tensor]
AroundStep = Callable[[int, Tensor], AbstractContextManager[None]]


def fit(
    model: nn.Module,
    data: LabelledImages,
    recipe: Recipe,
    *,
    label: str,
    batchnorm: Literal["train", "frozen"] = "train",
    objective: Objective = F.cross_entropy,
    penalty: Penalty | None = None,
    around_step: AroundStep | None = None,
    checkpoint: Checkpoint | None = None,
) -> None:
    """Fit `model` to `data`, in place, by minimising `objective(logits, labels)`; leave it in evaluation mode.

    `batchnorm="frozen"` normalises with the running statistics that the model came with and leaves them alone; its
    scale and shift are weights, and are trained like the others. `label` names the fit: its checkpoint, and its
    progress bar, which shows on a terminal alone. The same seed gives the same weights on the same machine,
    interrupted or not. `penalty(model, images, indices)` is added to the loss of each batch, where given;
    `around_step(epoch, labels)` gives a context that each change of the weights runs in, epochs counted from 0.
    """
    model.train()
    if batchnorm == "frozen":
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
    optimiser = torch.optim.SGD(model.parameters(), lr=recipe.lr, momentum=recipe.momentum, fused=True)
    done = _restore(checkpoint.load(label), model, optimiser) if checkpoint else 0
    with tqdm(total=recipe.epochs, initial=done, desc=label, unit="epoch", disable=None, leave=False) as bar:
        for epoch in range(done, recipe.epochs):
            for batch in _batches(data, recipe, epoch):
                images, labels = pixels(data.images[batch]), data.labels[batch]
                with autocast(images.device, recipe.precision):
                    logits = model(images)
                loss = objective(logits.float(), labels)
                if penalty:
                    loss = loss + penalty(model, images, batch)
                optimiser.zero_grad()
                loss.backward()
                with around_step(epoch, labels) if around_step else nullcontext():
                    optimiser.step()
            bar.update()
            if checkpoint and epoch + 1 < recipe.epochs:
                checkpoint.save(label, _state(model, optimiser, epoch + 1))
    model.eval()


def _batches(data: LabelledImages, recipe: Recipe, epoch: int) -> tuple[Tensor, ...]:
    # A generator of its own for each epoch, so that a resumed fit draws what an uninterrupted one would have drawn.
    # The permutation is drawn on the CPU: the order is then the same on every device.
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + epoch)
    order = torch.randperm(len(data), generator=generator).to(data.images.device)
    return order.split(recipe.batch_size)


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
def predict(model: Classifier, images: Tensor, precision: Precision, batch_size: int = 500) -> Tensor:
    """Logits, float32, (N, K), of uint8 images in evaluation mode."""
    model.eval()
    out = []
    for batch in images.split(batch_size):
        with autocast(images.device, precision):
            out.append(model(pixels(batch)).float())
    return torch.cat(out)


def resolve_device(device: str) -> torch.device:
    """`auto` takes a CUDA device where there is one. Raises SettingError for `cuda` without one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise SettingError("device='cuda': torch finds no CUDA device here; allowed: auto, cpu")
    return torch.device(device)


def resolve_precision(precision: str, device: torch.device) -> Precision:
    """`auto` takes bfloat16 where it is faster: on a GPU that multiplies in it, and on a CPU with matrix tiles (AMX).

    A CPU that has AVX512-BF16 alone took 1.1 to 1.2 times as long for a training step of the half-width All-CNN in
    bfloat16 as in float32 (batches of 64, one and two threads, torch 2.13).
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.cpu._is_amx_tile_supported() else "fp32"


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
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
