"""Figure 3 and its tables, and the verdicts on claims 3 and 7."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.container import BarContainer

from bu_book import claims
from bu_book.chapters import attack_success
from bu_book.claims import NOT_REPRODUCED, PARTLY, REPRODUCED
from bu_core.experiment.metrics import Metrics
from tests.book.notebooks import templates
from tests.book.printed import as_printed, attack, changed, without

CLAIMS = {3: attack_success.finetune_checks, 7: attack_success.privacy_checks}


def verdict(number: int, found: Metrics) -> str:
    return claims.verdict(claims.CLAIMS[number], CLAIMS[number](found)).verdict


def with_shadows(found: Metrics) -> Metrics:
    """The metrics as if a second attack had found 7 points more of every model."""
    for name, result in found.methods.items():
        found = changed(found, name, attack_shadow=attack(result.attack.asr.value + 7, 57))
    return found


def test_the_attacks_are_those_that_were_made():
    found = as_printed("cifar10")
    assert list(attack_success.attacked(found)) == ["own"]
    both = attack_success.attacked(with_shadows(found))
    assert list(both) == ["own", "shadow"]
    assert both["shadow"]["finetune"].asr.value == 87


def test_the_figure_has_a_panel_an_attack_and_two_bars_a_model():
    found = with_shadows(as_printed("cifar10"))
    figure = attack_success.called_members(found)
    assert [axes.get_title() for axes in figure.axes] == list(attack_success.ATTACK_TITLES.values())
    for axes, more in zip(figure.axes, (0, 7), strict=True):
        filled, hollow = (container for container in axes.containers if isinstance(container, BarContainer))
        values = [result.attack.asr.value + more for result in found.methods.values()]
        assert [bar.get_width() for bar in filled] == values
        assert {bar.get_width() for bar in hollow} == {30.0}
        (line,) = (line for line in axes.lines if line.get_linestyle() == "--")
        assert line.get_xdata()[0] == 50 + more, "Retrain's"
    plt.close(figure)


def test_without_retrain_there_is_no_line_and_no_distance():
    found = without(as_printed("cifar10"), "retrain")
    found = changed(found, "finetune", attack=attack(80))
    figure = attack_success.called_members(found)
    assert not [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    plt.close(figure)
    assert attack_success.less_retrain(found)["Finetune"] == "–"
    assert "Retrain's ASR, %" not in attack_success.less_retrain(found)


def test_a_table_has_each_number_with_its_interval():
    table = attack_success.own_outputs_table(as_printed("cifar10")).data
    row = table.loc["Finetune"]
    assert row["ASR on <i>D</i><sub>f</sub>, %"] == "80.0<br><small>78.0&nbsp;to&nbsp;82.0</small>"
    assert row["ASR less Retrain's, points"] == "+30.0<br><small>+28.0&nbsp;to&nbsp;+32.0</small>"
    assert row["AUC"] == "0.61<br><small>0.60&nbsp;to&nbsp;0.62</small>"
    assert table.loc["Retrain", "ASR less Retrain's, points"] == "–"


def test_no_table_stands_where_no_shadow_model_was_trained():
    found = as_printed("cifar10")
    assert attack_success.shadow_models_table(found) is None
    table = attack_success.shadow_models_table(with_shadows(found)).data
    assert table.loc["Retrain", "ASR on <i>D</i><sub>f</sub>, %"].startswith("57.0")


def test_the_comparison_of_runs_starts_from_retrains_own_rate():
    rows = attack_success.less_retrain(as_printed("cifar10"))
    assert rows["Retrain's ASR, %"].startswith("50.0")
    assert rows["Boundary Shrink"].startswith("+2.0")
    assert "Retrain" not in rows


@pytest.mark.parametrize("dataset", ["cifar10", "faces"])
@pytest.mark.parametrize("number", [3, 7])
def test_the_papers_own_numbers_reproduce_its_claims(number: int, dataset: str):
    assert verdict(number, as_printed(dataset)) == REPRODUCED


def test_the_two_baselines_are_judged_otherwise_on_faces():
    """What the paper finds on CIFAR-10 contradicts what it finds on faces."""
    low = changed(as_printed("faces"), "negative_gradient", attack=attack(10))
    assert [check.holds for check in attack_success.privacy_checks(low)] == [True, True, True, False, True]
    assert verdict(7, low) == PARTLY


def test_numbers_that_contradict_a_claim_do_not_reproduce_it():
    found = changed(as_printed("cifar10"), "finetune", accuracy={"forget_train": 50.0}, attack=attack(59))
    assert verdict(3, found) == NOT_REPRODUCED


def test_the_nearest_and_the_farthest_model_are_named_for_each_attack():
    words = templates("attack_success").nearest_and_farthest
    own, shadow, quality = words(with_shadows(as_printed("cifar10"))).splitlines()
    assert own.endswith(
        "Retrain's ASR is 50.0 %. Closest to it is Boundary Shrink, 2.0 points away; farthest Fisher, 50.0 points."
    )
    assert "shadow models:** Retrain's ASR is 57.0 %" in shadow
    assert "60 to 60 % right" in quality


def test_without_retrain_only_the_quality_of_the_attack_is_told():
    found = without(as_printed("cifar10"), "retrain")
    for name, result in found.methods.items():
        found = changed(found, name, attack=attack(result.attack.asr.value))
    (quality,) = templates("attack_success").nearest_and_farthest(found).splitlines()
    assert quality.startswith("- **How good is the attack?**")
