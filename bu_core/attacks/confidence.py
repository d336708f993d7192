"""The membership attack by confidence: a model is surer of what it was trained on (Salem et al. 2019)."""

import torch

from ..measures import Outputs
from . import Scores, by_threshold, features


def from_confidence(outputs: dict[str, Outputs], seed: int) -> Scores:
    """An attack that calls an image a member where the largest posterior is large; it sees no label.

    `outputs`: of the four sets. The score is that posterior's log-odds, which tell posteriors near 1 apart.
    """
    return by_threshold(outputs, seed, lambda said: torch.from_numpy(features(said.logits)[:, 0]))
