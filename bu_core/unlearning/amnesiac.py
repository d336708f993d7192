"""Amnesiac Unlearning: subtract what the batches that held D_f added to the weights, then repair (Graves et al. 2021).

The updates have to be recorded while the original is trained, before anybody knows what will have to be forgotten.
"""

import copy
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated

import torch
from torch import Tensor, nn

from ..checks import BatchNorm, Epochs, LearningRate, Range
from ..models import Classifier
from ..training import Checkpoint, Stopwatch
from .register import method
from .task import UnlearningTask


@method(title="Amnesiac", colour="#8B62D0", goes_through="remain", one_class=True)
def amnesiac(
    task: UnlearningTask,
    *,
    window: Annotated[int, Range(0)] = 0,
    epochs: Epochs = 10,
    lr: LearningRate = 0.1,
    batchnorm: BatchNorm = "train",
) -> Classifier:
    """The original minus the updates of all batches that held the class, then fitted to D_r.

    `window` is how many of the last epochs of the original's training were recorded; 0, or more than there were,
    means all. What was learned of D_f before the window stays. Weights alone are taken back; BatchNorm's running
    statistics are the original's until the repair moves them. The paper gives neither epochs nor rate of the repair;
    the default rate is that of the training.
    """
    updates = task.recorded(window)
    model = copy.deepcopy(task.original)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.sub_(updates[name][task.split.forget_class])
    return task.fitted(model, task.split.remain_train, label="amnesiac", epochs=epochs, lr=lr, batchnorm=batchnorm)


class Recorder:
    """Records, during a fit, the sum of the weight updates of the batches that held each class.

    Graves et al. keep each batch's update by itself, on CIFAR-10 a copy of the model for each of 23,460 steps. Here one
    sum for each class is kept, K + 1 copies of the model, from which any one class can be forgotten, and no less.
    Nearly every batch of 64 holds every one of 10 classes, so what is added up are the updates of the batches that did
    *not* hold a class; the wanted sum is the whole way of the weights less those.

    Give `step` to `fit` as `around_step`, and the recorder itself as its `checkpoint`: it adds what it knows to the
    state that `checkpoint`, where given, keeps. `watch` has the time that the recording itself took.
    """

    def __init__(self, model: nn.Module, classes: int, first_epoch: int = 0, checkpoint: Checkpoint | None = None):
        self.classes, self.first_epoch, self.checkpoint = classes, first_epoch, checkpoint
        self._weights, self.watch = dict(model.named_parameters()), Stopwatch(next(model.parameters()).device)
        self._start: dict[str, Tensor] = {}
        self._without = {name: weight.new_zeros(classes, *weight.shape) for name, weight in self._weights.items()}

    def updates(self) -> dict[str, Tensor]:
        """By parameter name: the summed updates of the batches that held each class, float32, (K, *shape)."""
        return {name: (now.detach() - self._start[name]) - self._without[name] for name, now in self._weights.items()}

    @property
    def bytes(self) -> int:
        """Memory that the recording takes: K sums, and the weights at its start."""
        return sum(tensor.nbytes for tensor in (*self._without.values(), *self._start.values()))

    def step(self, epoch: int, labels: Tensor) -> AbstractContextManager[None] | None:
        """What a step has to run in; None before `first_epoch`, and where all classes are in its batch.

        `labels`: those of the batch, int64, (B,).
        """
        if epoch < self.first_epoch:
            return None
        if not self._start:
            with self.watch:
                self._start = self._copy()
        started = time.perf_counter()
        absent = (labels.bincount(minlength=self.classes) == 0).nonzero().flatten().tolist()
        self.watch.seconds += time.perf_counter() - started  # no work of the device, which is not waited for
        return self._recorded(absent) if absent else None

    @contextmanager
    def _recorded(self, absent: list[int]) -> Iterator[None]:
        """Add what the weights change inside to the sums of the classes that are `absent` from the batch."""
        with self.watch:
            before = self._copy()
        yield
        with self.watch:
            for name, weight in self._weights.items():
                self._without[name][absent] += weight.detach() - before[name]

    def load(self, label: str) -> dict[str, Tensor] | None:
        # A label of its own: what was fitted without a recording cannot be recorded from there on.
        state = self.checkpoint.load(f"{label}, recorded") if self.checkpoint else None
        if state is None:
            return None
        for name, weight in self._weights.items():
            self._without[name].copy_(state[f"recorder.without.{name}"])
            if (start := state.get(f"recorder.start.{name}")) is not None:
                self._start[name] = torch.empty_like(weight).copy_(start)
        self.watch.seconds = state["recorder.seconds"].item()
        return state

    def save(self, label: str, state: dict[str, Tensor]) -> None:
        if self.checkpoint:
            own = {f"recorder.start.{name}": tensor for name, tensor in self._start.items()}
            own |= {f"recorder.without.{name}": tensor for name, tensor in self._without.items()}
            own["recorder.seconds"] = torch.tensor(self.watch.seconds, dtype=torch.float64)
            self.checkpoint.save(f"{label}, recorded", state | own)

    def _copy(self) -> dict[str, Tensor]:
        return {name: weight.detach().clone() for name, weight in self._weights.items()}
