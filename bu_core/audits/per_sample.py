"""Per sample: does a model that unlearned an image say other things of it than models that never saw it?

The auditor has many models of both kinds, which differ in their seeds, and asks about each image apart: a mean over
images hides the few that are remembered. An attack learns from half of the models of either kind and has the others as
its targets, and then the other way round, so that none is tried on a model that it has met.

All functions take the margins or log-posteriors of models that unlearned N images, (M, N), and of models that never saw
them, (R, N), and give one number for each image, float64, (N,).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

GAMMA = 2.0  # of RMIA: by how much an image must be likelier than one of the population
BINS, EMPTY = 20, 1e-5  # of KLoM: bins of a histogram, and what counts as the share of one without a model
CLIPPED = 100.0  # margins and log-posteriors end here
FLOOR = 1e-3  # of a deviation: models that agree to the last bit are not infinitely sure


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """Own logit less the log of the summed exponentials of the others: (..., N, K) and (N,) to (..., N), float64.

    It is log p / (1 - p) of the own class's posterior p: the logit-scaled confidence of LiRA (Carlini et al. 2022) and
    the margin of KLoM. Logits of a model that diverged count as the smallest margin.
    """
    own = labels.expand(logits.shape[:-1])[..., None]
    others = logits.double().scatter(-1, own, -torch.inf).logsumexp(-1)
    return _clipped(logits.double().gather(-1, own).squeeze(-1) - others)


def log_posteriors(logits: Tensor, labels: Tensor) -> Tensor:
    """The log of the own class's posterior: (..., N, K) and (N,) to (..., N), float64."""
    own = labels.expand(logits.shape[:-1])[..., None]
    return _clipped(logits.double().log_softmax(-1).gather(-1, own).squeeze(-1))


def u_lira(unlearned: Tensor, retrained: Tensor) -> Tensor:
    """AUC, 0 to 1, of the likelihood ratio attack on unlearning, U-LiRA (Hayes et al. 2024, arXiv 2403.01218).

    For each image one Gaussian is fitted to the `margins` by models that unlearned it and one to those by models that
    never saw it; a target's score is the log-ratio of its likelihoods. 1/2 means that nothing tells them apart. The
    code of Georgiev et al. (2024) asks about unlearned targets alone, and takes for a find that most of them are called
    so; here, as in the paper, a retrained target counts as much.
    """

    def scores(targets: Tensor, learned: Tensor, never: Tensor) -> Tensor:
        return _log_density(targets, learned) - _log_density(targets, never)

    return _crossed(scores, unlearned, retrained)


def rmia(unlearned: Tensor, retrained: Tensor, population: tuple[Tensor, Tensor]) -> Tensor:
    """AUC, 0 to 1, of the relative membership inference attack, RMIA (Zarifzadeh et al. 2024, arXiv 2312.03262).

    Of `log_posteriors`; `population`: the same, (M, Z) and (R, Z), of images that no model trained on. A target's score
    is the share of the population's z with (p(x) / Pr(x)) / (p(z) / Pr(z)) of at least GAMMA: p is the target's
    posterior, Pr the mean over the models learned from, half of which unlearned x: the online form. The authors' code
    has 1 for GAMMA and estimates Pr from models that never saw x alone; here it is as in the paper. Both ends of the
    scale tell a model from Retrain: below 1/2 the unlearned images are the less likely ones.
    """
    count = unlearned.shape[1]

    def scores(targets: Tensor, learned: Tensor, never: Tensor) -> Tensor:
        means = [known.logsumexp(0) - math.log(len(known)) for known in (learned, never)]
        ratios = (targets - (torch.logaddexp(*means) - math.log(2))).contiguous()
        others = ratios[:, count:].sort(1).values
        below = torch.searchsorted(others, ratios[:, :count].contiguous() - math.log(GAMMA), right=True)
        return below / others.shape[1]

    learned, never = (torch.cat(pair, 1) for pair in zip((unlearned, retrained), population, strict=True))
    return _crossed(scores, learned, never)


def klom(unlearned: Tensor, retrained: Tensor) -> Tensor:
    """KL divergence of margins, KLoM (Georgiev et al. 2024, arXiv 2410.23232), in nats: 0 where both kinds agree.

    Histograms of both kinds have BINS over their common range. The divergence is that of the unlearned from the
    retrained, as in the authors' code, which loses the largest margin and makes the shares add up to 1 again once EMPTY
    is put in. With few models most bins are empty, and even models of one kind differ: compare with the value of
    Retrains against as many other Retrains.
    """
    both = torch.cat([unlearned, retrained])
    low, high = both.amin(0), both.amax(0)
    place = ((both - low) / (high - low).clamp_min(1e-12) * BINS).long().clamp_max(BINS - 1)
    shares = F.one_hot(place, BINS).double().split([len(unlearned), len(retrained)])
    found, expected = (share.mean(0) for share in shares)
    return (torch.xlogy(found, found) - torch.xlogy(found, expected.clamp_min(EMPTY))).sum(-1)


def _clipped(values: Tensor) -> Tensor:
    return values.nan_to_num(-CLIPPED).clamp(-CLIPPED, CLIPPED)


def _log_density(values: Tensor, known: Tensor) -> Tensor:
    """Of `values`, (T, N), under a Gaussian fitted to each column of `known`, (S, N), up to a constant."""
    deviation = known.std(0).clamp_min(FLOOR)
    return -(((values - known.mean(0)) / deviation) ** 2) / 2 - deviation.log()


def _crossed(scores: Callable[[Tensor, Tensor, Tensor], Tensor], unlearned: Tensor, retrained: Tensor) -> Tensor:
    """The AUC of `scores(targets, learned, never)`, (T, N), where each half of the models is once the targets."""
    halves = [(unlearned[start::2], retrained[start::2]) for start in (0, 1)]
    found = []
    for targets, known in (halves, halves[::-1]):
        positive, negative = (scores(side, *known) for side in targets)
        differences = positive[:, None] - negative
        found.append((differences.sign().double().mean((0, 1)) + 1) / 2)
    return torch.stack(found).mean(0)
