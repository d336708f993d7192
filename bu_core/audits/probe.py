"""Linear probe: the auditor has hundreds of labelled images a class, and asks what the frozen features still hold.

A probe is a new linear classifier on features that stay as they are (Alain and Bengio 2016): a multinomial logistic
regression on 500 images of D_f and the sampled images of D_r. Asked again of `evidence.reestimated`, it says how much
of what the probe finds the BatchNorm statistics hide.

The usual measure, the share of D_ft that the probe gives its class, depends on how strongly the probe is penalised.
Retrain never saw D_f, and its features of images that it never saw are unlike those of D_r, so that a weakly penalised
probe learns "not seen before", and gives the class much of D_ft at the price of D_rt. Recall at a fixed loss
on D_rt (`threshold.recall_at_loss`) has that price taken out and hardly depends on the penalty: it is the one to
compare with Retrain, on both sides. Above Retrain more of the class is there, below it its images are scattered.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .evidence import Evidence
from .few_shot import TESTED, scale
from .threshold import margins, recall_at_loss

IMAGES = 500  # of D_f, drawn by the seed; all where there are fewer
WEAKNESS = 0.1  # of the penalty on squared weights: scikit-learn's C
STEPS = 1000  # of the optimiser at the most; it stops earlier


@dataclass(frozen=True)
class Probe:
    """In percent: `recall` of D_ft at a loss of 2 % of D_rt; `named`, the share of D_ft that the probe gives its class
    without a threshold; `remain`, the probe's accuracy on D_rt then."""

    recall: float
    named: float
    remain: float


def drawn_of(evidence: Evidence, count: int) -> Tensor:
    """The numbers of the IMAGES of D_f, of so many, that a probe is fitted to, int64."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(evidence.seed))[:IMAGES]


def probed(evidence: Evidence) -> Probe:
    """What a probe finds that is fitted to IMAGES of D_f and the sampled images of D_r, 5,000 by default."""
    from sklearn.linear_model import LogisticRegression

    of_class, remain = evidence.features("forget_train"), evidence.features("remain_train")
    drawn = drawn_of(evidence, len(of_class))
    mean, deviation = scale(remain.double())
    labels = [evidence.outputs("remain_train").labels, evidence.outputs("forget_train").labels[drawn]]
    inputs = (torch.cat([remain, of_class[drawn]]).double() - mean) / deviation
    probe: Any = LogisticRegression(C=WEAKNESS, max_iter=STEPS).fit(inputs.numpy(), torch.cat(labels).numpy())
    found = []
    for part in TESTED:
        said = probe.predict_log_proba(((evidence.features(part).double() - mean) / deviation).numpy())
        found.append(torch.full((len(said), len(evidence.split.classes)), -torch.inf, dtype=torch.float64))
        found[-1][:, probe.classes_] = torch.from_numpy(said)  # the sample may lack a class
    named, right = (
        100 * (said.argmax(1) == evidence.outputs(part).labels).double().mean().item()
        for part, said in zip(TESTED, found, strict=True)
    )
    forget, others = (margins(said, evidence.forget_class) for said in found)
    return Probe(recall_at_loss(forget, others, evidence.seed).recall, named, right)
