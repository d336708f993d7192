"""Models that come as files: the options that `audit` and `unlearn` share, and the experiment that holds the models."""

import argparse
from collections.abc import Mapping
from typing import Any

from ..checks import SettingError, shown
from ..command_line import add_overrides, overrides, said
from ..config import Config
from ..data import DATASETS
from ..data.request import class_index
from ..experiment.experiment import Experiment
from ..models import Classifier
from ..models.weights import digest_of, load_whole

FORM = "a state_dict of the profile's network, as .safetensors or as torch saves it"


def add_given(parser: argparse.ArgumentParser) -> None:
    """Give a command its profile, `-p`, `--forget` and `--data`."""
    parser.add_argument("profile", help="a profile's name or path: it says data set, network and training recipe")
    add_overrides(parser)
    parser.add_argument("--forget", metavar="CLASS", help="the class, by name or index; unless told, the profile's")
    parser.add_argument("--data", metavar="FOLDER", help="the data set's folder, as data_dir")


def config_of(arguments: argparse.Namespace, methods: list[str], results_dir: str) -> Config:
    """The config of the profile and the options of `add_given`, of one run alone."""
    given = overrides(arguments) | {"methods": methods, "results_dir": results_dir}
    given |= {"elsewhere": [], "requests": [], "beside": [], "replicates": ""}
    given |= {"data_dir": arguments.data} if arguments.data else {}
    if arguments.forget is not None:
        given["forget"] = {}
        given["forget_class"] = _class(arguments.forget, Config.from_profile(arguments.profile, **given).dataset)
    return Config.from_profile(arguments.profile, **given)


def _class(text: str, dataset: str) -> int | str:
    """The class that `--forget` names; of a data set whose classes its folder decides, to be looked up there."""
    classes = DATASETS[dataset].classes
    value = int(text) if text.isdecimal() and text not in (classes or ()) else text
    return value if classes is None else class_index(value, classes, dataset, "--forget")


class Given(Experiment):
    """An experiment whose models are in files: of each name, the option that named the file, and the file."""

    def __init__(self, config: Config, named: Mapping[str, tuple[str, str]]):
        super().__init__(config, said)
        self.named = named
        self.digests = {name: digest_of(file) for name, (_, file) in named.items()}
        first: dict[str, str] = {}
        for name, (option, file) in named.items():
            self.model(name)
            if (other := first.setdefault(self.digests[name], name)) != name:
                raise SettingError(f"{option}={shown(file)}: holds the same as {other}; name another model")

    def key(self, name: str) -> dict[str, Any]:
        """What a model is found by: what its file holds, and what the auditor is given beside it."""
        return {"file": self.digests[name], "dataset": self.dataset.fingerprint} | self._made_by(self.recipe)

    def model(self, name: str) -> Classifier:
        if name not in self._models:
            apart = self.config.pretraining["source"] in ("none", "others")  # else it decides how images are normalised
            classes, config = len(self.dataset.classes), self.config
            model = self._built(classes, config.width, config.seed) if apart else self.initial()
            load_whole(model, *self.named[name])
            self._models[name] = model.eval()
        return self._models[name]
