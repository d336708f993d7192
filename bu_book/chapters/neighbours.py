"""How the neighbours are found: the search of Boundary Shrink, by its reach and by its number of steps.

Equation 2 takes one step (FGSM) of size epsilon; the alternative takes several smaller ones (PGD) within the same
distance. The paper holds that one large step is enough, and refers to an appendix for the evidence. Here both search
at every reach of a grid, and it is counted how many images cross a boundary and which labels are found.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bu_core.data import LabelledImages
from bu_core.models import Classifier
from bu_core.training import Precision, Stopwatch
from bu_core.unlearning.boundary_shrink import crossed_logits, nearest_incorrect

EPSILONS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)  # in pixel units
SEARCHES = ("fgsm", "pgd")


def grid(epsilon: float) -> list[float]:
    """EPSILONS, with the reach of Boundary Shrink among them."""
    return sorted({*EPSILONS, epsilon})


def search(
    model: Classifier,
    data: LabelledImages,
    precision: Precision,
    walks: Mapping[str, Sequence[float]],
    epsilons: Sequence[float],
) -> tuple[dict[str, Tensor], dict[str, list[float]]]:
    """What each search finds at each of `epsilons`, E in number, and the seconds that it took each time.

    `walks`: steps and step size of each search. Found, on the CPU: `<search>.named`, the class that the model gives the
    cross sample, and `<search>.label`, y_nbi; both int64, (E, N).
    """
    device = data.images.device
    crossed_logits(model, data, 0.0, precision)  # a throw-away search, so that the first one does not pay for all
    found: dict[str, list[Tensor]] = {}
    seconds: dict[str, list[float]] = {name: [] for name in walks}
    for epsilon in epsilons:
        for name, walk in walks.items():
            with Stopwatch(device) as watch:
                logits = crossed_logits(model, data, epsilon, precision, *walk)
                label = nearest_incorrect(logits, data.labels)
            seconds[name].append(watch.seconds)
            found.setdefault(f"{name}.named", []).append(logits.argmax(1).cpu())
            found.setdefault(f"{name}.label", []).append(label.cpu())
    return {name: torch.stack(rows) for name, rows in found.items()}, seconds


def summary(found: Mapping[str, Tensor], labels: Tensor, classes: int) -> dict[str, Any]:
    """What the searches found, each list by reach, from none upwards; percentages are of the images in question.

    The images are those that the model names rightly as they are; the others need no search. `images`: how many; where
    there are none, percentages are NaN.
    For each search: `crossed`, on how many the model names another class at the cross sample; `labels`, the share that
    is given each class, (E, K); `reference`, how many are given the label that `first_met` found for them, of those
    that it found one for. `agreement`: how many get the same label from both searches. `met`: how many have such a
    first label, and the share of each class among those.
    """
    right = found["fgsm.named"][0] == labels
    met = first_met(found["pgd.named"][:, right], labels[right])
    known = met >= 0
    result: dict[str, Any] = {"images": int(right.sum())}
    for name in SEARCHES:
        given = found[f"{name}.label"][:, right]
        result[name] = {
            "crossed": _percent(found[f"{name}.named"][:, right] != labels[right]),
            "labels": [_shares(row, classes) for row in given],
            "reference": _percent(given[:, known] == met[known]),
        }
    result["agreement"] = _percent(found["fgsm.label"][:, right] == found["pgd.label"][:, right])
    result["met"] = {"images": 100 * known.double().mean().item(), "labels": _shares(met[known], classes)}
    return result


def first_met(named: Tensor, labels: Tensor) -> Tensor:
    """The first class other than its own that an image meets as the reach grows: int64, (N,); -1 where it meets none.

    `named`: the class at the cross sample for each reach, from none upwards, int64, (E, N); `labels`: int64, (N,).
    With PGD, the finer search, and a fine grid this is the nearest class as well as it can be known.
    """
    crossed = named != labels
    first = crossed.int().argmax(0)  # of equal values, argmax gives the first
    return torch.where(crossed.any(0), named.gather(0, first[None])[0], -1)


def _percent(holds: Tensor) -> list[float]:
    """Share of the images, in percent, for each row of (E, N)."""
    return (100 * holds.double().mean(1)).tolist()


def _shares(labels: Tensor, classes: int) -> list[float]:
    return (100 * torch.bincount(labels, minlength=classes).double() / max(1, len(labels))).tolist()
