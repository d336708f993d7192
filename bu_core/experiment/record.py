"""Recorded runs: what the notebooks need of an experiment, small enough for the repository and without an image.

`bu_book.publish` leaves a run under `book/results/<name>/`; `Record.find` gives the run recorded with a config's
very settings. An experiment with a record shows it without the data.

- `record.json`: settings, data set (names, sizes, fingerprint), machine, and the command.
- `store/`: the artefacts that the chapters ask for, under the names that the store gave them. Logits are float16, which
  keeps three decimal digits, and labels uint8. Of the weights there are the original's and Retrain's; of people none,
  since no model from here should recognise anybody.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ..config import Config
from ..data import Dataset, LabelledImages

ROOT = Path(__file__).resolve().parents[2] / "book" / "results"

# Settings that say where and on what a run is made, and not which run it is.
WHERE_MADE = ("data_dir", "device", "precision", "results_dir")


@dataclass(frozen=True)
class Record:
    """A recorded run in `folder`."""

    folder: Path

    @classmethod
    def find(cls, config: Config) -> "Record | None":
        """The run that was recorded with these settings; None where there is none, or where `data_dir` is given."""
        if config.data_dir is not None:
            return None
        for path in sorted(ROOT.glob("*/record.json")):
            record = cls(path.parent)
            if which_run(Config.from_mapping(record._content["config"])) == which_run(config):
                return record
        return None

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @cached_property
    def _content(self) -> dict[str, Any]:
        return json.loads((self.folder / "record.json").read_text())

    @property
    def environment(self) -> dict[str, Any]:
        """The machine that the run was made on, as `experiment.environment` says."""
        return self._content["environment"]

    @property
    def dataset(self) -> Dataset:
        """The data set as far as it is known without its images: both sides are empty."""
        facts = self._content["dataset"]
        nothing = LabelledImages(torch.empty(0, *facts["shape"], dtype=torch.uint8), torch.empty(0, dtype=torch.int64))
        classes = tuple(facts["classes"])
        return Dataset(
            facts["name"],
            facts["origin"],
            classes,
            nothing,
            nothing,
            facts["fingerprint"],
            others_fingerprint=facts["others_fingerprint"],
        )


def recorded() -> list[str]:
    """The names of the recorded runs: those of their profiles."""
    return sorted(path.parent.name for path in ROOT.glob("*/record.json"))


def configs(results_dir: str) -> dict[str, Config]:
    """The settings of each recorded run, by its name, with this folder for what is computed from the record."""
    found = {name: Record(ROOT / name)._content["config"] for name in recorded()}
    return {name: Config.from_mapping(config | {"results_dir": results_dir}) for name, config in found.items()}


def which_run(config: Config) -> dict[str, Any]:
    return {name: value for name, value in config.as_dict().items() if name not in WHERE_MADE}
