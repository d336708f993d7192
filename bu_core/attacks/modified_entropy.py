"""The membership attack by modified entropy (Song and Mittal 2021), the one that knows the true label.

Song and Mittal choose a threshold for each class. Of the forgotten class, which is no part of D_r, the attacker has no
member to choose one by, so one threshold serves all remaining classes and is then applied to that class. And as the
score knows the label, it mostly measures the loss of the class's label: where a model no longer gives that label,
seen and unseen images alike have a large modified entropy, and both are called unseen.
"""

import torch
from torch import Tensor

from ..measures import Outputs
from . import FLOOR, Scores, by_threshold


def from_modified_entropy(outputs: dict[str, Outputs], seed: int) -> Scores:
    """An attack that calls an image a member where its modified entropy is small. `outputs`: of the four sets.

    The score is its negative logarithm, which tells small ones apart; it is finite where the modified entropy is 0.
    """
    least = torch.finfo(torch.float64).tiny
    return by_threshold(outputs, seed, lambda said: -modified_entropy(said).clamp_min(least).log())


def modified_entropy(outputs: Outputs) -> Tensor:
    """-(1 - p_y) log p_y - sum over i != y of p_i log(1 - p_i), p the posteriors and y the true class: float64, (N,).

    It is 0 where p_y is 1, and grows as the model turns from y, up to 2 FLOOR. A logit that is no number counts as 0.
    """
    log_p = torch.nan_to_num(outputs.logits.double()).log_softmax(1)
    largest = log_p.argmax(1, keepdim=True)
    other = log_p.scatter(1, largest, -torch.inf).logsumexp(1, keepdim=True)  # exact where 1 - p would be rounded to 0
    log_rest = torch.log1p(-log_p.exp()).scatter(1, largest, other).clamp(min=-FLOOR)
    log_p = log_p.clamp(min=-FLOOR)
    truth = outputs.labels[:, None]
    terms = -log_p.exp() * log_rest
    return terms.scatter(1, truth, -(log_rest.exp() * log_p).gather(1, truth)).sum(1)
