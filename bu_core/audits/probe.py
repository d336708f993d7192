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

from collections.abc import Mapping
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
ASKED = ("forget_train", "remain_train", *TESTED)  # the sets that a probe is fitted to, or asked about


@dataclass(frozen=True)
class Probe:
    """In percent: `recall` of D_ft at a loss of 2 % of D_rt; `named`, the share of D_ft that the probe gives its class
    without a threshold; `remain`, the probe's accuracy on D_rt then."""

    recall: float
    named: float
    remain: float


def prepared(evidence: Evidence, features: Mapping[str, Tensor]) -> tuple[Tensor, list[Any]]:
    """The numbers of the IMAGES of D_f that a probe is fitted to, int64; and what it reads, float64 arrays, (N, F).

    `features`: of each set. They are standardised by those of D_r: first D_r and these images, then each of TESTED.
    """
    of_class, remain = features["forget_train"], features["remain_train"]
    drawn = torch.randperm(len(of_class), generator=torch.Generator().manual_seed(evidence.seed))[:IMAGES]
    mean, deviation = scale(remain.double())
    sets = torch.cat([remain, of_class[drawn]]), *(features[part] for part in TESTED)
    return drawn, [((each.double() - mean) / deviation).numpy() for each in sets]


def probed(evidence: Evidence) -> Probe:
    """What a probe finds that is fitted to IMAGES of D_f and the sampled images of D_r, 5,000 by default."""
    from sklearn.linear_model import LogisticRegression

    drawn, (inputs, *tested) = prepared(evidence, {part: evidence.features(part) for part in ASKED})
    labels = [evidence.outputs("remain_train").labels, evidence.outputs("forget_train").labels[drawn]]
    probe: Any = LogisticRegression(C=WEAKNESS, max_iter=STEPS).fit(inputs, torch.cat(labels).numpy())
    found = []
    for asked in tested:
        said = probe.predict_log_proba(asked)
        found.append(torch.full((len(said), len(evidence.split.classes)), -torch.inf, dtype=torch.float64))
        found[-1][:, probe.classes_] = torch.from_numpy(said)  # the sample may lack a class
    named, right = (
        100 * (said.argmax(1) == evidence.outputs(part).labels).double().mean().item()
        for part, said in zip(TESTED, found, strict=True)
    )
    forget, others = (margins(said, evidence.forget_class) for said in found)
    return Probe(recall_at_loss(forget, others, evidence.seed).recall, named, right)
