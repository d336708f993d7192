"""The membership attack that learns from the attacked model's own outputs: the attacker knows a part of D_r."""

import torch
from torch import Tensor

from ..measures import Outputs
from . import FOLDS, Scores, balanced, classifier, evidence, learned


def from_own_outputs(outputs: dict[str, Outputs], seed: int) -> Scores:
    """An attack fitted to the model's own outputs on D_r (members) and D_rt (others), as many of each.

    `outputs`: of the four sets. The scores of `members` and `others` are from cross-validation; D_f and D_ft, which
    have no part in it, are scored by the attack that is fitted to all folds.
    """
    members, others = balanced(outputs["remain_train"].logits, outputs["remain_test"].logits, seed)
    asked = [outputs[part].logits for part in ("forget_train", "forget_test")]
    return Scores(*held_out(members, others, seed), *learned(members, others, asked))


def held_out(members: Tensor, others: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Scores of members and others, float64, (M,) and (L,), each by an attack that was not fitted to that image.

    `members`, `others`: logits, (M, K) and (L, K), M and L at least the number of folds.
    """
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    found = cross_val_predict(classifier(), *evidence(members, others), cv=folds, method="predict_proba")
    return torch.from_numpy(found[: len(members), 1]), torch.from_numpy(found[len(members) :, 1])
