"""The membership attack that learns from shadow models, which the attacker trained (Shokri et al. 2017)."""

import torch
from torch import Tensor

from ..measures import Outputs
from . import Scores, balanced, learned


def from_shadows(outputs: dict[str, Outputs], shadows: list[tuple[Tensor, Tensor]], seed: int) -> Scores:
    """An attack fitted to shadow models: to their logits on images that each was trained on, and on others.

    `outputs`: of the four sets, by the attacked model, none of whose images the attack was told of. `shadows`: for
    each model the logits of its members, (M, K), and of others, (L, K).
    """
    members, others = (torch.cat(logits) for logits in zip(*shadows, strict=True))
    asked = [outputs[part].logits for part in ("remain_train", "remain_test", "forget_train", "forget_test")]
    return Scores(*learned(*balanced(members, others, seed), asked))


def halves(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """The numbers below `count` in two random halves, int64: to train a shadow model on, and to leave out."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[: count // 2], order[count // 2 :]
