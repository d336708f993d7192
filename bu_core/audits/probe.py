"""Linear probe: the auditor has hundreds of labelled images a class, and asks what the frozen features still hold.

A probe is a new linear head on features that stay as they are (Alain and Bengio 2016), here the ridge head of
`few_shot` with 500 images of D_f instead of a few. It names the likeliest class, with no threshold. Asked again of
`evidence.reestimated`, it says how much of what the probe finds the BatchNorm statistics hide. A model that never
learned the class has features that a probe can use as well, so that only the distance from Retrain's value says what
the model kept: above it more of the class is there, below it its images are scattered.
"""

from dataclasses import dataclass

import torch

from .evidence import Evidence
from .few_shot import Ridge

IMAGES = 500  # of D_f, drawn by the seed; all where there are fewer


@dataclass(frozen=True)
class Probe:
    """In percent: `recall`, the share of D_ft that the probe gives its class; `remain`, its accuracy on D_rt."""

    recall: float
    remain: float


def probed(evidence: Evidence) -> Probe:
    """A probe fitted to IMAGES of D_f and the sampled images of D_r, which are as many a class or more on CIFAR-10."""
    of_class = evidence.features("forget_train")
    drawn = torch.randperm(len(of_class), generator=torch.Generator().manual_seed(evidence.seed))[:IMAGES]
    forget, remain = (logits.argmax(1) for logits in Ridge(evidence)(of_class[drawn]))
    recall = (forget == evidence.forget_class).double().mean()
    accuracy = (remain == evidence.outputs("remain_test").labels).double().mean()
    return Probe(100 * recall.item(), 100 * accuracy.item())
