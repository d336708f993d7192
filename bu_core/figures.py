"""The book's plots and tables, in one style. Nothing is computed here but differences that a table shows.

Every function takes the dictionary that `Experiment.metrics` returns.
"""

import html
import json
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from .data import SPLITS
from .published import METHOD_TITLES, SPLIT_TITLES, table_1

# One colour a method, everywhere: Wong's palette (Nature Methods 2011), told apart by colour-blind readers.
COLOURS = {
    "original": "#000000",
    "retrain": "#009E73",
    "finetune": "#56B4E9",
    "negative_gradient": "#CC79A7",
    "random_labels": "#E69F00",
    "boundary_shrink": "#0072B2",
    "boundary_expanding": "#D55E00",
}


def use_style() -> None:
    """The book's style for every figure drawn after this call."""
    sns.set_theme(context="notebook", style="whitegrid", rc={"figure.dpi": 160, "axes.titleweight": "bold"})


def _set_title(part: str) -> str:
    letter, subscript = SPLIT_TITLES[part].split("_")
    return f"<i>{letter}</i><sub>{subscript}</sub>"


def accuracy_frame(metrics: dict[str, Any]) -> pd.DataFrame:
    """Accuracy in percent, one row a set (`D_r` and so on), one column a model."""
    return pd.DataFrame(
        {
            METHOD_TITLES[name]: {SPLIT_TITLES[part]: result["accuracy"][part] for part in SPLITS}
            for name, result in metrics["methods"].items()
        }
    )


def utility_table(metrics: dict[str, Any]) -> Styler:
    """Table 1: for each set a row with the paper's accuracy, one with ours, and one with the difference."""
    published = table_1(metrics["dataset"]["name"])
    paper = "paper" if published.same else f"paper, {published.dataset}"
    rows = {}
    for part in SPLITS:
        ours = {name: result["accuracy"][part] for name, result in metrics["methods"].items()}
        theirs = {name: published.accuracy.get(name, {}).get(part) for name in ours}
        title = _set_title(part)
        rows[title, paper] = {name: _number(theirs[name]) for name in ours}
        rows[title, "here"] = {name: _number(ours[name]) for name in ours}
        rows[title, "difference"] = {
            name: _number(None if theirs[name] is None else ours[name] - theirs[name], sign="+") for name in ours
        }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename(columns=METHOD_TITLES)
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["set", "accuracy, %"])
    return _table(frame).map_index(
        lambda level: "font-weight: 600" if level == "here" else "font-weight: 400", axis="index", level=1
    )


def time_table(metrics: dict[str, Any]) -> Styler:
    """Seconds that each model took, and how many times faster than Retrain that is."""
    seconds = {name: result["seconds"]["median"] for name, result in metrics["methods"].items()}
    oracle = seconds.get("retrain")
    rows = {
        METHOD_TITLES[name]: {
            "seconds": f"{value:.2f}",
            "times faster than Retrain": f"{oracle / value:.1f}" if oracle and name != "original" else "–",
        }
        for name, value in seconds.items()
    }
    return _table(pd.DataFrame.from_dict(rows, orient="index"))


def destinations(metrics: dict[str, Any]) -> Figure:
    """Where the forgetting samples went: the share of D_f that each model assigns to each class."""
    classes = metrics["dataset"]["classes"]
    frame = pd.DataFrame(
        {METHOD_TITLES[name]: result["forget_train_shares"] for name, result in metrics["methods"].items()},
        index=classes,
    ).T
    figure, axes = plt.subplots(figsize=(8, 0.45 * len(frame) + 1.4), layout="constrained")
    sns.heatmap(
        frame, annot=True, fmt=".0f", cmap="cividis", vmin=0, vmax=100, linewidths=1, ax=axes,
        cbar_kws={"label": "share of the forgetting samples, %"},
    )  # fmt: skip
    forgotten = classes[metrics["config"]["forget_class"]]
    axes.set(xlabel=f"predicted class (forgotten: {forgotten})", ylabel="")
    axes.tick_params(axis="x", rotation=45 if max(map(len, classes)) > 2 else 0)
    axes.get_xticklabels()[metrics["config"]["forget_class"]].set_fontweight("bold")
    return figure


def forgotten_and_kept(metrics: dict[str, Any]) -> Figure:
    """Accuracy on unseen images of the forgotten class (left) and of the other classes (right), by model."""
    names = list(metrics["methods"])
    figure, panels = plt.subplots(1, 2, figsize=(8, 0.4 * len(names) + 1.2), sharey=True, layout="constrained")
    titles = {"forget_test": "forgotten class, unseen images", "remain_test": "other classes, unseen images"}
    for axes, (part, title) in zip(panels, titles.items(), strict=True):
        values = [metrics["methods"][name]["accuracy"][part] for name in names]
        bars = axes.barh([METHOD_TITLES[name] for name in names], values, color=[COLOURS[name] for name in names])
        axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=9)
        axes.set(title=title, xlabel="accuracy, %", xlim=(0, 120), xticks=range(0, 101, 25))
        axes.grid(axis="y", visible=False)
    panels[0].invert_yaxis()
    return figure


# The settings stand in rows of their own; where things lie on a disk decides no number.
_NOT_SHOWN = ("unlearning", "data_dir", "results_dir")


def provenance(metrics: dict[str, Any]) -> Styler:
    """Everything that decided these numbers: parameters, machine, versions, commit, data."""
    facts = {
        **{f"parameter {name}": value for name, value in metrics["config"].items() if name not in _NOT_SHOWN},
        **{f"settings of {name}": value for name, value in metrics["config"]["unlearning"].items() if value},
        "data": metrics["dataset"]["origin"],
        "data fingerprint (SHA-256)": metrics["dataset"]["fingerprint"],
    }
    made = {json.dumps(result["environment"], sort_keys=True): [] for result in metrics["methods"].values()}
    for name, result in metrics["methods"].items():
        made[json.dumps(result["environment"], sort_keys=True)].append(METHOD_TITLES[name])
    for environment, names in made.items():
        facts[f"made on ({', '.join(names)})"] = json.loads(environment)
    facts["shown on"] = metrics["environment"]
    frame = pd.DataFrame({"value": {name: html.escape(_plain(value)) for name, value in facts.items()}})
    return _table(frame).set_properties(**{"text-align": "left"})


def _table(frame: pd.DataFrame) -> Styler:
    # A wide table scrolls inside its own frame on a narrow screen: see book/_static/book.css.
    return frame.style.set_table_attributes('class="results"')


def _number(value: float | None, sign: str = "") -> str:
    return "–" if value is None else format(value, f"{sign}.2f")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(entry)}" for name, entry in value.items() if entry is not None)
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return "–" if value is None else str(value)
