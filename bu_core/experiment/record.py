"""Recorded runs: what the chapters need of an experiment, small enough for the repository and without an image.

`bu_book.publish` leaves a run under `book/results/<name>/`. An experiment that was recorded is shown from there, on any
machine and without the data. What the record does not hold is `NotRecorded`, and is never computed silently.

- `record.json`: settings, data set (names, sizes, fingerprint), machine, command, and a checksum of each file.
- `store/`: the artefacts that the chapters ask for, under the names that the store gave them. Logits are float16, which
  keeps three decimal digits, and labels uint8. Of the weights there are the original's and Retrain's; of people none,
  since no model from here should recognise anybody.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ..checks import SettingError
from ..config import Config
from ..data import Dataset, LabelledImages
from .environment import Environment

ROOT = Path(__file__).resolve().parents[2] / "book" / "results"

# Settings that say where and on what a run is made, and not which run it is.
WHERE_MADE = ("data_dir", "device", "precision", "results_dir")
# Settings that ask for more to be measured or shown, and change nothing that was.
ASKED_FOR = ("elsewhere", "requests", "timing_runs", "beside", "replicates", "title")


class NotRecorded(Exception):
    """A record lacks what was asked for; the message says what, and how to get it.

    Of what was never recorded, `artefact` names the measurement and, behind a hyphen, the model; `record` the folder.
    """

    def __init__(self, message: str, artefact: str = "", record: str = ""):
        super().__init__(message)
        self.artefact, self.record = artefact, record


class DamagedRecordWarning(UserWarning):
    """A record that cannot be read is left aside; the message says how to get it back."""


@dataclass(frozen=True)
class Record:
    """A recorded run in `folder`."""

    folder: Path

    @classmethod
    def find(cls, config: Config) -> "Record | None":
        """The run that was recorded with these settings; None where there is none, or where `data_dir` is given.

        A damaged record of another run is named in a warning; that of this very run raises SettingError.
        """
        if config.data_dir is not None:
            return None
        for record in records():
            try:
                if which_run(Config.from_mapping(record.content["config"])) == which_run(config):
                    return record
            except ValueError as error:
                message = f"{record.folder / 'record.json'}: {error}; `git checkout -- {record.shown}` brings it back"
                if record.folder.name == Path(config.results_dir).name:
                    raise SettingError(message) from None
                warnings.warn(message, DamagedRecordWarning, stacklevel=2)
        return None

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def shown(self) -> str:
        """The folder as a message names it: from the root of the repository, where it lies in it."""
        root = ROOT.parent.parent
        return str(self.folder.relative_to(root) if self.folder.is_relative_to(root) else self.folder)

    @cached_property
    def content(self) -> dict[str, Any]:
        """`record.json`. Raises ValueError where it is no such file, or another than was written."""
        try:
            content = json.loads((self.folder / "record.json").read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"cannot be read ({error})") from error
        if not isinstance(content, dict) or content.get("checksum") != checksum(content):
            raise ValueError("is damaged (its checksum differs)")
        if not isinstance(content.get("config"), dict):
            raise ValueError("is damaged (it names no settings)")
        return content

    @property
    def environment(self) -> Environment:
        """The machine that the run was made on."""
        return self.content["environment"]

    @property
    def dataset(self) -> Dataset:
        """The data set as far as it is known without its images: both sides are empty."""
        facts = self.content["dataset"]
        nothing = LabelledImages(torch.empty(0, *facts["shape"], dtype=torch.uint8), torch.empty(0, dtype=torch.int64))
        own = {name: facts[name] for name in ("name", "origin", "fingerprint", "others_fingerprint")}
        return Dataset(**own, classes=tuple(facts["classes"]), train=nothing, test=nothing)

    def refusal(self, file: str) -> NotRecorded:
        """Why an artefact of this name is not to be had: it was never recorded, or its file is gone or damaged."""
        artefact = file.rsplit("-", 1)[0]
        kind = artefact.replace("-", " of ", 1)
        if file not in self.content["files"]:
            message = f"{kind}: not recorded in {self.folder.name}; name a data_dir to compute it"
            return NotRecorded(message, artefact, self.folder.name)
        state = f"{self.shown}/store/{file} {'is damaged' if (self.store / file).exists() else 'is missing'}"
        return NotRecorded(f"{kind}: {state}; `git checkout -- {self.shown}` brings it back")


def records() -> Iterator[Record]:
    """The recorded runs by name; some may be damaged."""
    return (Record(path.parent) for path in sorted(ROOT.glob("*/record.json")))


def which_run(config: Config) -> dict[str, Any]:
    """The settings that tell one run from another."""
    return {name: value for name, value in config.as_dict().items() if name not in (*WHERE_MADE, *ASKED_FOR)}


def checksum(content: Mapping[str, Any]) -> str:
    """The digest of a record's content, which stands in it."""
    rest = {name: value for name, value in content.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
