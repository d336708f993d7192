"""Tables 1 and 2 beside the paper's, where the samples went, and the verdicts on claims 4 to 6."""

from dataclasses import replace

import matplotlib.pyplot as plt
import pytest

from bu_book import claims
from bu_book.chapters import utility
from bu_book.claims import NOT_REPRODUCED, PARTLY, REPRODUCED
from tests.book.notebooks import templates
from tests.book.printed import as_printed, attack, attacks, changed, without

CLAIMS = {4: utility.baseline_checks, 5: utility.fisher_checks, 6: utility.amnesiac_checks}


def verdict(number: int, found) -> str:
    return claims.verdict(claims.CLAIMS[number], CLAIMS[number](found)).verdict


def test_on_the_papers_data_the_difference_stands_in_a_row_of_its_own():
    found = changed(as_printed("cifar10"), "boundary_shrink", accuracy={"forget_train": 6.44})
    table = utility.table_1(found).data
    assert table.loc["<i>D</i><sub>f</sub>", "Boundary Shrink"].to_dict() == {
        "paper": "5.94", "here": "6.44", "difference": "+0.50"
    }  # fmt: skip
    assert table.columns.tolist() == [
        "Original", "Retrain", "Finetune", "Negative Gradient", "Random Labels", "Boundary Shrink", "Boundary Expanding"
    ]  # fmt: skip


@pytest.mark.parametrize("dataset", ["faces", "digits"])
def test_on_other_data_no_difference_is_shown(dataset: str):
    """The paper's numbers stand there, with the name of its data."""
    table = utility.table_1(as_printed(dataset)).data
    theirs = {"faces": "paper, VGGFace2", "digits": "paper, CIFAR-10"}[dataset]
    assert set(table.index.get_level_values(1)) == {theirs, "here"}


def test_a_method_that_the_paper_does_not_have_has_a_column_without_its_numbers():
    found = as_printed("faces")
    found.methods["boundary_other"] = found.methods["boundary_shrink"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utility, "title", lambda name: name)
        column = utility.table_1(found).data.loc["<i>D</i><sub>f</sub>", "boundary_other"]
    assert column.to_dict() == {"paper, VGGFace2": "–", "here": "1.54"}


def test_table_2_has_the_two_methods_and_no_table_stands_where_neither_was_run():
    found = as_printed("cifar10")
    assert utility.table_2(found).data.columns.tolist() == ["Fisher", "Amnesiac"]
    assert utility.table_2(without(found, "fisher")).data.columns.tolist() == ["Amnesiac"]
    assert utility.table_2(without(found, "fisher", "amnesiac")) is None
    on_faces = replace(found, dataset=replace(found.dataset, name="faces"))
    assert "difference" not in utility.table_2(on_faces).data.index.get_level_values(1)


def test_the_columns_of_the_comparison_hold_accuracies_by_model():
    found = as_printed("cifar10")
    assert utility.forgotten(found)["Boundary Expanding"] == "8.96"
    assert utility.kept(found)["Boundary Expanding"] == "81.07"
    assert list(utility.kept(found)) == list(utility.forgotten(found))


def test_the_map_of_destinations_has_a_row_a_model_and_marks_the_forgotten_class():
    shares = [0.0, 0.0, 70.0, 0.0, 0.0, 30.0, 0.0, 0.0, 0.0, 0.0]
    found = changed(as_printed("cifar10"), "retrain", forget_train_shares=shares)
    found.dataset.classes[4] = "$x"  # no formula
    figure = utility.destinations(found)
    axes = figure.axes[0]
    numbers = [text.get_text() for text in axes.texts]
    assert numbers[10:20] == ["0", "0", "70", "0", "0", "30", "0", "0", "0", "0"], "Retrain is the second row"
    bold = [label.get_text() for label in axes.get_xticklabels() if label.get_fontweight() == "bold"]
    assert bold == [r"\$x"]
    figure.canvas.draw()
    plt.close(figure)


@pytest.mark.parametrize(("number", "dataset"), [(4, "cifar10"), (4, "faces"), (5, "cifar10"), (6, "cifar10")])
def test_the_papers_own_numbers_reproduce_its_claims(number: int, dataset: str):
    assert verdict(number, as_printed(dataset)) == REPRODUCED


def test_numbers_that_contradict_a_claim_do_not_reproduce_it():
    found = as_printed("cifar10")
    original = found.methods["original"].accuracy
    weak = changed(found, "negative_gradient", accuracy={"forget_train": 4.9, "remain_test": original["remain_test"]})
    assert verdict(4, weak) == PARTLY
    intact = changed(found, "fisher", accuracy=original, attacks=attacks(40))
    assert verdict(5, intact) == NOT_REPRODUCED
    free = changed(found, "amnesiac", accuracy={"remain_train": 99.5}, attacks=attacks(39))
    assert [check.holds for check in utility.amnesiac_checks(free)] == [True, False, False, False, False]


def test_an_attack_that_finds_otherwise_makes_a_verdict_partly():
    """Claims about an ASR are judged by every attack, and each check says which."""
    found = as_printed("cifar10")
    one = attacks(47, 50) | {"confidence": attack(61, 50)}
    checks = utility.amnesiac_checks(changed(found, "amnesiac", attacks=one))
    assert [check.rule.partition(":")[0] for check in checks if not check.holds] == ["Confidence"]
    seen = changed(found, "fisher", attacks=attacks(0) | {"modified_entropy": attack(6)})
    assert verdict(5, seen) == PARTLY


def test_both_tables_are_told_in_words():
    lines = templates("utility").both_tables(as_printed("cifar10")).splitlines()
    assert lines[-1] == (
        "- **Amnesiac** recognises 0.00 % of $D_f$ and 0.00 % of $D_{ft}$. It changes accuracy by -4.18 points on "
        "$D_r$ and -3.33 on $D_{rt}$."
    )
    assert not [line for line in lines if "Original" in line]
