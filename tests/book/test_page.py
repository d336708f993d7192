"""What reaches a page: the parameters of its notebook, its runs in tabs and columns, and what a record lacks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.figure import Figure

from bu_book import claims, page
from bu_book.style import INK, PAPER, all_of, as_svg, as_table, in_figure, in_html, in_markdown
from bu_core.checks import SettingError
from bu_core.config import Config
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.metrics import Metrics, metrics
from bu_core.experiment.record import NotRecorded
from tests.helpers import refusal

# --- a notebook's parameters ----------------------------------------------------------------------------------------


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Stand in for a running kernel: runs some cells, then is in the middle of the last."""

    def run(*sources: str) -> None:
        shell = InteractiveShell()
        for source in sources:
            shell.run_cell(source, store_history=True)
        shell.user_ns["In"].append("page = Page.open()")
        monkeypatch.setattr(page, "get_ipython", lambda: shell)

    return run


def test_what_earlier_cells_assign_to_a_parameter_is_the_config(cells: Callable[..., None]):
    cells("dataset = 'digits'\nlr = 0.05\nother = 1", "# Parameters\nforget_class = 3\nlr = 0.2\n")
    config = page.notebook_config()
    assert (config.dataset, config.forget_class, config.lr) == ("digits", 3, 0.2)
    assert config == Config(dataset="digits", forget_class=3, lr=0.2), "all else stands in the config, once"


def test_a_name_that_is_imported_is_no_parameter(cells: Callable[..., None]):
    cells("forget_class = 2", "from bu_book.style import title\nfrom bu_core import data, models as model")
    assert page.notebook_config() == Config(forget_class=2)


def test_a_parameter_keeps_its_value_where_an_import_takes_its_name(cells: Callable[..., None]):
    """As in a notebook that imports `title` from the style, executed with a profile that has a title."""
    cells("epochs = 2 * 3", "# Parameters\ntitle = 'Faces'\n", "from bu_book.style import title")
    assert page.notebook_config() == Config(title="Faces", epochs=6)


def test_a_parameter_that_papermill_injects_and_nobody_has_is_refused(cells: Callable[..., None]):
    cells("dataset = 'digits'", "# Parameters\nforgetclass = 3\n")
    assert "did you mean 'forget_class'?" in refusal(page.notebook_config)


def test_a_refused_setting_ends_a_notebook_with_its_one_line(capsys: pytest.CaptureFixture[str]):
    shell = InteractiveShell()
    shell.run_cell("from bu_core.config import Config\nConfig(lr=0)")
    shown = capsys.readouterr().out.strip().splitlines()
    assert shown == ["SettingError: lr=0.0: must be above 0"]


# --- runs -----------------------------------------------------------------------------------------------------------

SMALL: dict[str, Any] = {"methods": ["retrain"], "shadow_models": 0, "elsewhere": []}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a page shows as HTML."""
    found: list[str] = []
    monkeypatch.setattr(page, "_show", found.append)
    return found


@pytest.fixture
def two_runs(tmp_path: Path) -> page.Page:
    """A page of one run with another beside it, of another width, whose title is markup."""
    profile = tmp_path / "wide.yml"
    profile.write_text(
        "{dataset: digits, width: 0.2, epochs: 1, methods: [retrain], title: '<b>wide</b>', precision: fp32, "
        "results_dir: results/wide}"
    )
    own = Config.from_profile(
        "smoke", **SMALL, epochs=1, beside=[str(profile)], title="narrow", results_dir=str(tmp_path / "out" / "narrow")
    )
    return page.Page(own)


def test_a_run_beside_keeps_its_results_beside_the_pages_own(two_runs: page.Page, tmp_path: Path):
    assert list(two_runs.runs) == ["narrow", "<b>wide</b>"]
    assert two_runs.own.config.width == 0.1
    assert two_runs.runs["<b>wide</b>"].folder == tmp_path / "out" / "wide"


def test_variations_with_another_network_are_asked_beside_their_run(two_runs: page.Page):
    def groupnorm(run: Experiment) -> list[Experiment]:
        return [run.variation((), model="allcnn_groupnorm")] if run is two_runs.own else []

    found = two_runs.measure(lambda run: run.config.model, also=groupnorm)
    named = "narrow: All-CNN with GroupNorm"
    assert found.results == {"narrow": "allcnn", named: "allcnn_groupnorm", "<b>wide</b>": "allcnn"}


def test_figures_stand_in_tabs_and_numbers_in_columns(two_runs: page.Page, shown: list[str]):
    def draw(found: Metrics) -> Figure:
        figure, axes = plt.subplots()
        axes.plot([0, 1], color=INK)
        return figure

    found = two_runs.metrics()
    two_runs.figure(draw, found, caption="What D_f is.", alt="A line")
    assert shown[-1].count('class="sd-tab-label"') == shown[-1].count("<svg ") == 2
    assert "&lt;b&gt;wide&lt;/b&gt;" in shown[-1] and "<b>wide</b>" not in shown[-1]
    assert "What <i>D</i><sub>f</sub> is." in shown[-1]
    two_runs.compare(lambda run: {"images": str(run.dataset.sizes["forget_train"])}, found)
    assert shown[-1].count(">127<") == 2


def test_what_a_record_lacks_is_said_in_its_place(two_runs: page.Page, shown: list[str]):
    def lacking(experiment: Any) -> Metrics:
        if experiment is two_runs.own:
            return metrics(experiment)
        raise NotRecorded("attention_maps of retrain: name a data_dir", "attention_maps-retrain", "wide")

    found = two_runs.measure(lacking)
    two_runs.figure(lambda run: plt.figure(), found, caption="Nothing.", alt="Nothing")
    assert "Not recorded of &lt;b&gt;wide&lt;/b&gt;: the attention maps of Retrain." in shown[-1]
    assert "<code>make reference PROFILE=wide</code> computes it" in shown[-1] and "data_dir" not in shown[-1]
    two_runs.compare(lambda run: {"a": "1"}, found)
    assert "narrow" in shown[-1] and "wide" not in shown[-1]


def test_a_run_with_nothing_to_show_has_no_tab_and_is_named_once_for_each_reason(two_runs: page.Page, shown: list[str]):
    def lacks(record: str) -> NotRecorded:
        return NotRecorded("the maps", "attention_maps-retrain", record)

    found = page.Found(
        {"own": 1, "empty": 0, "void": 0},
        {"b": lacks("b"), "c": lacks("c"), "d": page.claims.CannotTest("it forgets nothing")},
        "own",
    )
    two_runs.table(lambda number: as_table(pd.DataFrame({"a": [number]})) if number else None, found, none="No D_f.")
    tabs, *notes = shown[-1].split("<p><em>")
    assert tabs.count('class="sd-tab-label"') == 1 and ">own</label>" in tabs
    assert notes == [
        "empty; void: No <i>D</i><sub>f</sub>.</em></p>",
        "Not recorded of b; c: the attention maps of Retrain. With the images at hand, <code>make reference PROFILE=b"
        "</code> and <code>make reference PROFILE=c</code> compute it.</em></p>",
        "Not measured on d: it forgets nothing.</em></p>",
    ]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (page.Found({"own": 0}, {}, "own"), "No table."),
        (page.Found({}, {"own": NotRecorded("it is not there")}, "own"), "Not recorded of this run: it is not there."),
    ],
)
def test_a_page_of_one_run_says_in_its_place_what_is_missing(
    two_runs: page.Page, shown: list[str], found: page.Found[int], said: str
):
    two_runs.table(lambda number: None, found, none="No table.")
    assert shown[-1] == f"<p><em>{said}</em></p>"


def test_where_the_pages_own_run_is_not_recorded_words_say_so(two_runs: page.Page, monkeypatch: pytest.MonkeyPatch):
    said: list[Any] = []
    monkeypatch.setattr(page, "display", said.append)

    def lacking(experiment: Any) -> Metrics:
        raise NotRecorded("it is not there")

    two_runs.words(lambda run: "a number", two_runs.measure(lacking))
    assert "Not recorded of this run: it is not there" in said[-1].data


def test_where_only_another_run_is_recorded_words_are_about_that(
    two_runs: page.Page, shown: list[str], monkeypatch: pytest.MonkeyPatch
):
    said: list[Any] = []
    monkeypatch.setattr(page, "display", said.append)

    def lacking(experiment: Any) -> str:
        if experiment is two_runs.own:
            raise NotRecorded("it is not there")
        return "a number"

    found = two_runs.measure(lacking)
    two_runs.words(str, found)
    assert said[-1].data == f"*Of {in_markdown('<b>wide</b>')}:*\n\na number"
    two_runs.figure(lambda result: plt.figure(), found, caption="Nothing.", alt="Nothing")
    assert shown[-1].index("&lt;b&gt;wide") < shown[-1].index("narrow"), "what there is comes first"


def test_the_box_at_the_head_holds_what_was_written(two_runs: page.Page, monkeypatch: pytest.MonkeyPatch):
    said: list[Any] = []
    monkeypatch.setattr(page, "display", said.append)
    two_runs.in_short(lambda run: "It forgets.", page.Found({"narrow": 1}, {}, "narrow"))
    assert said[-1].data == "```{admonition} In short\n:class: tip\nIt forgets.\n```"


def test_the_box_tells_of_the_first_run_that_has_every_answer(two_runs: page.Page, monkeypatch: pytest.MonkeyPatch):
    said: list[Any] = []
    monkeypatch.setattr(page, "display", said.append)
    narrow, wide = two_runs.runs
    both, no = page.Found({narrow: "a", wide: "b"}, {}, narrow), NotRecorded("no")
    two_runs.in_short("{}{}".format, both, page.Found({wide: "c"}, {narrow: no}, narrow))
    assert said[-1].data.endswith(f"*Of {in_markdown(wide)}:*\n\nbc\n```")
    shown: list[str] = []
    monkeypatch.setattr(page, "_show", shown.append)
    two_runs.in_short("{}{}".format, both, page.Found({}, {narrow: no, wide: no}, narrow))
    assert len(said) == 1 and "no" in shown[-1]


def test_names_stand_in_a_sentence():
    assert all_of(["one", "two", "three"]) == "one, two and three" and all_of(["one"]) == "one"


def test_a_run_can_be_left_out_for_a_reason(two_runs: page.Page):
    narrow, wide = two_runs.runs
    found = page.Found({narrow: 1, wide: 2}, {}, narrow)
    fewer = found.without({narrow: claims.CannotTest("it stands below")})
    assert fewer.results == {wide: 2} and found.results == {narrow: 1, wide: 2}
    assert "it stands below" in fewer.why_not_own


def test_a_profile_beside_that_does_not_exist_is_refused(tmp_path: Path):
    config = Config.from_profile("smoke", **SMALL, beside=["smokee"], results_dir=str(tmp_path))
    with pytest.raises(SettingError, match="smoke"):
        page.Page(config)


# --- text from outside ----------------------------------------------------------------------------------------------

HOSTILE = ("<svg onload=alert(1)>", r"Ann$\frac$", "a|b`c`", "[x](y)", "{raw} html", "*b* _i_ # h")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_from_outside_is_no_markup(name: str):
    from html import unescape

    from markdown_it import MarkdownIt

    assert "<" not in in_html(name) and unescape(in_html(name)) == name
    rendered = MarkdownIt("commonmark").enable("table").render(in_markdown(name))
    assert rendered == f"<p>{in_html(name).replace('&#x27;', chr(39))}</p>\n"
    figure, axes = plt.subplots()
    axes.set_title(in_figure(name))
    drawing = as_svg(figure, name)  # which would raise for a formula that is none
    assert "onload=" not in drawing.replace("&lt;svg onload=alert(1)&gt;", "")


def test_a_drawing_takes_the_colours_of_the_page():
    figure, axes = plt.subplots()
    axes.plot([0, 1], "o-", color=INK, markerfacecolor=PAPER)
    drawing = as_svg(figure, "a line with hollow marks")
    assert INK not in drawing and PAPER not in drawing
    assert "currentColor" in drawing and "var(--pst-color-background" in drawing
    assert 'aria-label="a line with hollow marks"' in drawing
