"""Auditors of other features, or with other heads, than the ladder's: they show where else a class is still found.

A method that hides the class from a linear probe of the last features may hide it from that probe alone. These four
have the images of the linear probe (`probe.IMAGES` of D_f, and the sampled images of D_r) and another way: the same
features with a border that need not be straight, and what the last block of weights is given, or the last two. As on
the ladder, what they find is recall of D_ft at a loss of 2 % of D_rt, and means something beside Retrain alone, whose
features of images that it never saw are unlike those of others too.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..training import predict
from .evidence import Evidence
from .probe import ASKED, STEPS, WEAKNESS, prepared
from .threshold import recall_at_loss

NEAREST = 50  # neighbours that are asked, each heard the more the nearer it is
HIDDEN = 64  # units of the small network


@dataclass(frozen=True)
class HeldOut:
    """Recall of D_ft in percent.

    Of the last features, by nearest `neighbours` and by a small `network`; by a linear probe of what the last block is
    given, `earlier`, and of what the last two are given, `two_earlier`.
    """

    neighbours: float
    network: float
    earlier: float
    two_earlier: float


def held_out(evidence: Evidence) -> HeldOut:
    """What the four auditors find of a model."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier

    last = {part: evidence.features(part) for part in ASKED}
    one, two = ({part: earlier(evidence, part, blocks) for part in ASKED} for blocks in (1, 2))
    network = MLPClassifier((HIDDEN,), early_stopping=True, random_state=evidence.seed)
    return HeldOut(
        _recall(evidence, last, KNeighborsClassifier(NEAREST, weights="distance")),
        _recall(evidence, last, network),
        *(_recall(evidence, before, LogisticRegression(C=WEAKNESS, max_iter=STEPS)) for before in (one, two)),
    )


def _recall(evidence: Evidence, features: dict[str, Tensor], auditor: Any) -> float:
    """The recall of an auditor of scikit-learn who tells D_f from D_r by some features of each set."""
    drawn, (inputs, *tested) = prepared(evidence, features)
    auditor.fit(inputs, [0] * len(features["remain_train"]) + [1] * len(drawn))
    forget, others = (torch.from_numpy(auditor.predict_proba(each)[:, 1]) for each in tested)
    return recall_at_loss(forget, others, evidence.seed).recall


def earlier(evidence: Evidence, part: str, blocks: int) -> Tensor:
    """What the last so many blocks with weights are given of a set, averaged over the image: float32, (N, F)."""
    model = evidence.model

    def given(images: Tensor) -> Tensor:
        return model.without_last(blocks)(model.normalised(images)).flatten(2).mean(2)

    found = predict(model, evidence.sampled(part).images, evidence.precision, of=given)
    return found.nan_to_num(0.0, 0.0, 0.0).cpu()
