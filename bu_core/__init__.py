"""Train, unlearn and measure: the code behind the Boundary Unlearning book.

The way of the data is `config` -> `data` -> `training` -> `unlearning` -> `measures` -> `figures`, joined by
`experiment`. Importing any part of the package runs this file first, and with it the one repair below.
"""

import importlib.machinery
import importlib.util
from pathlib import Path

import torch

__version__ = "0.1.0"


def _declare_missing_torchvision_operators() -> list[torch.library.Library]:
    """Let `import torchvision` succeed where its compiled library does not load, as one for CUDA beside torch for CPUs.

    Its import fails there for want of the operators `nms` and `qnms`. This project never calls them, so declaring their
    signatures is enough. pytorch-grad-cam imports torchvision as well, so the repair stands here.
    """
    package = importlib.util.find_spec("torchvision")
    if package is None or package.origin is None:
        return []
    suffixes = importlib.machinery.EXTENSION_SUFFIXES
    libraries = [Path(package.origin).with_name("_C" + suffix) for suffix in (*suffixes, ".so", ".pyd")]
    try:
        torch.ops.load_library(str(next(path for path in libraries if path.exists())))
        return []
    except (StopIteration, OSError, ImportError):
        declared = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return [declared]


# A Library withdraws its declarations when it is collected, so it is kept for the life of the process.
_DECLARED = _declare_missing_torchvision_operators()
