"""An earlier store is found again under today's keys: nothing is computed anew, and no number changes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from bu_book.__main__ import main
from bu_book.chapters import attention, decision_space, neighbours, what_forgets
from bu_core.experiment.experiment import Experiment, outputs
from bu_core.experiment.metrics import attack, evaluation
from bu_core.results import Artefact
from bu_core.store import digest, read_any, write
from tests.helpers import refusal, same_state, small_experiment

pytestmark = pytest.mark.slow

OLD_ATTACK = {"classifier": "logistic regression", "features": "top 3 and entropy", "folds": 5, "samples": 10_000}


def stored(experiment: Experiment, measurement: Any, *arguments: Any) -> Artefact:
    """What the store holds of a measurement."""
    name = digest(measurement.key(experiment, *arguments))
    (path,) = experiment.store.folder.glob(f"{measurement.name}*-{name}.safetensors")
    return read_any(path)[1]


@pytest.fixture
def old_store(tmp_path: Path) -> tuple[Path, Experiment]:
    """A store as version 0.1 left it: the models, and one artefact of several kinds, under keys written by hand.

    The keys and the names of tensors and facts are those of the store of that version, not made by today's code.
    """
    experiment = small_experiment(tmp_path / "today")
    model, own = "boundary_shrink", experiment.config
    looked = attention.measure(experiment).region.name
    what_forgets.recovered(experiment, model, 100)
    evaluation(experiment, model, 100)
    what_forgets.channel_shift(experiment, model)
    decision_space.measure(experiment)
    neighbours.measure(experiment)
    attack(experiment, model)
    folder = tmp_path / "old" / "store"
    folder.mkdir(parents=True)

    def leave(kind: str, key: dict[str, Any], tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        write(folder / f"{kind}-{digest(key)}.safetensors", key, Artefact(tensors, facts))

    def made_by(name: str) -> dict[str, Any]:
        """A model's key with all settings of its method."""
        return experiment.key(name) | ({"settings": dict(own.unlearning[name])} if name != "original" else {})

    for name in experiment.names:
        found = experiment.weights(name)
        leave(name, made_by(name), dict(found.tensors), dict(found.facts))
    of = {"of": made_by(model), "forget_class": own.forget_class}
    for name in experiment.names:
        said = stored(experiment, outputs, name)
        made = {fact: value for fact, value in said.facts["made"].items() if value is not None}
        leave(f"said-{name}", of | {"of": made_by(name)}, said.tensors, made)
    leave(f"attack-{model}", of | {"attack": OLD_ATTACK}, stored(experiment, attack, model).tensors, {})
    judged = stored(experiment, evaluation, model, 100)
    leave(f"judged-{model}", of | {"images": 100, "attack": OLD_ATTACK}, {}, judged.facts)
    back = stored(experiment, what_forgets.recovered, model, 100)
    leave(f"back-{model}", of | {"images": 100}, {}, back.facts)
    moved = stored(experiment, what_forgets.channel_shift, model)
    facts = {name: value for name, value in moved.facts.items() if name != "seconds"}
    leave(f"shifted-{model}", of | {"shifted on": 1000, "attack": OLD_ATTACK}, {}, facts)
    maps = stored(experiment, attention.attention_maps, model, looked)
    sampled = {"sample_size": own.sample_size}
    old_maps = {"method": "Grad-CAM", "smallest map": 4, "ink": 128}
    facts = {"map_size": maps.facts["map_size"]}
    leave(f"attention-{model}", of | sampled | {"region": looked, "attention": old_maps}, maps.tensors, facts)
    outline = stored(experiment, attention.object_outline, looked)
    key = {"dataset": experiment.dataset.fingerprint, "seed": own.seed, "forget_class": own.forget_class}
    leave("outlines", key | sampled | {"region": looked, "attention": old_maps}, outline.tensors, {})
    space = stored(experiment, decision_space.feature_map)
    key = {
        "of": [made_by(name) for name in experiment.names],
        "space": {"method": "t-SNE", "perplexity": 30.0, "steps": 500, "frame": "centred, scaled, rotated"},
    }
    tensors = {name.removeprefix("maps."): tensor for name, tensor in space.tensors.items()}
    leave("decision_space", key | sampled | {"forget_class": own.forget_class}, tensors, space.facts["compactness"])
    return folder, experiment


def test_what_was_stored_is_found_and_nothing_is_computed(
    old_store: tuple[Path, Experiment], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder, today = old_store
    without = {path.name for path in folder.glob("*") if path.name.split("-")[0] in ("original", "retrain")}
    count = len(list(folder.glob("*")))
    assert main(["migrate", str(folder)]) == 0
    assert f"{count - len(without)} of {count} files renewed" in capsys.readouterr().out
    assert without <= {path.name for path in folder.glob("*")}, "a model without settings keeps its name"
    for measurement in (outputs, attack, evaluation, what_forgets.recovered, what_forgets.channel_shift):
        monkeypatch.setattr(measurement, "compute", lambda *_, **__: pytest.fail("it is stored"))
    for measurement in (attention.attention_maps, attention.object_outline, decision_space.feature_map):
        monkeypatch.setattr(measurement, "compute", lambda *_, **__: pytest.fail("it is stored"))
    monkeypatch.setattr(Experiment, "_make", lambda *_: pytest.fail("it is stored"))
    found, model = small_experiment(folder.parent), "boundary_shrink"
    assert all(same_state(found.model(name), today.model(name)) for name in today.names)
    for part, said in found.outputs(model).items():
        assert torch.equal(said.logits, today.outputs(model)[part].logits)
    assert torch.equal(attack(found, model).members, attack(today, model).members)
    assert evaluation(found, model, 100) == evaluation(today, model, 100)
    assert what_forgets.recovered(found, model, 100) == what_forgets.recovered(today, model, 100)
    assert what_forgets.channel_shift(found, model) == what_forgets.channel_shift(today, model)
    region = attention.measure(today).region.name
    one, other = (attention.attention_maps(run, model, region) for run in (found, today))
    assert torch.equal(one.forget_train.true.map, other.forget_train.true.map)
    one, other = (attention.object_outline(run, region) for run in (found, today))
    assert torch.equal(one.forget_train, other.forget_train)
    one, other = (decision_space.feature_map(run) for run in (found, today))
    assert one.compactness == other.compactness
    assert torch.equal(one.maps[model].forget, other.maps[model].forget)


def test_to_migrate_twice_changes_nothing(old_store: tuple[Path, Experiment], capsys: pytest.CaptureFixture[str]):
    folder, _ = old_store
    main(["migrate", str(folder)])
    kept = {path.name: path.read_bytes() for path in folder.glob("*")}
    capsys.readouterr()
    main(["migrate", str(folder)])
    assert ": 0 of" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in folder.glob("*")} == kept


def test_a_damaged_file_is_named_and_left(old_store: tuple[Path, Experiment], capsys: pytest.CaptureFixture[str]):
    folder, _ = old_store
    (damaged,) = folder.glob("attack-*")
    damaged.write_bytes(damaged.read_bytes()[:-9])
    assert main(["migrate", str(folder)]) == 0
    assert f"{damaged}: is damaged" in capsys.readouterr().out
    assert damaged.exists()


def test_a_folder_that_is_none_is_refused(tmp_path: Path):
    from bu_book.migrate import migrate

    assert "no such folder of artefacts" in refusal(migrate, tmp_path / "nothing", print)
