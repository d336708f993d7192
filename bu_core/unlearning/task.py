"""What an unlearning method is given."""

import copy
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ..data import ForgetSplit, LabelledImages
from ..models import Classifier
from ..training import Checkpoint, Recipe, fit


@dataclass(frozen=True)
class UnlearningTask:
    """A request to forget one class.

    `original` is w0, trained on D_r and D_f together by `recipe`; `initial` is the model before that training, where
    a retraining starts; `split` holds D_r and D_f on the model's device. Where `checkpoint` is given, `fitted` keeps
    its state there after an epoch, and goes on from it.
    """

    original: Classifier
    initial: Classifier
    split: ForgetSplit
    recipe: Recipe
    checkpoint: Checkpoint | None = None

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

    def relabelled(self, labels: Tensor) -> LabelledImages:
        """D_f with other labels, int64, (N,)."""
        return LabelledImages(self.split.forget_train.images, labels)
