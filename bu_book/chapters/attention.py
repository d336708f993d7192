"""Where a model looks: Grad-CAM maps, and the share of a map that lies on the object. Pure functions.

Grad-CAM (Selvaraju et al. 2017) takes the maps of one layer, weights each by the mean gradient of one class's logit,
adds them up and cuts what is negative. The paper (section 5.5, Figure 5) shows such maps, and names neither the layer
nor the class, so the choices here are ours:

- **The class** is the one that the model itself puts first (`predicted`): the map then shows what its answer rests on,
  in a model that gives the true class no more as in one that does. The map for the true class (`true`) is measured
  beside it.
- **The layer** is the deepest one whose maps still have 4x4 pixels (`layer`): the last one on CIFAR-10, and on the
  8x8 digits, where the last one has 2x2, the one before the second strided convolution.
- **A number**: the share of a map that lies on the object, to be read against the share of the image that the object
  takes up, which is what a map without a preference would have.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bu_core.data import pixels
from bu_core.data.faces import oval
from bu_core.models import Classifier

MODELS = ("original", "retrain", "boundary_shrink", "boundary_expanding")  # the four of Figure 5
PARTS = ("forget_train", "remain_train")
ASKED = ("predicted", "true")
SMALLEST_MAP = 4  # pixels of height and width that a layer's maps need
INK = 128  # of 255: the level from which a pixel of a scan counts as ink
DRAWS = 4000  # resamplings behind an interval

# All that decides a map beside the model and the images; a stored map is found by it.
SETTINGS = {"method": "Grad-CAM", "smallest map": SMALLEST_MAP, "ink": INK}


class Region(NamedTuple):
    """Which pixels of an image count as the object.

    `masks` turns uint8 images, (N, C, H, W), into booleans, (N, H, W). `is_object` is False where nothing says which
    pixels show the object, and a part of the image stands in for it.
    """

    name: str
    is_object: bool
    masks: Callable[[Tensor], Tensor]


def ink(images: Tensor) -> Tensor:
    """The pixels of grey scans that are ink: at least INK of 255."""
    return images[:, 0] >= INK


def centre(images: Tensor) -> Tensor:
    """The middle half of the height and of the width: a quarter of each image."""
    height, width = images.shape[-2:]
    mask = torch.zeros(len(images), height, width, dtype=torch.bool)
    mask[:, height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    return mask


# What counts as the object, by data set; in all others, CIFAR-10 among them, nothing says, and the middle stands in:
# objects are near it, but so is much else.
REGIONS = {
    "digits": Region("ink", True, ink),
    "faces": Region("face", True, oval),
}
MIDDLE = Region("centre", False, centre)


def layer(model: Classifier, images: Tensor) -> tuple[nn.Module, tuple[int, int]]:
    """The stage of `model.body` that the maps are read from, and the height and width of its maps in pixels.

    It is the deepest stage whose maps are at least SMALLEST_MAP high and wide. `images`: floats in [0, 1].
    """
    found: list[tuple[nn.Module, tuple[int, int]]] = []

    def note(stage: nn.Module, _: Any, output: Tensor) -> None:
        if output.ndim == 4 and min(output.shape[-2:]) >= SMALLEST_MAP:
            found.append((stage, tuple(output.shape[-2:])))

    hooks = [stage.register_forward_hook(note) for stage in model.body.children()]
    try:
        with torch.no_grad():
            model.eval()(images[:1])
    finally:
        for hook in hooks:
            hook.remove()
    return found[-1]


def maps(model: Classifier, images: Tensor, classes: Tensor, batch_size: int = 100) -> Tensor:
    """Grad-CAM maps, float32, (N, H, W), of uint8 images, each for the class given for it, on the CPU.

    A map runs from 0 at its least to 1 at its most and has the size of the image; where no part of the layer speaks
    for the class, it is 0 everywhere. Computed in float32, whatever the precision of training; the model is left as
    it was.
    """
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    # Used as a context, GradCAM would swallow an IndexError from inside.
    cam = GradCAM(model, [layer(model, pixels(images[:1]))[0]])
    try:
        found = [
            cam(pixels(batch), [ClassifierOutputTarget(index) for index in asked.tolist()])
            for batch, asked in zip(images.split(batch_size), classes.split(batch_size), strict=True)
        ]
    finally:
        cam.activations_and_grads.release()
        model.zero_grad(set_to_none=True)
    return torch.from_numpy(np.concatenate(found)).float()


def share(maps: Tensor, masks: Tensor) -> Tensor:
    """Share of each map that lies where its mask is true, in percent, float64, (N,); NaN for a map of zeros alone.

    `maps`: (N, H, W), not negative; `masks`: booleans, (N, H, W).
    """
    maps = maps.double()
    return 100 * (maps * masks).sum((1, 2)) / maps.sum((1, 2))


def look(model: Classifier, images: Tensor, labels: Tensor, predicted: Tensor, region: Region) -> dict[str, Tensor]:
    """What is kept of the maps of a set of images, by the class that was asked for (`ASKED`): no single map.

    `<asked>.share`: of each image, float64, (N,), in percent; `<asked>.map`: the mean of all maps, float32, (H, W).
    `labels` and `predicted`: the true class and the model's first, int64, (N,).
    """
    masks = region.masks(images.cpu())
    kept = {}
    for asked, classes in zip(ASKED, (predicted, labels), strict=True):
        found = maps(model, images, classes)
        kept[f"{asked}.share"] = share(found, masks)
        kept[f"{asked}.map"] = found.mean(0)
    return kept


def summary(found: Mapping[str, Mapping[str, Tensor]], seed: int) -> dict[str, dict[str, Any]]:
    """For each model (`found`: what `look` kept of the same images, by model, with the original) and class asked for:

    `share`, the mean share of attention on the object, in percent; `change`, that less the original's, in percentage
    points, over the images where both models have a map. Each with the ends `_low` and `_high` of its 95 % interval, a
    percentile bootstrap over the images. `blank`: how many images have no map, and are left out. `map`: the mean map.
    Where every map is blank, the numbers are None.
    """
    count = len(found["original"]["predicted.share"])
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), DRAWS).astype(float)
    return {
        name: {
            asked: {
                **_interval("share", kept[f"{asked}.share"], drawn),
                **_interval("change", kept[f"{asked}.share"] - found["original"][f"{asked}.share"], drawn),
                "blank": int(kept[f"{asked}.share"].isnan().sum()),
                "map": kept[f"{asked}.map"].tolist(),
            }
            for asked in ASKED
        }
        for name, kept in found.items()
    }


def _interval(name: str, values: Tensor, drawn: np.ndarray) -> dict[str, float | None]:
    """The mean of `values`, (N,), where they are numbers; `drawn`: how often each resampling has each, (DRAWS, N)."""
    known = ~values.isnan().numpy()
    if not known.any():
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    numbers, times = values.numpy()[known], drawn[:, known]
    low, high = np.percentile(times @ numbers / times.sum(1).clip(1), (2.5, 97.5))
    return {name: float(numbers.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}
