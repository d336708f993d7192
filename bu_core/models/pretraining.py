"""What a model knows before the original is trained: nothing, or what it learned from other data.

The paper's ResNet-50 was pretrained on faces. Whoever has such weights gives the file; everybody else can pretrain on
the people of the same folder who are not among the classes (`others`), or take torchvision's ImageNet weights.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor, nn

from ..checks import Epochs, LearningRate, SettingError, file_of, keyword_settings, shown
from . import ONE_WIDTH, Classifier
from .weights import fit_into, read_state

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation of each channel, in pixel units

# Cao et al. (2018) subtract these means from channels that run from 0 to 255, blue first.
_VGGFACE2_BGR = (91.4953, 103.8827, 131.0912)

# Names of torchvision's layers, in the layout of the published VGGFace2 ResNet-50 (`conv1/7x7_s2` and so on in Caffe,
# underscores in its PyTorch conversion): first of the stem, then of a block's three convolutions and its short cut.
_STEM = {"conv1_7x7_s2": "0", "conv1_7x7_s2_bn": "1"}
_BLOCK = {
    "1x1_reduce": "conv1",
    "1x1_reduce_bn": "bn1",
    "3x3": "conv2",
    "3x3_bn": "bn2",
    "1x1_increase": "conv3",
    "1x1_increase_bn": "bn3",
    "1x1_proj": "downsample.0",
    "1x1_proj_bn": "downsample.1",
}
_FIRST_STAGE = 4  # of a Classifier's body: what torchvision calls layer1


def settings(
    *,
    source: Literal["none", "others", "imagenet", "weights"] = "none",
    file: str | None = None,
    epochs: Epochs = 10,
    lr: LearningRate = 0.05,
) -> None:
    """The settings of a pretraining, with their defaults; `checked` reads them off this signature.

    `source`: `none`; `others`, the people of the same folder who are none of the classes (`data.others` says how many),
    fitted for `epochs` at `lr`; `imagenet`, torchvision's weights, downloaded; `weights`, the state_dict in `file`.
    """


def checked(given: Mapping[str, Any], model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, complete and checked against each other, the model, and the data set's options."""
    found = keyword_settings("pretraining", settings, given)
    source, file = found["source"], found["file"]
    if source in ("imagenet", "weights") and model not in ONE_WIDTH:
        raise SettingError(f"pretraining.source={source!r}: is for {', '.join(ONE_WIDTH)}, and not for {model}")
    if source == "others" and not options.get("others"):
        raise SettingError("pretraining.source='others': data.others must say how many people to pretrain on")
    if source != "weights" and file is not None:
        raise SettingError(f"pretraining.file={shown(file)}: is read only where pretraining.source='weights'")
    if source == "weights" and not file:
        raise SettingError("pretraining.file: must name a file of weights, since pretraining.source='weights'")
    return found | {"file": str(file_of("pretraining.file", file)) if file else None}


def load_imagenet(model: Classifier, name: str) -> None:
    """Give `model` the body of torchvision's ImageNet weights, and their normalisation."""
    from torchvision import models

    try:
        found = getattr(models, name)(weights="DEFAULT")
    except Exception as error:  # what was kept of an earlier download may be damaged in any way
        raise SettingError(f"pretraining.source='imagenet': the download failed ({shown(error)})") from error
    fit_into(model.body, _from_torchvision(found.state_dict()), "torchvision's ImageNet weights")
    model.normalise(*IMAGENET)


def load_file(model: Classifier, file: str) -> None:
    """Give `model` the body in `file`, and the normalisation that belongs to its layout.

    A state_dict, as torch or safetensors keeps it, in torchvision's layout (normalised as on ImageNet) or in that of
    the published VGGFace2 ResNet-50 (means subtracted, blue first: its first convolution is turned round). A layer on
    top is left out. Raises SettingError for a file that cannot be read, and for a tensor of another shape or with a
    number that is not finite, which it names.
    """
    state, where = read_state("pretraining.file", file), f"pretraining.file={shown(file)}"
    if any(name.startswith("conv1_7x7_s2") for name in state):
        fit_into(model.body, _from_vggface2(state), where)
        _as_in_caffe(model)
        model.normalise([value / 255 for value in reversed(_VGGFACE2_BGR)], [1 / 255] * 3)
    else:
        fit_into(model.body, _from_torchvision(state), where)
        model.normalise(*IMAGENET)


def _from_torchvision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's names as those of a Classifier's body; its last layer is left out."""
    numbers = {"conv1": 0, "bn1": 1} | {f"layer{n}": _FIRST_STAGE + n - 1 for n in (1, 2, 3, 4)}
    parts = {name: name.partition(".") for name in state}
    return {f"{numbers[stage]}.{rest}": state[name] for name, (stage, _, rest) in parts.items() if stage in numbers}


def _from_vggface2(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The names of the published VGGFace2 ResNet-50, such as conv3_2_1x1_reduce_bn.weight, as those of a body."""
    found = {}
    for name, value in state.items():
        layer, _, kind = name.rpartition(".")
        if layer in _STEM:
            found[f"{_STEM[layer]}.{kind}"] = value
        elif (place := re.fullmatch(r"conv(\d+)_(\d+)_(.+)", layer)) and place[3] in _BLOCK:
            found[f"{_FIRST_STAGE + int(place[1]) - 2}.{int(place[2]) - 1}.{_BLOCK[place[3]]}.{kind}"] = value
    first = found.get("0.weight")
    if first is not None and first.dim() == 4:
        found["0.weight"] = first.flip(1)  # its inputs are blue, green, red
    return found


def _as_in_caffe(model: Classifier) -> None:
    """Put strides and padding where the published network has them.

    A block that halves the image does so in its first convolution; the pooling of the stem rounds up, unpadded.
    """
    model.body[3] = nn.MaxPool2d(3, 2, padding=0, ceil_mode=True)
    for stage in range(_FIRST_STAGE + 1, _FIRST_STAGE + 4):
        for name, stride in (("conv1", 2), ("conv2", 1)):
            convolution = model.get_submodule(f"body.{stage}.0.{name}")
            assert isinstance(convolution, nn.Conv2d)
            convolution.stride = (stride, stride)
