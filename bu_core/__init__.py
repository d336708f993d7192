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
    """Let `import torchvision` succeed where its compiled operators do not load.

    torchvision registers shapes for its operators `nms` and `qnms` on import and raises "operator torchvision::nms
    does not exist" when its compiled library cannot be loaded, as happens with a torchvision built for CUDA beside
    a CPU build of torch. This project never calls the two operators, so declaring their signatures is enough.
    Where the compiled library does load, nothing is declared. pytorch-grad-cam imports torchvision as well, which
    is why the repair stands here and not beside our own import.
    """
    package = importlib.util.find_spec("torchvision")
    if package is None or package.origin is None:
        return []
    suffixes = importlib.machinery.EXTENSION_SUFFIXES
    libraries = [Path(package.origin).with_name("_C" + suffix) for suffix in (*suffixes, ".so", ".pyd")]
    try:
        torch.ops.load_library(str(next(path for path in libraries if path.exists())))
    except (StopIteration, OSError, ImportError):
        declared = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return [declared]
    return []


# A Library withdraws its declarations when it is collected, so it is kept for the life of the process.
_DECLARED = _declare_missing_torchvision_operators()
