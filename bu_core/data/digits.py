"""The handwritten digits that are embedded in scikit-learn, so that every machine has them."""

from pathlib import Path

import numpy as np

from .images import Dataset, dataset

CLASSES = tuple("0123456789")


def read(data_dir: Path | None, seed: int) -> Dataset:
    """scikit-learn's handwritten digits: 1,797 grey scans of 8x8 pixels; a fixed 70:30 split, even over classes.

    They are embedded in scikit-learn, so `data_dir` is not used, and divided alike for every `seed`.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    grey = np.round(images.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)  # the scans count ink from 0 to 16
    train, test = train_test_split(np.arange(len(labels)), test_size=0.3, random_state=0, stratify=labels)
    origin = "handwritten digits (Alpaydin and Kaynak 1998) as embedded in scikit-learn, split 70:30"
    return dataset("digits", origin, CLASSES, (grey[train], labels[train]), (grey[test], labels[test]))
