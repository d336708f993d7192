"""An experiment's settings: what is refused, and how profiles, overrides and notebooks make a config."""

import dataclasses
import datetime
import json
import math
import os
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bu_core.checks import Range, SettingError, shown
from bu_core.config import LARGEST_PROFILE, PROFILES, Config, described, profiles, read_profile
from bu_core.unlearning import METHODS, method, method_settings
from tests.helpers import refusal

NAN, INF = math.nan, math.inf
SHRINK, EXPANDING = "boundary_shrink", "boundary_expanding"

REFUSED = [
    # parameters, how the message begins, what else it says
    ({"dataset": "digit"}, "dataset='digit'", "did you mean 'digits'?"),
    ({"dataset": "mnist"}, "dataset='mnist'", "cifar10"),
    ({"dataset": None}, "dataset=None", "a text"),
    ({"dataset": 10}, "dataset=10", "a text"),
    ({"data_dir": 5}, "data_dir=5", "a text"),
    ({"model": "alcnn"}, "model='alcnn'", "did you mean 'allcnn'?"),
    ({"model": "vit"}, "model='vit'", "allowed: allcnn"),
    ({"device": "cud"}, "device='cud'", "did you mean 'cuda'?"),
    ({"device": "tpu"}, "device='tpu'", "allowed: auto, cpu, cuda"),
    ({"precision": "fp16"}, "precision='fp16'", "did you mean 'bf16'?"),
    ({"results_dir": None}, "results_dir=None", "a text"),
    ({"results_dir": ""}, "results_dir=''", "must name a path"),
    ({"results_dir": " "}, "results_dir=' '", "must name a path"),
    ({"results_dir": "a\0b"}, r"results_dir='a\x00b'", "without control characters"),
    ({"data_dir": ""}, "data_dir=''", "must name a path"),
    ({"data_dir": "\ud800"}, r"data_dir='\ud800'", "a text in UTF-8"),
    ({"data_dir": "~nobody-of-this-name"}, "data_dir='~nobody", "home"),
    ({"data": []}, "data=[]", "a mapping of settings"),
    ({"data": {1: 2}}, "data.1", "data has no settings"),
    ({"dataset": "faces", "data": {True: 2}}, "data=True", "allowed: people"),
    ({"dataset": "faces", "data": {"people": ["a", 2]}}, "data.people=['a', 2]", "a list of texts"),
    ({"dataset": "faces", "data": {"people": ["a", "b\n"]}}, r"data.people='b\n'", "line breaks"),
    ({"pretraining": "none"}, "pretraining='none'", "a mapping of settings"),
    ({"pretraining": {"source": ["none"]}}, "pretraining.source=['none']", "allowed: none"),
    ({"elsewhere": None}, "elsewhere=None", "a list of mappings"),
    ({"elsewhere": {"width": 1.0}}, "elsewhere={'width': 1.0}", "a list of mappings"),
    ({"elsewhere": [["width"]]}, "elsewhere=['width']", "a mapping with some of model"),
    ({"elsewhere": [{}]}, "elsewhere={}", "a mapping with some of model"),
    ({"elsewhere": [{1: 1}]}, "elsewhere=1", "allowed: model"),
    ({"elsewhere": [{"lr": NAN}]}, "elsewhere: lr=nan", "a finite number"),
    ({"elsewhere": [{"precision": "auto"}]}, "elsewhere: precision='auto'", "allowed: fp32, bf16"),
    ({"elsewhere": [{"pretraining": {"source": "others"}}]}, "elsewhere: pretraining.source='others'", "data.others"),
    ({"unlearning": {1: {}}}, "unlearning=1", "allowed: retrain"),
    ({"unlearning": {SHRINK: {2: 1}}}, f"unlearning.{SHRINK}=2", "allowed: epochs"),
    ({"unlearning": {"retrain": {2: 1}}}, "unlearning.retrain.2", "retrain has no settings"),
    ({"forget_class": [4]}, "forget_class=[4]", "a whole number or a text"),
    ({"forget_class": NAN}, "forget_class=nan", "a whole number or a text"),
    ({"methods": [["retrain"]]}, "methods=['retrain']", "allowed: retrain"),
    ({"batch_size": 1e30}, "batch_size=1e+30", "a whole number at least 1"),
    ({"batch_size": 10**30}, "batch_size=1000", "at most 2147483648"),
    ({"epochs": 10**5000}, "epochs=(a number too long to show)", "at most 2147483648"),
    ({"forgetclass": 3}, "parameter='forgetclass'", "did you mean 'forget_class'?"),
    ({"learning_rate": 3}, "parameter='learning_rate'", "allowed: dataset, data_dir"),
    ({"forget_class": 10}, "forget_class=10", "digits has classes 0 to 9 (0, 1, 2"),
    ({"forget_class": -1}, "forget_class=-1", "0 to 9"),
    ({"forget_class": 1.5}, "forget_class=1.5", "a whole number or a text"),
    ({"forget_class": True}, "forget_class=True", "a whole number or a text"),
    ({"forget_class": None}, "forget_class=None", "a whole number or a text"),
    ({"forget_class": "10"}, "forget_class='10'", "0, 1, 2"),
    ({"dataset": "cifar10", "forget_class": 12}, "forget_class=12", "cifar10 has classes 0 to 9 (airplane,"),
    ({"dataset": "cifar10", "forget_class": "dear"}, "forget_class='dear'", "did you mean 'deer'?"),
    ({"dataset": "cifar10", "forget_class": "zebra"}, "forget_class='zebra'", "truck (the classes of cifar10)"),
    *(({name: value}, f"{name}={value}", "at least 1") for name in ("epochs", "batch_size") for value in (0, -4)),
    *(
        ({name: value}, f"{name}={value!r}", "a whole number at least 1")
        for name in ("epochs", "batch_size")
        for value in (2.5, "3", NAN, INF, True, None, [3])
    ),
    *(({"seed": value}, f"seed={value}", "at least 0 and at most 2") for value in (-1, 2**31 + 1, 1.0)),
    *(({"shadow_models": value}, f"shadow_models={value}", "at least 0 and at most 64") for value in (-1, 65, 1.5)),
    *(({"lr": value}, f"lr={value}", "above 0") for value in (0, -0.1, NAN, INF, -INF)),
    *(({"lr": value}, f"lr={value!r}", "a number above 0") for value in ("fast", True, None, [0.1], {})),
    ({"lr": "nan"}, "lr=nan", "a finite number"),
    ({"lr": "-1e-3"}, "lr=-0.001", "above 0"),
    *(({"momentum": value}, f"momentum={value}", "at least 0 and at most 0.9999") for value in (-0.1, 1, NAN)),
    *(({"width": value}, f"width={value}", "above 0 and below 4") for value in (0, 4, -0.5, NAN, INF)),
    ({"methods": "retrain"}, "methods='retrain'", "a list of methods; allowed: retrain, finetune"),
    ({"methods": None}, "methods=None", "a list of methods"),
    ({"methods": {"retrain": 1}}, "methods={'retrain': 1}", "a list of methods"),
    ({"methods": ["retrian"]}, "methods='retrian'", "did you mean 'retrain'?"),
    ({"methods": ["retrain", 3]}, "methods=3", "allowed: retrain"),
    ({"methods": ["finetune", "retrain", "finetune"]}, "methods=['finetune',", "finetune is named twice"),
    ({"unlearning": ["retrain"]}, "unlearning=['retrain']", "a mapping from a method to its settings"),
    ({"unlearning": None}, "unlearning=None", "a mapping from a method to its settings"),
    ({"unlearning": {"boundary_shrinks": {}}}, "unlearning='boundary_shrinks'", f"did you mean '{SHRINK}'?"),
    ({"unlearning": {SHRINK: 3}}, f"unlearning.{SHRINK}=3", "a mapping of settings"),
    ({"unlearning": {SHRINK: None}}, f"unlearning.{SHRINK}=None", "a mapping of settings"),
    ({"unlearning": {SHRINK: {"epsilom": 0.1}}}, f"unlearning.{SHRINK}='epsilom'", "did you mean 'epsilon'?"),
    ({"unlearning": {SHRINK: {"epsilon": 8}}}, f"unlearning.{SHRINK}.epsilon=8.0", "at least 0 and at most 1"),
    ({"unlearning": {SHRINK: {"epsilon": NAN}}}, f"unlearning.{SHRINK}.epsilon=nan", "a finite number"),
    ({"unlearning": {SHRINK: {"lr": "slow"}}}, f"unlearning.{SHRINK}.lr='slow'", "a number at least 0"),
    ({"unlearning": {EXPANDING: {"lr": -1}}}, f"unlearning.{EXPANDING}.lr=-1.0", "at least 0"),
    ({"unlearning": {EXPANDING: {"epochs": -1}}}, f"unlearning.{EXPANDING}.epochs=-1", "at least 0"),
    ({"unlearning": {EXPANDING: {"epochs": True}}}, f"unlearning.{EXPANDING}.epochs=True", "a whole number"),
    ({"unlearning": {EXPANDING: {"epsilon": 0.1}}}, f"unlearning.{EXPANDING}='epsilon'", "allowed: epochs"),
    ({"unlearning": {SHRINK: {"batchnorm": "freeze"}}}, f"unlearning.{SHRINK}.batchnorm='freeze'", "'frozen'"),
    ({"unlearning": {"retrain": {"lr": 0.1}}}, "unlearning.retrain.lr", "retrain has no settings"),
    # a method's settings are checked even where the method is not asked for
    ({"methods": ["retrain"], "unlearning": {SHRINK: {"lr": NAN}}}, f"unlearning.{SHRINK}.lr=nan", "finite"),
]


@pytest.mark.parametrize(("parameters", "start", "says"), REFUSED, ids=[shown(row[0]) for row in REFUSED])
def test_a_setting_that_cannot_be_is_refused(parameters: dict[str, Any], start: str, says: str):
    message = refusal(Config.from_mapping, parameters)
    assert message.startswith(start)
    assert says in message.removeprefix(start)


def test_every_field_is_checked():
    """A value of a type that nothing allows is refused for each field, so a field added later is checked too."""
    for field in dataclasses.fields(Config):
        assert refusal(Config, **{field.name: object()}).startswith(f"{field.name}=<object"), field.name


@pytest.mark.parametrize(
    ("dataset", "given", "index"),
    [("digits", 0, 0), ("digits", 9, 9), ("digits", "7", 7), ("cifar10", "airplane", 0), ("cifar10", "deer", 4),
     ("cifar10", "truck", 9), ("cifar10", 4, 4)],
)  # fmt: skip
def test_a_class_is_named_or_counted(dataset: str, given: int | str, index: int):
    assert Config(dataset=dataset, forget_class=given).forget_class == index


def test_numbers_are_kept_in_one_form():
    """1, 1.0 and '1.0' are one setting, so that they find the same stored artefact."""
    for value in (1, 1.0, "1", "1.0", "1e0"):
        config = Config(lr=value, unlearning={SHRINK: {"lr": value, "epsilon": value}})
        found = (config.lr, config.unlearning[SHRINK]["lr"], config.unlearning[SHRINK]["epsilon"])
        assert found == (1.0, 1.0, 1.0)
        assert {type(number) for number in found} == {float}


def test_a_number_that_yaml_takes_for_text_is_a_number(tmp_path):
    profile = tmp_path / "mine.yml"
    profile.write_text("lr: 1e-2\nunlearning: {boundary_shrink: {lr: 1e-5}}\n")
    assert read_profile(str(profile))["lr"] == "1e-2"  # YAML 1.1 wants a dot for a float
    config = Config.from_profile(str(profile))
    assert config.lr == 0.01
    assert config.unlearning[SHRINK]["lr"] == 0.00001


def test_settings_of_a_method_are_the_defaults_where_none_are_given():
    config = Config(unlearning={SHRINK: {"epsilon": 0.3}})
    released = {"search": "fgsm", "steps": 5, "step_size": 0.3, "curvature": 0.0, "reweighting": False}
    paper = {"epochs": 10, "lr": 1e-5, "epsilon": 0.3, "batchnorm": "train"}
    beside = {"remaining": 0, "keep": 1.0}
    ours = beside | {
        "stand_ins": "none",
        "inversions": 256,
        "inversion_steps": 200,
        "target": "nearest",
        "reset": 0,
        "disperse": 0.0,
        "adversary": 0.0,
        "adversary_before": 0.0,
        "channel_means": "free",
        "early": 1.0,
        "relearn_steps": 0,
        "output_row": "kept",
    }
    assert dict(config.unlearning[SHRINK]) == paper | released | ours
    assert dict(config.unlearning[EXPANDING]) == {"epochs": 10, "lr": 1e-4, "batchnorm": "train"} | beside
    assert dict(config.unlearning["retrain"]) == {}


def test_a_config_cannot_be_changed():
    config = Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.lr = 0.5
    with pytest.raises(TypeError):
        config.unlearning[SHRINK] = {}


def test_a_config_survives_json():
    config = Config(forget_class="3", methods=[EXPANDING, "retrain"], unlearning={EXPANDING: {"lr": "2e-4"}})
    stored = json.loads(json.dumps(config.as_dict()))
    assert Config.from_mapping(stored).as_dict() == config.as_dict()
    assert stored["methods"] == [EXPANDING, "retrain"]
    assert stored["unlearning"][EXPANDING]["lr"] == 0.0002


def test_a_method_registered_later_has_its_settings_checked(monkeypatch: pytest.MonkeyPatch):
    from typing import Annotated

    @method()
    def scrubbing(task, *, strength: Annotated[float, Range(0, 1)] = 0.5):
        return task.original

    monkeypatch.setitem(METHODS, "scrubbing", scrubbing)
    assert method_settings("scrubbing", {}) == {"strength": 0.5}
    config = Config(methods=["scrubbing"], unlearning={"scrubbing": {"strength": "0.25"}})
    assert config.as_dict()["unlearning"] == {"scrubbing": {"strength": 0.25}}
    message = refusal(Config, unlearning={"scrubbing": {"strength": 3}})
    assert message == "unlearning.scrubbing.strength=3.0: must be at least 0 and at most 1"
    assert "did you mean 'strength'?" in refusal(Config, unlearning={"scrubbing": {"strenght": 0.1}})


# --- profiles -----------------------------------------------------------------------------------------------------


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def reads_as_a_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", sorted(path.stem for path in PROFILES.glob("*.yml")))
def test_a_shipped_profile_loads_and_holds_no_number_as_text(name: str):
    Config.from_profile(name)
    assert [text for text in texts(read_profile(name)) if reads_as_a_number(text)] == []
    assert profiles()[name], "the first line of a profile says what it is for"


def test_the_main_profiles_are_shipped():
    assert {"digits", "cifar10"} <= set(profiles())


def test_the_setting_of_the_papers_text_is_a_profile():
    """DIGEST: All-CNN, 30 epochs, lr 0.1, momentum 0.9, batches of 64; 10 epochs, lr 1e-5 and 1e-4."""
    config = Config.from_profile("cifar10-text")
    assert (config.model, config.epochs, config.lr, config.momentum, config.batch_size) == (
        "allcnn", 30, 0.1, 0.9, 64,
    )  # fmt: skip
    assert (config.unlearning[SHRINK]["epochs"], config.unlearning[SHRINK]["lr"]) == (10, 1e-5)
    assert (config.unlearning[EXPANDING]["epochs"], config.unlearning[EXPANDING]["lr"]) == (10, 1e-4)


def test_an_override_replaces_a_profiles_value():
    config = Config.from_profile("digits", forget_class=7, seed=3)
    assert (config.dataset, config.forget_class, config.seed) == ("digits", 7, 3)
    assert "did you mean 'seed'?" in refusal(Config.from_profile, "digits", sead=3)


def test_an_unknown_profile_is_answered_with_the_nearest():
    message = refusal(Config.from_profile, "digit")
    assert message.startswith("profile='digit': did you mean 'digits'? allowed: ")
    assert "cifar10" in message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        ("", "a mapping"),
        ("lr: 0.1\nlr: 0.2\n", "the key lr is given twice"),
        ("lr: 0.1\n3: 0.2\n", "the key 3 must be a text"),
        ("unlearning: {fisher: {[1]: 2}}", "must be a text"),
        ("a: [" + "*a, " * 30 + "]", "is not YAML"),
        ("a: &a [" + "1, " * 30 + "]\nb: [" + "*a, " * 30 + "]", "at most 20 aliases"),
        ("lr: 0.1\0\n", "is not YAML"),
        ("#" * (LARGEST_PROFILE + 1), f"has {LARGEST_PROFILE + 1:,} bytes; at most {LARGEST_PROFILE:,} are read"),
        ("- lr\n- seed\n", "a mapping"),
        ("lr: [0.1\nseed: 2\n", "is not YAML"),
        ("\tlr: 0.1\n", "is not YAML"),
    ],
)
def test_a_profile_file_that_cannot_be_used_is_refused(tmp_path, content: str | None, says: str):
    path = tmp_path / "mine.yml"
    if content is not None:
        path.write_text(content)
    message = refusal(Config.from_profile, str(path))
    assert message.startswith(f"profile={str(path)!r}: ")
    assert says in message


def test_a_profile_that_is_no_text_file_is_refused(tmp_path: Path):
    for name, make, says in (
        ("folder.yml", os.mkdir, "is no regular file"),
        ("pipe.yml", os.mkfifo, "is no regular file"),
        ("binary.yml", lambda path: Path(path).write_bytes(bytes(range(128, 256))), "cannot be read"),
        ("loop.yml", lambda path: os.symlink(path, path), "no such file"),
        ("nul\0.yml", lambda path: None, "without control characters"),
        ("\ud800.yml", lambda path: None, "in UTF-8"),
    ):
        path = str(tmp_path / name)
        make(path)
        for read in (read_profile, described):
            message = refusal(read, path)
            assert message.startswith(f"profile={path!r}: ")
            assert says in message


def test_a_path_may_begin_at_home_and_is_held_written_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.yml").write_text("# Mine.\nresults_dir: ~/results\ndata_dir: ~\nmodel: resnet18\nwidth: 1\n")
    (tmp_path / "w.pth").touch()
    config = Config.from_profile("~/mine.yml", data_dir="~/data", pretraining={"source": "weights", "file": "~/w.pth"})
    found = (config.results_dir, config.data_dir, config.pretraining["file"])
    assert found == tuple(str(tmp_path / name) for name in ("results", "data", "w.pth"))
    assert described("~/mine.yml") == "Mine."
    assert Config(results_dir="results/digits").results_dir == "results/digits"


# --- anything at all ------------------------------------------------------------------------------------------------

ANYTHING = [
    None, True, 0, 1, -1, 4, 2**31 + 1, 10**5000, -(10**400), 1e308, NAN, INF, -INF, 0.5, "", " ", "~", "4",
    "~nobody-here/x", "a\0b", "\ud800", "two\nlines", "x" * 10_000, "auto", "retrain", SHRINK, "digits", "faces",
    "none", "resnet18", "/dev/zero", "weights", "others", b"\xff", datetime.date(2020, 1, 1), object(), {1}, (1, 2),
]  # fmt: skip
KEYS = ["retrain", SHRINK, "fisher", "epochs", "lr", "source", "file", "people", "others", "width", "seed", "precision",
        "forget_class", 1, None, True, (1, 2), NAN, "", "\ud800", "a\nb", 10**5000]  # fmt: skip


def anything(draw: random.Random, depth: int = 0) -> Any:
    kind = draw.random()
    if depth > 3 or kind < 0.5:
        return draw.choice(ANYTHING)
    if kind < 0.75:
        return [anything(draw, depth + 1) for _ in range(draw.randrange(4))]
    if kind < 0.97:
        return {draw.choice(KEYS): anything(draw, depth + 1) for _ in range(draw.randrange(4))}
    endless: list = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Config)])
def test_whatever_a_field_is_given_makes_a_config_or_one_line(field: str):
    draw = random.Random(field)
    for _ in range(300):
        given = {field: anything(draw)}
        if draw.random() < 0.3:
            given = {"dataset": "faces", "model": "resnet18", "width": 1} | given
        try:
            Config.from_mapping(given).as_dict()
        except SettingError as error:
            assert str(error).isprintable()
            assert len(str(error)) < 1500


def test_another_network_may_be_pretrained_for_longer_elsewhere():
    longer = {"model": "resnet50", "pretraining": {"source": "others", "epochs": 40}}
    known = {"source": "others", "epochs": 12}
    config = Config(
        dataset="faces", data={"others": 150}, model="resnet18", width=1, pretraining=known, elsewhere=[longer]
    )
    (change,) = config.elsewhere
    assert change["model"] == "resnet50" and change["pretraining"]["epochs"] == 40
    assert config.as_dict()["elsewhere"] == [
        {"model": "resnet50", "pretraining": {"source": "others", "file": None, "epochs": 40, "lr": 0.05}}
    ]
