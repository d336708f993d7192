"""What an unlearning method is given."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ..data import ForgetSplit, LabelledImages
from ..models import Classifier
from ..training import Checkpoint, Recipe, fit, predict


def _nothing_recorded(window: int) -> Mapping[str, Tensor]:
    raise ValueError("nothing was recorded while the original was trained")


@dataclass(frozen=True)
class UnlearningTask:
    """A request to forget what is in D_f.

    `original` is w0, trained on D_r and D_f together by `recipe`; `initial` is the model before that training, where
    a retraining starts; `split` holds D_r and D_f on the model's device. Where `checkpoint` is given, `fitted` keeps
    its state there after an epoch, and goes on from it. `recorded(window)` gives what was recorded in the last `window`
    epochs of the original's training (all, for 0): by parameter name the summed updates of the batches that held each
    class, (K, *shape). It is asked for by the methods that need it alone.
    """

    original: Classifier
    initial: Classifier
    split: ForgetSplit
    recipe: Recipe
    checkpoint: Checkpoint | None = None
    recorded: Callable[[int], Mapping[str, Tensor]] = _nothing_recorded

    def fitted(
        self, start: Classifier, data: LabelledImages, *, epochs: int, lr: float, **fit_options: Any
    ) -> Classifier:
        """A copy of `start`, fitted to `data` for `epochs` at `lr`.

        Batch size, momentum, precision and seed are those of the original's training; `fit_options` are `fit`'s.
        """
        model = copy.deepcopy(start)
        recipe = replace(self.recipe, epochs=epochs, lr=lr)
        fit(model, data, recipe, checkpoint=self.checkpoint, **fit_options)
        return model

    def masked(self) -> LabelledImages:
        """D_f with the original's answers less what is forgotten (`ForgetSplit.barred`), the rest summing to one.

        Zhou et al. (CVPR 2025) call it masked distillation.
        """
        forget = self.split.forget_train
        logits = predict(self.original, forget.images, self.recipe.precision)
        return self.relabelled(self.split.barred(logits, forget.labels).softmax(1))

    def relabelled(self, labels: Tensor) -> LabelledImages:
        """D_f with other labels, int64, (N,), or with a weight for each class, float32, (N, K)."""
        return LabelledImages(self.split.forget_train.images, labels)
