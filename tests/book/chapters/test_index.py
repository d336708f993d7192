"""The opening page says what was found, what is missing, and which profiles its runs are of."""

from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from bu_book.chapters import audit, index, what_forgets
from bu_book.gaps import Gaps
from bu_book.variations import variations
from bu_core.config import Config, described
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import evaluation
from bu_core.experiment.record import NotRecorded
from tests.book.notebooks import templates
from tests.book.printed import as_printed, attack, changed
from tests.helpers import small_experiment


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return small_experiment(tmp_path_factory.mktemp("results"))


def test_the_figure_shows_unseen_images_of_the_forgotten_class_and_of_the_others():
    found = as_printed("cifar10")
    figure = index.forgotten_and_kept(found)
    for axes, part in zip(figure.axes, ("forget_test", "remain_test"), strict=True):
        values = [result.accuracy[part] for result in found.methods.values()]
        assert [bar.get_width() for bar in axes.patches] == values
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][:2] == ["Original", "Retrain"]
    plt.close(figure)


def test_an_answer_is_written_from_what_was_measured(experiment: Experiment):
    def ask(asked: Experiment) -> int:
        assert asked is experiment
        return 7

    assert index.answer(experiment, ask, lambda found: f"It is {found}.", "retrain") == "It is 7."


def test_without_a_method_or_a_record_the_answer_says_why(experiment: Experiment):
    def ask(asked: Experiment) -> int:
        raise NotRecorded("*timing* of it")

    missing = index.answer(experiment, ask, str, "fisher")
    assert missing == "Not measured here: the profile does not run fisher."
    assert index.answer(experiment, ask, str, "retrain") == "Not recorded: &#42;timing&#42; of it."


def test_what_comes_back_is_that_of_the_audit(experiment: Experiment):
    models = audit.measure(experiment).models
    expected = {name: models[name].after.accuracy["forget_train"] for name in index.COMPARED}
    assert index.recovered(experiment) == expected


def test_what_the_audit_lacks_is_named(experiment: Experiment, monkeypatch: pytest.MonkeyPatch):
    original = evaluation(experiment, "original")
    models = {name: audit.ModelAudit(original, None, {}) for name in experiment.sound}
    monkeypatch.setattr(audit, "measure", lambda asked: audit.Audit([100], models, Gaps()))
    with pytest.raises(NotRecorded, match="Boundary Shrink after re-estimation"):
        index.recovered(experiment)


def test_a_component_that_is_not_recorded_is_named(experiment: Experiment, monkeypatch: pytest.MonkeyPatch):
    made = index.components(experiment)
    assert set(made.methods["boundary_shrink"]) == set(what_forgets.COMPONENT_TITLES)
    del made.methods["boundary_shrink"]["shift"]
    monkeypatch.setattr(what_forgets, "components", lambda asked: made)
    with pytest.raises(NotRecorded, match="Boundary Shrink, their shift alone"):
        index.components(experiment)


def of_profile(folder: Path, **changes: object) -> Experiment:
    return Experiment(Config.from_profile("smoke", results_dir=str(folder), **changes))


def test_a_run_is_described_by_the_profile_whose_settings_it_has(tmp_path: Path, experiment: Experiment):
    assert index.description(of_profile(tmp_path)) == described("smoke")
    assert index.description(of_profile(tmp_path, elsewhere=[], timing_runs=3)) == described("smoke")
    assert index.description(of_profile(tmp_path, forget_class="3")) == ""
    assert index.description(experiment) == ""


def test_a_profile_that_names_its_class_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "named.yml"
    path.write_text('# Forgets a four.\ndataset: digits\nforget_class: "4"\nepochs: 3\n')
    monkeypatch.setattr(index, "profiles", lambda: {str(path): described(str(path))})
    experiment = Experiment(Config(dataset="digits", forget_class=4, epochs=3, results_dir=str(tmp_path)))
    assert index.description(experiment) == "Forgets a four."


def test_the_runs_beside_the_pages_own_are_described_by_their_profiles(tmp_path: Path, experiment: Experiment):
    own = of_profile(tmp_path, beside=["digits"])
    assert index.descriptions({"mine": own, "theirs": experiment}) == {
        "mine": described("smoke"),
        "theirs": described("digits"),
    }
    changed = of_profile(tmp_path, beside=["digits"], seed=5)
    assert index.descriptions({"mine": changed, "theirs": experiment}) == {"theirs": described("digits")}


def test_the_sentences_hold_the_numbers_of_the_page():
    found, said = as_printed("cifar10"), templates("index")
    shrink = found.methods["boundary_shrink"].attacks | {"confidence": attack(41, 50)}
    found = changed(found, "boundary_shrink", attacks=shrink)
    assert said.forgets(found) == (
        "Boundary Shrink still recognises 5.9 % of unseen images of the class, Boundary Expanding 7.0 %, Retrain "
        "0.0 %. Against the original, accuracy on the other classes changes by -1.7 points (Shrink), -3.8 (Expanding) "
        "and +0.9 (Retrain)."
    )
    assert said.private(found) == (
        "A membership attack calls 52 % of the forgetting data members after Shrink and 45 % after Expanding, against "
        "50 % after Retrain. How far that lies from Retrain depends on the attack: 2 to 9 points for Shrink and 5 to 5 "
        "points for Expanding, by 3 attacks. But of images whose truth is known, these get 60 to 60 % right, by attack "
        "and model; guessing gets 50 %."
    )
    assert "Shrink recognises 91.0 % of the forgetting data, Expanding 92.0 %, Retrain 3.0 %." in said.lasts(
        {"boundary_shrink": 91.0, "boundary_expanding": 92.0, "retrain": 3.0}
    )


def test_what_forgets_is_told_of_boundary_shrink(experiment: Experiment):
    made = index.components(experiment)
    recognised = {name: found.recognised for name, found in made.methods["boundary_shrink"].items()}
    sentence = templates("index").what_forgets(made)
    before = made.original.accuracy["forget_train"]
    assert f"from {before:.1f} % to {recognised['statistics']:.1f} %." in sentence
    assert f"weights alone take them to {recognised['weights']:.1f} %" in sentence
    assert sentence.endswith(f"both, as in the released code, to {recognised['both']:.1f} %.")


def test_another_training_has_a_sentence_of_its_own(tmp_path: Path):
    own = small_experiment(tmp_path, elsewhere=[{"epochs": 1}, {"seed": 1}])
    varied = variations(own)
    (other,) = varied.trained_otherwise
    still = other.methods["boundary_shrink"].before.accuracy["forget_test"]
    sentence = templates("index").trained_otherwise(varied)
    assert sentence.startswith("Trained otherwise (*allcnn, width 0&#46;1, 1 epochs at lr 0&#46;1*): ")
    assert f"Boundary Shrink {still:.1f} % and {-other.cost('boundary_shrink', 'remain_test'):+.1f} points" in sentence


def test_an_entry_of_the_list_ends_with_its_chapter():
    entry = templates("index").numbered("Is it?", "attack_success", "It is.", "", "It was.")
    assert entry == "1. **Is it?** It is. It was. [The numbers: attack success](attack_success.ipynb)"
