"""Bring an earlier store or record to the keys and names of today; nothing is computed and nothing is lost.

    python -m bu_book migrate results/digits/store book/results/lfw

A model's key loses the settings that are at their defaults. A measurement of version 0.1 gets the key that its
registration derives, and its facts the form of its class. What a file held stays as it was, value for value; a file of
an unknown kind is left where it is.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bu_core.checks import SettingError, shown
from bu_core.experiment.measurement import MEASUREMENTS
from bu_core.experiment.record import ASKED_FOR, checksum
from bu_core.results import Artefact, pack, unpack
from bu_core.store import digest, read_any, write, write_json
from bu_core.unlearning import METHODS, changed_settings

from . import chapters
from .chapters.timing import GROWTH_ROUNDS

Key = dict[str, Any]
Moved = tuple[str, Key, Artefact]  # the new kind, key and content


def migrate(folder: Path, say: Callable[[str], None]) -> None:
    """Migrate a folder of artefacts, or a record with its `store`; what was migrated already is left alone."""
    chapters.load()  # which registers the measurements
    store = folder / "store" if (folder / "record.json").exists() else folder
    if not store.is_dir():
        raise SettingError(f"folder={shown(str(folder))}: no such folder of artefacts")
    paths = sorted(store.glob("*.safetensors"))
    read = {}
    for path in paths:
        try:
            read[path] = read_any(path)
        except ValueError as error:
            say(f"{path}: {error}; left as it is")
    originals = [_looked_at(key) for path, (key, _) in read.items() if path.name.startswith(_OF_ORIGINALS)]
    count = 0
    for path, (key, artefact) in read.items():
        kind = path.name.rsplit("-", 1)[0]
        kind, new_key, content = _moved(kind, key, artefact, originals) or (kind, key, artefact)
        new_key = _without_defaults(new_key)
        if new_key != key:
            write(store / f"{kind}-{digest(new_key)}.safetensors", new_key, content)
            path.unlink()
            count += 1
    say(f"{folder}: {count} of {len(paths)} files renewed")
    if (folder / "record.json").exists():
        content = json.loads((folder / "record.json").read_text())
        content["config"] = {name: value for name, value in content["config"].items() if name not in ASKED_FOR}
        seal(folder, content)


_OF_ORIGINALS = ("said-original-", "outputs-original-")  # before and after


def _looked_at(key: Key) -> Key:
    return key["of"] if "of" in key else key["models"]["original"]


def seal(folder: Path, content: dict[str, Any]) -> None:
    """Write `record.json` with the names of the record's files and a checksum of itself."""
    content = content | {"files": sorted(path.name for path in (folder / "store").iterdir())}
    write_json(folder / "record.json", content | {"checksum": checksum(content)})


def _without_defaults(key: Any) -> Any:
    """A key in which every model that a method made names the settings alone that are not at their defaults."""
    if not isinstance(key, Mapping):
        return key
    if key.get("method") in METHODS and "settings" in key:
        return {**key, "settings": changed_settings(key["method"], key["settings"])}
    return {name: _without_defaults(part) for name, part in key.items()}


def _moved(kind: str, key: Key, artefact: Artefact, originals: Sequence[Key]) -> Moved | None:
    """The form of today of a measurement of version 0.1; None for a model, and for what has it already."""
    if "measurement" in key:
        return None
    old, _, model = kind.partition("-")
    tensors, facts = dict(artefact.tensors), dict(artefact.facts)
    if old == "said":
        made = {"recording": None, **{name: facts[name] for name in facts if name != "gpu"}}
        return _made("outputs", model, key, {}, tensors, {"made": made})
    if old == "attack":
        return _made("attack", model, key, {}, tensors, facts)
    if old == "judged":
        return _made("evaluation", model, key, {"reestimated_on": key["images"]}, tensors, facts)
    if old == "back":
        return _made("recovered", model, key, {"images": key["images"]}, tensors, facts)
    if old == "shifted":
        return _made("channel_shift", model, key, {}, tensors, facts | {"seconds": None})
    if old == "curve":
        return _made("forgetting_curve", model, key, {}, tensors, facts)
    if old == "attention":
        return _made("attention_maps", model, key, {"region": key["region"]}, tensors, facts)
    if old == "outlines":
        of = [each for each in originals if (each["dataset"], each["recipe"]["seed"]) == (key["dataset"], key["seed"])]
        tensors = {name.replace("mean_image", "mean.image"): tensor for name, tensor in tensors.items()}
        key = key | {"of": of[0]}
        return _made("object_outline", "", key, {"region": key["region"]}, tensors, facts)
    if old == "decision_space":
        tensors = {f"maps.{name}": tensor for name, tensor in tensors.items()}
        return _made("feature_map", "", key, {}, tensors, {"compactness": facts})
    if old == "neighbours":
        given = {"walks": key["walks"], "epsilons": key["epsilons"]}
        return _made("neighbour_search", "", key, given, tensors, facts)
    if old == "timing":  # the seconds of the methods in it were multiplied, and are left behind
        counted = {name: made["operations"] for name, made in facts["methods"].items()}
        facts = {name: facts[name] for name in ("growth", "peak", "environment")} | {"operations": counted}
        return _made("scaling", "", key, {"rounds": min(key["runs"], GROWTH_ROUNDS)}, tensors, facts)
    return None


def _made(name: str, model: str, old: Key, arguments: Key, tensors: Key, facts: Key) -> Moved:
    """An artefact under the key of a measurement, in the form that its class has today."""
    asked = MEASUREMENTS[name]
    of = old["of"] if isinstance(old["of"], list) else [old["of"]]
    models = {key.get("method", "original"): key for key in of}
    if name in ("channel_shift", "forgetting_curve"):
        models["original"] = _original(of[0])
    forget_class = old.get("forget_class", next((key["forget_class"] for key in of if "forget_class" in key), None))
    key: Key = {
        "measurement": name,
        "version": asked.version,
        "constants": dict(asked.constants()),
        "models": models,
        "forget_class": forget_class,
        "arguments": arguments,
    }
    if asked.sampled:
        key["sample_size"] = old["sample_size"]
    if asked.timed:
        key["machine"] = old["machine"]
    result = pack(unpack(asked.result, tensors, _nested(tensors) | facts if tensors else facts))
    kept = {of: tensors[of] for of in result.tensors}  # in the dtype that the file had
    return (f"{name}-{model}" if model else name), key, Artefact(kept, result.facts, result.recorded)


def _nested(tensors: Mapping[str, Any]) -> Key:
    """The empty dictionaries that lead to tensors named by the way to them."""
    nested: Key = {}
    for name in tensors:
        inner = nested
        for step in name.split(".")[:-1]:
            inner = inner.setdefault(step, {})
    return nested


def _original(key: Key) -> Key:
    return {name: value for name, value in key.items() if name not in ("method", "settings", "forget_class")}
