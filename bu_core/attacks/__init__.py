"""Membership inference: was an image among the training data? Pure functions of what a model says of its images.

After Shokri et al. (2017): where a model says other things of data that it was trained on, a classifier learns to
tell the two apart. The paper (sections 5.1 and 5.3) gives no more than that, so the choices here are ours:

- **One attack for all classes.** Shokri et al. fit one a class, with the true label at hand. Here an attack learns from
  the remaining classes and is then asked about a class that it has never met, and whose label the unlearned model no
  longer gives. A feature such as the loss would say that the label is gone, which accuracy says already, and not
  whether the image was seen. So the attacks see posteriors in order of size (`features`), all but `modified_entropy`.
- **From whom it learns.** From the attacked model's D_r (members) and D_rt (not members): an attacker who knows part
  of the training data. `shadow_models` alone learns from models that the attacker trained: no member is known.
- **A logistic regression**, where Shokri et al. fit small networks: on the digits these, and trees, reach no larger
  AUC, and where there is little to find they follow chance. `confidence` and `modified_entropy` only choose a threshold
  of one number (`by_threshold`).
- **What it is asked.** D_f, the forgetting data: the share called members is the attack success rate (ASR). The same
  share of D_ft, images of that class that no model has seen, is its rate of false alarms there.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..measures import Outputs, entropy
from ..results import Estimate

FOLDS = 5  # of the cross-validation
SAMPLES = 10_000  # members, and as many others, that an attack is fitted to at the most
DRAWS = 10_000  # resamplings behind an interval
FLOOR = 50.0  # log-posteriors and log-odds end at -50 and 50: beyond, a posterior is 0 or 1 to any attacker


def constants() -> dict[str, Any]:
    """All that decides an attack's scores beside the outputs that it is given."""
    kind = {"classifier": "logistic regression", "features": "top 3 and entropy"}
    return kind | {"folds": FOLDS, "samples": SAMPLES, "floor": FLOOR}


@dataclass(frozen=True)
class Scores:
    """How sure an attack is that each image was trained on: float64, 0 to 1; above 0.5 it is called a member.

    `members`, (M,), and `others`, (L,): images of D_r and D_rt that the attack was not fitted to, whose truth is known.
    `forget_train`, `forget_test`: the images of D_f and D_ft.
    """

    members: Tensor
    others: Tensor
    forget_train: Tensor
    forget_test: Tensor


def features(logits: Tensor) -> np.ndarray:
    """What an attack sees of each image, float64, (N, 4): no label, and no class.

    Log-odds of the largest posterior, logarithms of the next two (Salem et al. 2019 use the largest three), and the
    entropy in nats. `logits`: (N, K) with K of at least 3. A logit that is no number counts as 0.
    """
    logits = torch.nan_to_num(logits.double())
    ordered = logits.log_softmax(1).sort(descending=True).values
    odds = ordered[:, 0] - ordered[:, 1:].logsumexp(1)
    spread = entropy(Outputs(logits, torch.empty(0)))
    return torch.stack([odds, ordered[:, 1], ordered[:, 2], spread], 1).clamp(-FLOOR, FLOOR).numpy()


@dataclass(frozen=True)
class AttackSummary:
    """What an attack found, each number with its 95 % interval.

    In percent: `asr`, the share of D_f called members; `false_positive_rate`, that of D_ft; `balanced_accuracy` on
    images whose truth is known, 50 by chance. In percentage points: `advantage`, asr less false_positive_rate: what
    the attack knows of D_f and not merely of the class; `distance_to_retrain`, asr less Retrain's, None without it.
    `auc`, 0 to 1: the chance that a member scores above another image. `images`: how many `members` and `others`
    `balanced_accuracy` and `auc` rest on.
    """

    asr: Estimate
    false_positive_rate: Estimate
    advantage: Estimate
    balanced_accuracy: Estimate
    auc: Estimate
    images: dict[str, int]
    distance_to_retrain: Estimate


def summary(scores: Scores, retrain: Scores | None, seed: int) -> AttackSummary:
    """What an attack found of one model; `retrain`: the scores of the same attack on Retrain, where there is one.

    The intervals are percentile bootstraps over the images (see `resampled_shares`; for the distance, `retrain`'s call
    of an image is drawn with the image); for `auc` DeLong's. They hold for these models and this attack: another seed's
    model is another draw, which they do not cover.
    """
    generator = np.random.default_rng(seed)
    called = {name: (found.numpy() > 0.5) for name, found in vars(scores).items()}
    share = {name: 100 * found.mean() for name, found in called.items()}
    drawn = {name: 100 * resampled_shares(found, generator) for name, found in called.items()}
    distance = Estimate(None, None, None)
    if retrain is not None:
        further = called["forget_train"].astype(float) - (retrain.forget_train.numpy() > 0.5)
        # How often each distinct value is drawn decides a mean, so the counts are drawn and not the samples.
        levels, counts = np.unique(further, return_counts=True)
        means = generator.multinomial(len(further), counts / len(further), DRAWS) @ levels / len(further)
        distance = _estimate(100 * further.mean(), 100 * means)
    return AttackSummary(
        asr=_estimate(share["forget_train"], drawn["forget_train"]),
        false_positive_rate=_estimate(share["forget_test"], drawn["forget_test"]),
        advantage=_estimate(*(of["forget_train"] - of["forget_test"] for of in (share, drawn))),
        balanced_accuracy=_estimate(*((of["members"] + 100 - of["others"]) / 2 for of in (share, drawn))),
        auc=auc(scores.members, scores.others),
        images={"members": len(scores.members), "others": len(scores.others)},
        distance_to_retrain=distance,
    )


def _estimate(value: float, draws: np.ndarray) -> Estimate:
    low, high = np.percentile(draws, (2.5, 97.5))
    return Estimate(float(value), float(low), float(high))


def resampled_shares(called: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The share that is true in each of DRAWS samples of N drawn from `called`, bool, (N,), with replacement: (DRAWS,).

    Half an image of either kind is added to the pile. It matters where all images are of one kind: resampling shows
    nothing that never occurred, and would call a share of 0 certain.
    """
    count = len(called)
    return generator.binomial(count, (called.sum() + 0.5) / (count + 1), DRAWS) / count


def auc(members: Tensor, others: Tensor) -> Estimate:
    """Area under the ROC curve of two sets of scores, (M,) and (L,), and its 95 % interval (DeLong et al. 1988).

    It is the mean, over the members, of the share of others that score below; an equal score counts half.
    """
    from scipy.stats import rankdata

    ranks = rankdata(torch.cat([members, others]).numpy())
    below = (ranks[: len(members)] - rankdata(members.numpy())) / len(others)
    above = 1 - (ranks[len(members) :] - rankdata(others.numpy())) / len(members)
    half = 1.96 * np.sqrt(below.var(ddof=1) / len(below) + above.var(ddof=1) / len(above))
    value = below.mean()
    return Estimate(float(value), float(max(0, value - half)), float(min(1, value + half)))


def balanced(members: Tensor, others: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """As many members as others, drawn at random, SAMPLES of each at the most."""
    generator = torch.Generator().manual_seed(seed)
    count = min(len(members), len(others), SAMPLES)
    first, second = (side[torch.randperm(len(side), generator=generator)[:count]] for side in (members, others))
    return first, second


def by_threshold(outputs: dict[str, Outputs], seed: int, score: Callable[[Outputs], Tensor]) -> Scores:
    """An attack that calls a member whatever has a `score`, float64, (N,), above a threshold.

    `outputs`: of the four sets. The threshold is chosen on D_r (members) and D_rt (others), as many of each. The
    scores of `members` and `others` are those of one half of these, by a threshold that is chosen on the other half.
    What is returned grows with `score`, so that the AUC is the score's own.
    """
    known = outputs["remain_train"], outputs["remain_test"]
    inside, outside = (torch.arange(len(said.labels)) for said in known)
    drawn = balanced(inside, outside, seed)
    members, others = (score(Outputs(said.logits[at], said.labels[at])) for said, at in zip(known, drawn, strict=True))
    half, whole = best_threshold(members[::2], others[::2]), best_threshold(members, others)
    forgotten = (score(outputs[part]) - whole for part in ("forget_train", "forget_test"))
    asked = (members[1::2] - half, others[1::2] - half, *forgotten)
    return Scores(*(0.5 + above / (2 + 2 * above.abs()) for above in asked))


def best_threshold(members: Tensor, others: Tensor) -> float:
    """The threshold with the best balanced accuracy, midway between two scores of (M,) members and (L,) others.

    Where none is better than chance it is the largest score, above which there is nothing.
    """
    values = np.unique(torch.cat([members, others]).numpy())
    tried = np.concatenate([values[-1:], (values[1:] + values[:-1]) / 2])
    missed, cleared = (np.searchsorted(np.sort(side.numpy()), tried, "right") / len(side) for side in (members, others))
    return float(tried[np.argmax(cleared - missed)])


def evidence(members: Tensor, others: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """What an attack learns from: the features of members and others, by their logits, and the truth, 1 or 0."""
    return features(torch.cat([members, others])), np.repeat([1, 0], [len(members), len(others)])


def learned(members: Tensor, others: Tensor, asked: Iterable[Tensor]) -> Iterator[Tensor]:
    """The scores, float64, (N,), of each set of logits, (N, K), by an attack that is fitted to members and others."""
    attack = classifier().fit(*evidence(members, others))
    return (torch.from_numpy(attack.predict_proba(features(logits))[:, 1]) for logits in asked)


def classifier() -> Any:
    """A logistic regression on standardised features, not fitted yet."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression())
