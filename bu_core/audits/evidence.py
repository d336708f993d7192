"""Evidence: what an auditor has of one model, its outputs and last features, computed once and shared by all audits."""

from functools import cached_property

import torch
from torch import Tensor

from ..data import ForgetSplit, LabelledImages, pixels
from ..measures import Outputs
from ..models import Classifier, batchnorms
from ..training import Precision, at_once, autocast
from .reestimation import reestimated


class Evidence:
    """One model, and what it says of the four sets of a split.

    Of D_r an auditor looks at `limit` images that `seed` draws, the same for every model; the other sets are whole.
    The model and the split lie on one device; outputs and features are on the CPU.
    """

    def __init__(self, model: Classifier, split: ForgetSplit, precision: Precision, seed: int, limit: int = 5000):
        self.model, self.split, self.precision, self.seed, self.limit = model, split, precision, seed, limit
        self._seen: dict[str, tuple[Outputs, Tensor]] = {}

    @property
    def forget_class(self) -> int:
        return self.split.forget_class

    def sampled(self, part: str) -> LabelledImages:
        """The images of one of `data.SPLITS` that are looked at, on the device of the split, in the set's order."""
        data: LabelledImages = getattr(self.split, part)
        if part != "remain_train" or len(data) <= self.limit:
            return data
        drawn = torch.randperm(len(data), generator=torch.Generator().manual_seed(self.seed))[: self.limit]
        return data[drawn.sort().values.to(data.labels.device)]

    def outputs(self, part: str) -> Outputs:
        """Logits and labels of the `sampled` images, in evaluation mode."""
        return self._look(part)[0]

    def features(self, part: str) -> Tensor:
        """What the last layer reads of the `sampled` images: float32, (N, F); no number counts as 0."""
        return self._look(part)[1]

    @torch.no_grad()
    def _look(self, part: str) -> tuple[Outputs, Tensor]:
        if part not in self._seen:
            self.model.eval()
            data = self.sampled(part)
            features, logits = [], []
            for batch in data.images.split(at_once(data.images)):
                with autocast(batch.device, self.precision):
                    features.append(self.model.features(pixels(batch)))
                    logits.append(self.model.classifier(features[-1]))
            outputs = Outputs(torch.cat(logits).float().cpu(), data.labels.cpu())
            finite = torch.cat(features).float().nan_to_num(0.0, 0.0, 0.0).cpu()
            self._seen[part] = outputs, finite
        return self._seen[part]

    @cached_property
    def reestimated(self) -> "Evidence":
        """The same of the model with BatchNorm statistics of the sampled images of D_r; itself if it keeps none."""
        if not batchnorms(self.model):
            return self
        model = reestimated(self.model, self.sampled("remain_train").images, self.precision)
        return Evidence(model, self.split, self.precision, self.seed, self.limit)
