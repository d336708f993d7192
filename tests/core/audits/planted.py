"""Evidence of a model that is made up: what it says and sees of a class is planted."""

import torch
from torch import Tensor
from torch.nn import functional as F

from bu_core.audits.evidence import Evidence
from bu_core.data import SPLITS, ForgetSplit, LabelledImages
from bu_core.measures import Outputs
from bu_core.models import build

CLASSES, WIDTH, FORGET, EACH = 4, 12, 1, 400


class Planted(Evidence):
    """Evidence whose outputs and features are given."""

    def __init__(self, split: ForgetSplit, seen: dict[str, tuple[Outputs, Tensor]]):
        model = build("allcnn_groupnorm", 1, CLASSES, WIDTH / 192, seed=0)
        super().__init__(model, split, "fp32", seed=0)
        self._seen = seen


def evidence(
    signal: float, offset: float = 0.0, clusters: float = 3.0, lean: list[float] | None = None, seed: int = 0
) -> Planted:
    """A model that knows all classes but one, of which it knows what `signal` says.

    Features are noise of deviation 1, a cluster for each remaining class, `clusters` away from the origin, and for the
    forgotten one `signal` away; logits are the parts of the features along the clusters, the forgotten one's with
    `offset` added, and for its images with `lean`, (K,), as well. EACH images a class and set.
    """
    generator = torch.Generator().manual_seed(seed)
    sets, seen = {}, {}
    for part in SPLITS:
        classes = [FORGET] if part.startswith("forget") else [k for k in range(CLASSES) if k != FORGET]
        labels = torch.tensor(classes).repeat_interleave(EACH)
        features = torch.randn(len(labels), WIDTH, generator=generator)
        features += F.one_hot(labels, WIDTH) * torch.where(labels == FORGET, signal, clusters)[:, None]
        logits = features[:, :CLASSES].clone()
        logits[:, FORGET] += offset
        if lean is not None and part.startswith("forget"):
            logits += torch.tensor(lean)
        sets[part] = LabelledImages(torch.zeros(len(labels), 1, 8, 8, dtype=torch.uint8), labels)
        seen[part] = Outputs(logits, labels), features
    return Planted(ForgetSplit(tuple("abcd"), (FORGET,), **sets), seen)
