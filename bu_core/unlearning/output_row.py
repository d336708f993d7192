"""The output row of a class that a last layer never learned: what Retrain has in the place of the forgotten class.

The logit of a class that a network was never shown is pushed down by every other image, for as long as it is trained.
Steps on D_f push it down for the images of the class above all, which tells, and leave it where it was for others. So
they leave the logit alone, and in the end a last layer is learned anew on the features as they are, from its weights
before the original's training and from images beside D_f: its row of the class is put in the place of the original's.
"""

import copy

import torch
from torch.nn import functional as F

from ..models import Classifier, with_rows
from ..training import Companions, Objective, predict
from .task import UnlearningTask

STEPS, RATE = 4000, 0.1  # of the last layer, which are cheap: the features are computed once
NEVER = -1e4  # a logit whose class gets no probability, and no gradient


def without_classes(task: UnlearningTask) -> Objective:
    """The cross-entropy of the logits of all classes but those that are forgotten whole."""
    classes = torch.tensor(task.split.forget_classes, dtype=torch.int64, device=task.split.forget_train.images.device)
    return lambda logits, labels: F.cross_entropy(logits.index_fill(1, classes, NEVER), labels)


def row_relearned(task: UnlearningTask, model: Classifier, beside: Companions) -> Classifier:
    """A copy of `model` whose output rows of the forgotten classes are those of a last layer that never saw them.

    That layer learns the answers of the images `beside` D_f, with the batches and the momentum of the training.
    """
    features = predict(model, beside.images, task.recipe.precision, of=model.features)
    layer = copy.deepcopy(task.initial.classifier)
    optimiser = torch.optim.SGD(layer.parameters(), lr=RATE, momentum=task.recipe.momentum)
    for batch in beside.batches(task.recipe.seed, STEPS):
        optimiser.zero_grad()
        F.cross_entropy(layer(features[batch]), beside.targets[batch]).backward()
        optimiser.step()
    return with_rows(model, layer, task.split.forget_classes)
