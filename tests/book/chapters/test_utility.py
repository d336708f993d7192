"""Tables 1 and 2 beside the paper's, where the samples went, and the secondary checks of claims 4 to 6."""

from dataclasses import replace

import matplotlib.pyplot as plt
import pytest

from bu_book.chapters import utility
from tests.book.notebooks import templates
from tests.book.printed import as_printed, changed, without


def test_on_the_papers_data_the_difference_stands_in_a_row_of_its_own():
    found = changed(as_printed("cifar10"), "boundary_shrink", accuracy={"forget_train": 6.44})
    table = utility.table_1(found).data
    assert table.loc["<i>D</i><sub>f</sub>", "Boundary Shrink"].to_dict() == {
        "paper": "5.9", "here": "6.4", "difference": "+0.5"
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
    assert column.to_dict() == {"paper, VGGFace2": "–", "here": "1.5"}


def test_table_2_has_the_two_methods_and_no_table_stands_where_neither_was_run():
    found = as_printed("cifar10")
    assert utility.table_2(found).data.columns.tolist() == ["Fisher", "Amnesiac"]
    assert utility.table_2(without(found, "fisher")).data.columns.tolist() == ["Amnesiac"]
    assert utility.table_2(without(found, "fisher", "amnesiac")) is None
    on_faces = replace(found, dataset=replace(found.dataset, name="faces"))
    assert "difference" not in utility.table_2(on_faces).data.index.get_level_values(1)


def test_the_columns_of_the_comparison_hold_accuracies_by_model():
    found = as_printed("cifar10")
    assert utility.forgotten(found)["Boundary Expanding"] == "9.0"
    assert utility.kept(found)["Boundary Expanding"] == "81.1"
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


def test_the_papers_own_numbers_pass_the_secondary_checks():
    found = as_printed("cifar10")
    for checks in (utility.baseline_checks, utility.fisher_checks, utility.amnesiac_checks):
        assert all(check.holds for check in checks(found))


def test_numbers_that_contradict_a_claim_fail_its_secondary_checks():
    found = as_printed("cifar10")
    original = found.methods["original"].accuracy
    weak = changed(found, "negative_gradient", accuracy={"forget_train": 3.9, "remain_test": original["remain_test"]})
    assert [check.holds for check in utility.baseline_checks(weak)] == [False, False, True, True]
    intact = changed(found, "fisher", accuracy=original)
    assert [check.holds for check in utility.fisher_checks(intact)] == [False, False]
    free = changed(found, "amnesiac", accuracy={"remain_train": 99.5})
    assert [check.holds for check in utility.amnesiac_checks(free)] == [True, False]


def test_the_box_says_what_the_methods_leave_and_cost():
    words = templates("utility").in_short(as_printed("cifar10"))
    assert "Boundary Shrink recognises 5.9 % of $D_f$ and costs 1.7 points on $D_{rt}$" in words
    assert words.endswith("these cost less than Boundary Shrink: Finetune (-1.7).")
    assert "lacks" in templates("utility").in_short(without(as_printed("cifar10"), "retrain"))
