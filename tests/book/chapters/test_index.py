"""The opening page says what was found, what is missing, and which profiles its runs are of."""

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from bu_book.chapters import audit, index, lasting
from bu_book.chapters.attack_success import Distances
from bu_book.chapters.lasting import Lasting, Left, Row
from bu_book.gaps import Gaps
from bu_core.config import Config, described
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import evaluation
from bu_core.experiment.record import NotRecorded
from tests.book.notebooks import templates
from tests.book.printed import as_printed
from tests.helpers import small_experiment


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return small_experiment(tmp_path_factory.mktemp("results"))


def left(forget: float, again: float) -> Left:
    before, after = ({"forget_train": value, "forget_test": value, "remain_test": 80.0} for value in (forget, again))
    return Left(before, after, 10.0, 20.0, 30.0, 0.0, 50.0)


def planted(stays: float) -> Lasting:
    """Two seeds; Boundary Shrink seems to leave 5 % and 7 %, and all of it comes back."""
    rows = {
        "Original": ("original", 2_500_000, left(100, 100), left(100, 100)),
        "Retrain": ("retrain", 2_250_000, left(0, 0), left(0, 0)),
        "Boundary Shrink": ("published", 55_000, left(5, 99), left(7, 99)),
        lasting.RECOMMENDED.called: ("lasting", 10_000, left(0, stays), left(0, stays)),
    }
    made = [
        Row(called, kind, "boundary_shrink", passes, 0, {"seed 0": one, "seed 1": other})
        for called, (kind, passes, one, other) in rows.items()
    ]
    return Lasting(made, ["seed 0", "seed 1"], Gaps(), Gaps(), repeats=False, unseen=1000)


def test_the_picture_has_five_bars_which_are_means_over_the_seeds():
    assert [round(value, 6) for _, value in index.bars(planted(0.5))] == [100, 6, 99, 0.5, 0]
    assert "Means over 2 seeds." in index.picture(planted(0.5))
    plt.close("all")


def test_without_the_lasting_method_there_is_no_picture():
    made = planted(0.5)
    del made.rows[-1]
    with pytest.raises(NotRecorded, match="lasting method"):
        index.picture(made)


def test_the_finding_is_said_where_the_numbers_say_it():
    said = templates("index")
    sentence = said.in_one_sentence(planted(0.5))
    assert sentence.startswith("**Boundary Shrink hides the class; it does not forget it.** It seems to leave 6.0 %.")
    assert "the network recognises 99.0 %" in sentence and sentence.endswith("after that pass, 0.5 % is recognised.")
    assert said.in_one_sentence(planted(40.0)).startswith("It seems to leave 6.0 %.")


def test_what_to_use_instead_is_a_table_beside_the_nearest_published_method():
    with pytest.raises(NotRecorded, match="beside several Retrains"):
        index.what_instead(planted(0.5))
    made = planted(0.5)
    slower = replace(made.rows[-1], called=lasting.DEEP.called, passes=20_000, sees=5000)
    made.rows.append(slower)
    table = index.what_instead(made).data
    assert list(table.index) == ["the lasting method", "its slower setting", "Boundary Shrink", "Retrain"]
    assert table.iloc[:, 1].tolist() == ["225", "112", "40.9", "–"]
    assert table.iloc[:, 0].tolist()[1] == "5,000, without labels"
    assert table.iloc[-1].tolist()[2:] == ["20&nbsp;to&nbsp;20", "50&nbsp;to&nbsp;50", "–"]
    assert "of 2 Retrains" in templates("index").several_retrains(made)


def test_an_answer_is_written_from_what_was_measured(experiment: Experiment):
    def ask(asked: Experiment) -> int:
        assert asked is experiment
        return 7

    assert index.answer(experiment, ask, lambda found: f"It is {found}.", "retrain") == "It is 7."


def test_without_a_method_or_a_record_the_answer_says_why(experiment: Experiment):
    def ask(asked: Experiment) -> int:
        raise NotRecorded("*timing* of it")

    missing = index.answer(experiment, ask, str, "fisher")
    assert missing == "Not measured here: Fisher was not run."
    assert index.answer(experiment, ask, str, "retrain") == "Not recorded of this run: &#42;timing&#42; of it."


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
    above = {"own_outputs": {"boundary_shrink": -9.0}, "confidence": {"boundary_shrink": 2.0}}
    far = Distances({"own_outputs": {"boundary_shrink": 9.0}, "confidence": {"boundary_shrink": 2.0}}, above, 5)
    assert said.forgets(found) == (
        "Apparently. Of unseen images of the class, Boundary Shrink still recognises 5.9 %, Boundary Expanding 7.0 % "
        "and Retrain, which never saw the class, 0.0 %. Shrink costs 1.7 points on the other classes."
    )
    assert said.private((found, far)) == (
        "An attack guesses which images the network was trained on. Its success rate should be Retrain's; a lower one "
        "gives away that something was forgotten. Shrink's is 9 points lower by own outputs and 2 points higher by "
        "confidence, on average over 5 seeds. All models taken together, the attacks are right 60 to 60 % of the "
        "time; guessing is right 50 %."
    )
    recovered = {"boundary_shrink": 91.0, "boundary_expanding": 92.0, "retrain": 3.0}
    assert said.lasts(recovered).startswith("No. Once the statistics are estimated anew")
    assert said.lasts(recovered).endswith(
        "Shrink recognises 91.0 % of the forgetting data, Expanding 92.0 %, Retrain 3.0 %."
    )
    assert not said.lasts(recovered | {"boundary_shrink": 9.0}).startswith("No.")


def test_what_forgets_is_told_by_statistics_in_the_original_and_weights_re_estimated(experiment: Experiment):
    found, why = index.moved(experiment), templates("index").why
    (run,) = [run for run in found.swaps.runs if run.method == "boundary_shrink"]
    frozen = found.components.methods["boundary_shrink"]["weights"]
    words = why(found)
    assert f"statistics leave {run.swap.statistics['forget_train']:.1f} % of the forgetting data recognised" in words
    assert f"its weights leave {frozen.recognised:.1f} %" in words
    assert words.endswith(
        f"{found.recovered['boundary_shrink']:.1f} and {frozen.after_reestimation:.1f} % are recognised."
    )
    without = why(replace(found, components=replace(found.components, methods={})))
    assert without.endswith(f"recognise {found.recovered['boundary_shrink']:.1f} %.")
