"""The book's plots and tables, in one style. Nothing is computed here but differences and means that a table shows.

Every function takes the dictionary that `Experiment.metrics` returns, or, where a heading says so, that of another
measurement.
"""

import html
import itertools
import json
import re
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullLocator
from pandas.io.formats.style import Styler

from . import forgetting
from .claims import NOT_REPRODUCED, PARTLY, REPRODUCED, Judgement
from .data import SPLITS
from .measures import entropy_bins, interval
from .models import ONE_WIDTH
from .published import METHOD_TITLES, RELEASED_LOG, SPLIT_TITLES, TABLE_2_METHODS, Published, speed_up, table_1, table_2


class _Colours(dict[str, str]):
    """A method that has no colour yet is drawn in grey."""

    def __missing__(self, name: str) -> str:
        return "#999999"


# One colour a method, everywhere: Wong's palette (Nature Methods 2011), told apart by colour-blind readers. Its yellow
# is too pale on paper, so the two methods of Table 2 have a dark brown and a dark violet, which differ in lightness
# from their neighbours in hue.
COLOURS = _Colours(
    original="#000000",
    retrain="#009E73",
    finetune="#56B4E9",
    negative_gradient="#CC79A7",
    random_labels="#E69F00",
    boundary_shrink="#0072B2",
    boundary_expanding="#D55E00",
    fisher="#6B4423",
    amnesiac="#5B3A8E",
)


def use_style() -> None:
    """The book's style for every figure drawn after this call."""
    sns.set_theme(context="notebook", style="whitegrid", rc={"figure.dpi": 160, "axes.titleweight": "bold"})


def _set_title(part: str) -> str:
    letter, subscript = SPLIT_TITLES[part].split("_")
    return f"<i>{letter}</i><sub>{subscript}</sub>"


_MODEL_TITLES = {
    "allcnn": "All-CNN",
    "allcnn_groupnorm": "All-CNN with GroupNorm",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
}


def run_in_words(metrics: dict[str, Any]) -> str:
    """One sentence that says which run this is: data, model, training, and the class to forget."""
    config, dataset = metrics["config"], metrics["dataset"]
    width = f" at {config['width']:g} of its published width" if config["model"] not in ONE_WIDTH else ""
    data = dataset["origin"] if dataset["name"] == "faces" else f"{dataset['name']} ({dataset['origin']})"
    made = metrics["methods"]["original"]["environment"]["date"]
    model = _MODEL_TITLES.get(config["model"], config["model"])
    return (
        f"*This page:* {data}; {model}{width}, {config['epochs']} epochs, seed {config['seed']}; to forget: "
        f"**{dataset['classes'][config['forget_class']]}**. Trained on {made}."
    )


def accuracy_frame(metrics: dict[str, Any]) -> pd.DataFrame:
    """Accuracy in percent, one row a set (`D_r` and so on), one column a model."""
    return pd.DataFrame(
        {
            METHOD_TITLES[name]: {SPLIT_TITLES[part]: result["accuracy"][part] for part in SPLITS}
            for name, result in metrics["methods"].items()
        }
    )


def utility_table(metrics: dict[str, Any]) -> Styler:
    """Table 1: for each set a row with the paper's accuracy, one with ours, and one with the difference.

    A method that is in neither of the paper's tables has a column here, without the paper's numbers.
    """
    names = [name for name in metrics["methods"] if name not in TABLE_2_METHODS]
    return _accuracies(metrics, table_1(metrics["dataset"]["name"]), names)


def second_utility_table(metrics: dict[str, Any]) -> Styler:
    """Table 2, in the same form: Fisher Forgetting and Amnesiac Unlearning."""
    names = [name for name in TABLE_2_METHODS if name in metrics["methods"]]
    return _accuracies(metrics, table_2(metrics["dataset"]["name"]), names)


def _accuracies(metrics: dict[str, Any], published: Published, names: list[str]) -> Styler:
    paper = "paper" if published.same else f"paper, {published.dataset}"
    rows = {}
    for part in SPLITS:
        ours = {name: metrics["methods"][name]["accuracy"][part] for name in names}
        theirs = {name: published.accuracy.get(name, {}).get(part) for name in ours}
        title = _set_title(part)
        rows[title, paper] = {name: _number(theirs[name]) for name in ours}
        rows[title, "here"] = {name: _number(ours[name]) for name in ours}
        rows[title, "difference"] = {
            name: _number(None if theirs[name] is None else ours[name] - theirs[name], sign="+") for name in ours
        }
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=names).rename(columns=METHOD_TITLES.__getitem__)
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


# The membership attacks, by their key in the metrics.
ATTACK_TITLES = {"attack": "learns from the model's own outputs", "attack_shadow": "learns from shadow models"}


def _attacks(metrics: dict[str, Any]) -> list[str]:
    """The attacks that were made: the one with shadow models may have been left out."""
    return [kind for kind in ATTACK_TITLES if all(result[kind] for result in metrics["methods"].values())]


def attack_success(metrics: dict[str, Any]) -> Figure:
    """Figure 3: share of D_f (filled) and of D_ft (hollow) called members, by model; a panel for each attack."""
    names, kinds = list(metrics["methods"]), _attacks(metrics)
    size = (8, 0.5 * len(names) + 1.8)
    figure, panels = plt.subplots(1, len(kinds), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axes, kind in zip(panels[0], kinds, strict=True):
        found = [metrics["methods"][name][kind] for name in names]
        for share, label, offset, filled in (
            ("asr", r"forgetting data $D_f$: the attack success rate", -0.2, True),
            ("false_positive_rate", r"unseen images $D_{ft}$ of that class: false alarms", 0.2, False),
        ):
            values = np.array([result[share] for result in found])
            ends = np.array([[result[f"{share}_low"], result[f"{share}_high"]] for result in found]).T
            colours = [COLOURS[name] for name in names]
            axes.barh(
                np.arange(len(names)) + offset, values, 0.36, label=label, edgecolor=colours, linewidth=1.5,
                color=colours if filled else "white", xerr=np.abs(ends - values),
                error_kw={"ecolor": "0.45", "elinewidth": 1.2, "capsize": 2},
            )  # fmt: skip
            for place, (value, end) in enumerate(zip(values, ends[1], strict=True)):
                box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # over the dashed line
                axes.text(end + 2, place + offset, f"{value:.0f}", va="center", fontsize=8, bbox=box)
        if "retrain" in names:
            line = metrics["methods"]["retrain"][kind]["asr"]
            axes.axvline(line, color=COLOURS["retrain"], linestyle="--", label="Retrain's attack success rate")
        axes.set_title(ATTACK_TITLES[kind], fontsize=10)
        axes.set(xlabel="called members, %", xlim=(0, 112), xticks=range(0, 101, 25))
        axes.set_yticks(range(len(names)), [METHOD_TITLES[name] for name in names])
        axes.grid(axis="y", visible=False)
    panels[0][0].invert_yaxis()
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", fontsize=9, frameon=False)
    return figure


def attack_tables(metrics: dict[str, Any]) -> dict[str, Styler]:
    """Everything measured of each membership attack, by its title: one row a model, with 95 % intervals."""
    columns = {
        "ASR on <i>D</i><sub>f</sub>, %": ("asr", "{:.1f}"),
        "the same on <i>D</i><sub>ft</sub>, %": ("false_positive_rate", "{:.1f}"),
        "difference, points": ("advantage", "{:+.1f}"),
        "ASR less Retrain's, points": ("distance_to_retrain", "{:+.1f}"),
        "balanced accuracy, %": ("balanced_accuracy", "{:.1f}"),
        "AUC": ("auc", "{:.2f}"),
    }
    tables = {}
    for kind in _attacks(metrics):
        rows = {
            METHOD_TITLES[name]: {
                title: "–" if name == "retrain" and "distance" in shown[0] else _between(result[kind], *shown)
                for title, shown in columns.items()
            }
            for name, result in metrics["methods"].items()
        }
        tables[ATTACK_TITLES[kind]] = _table(pd.DataFrame.from_dict(rows, orient="index"))
    return tables


def entropy_histograms(metrics: dict[str, Any]) -> Figure:
    """Figure 7: how unsure each model is of each set, one row a model: training data filled, unseen data outlined."""
    results = metrics["methods"]
    edges = entropy_bins(len(metrics["dataset"]["classes"]))
    size = (8, 0.85 * len(results) + 1.3)
    figure, rows = plt.subplots(len(results), 2, figsize=size, sharex=True, sharey=True, layout="constrained")
    for row, (name, result) in zip(rows, results.items(), strict=True):
        shares = result["entropy"]["histogram"]
        for axes, side in zip(row, ("remain", "forget"), strict=True):
            axes.stairs(shares[f"{side}_train"], edges, fill=True, color=COLOURS[name], alpha=0.75)
            axes.stairs(shares[f"{side}_test"], edges, color="black", linewidth=1.2)
        if "retrain" in results and name != "retrain":
            oracle = results["retrain"]["entropy"]["histogram"]["forget_train"]
            row[1].stairs(oracle, edges, color=COLOURS["retrain"], linestyle="--", linewidth=1.5)
        row[0].set_ylabel(METHOD_TITLES[name].replace(" ", "\n"), rotation=0, ha="right", va="center", fontsize=10)
    # Sure answers fill one bin, unsure ones spread over many: a root scale shows both.
    rows[0][0].set_yscale("function", functions=(np.sqrt, np.square))
    rows[0][0].set(title="remaining classes", xlim=(0, edges[-1]), ylim=(0, 100), yticks=(0, 10, 50, 100))
    rows[0][1].set(title="forgotten class")
    figure.supxlabel(f"entropy of the output, nats (an even answer: log {len(metrics['dataset']['classes'])})", size=11)
    figure.supylabel("share of the images, %, on a root scale", size=11)
    handles = [Patch(color="0.5", label="training images"), Line2D([], [], color="black", label="test images")]
    if "retrain" in results:
        retrain = Line2D([], [], color=COLOURS["retrain"], linestyle="--", label="Retrain on the forgetting data")
        handles.append(retrain)
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    return figure


def entropy_table(metrics: dict[str, Any]) -> Styler:
    """Mean entropy on each set in nats, and how far each model's distribution on D_f lies from Retrain's."""
    rows = {}
    for name, result in metrics["methods"].items():
        found = result["entropy"]
        distances = found["distance_to_retrain"] or {}
        rows[METHOD_TITLES[name]] = {
            **{f"mean on {_set_title(part)}, nats": f"{found[part]:.3f}" for part in SPLITS},
            "Jensen-Shannon from Retrain, bits": _number(distances.get("jensen_shannon"), digits=3),
            "Wasserstein from Retrain, nats": _number(distances.get("wasserstein"), digits=3),
        }
    return _table(pd.DataFrame.from_dict(rows, orient="index"))


# --- timing: the dictionary that `Experiment.timing` returns --------------------------------------------------------


def time_per_method(timing: dict[str, Any]) -> Figure:
    """Figure 4: seconds of each method on a log axis, with the range of the rounds, and the speed-up."""
    results = _by_time(timing)
    names = list(results)
    seconds = [results[name]["seconds"] for name in names]
    values = np.array([taken["median"] for taken in seconds])
    ends = np.array([[taken["low"], taken["high"]] for taken in seconds]).T
    figure, axes = plt.subplots(figsize=(8, 0.4 * len(names) + 1), layout="constrained")
    axes.barh(
        [METHOD_TITLES[name] for name in names], values, color=[COLOURS[name] for name in names],
        xerr=np.abs(ends - values), error_kw={"ecolor": "0.45", "elinewidth": 1.2, "capsize": 2},
    )  # fmt: skip
    for position, (name, high) in enumerate(zip(names, ends[1], strict=True)):
        label = f"{_seconds(values[position])} s"
        if name != "retrain":
            label += f", {results[name]['speed_up']:.3g} times as fast"
        axes.annotate(label, (high, position), (5, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set(xscale="log", xlabel="seconds, log scale", xlim=(values.min() / 3, values.max() * 12))
    axes.grid(axis="y", visible=False)
    axes.invert_yaxis()
    return figure


def timing_table(timing: dict[str, Any], dataset: str) -> Styler:
    """Everything measured of each method's time, and the paper's speed-up."""
    published = speed_up(dataset)
    paper = "paper" if published.same else f"paper, {published.dataset}"
    rows = {}
    for name, result in _by_time(timing).items():
        taken = result["seconds"]
        rows[METHOD_TITLES[name]] = {
            "seconds, median": _seconds(taken["median"]),
            f"range over {timing['runs']} rounds": f"{_seconds(taken['low'])}&nbsp;to&nbsp;{_seconds(taken['high'])}",
            "timed on, % of the data": f"{100 * result['share']:.3g}",
            "times as fast as Retrain": f"{result['speed_up']:.3g}",
            paper: _number(published.times.get(name), digits=1),
        }
    return _table(pd.DataFrame.from_dict(rows, orient="index"))


def floor_table(timing: dict[str, Any]) -> Styler:
    """How far each method is above the time that its operations would take at the machine's peak."""
    rows = {
        METHOD_TITLES[name]: {
            "operations, 10⁹": f"{result['operations'] / 1e9:,.0f}",
            "floor, s": _seconds(result["floor"]),
            "seconds": _seconds(result["seconds"]["median"]),
            "above the floor, times": f"{result['seconds']['median'] / result['floor']:.1f}",
        }
        for name, result in _by_time(timing).items()
    }
    return _table(pd.DataFrame.from_dict(rows, orient="index"))


def _by_time(timing: dict[str, Any]) -> dict[str, Any]:
    """The timed methods, the longest first."""
    return dict(sorted(timing["methods"].items(), key=lambda entry: -entry[1]["seconds"]["median"]))


def time_growth(timing: dict[str, Any]) -> Figure:
    """How the time grows with the images of D_f, the epochs and the width, on log axes, with the fitted slopes."""
    titles = {"images": "images in $D_f$", "epochs": "epochs", "width": "width of the model"}
    growth = {quantity: timing["growth"][quantity] for quantity in titles if quantity in timing["growth"]}
    figure, panels = plt.subplots(1, len(growth), figsize=(8, 3.2), sharey=True, layout="constrained")
    for axes, (quantity, grown) in zip(panels, growth.items(), strict=True):
        values = np.array(grown["values"])
        for name, curve in grown["methods"].items():
            seconds = np.array(curve["seconds"])
            middle = np.exp(np.log(seconds).mean() + curve["slope"] * (np.log(values) - np.log(values).mean()))
            axes.plot(values, middle, color=COLOURS[name], linewidth=1, linestyle=_DASHES.get(name, "-"))
            axes.plot(
                values, seconds, "o", color=COLOURS[name], markerfacecolor="white" if name in _DASHES else None,
                label=f"{METHOD_TITLES[name]}: {curve['slope']:.2f}",
            )  # fmt: skip
        axes.set(xscale="log", yscale="log", xlabel=titles[quantity])
        axes.set_xticks(values, [f"{value:g}" for value in values], minor=False)
        axes.tick_params(which="minor", bottom=False, labelbottom=False)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.legend(title="slope", fontsize=7, title_fontsize=7)
    panels[0].set_ylabel("seconds")
    return figure


_DASHES = {"boundary_expanding": "--"}  # where two lines may lie on each other


def _seconds(value: float) -> str:
    """Three digits that count, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# --- attention: the dictionary that `Experiment.attention` returns --------------------------------------------------

_ASKED_TITLES = {"predicted": "asked for the model's own answer", "true": "asked for the true class"}


def attention_maps(attention: dict[str, Any], asked: str = "predicted") -> Figure:
    """Figure 5: the mean attention map of each model (columns) on D_f and D_r (rows), the object outlined.

    Where there is a mean image, it shines through: the mean of the remaining data in both rows.
    """
    sets = attention["sets"]
    names = list(sets["forget_train"]["models"])
    top = max(np.max(found["models"][name][asked]["map"]) for found in sets.values() for name in names)
    size = (2 * len(names) + 0.6, 1.8 * len(sets) + 0.4)
    figure, rows = plt.subplots(len(sets), len(names), figsize=size, squeeze=False, layout="constrained")
    for row, (part, found) in zip(rows, sets.items(), strict=True):
        outline = np.array(found["outline"])
        for axes, name in zip(row, names, strict=True):
            image = axes.imshow(found["models"][name][asked]["map"], cmap="cividis", vmin=0, vmax=top or 1)
            if attention["mean_image"] is not None:
                axes.imshow(attention["mean_image"], cmap="gray", vmin=0, vmax=1, alpha=0.5)
            if outline.min() < 0.5 < outline.max():
                axes.contour(outline, [0.5], colors="white", linewidths=1.5)
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(f"mean over {found['images']}\nimages of ${SPLIT_TITLES[part]}$", fontsize=10)
    for axes, name in zip(rows[0], names, strict=True):
        axes.set_title(METHOD_TITLES[name], fontsize=10)
    figure.colorbar(image, ax=rows, label="attention", shrink=0.8)
    return figure


def attention_overlays(overlays: dict[str, Any]) -> Figure:
    """Figure 5 as the paper has it: single images (rows) with the map of each model (columns) for its own answer."""
    images, models = overlays["images"], overlays["maps"]
    size = (1.7 * len(models) + 0.4, 1.7 * len(images) + 0.4)
    figure, rows = plt.subplots(len(images), len(models), figsize=size, squeeze=False, layout="constrained")
    for number, row in enumerate(rows):
        for axes, (name, maps) in zip(row, models.items(), strict=True):
            axes.imshow(images[number])
            axes.imshow(maps[number], cmap="jet", vmin=0, vmax=1, alpha=0.4)
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            if number == 0:
                axes.set_title(METHOD_TITLES[name], fontsize=10)
    return figure


def attention_shares(attention: dict[str, Any]) -> Figure:
    """Share of attention on the object, with intervals: D_f filled, D_r hollow; the object's share of the image."""
    sets = attention["sets"]
    names = list(sets["forget_train"]["models"])
    size = (8, 0.5 * len(names) + 1.6)
    figure, panels = plt.subplots(1, 2, figsize=size, sharey=True, sharex=True, layout="constrained")
    for axes, (asked, title) in zip(panels, _ASKED_TITLES.items(), strict=True):
        for part, offset, label in (
            ("forget_train", -0.13, "forgetting data $D_f$"),
            ("remain_train", 0.13, "remaining data $D_r$, for comparison"),
        ):
            for position, name in enumerate(names):
                found = sets[part]["models"][name][asked]
                if found["share"] is not None:
                    axes.errorbar(
                        found["share"], position + offset, color=COLOURS[name], fmt="o", capsize=3, markersize=7,
                        xerr=[[found["share"] - found["share_low"]], [found["share_high"] - found["share"]]],
                        markerfacecolor=COLOURS[name] if part == "forget_train" else "white",
                    )  # fmt: skip
            filled = "0.3" if part == "forget_train" else "white"
            axes.plot([], [], "o", color="0.3", markerfacecolor=filled, label=label)
        axes.axvline(sets["forget_train"]["area"], color="0.3", linestyle=":", label="a map without a preference")
        axes.set_title(title, fontsize=10)
        axes.set(yticks=range(len(names)), yticklabels=[METHOD_TITLES[name] for name in names])
        axes.grid(axis="y", visible=False)
    panels[0].invert_yaxis()
    figure.supxlabel(f"share of attention on the {attention['region']['name']}, %", fontsize=11)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    return figure


def attention_table(attention: dict[str, Any]) -> Styler:
    """The shares of attention and their change against the original, with 95 % intervals, and the blank maps."""
    rows = {}
    for asked, title in _ASKED_TITLES.items():
        for name in attention["sets"]["forget_train"]["models"]:
            row = {}
            for part, found in attention["sets"].items():
                result, where = found["models"][name][asked], _set_title(part)
                row[f"on {where}, %"] = _between(result, "share", "{:.1f}")
                itself = name == "original"
                row[f"less the original's, {where}, points"] = "–" if itself else _between(result, "change", "{:+.1f}")
                row[f"blank maps, {where}"] = f"{result['blank']} of {found['images']}"
            rows[title, METHOD_TITLES[name]] = row
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["the map", "model"])
    return _table(frame)


def _between(result: dict[str, Any], key: str, form: str) -> str:
    if result[key] is None:
        return "–"
    value, low, high = (form.format(result[name]) for name in (key, f"{key}_low", f"{key}_high"))
    return f"{value}<br><small>{low}&nbsp;to&nbsp;{high}</small>"


# --- decision_space: the dictionary that `Experiment.decision_space` returns ----------------------------------------


def decision_map(space: dict[str, Any], metrics: dict[str, Any]) -> Figure:
    """Figures 1 and 6: one map for all models; dots are remaining samples, circles forgetting samples as predicted."""
    classes, forgotten = metrics["dataset"]["classes"], metrics["config"]["forget_class"]
    colours = sns.color_palette("colorblind" if len(classes) <= 10 else "husl", len(classes))
    colours[forgotten] = (0, 0, 0)
    names = list(space["models"])
    figure, panels = plt.subplots(
        -(-len(names) // 2), 2, figsize=(8, 3.9 * -(-len(names) // 2)), sharex=True, sharey=True, layout="constrained"
    )
    for axes, name in zip(panels.flat, names, strict=False):
        found = space["models"][name]["map"]
        remain, forget = np.array(found["remain"]), np.array(found["forget"])
        axes.scatter(*remain.T, s=5, color=[colours[label] for label in found["remain_labels"]], linewidths=0)
        axes.scatter(
            *forget.T, s=13, facecolors="none", linewidths=0.8, alpha=0.7,
            edgecolors=[colours[label] for label in found["forget_predicted"]],
        )  # fmt: skip
        places = {
            label: np.median(remain[np.array(found["remain_labels"]) == label], axis=0)
            for label in sorted(set(found["remain_labels"]))
        }
        if name == "original":  # elsewhere the forgetting samples are no cluster of their own
            places[forgotten] = np.median(forget, axis=0)
        for label, middle in places.items():
            axes.annotate(
                classes[label], middle, ha="center", va="center", fontsize=9, fontweight="bold", color="black",
                bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.75, "linewidth": 0},
            )  # fmt: skip
        axes.set_title(METHOD_TITLES[name], fontsize=11)
        axes.set(xticks=[], yticks=[])
    for axes in panels.flat[len(names) :]:
        axes.set_axis_off()
    handles = [
        Line2D([], [], linestyle="", marker="o", markerfacecolor="none", markeredgecolor=colour, label=label)
        for label, colour in zip(classes, colours, strict=True)
    ]
    title = f"a forgetting sample ({classes[forgotten]}), predicted as"
    figure.legend(handles=handles, title=title, loc="outside lower center", ncols=min(10, len(classes)), fontsize=9)
    return figure


def decision_table(space: dict[str, Any]) -> Styler:
    """The numbers of the decision space: where D_f went, how near the borders it lies, how compact the clusters are."""
    rows = {}
    for name, found in space["models"].items():
        forget, compact, margin = found["forget"], found["compactness"], found["margin"]
        rows[METHOD_TITLES[name]] = {
            "<i>D</i><sub>f</sub> given Retrain's class, %": _number(forget["like_retrain"], digits=1),
            "of those that left: to the next class, %": (
                "–" if name == "original" else _number(forget["to_nearest"], digits=1)
            ),
            "spread over classes": _number(forget["classes"], digits=1),
            **{
                f"margin ({kind}), {_set_title(part)}": _number(margin[part][kind]["median"])
                for kind in ("logits", "softmax")
                for part in margin
            },
            "silhouette of <i>D</i><sub>r</sub>": _number(compact["remain"], digits=3),
            "silhouette of <i>D</i><sub>f</sub>": _number(compact["forget"], digits=3),
            "<i>D</i><sub>f</sub> from the centre": _number(compact["from_centre"]),
        }
    return _table(pd.DataFrame(rows))


# --- neighbours: the dictionary that `Experiment.neighbours` returns ------------------------------------------------

_SEARCHES = {"fgsm": ("one step (FGSM)", "#0072B2", "-"), "pgd": ("several steps (PGD)", "#D55E00", "--")}


def crossing(neighbours: dict[str, Any]) -> Figure:
    """By the reach epsilon: how many images cross a boundary (left), and which labels agree (right)."""
    reach = neighbours["epsilons"]
    figure, panels = plt.subplots(1, 2, figsize=(8, 3.4), sharex=True, sharey=True, layout="constrained")
    for key, (title, colour, dash) in _SEARCHES.items():
        marks = {"color": colour, "linestyle": dash, "marker": "o", "markersize": 4}
        panels[0].plot(reach, neighbours[key]["crossed"], label=title, **marks)
        panels[1].plot(reach, neighbours[key]["reference"], label=f"{title}: the class met first", **marks)
    panels[1].plot(reach, neighbours["agreement"], color="0.3", linestyle=":", label="both the same class")
    for axes, title in zip(panels, ("images that cross a boundary", "images whose label is …"), strict=True):
        axes.axvline(neighbours["epsilon"], color="0.6", linewidth=1)
        axes.set(title=title, xlabel=r"reach $\epsilon$, in pixel units", ylim=(-3, 103))
        axes.legend(fontsize=8)
    panels[0].set_ylabel("share of the images, %")
    return figure


def labels_found(neighbours: dict[str, Any], metrics: dict[str, Any]) -> Figure:
    """Which labels each search finds at each reach: the share of the images that is given each class."""
    classes = metrics["dataset"]["classes"]
    reach = [f"{epsilon:g}" for epsilon in neighbours["epsilons"]]
    size = (8, 0.3 * len(reach) + 1.6)
    figure, panels = plt.subplots(1, 2, figsize=size, sharey=True, layout="constrained")
    for axes, (key, (title, *_)) in zip(panels, _SEARCHES.items(), strict=True):
        frame = pd.DataFrame(neighbours[key]["labels"], index=reach, columns=classes)
        sns.heatmap(
            frame, annot=True, fmt=".0f", annot_kws={"fontsize": 7}, cmap="cividis", vmin=0, vmax=100, linewidths=0.5,
            ax=axes, cbar=axes is panels[1], cbar_kws={"label": "share of the images, %"},
        )  # fmt: skip
        axes.set(title=title, xlabel="label found")
        axes.tick_params(axis="x", rotation=90 if max(map(len, classes)) > 2 else 0)
        axes.tick_params(axis="y", rotation=0)
    panels[0].set_ylabel(r"reach $\epsilon$")
    return figure


def search_table(neighbours: dict[str, Any]) -> Styler:
    """What each search costs, and what Boundary Shrink makes of its labels."""
    rows = {}
    for key, (title, *_) in _SEARCHES.items():
        outcome = neighbours["outcome"][key]
        rows[title] = {
            "steps": neighbours["walks"][key][0],
            f"seconds of the search on {neighbours['images']:,} images": _seconds(neighbours["seconds"][key]),
            **{f"then Boundary Shrink on {_set_title(part)}, %": _number(outcome["accuracy"][part]) for part in SPLITS},
            "<i>D</i><sub>f</sub> given Retrain's class, %": _number(outcome["like_retrain"], digits=1),
        }
    return _table(pd.DataFrame.from_dict(rows, orient="index"))


# The settings stand in rows of their own; where things lie on a disk decides no number.
_NOT_SHOWN = ("unlearning", "data_dir", "results_dir")


# --- what does the forgetting: the results of `Experiment.parts`, `.audit` and `.curves` ------------------------------

_PART_TITLES = {"statistics": "statistics alone", "weights": "weights alone", "both": "both, as released"}


def parts_table(parts: dict[str, Any]) -> Styler:
    """Accuracies, attack and entropy of each part of each method, between the original and Retrain."""
    rows = {(METHOD_TITLES[name], "–"): _judged_row(parts[name]) for name in ("original", "retrain") if name in parts}
    for name, found in parts["methods"].items():
        for part, entry in found.items():
            explained = _number(entry["explained"], digits=0)
            rows[METHOD_TITLES[name], _PART_TITLES[part]] = _judged_row(entry) | {"forgetting explained, %": explained}
    frame = pd.DataFrame.from_dict(rows, orient="index").fillna("–")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["model", "what may move"])
    return _table(frame)


def _judged_row(entry: dict[str, Any]) -> dict[str, str]:
    accuracies = {f"{_set_title(part)}, %": _number(entry["accuracy"][part]) for part in SPLITS}
    return accuracies | {
        "ASR, %": _between(entry["attack"], "asr", "{:.1f}"),
        f"entropy of {_set_title('forget_train')}, nats": _number(entry["entropy"]),
    }


def forgetting_curves(curves: Sequence[dict[str, Any]], when: str) -> Figure:
    """What is left of D_f against what is lost on D_rt, epoch by epoch, one line a learning rate.

    `when`: `before` or `after` the statistics were estimated anew. Rows: statistics following or frozen.
    """
    methods = list(dict.fromkeys(curve["method"] for curve in curves))
    modes = {"train": "statistics follow", "frozen": "statistics frozen"}
    rates = sorted({curve["lr"] for curve in curves})
    shades = dict(zip(rates, sns.color_palette("viridis", len(rates)), strict=True))
    marks = dict(zip(rates, itertools.cycle("os^Dv")))  # noqa: B905 (a cycle has no length)
    figure, panels = plt.subplots(
        2, len(methods), figsize=(8, 5.4), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    usual = _usual_reach(curves)
    for row, (mode, title) in zip(panels, modes.items(), strict=True):
        for axes, method in zip(row, methods, strict=True):
            for curve in curves:
                if (curve["method"], curve["batchnorm"]) == (method, mode) and curve["epsilon"] == usual[method]:
                    start = curve["points"][0][when]["remain_test"]
                    lost = [start - point[when]["remain_test"] for point in curve["points"]]
                    left = [point[when]["forget_train"] for point in curve["points"]]
                    rate = curve["lr"]
                    axes.plot(lost, left, "-", marker=marks[rate], color=shades[rate], markersize=4, linewidth=1.2)
            # What happens within the first points is the question, and some curves lose all: linear, then logarithmic.
            axes.set_xscale("symlog", linthresh=5)
            axes.set_ylim(-3, 103)
            axes.set_xticks([0, 2, 5, 10, 20, 50], ["0", "2", "5", "10", "20", "50"])
            axes.grid(visible=True)
        row[0].set_ylabel(f"{title}\nleft of $D_f$, %", fontsize=10)
    for axes, method in zip(panels[0], methods, strict=True):
        axes.set_title(METHOD_TITLES[method], fontsize=10)
    figure.supxlabel("points lost on $D_{rt}$, logarithmic beyond 5", fontsize=11)
    handles = [Line2D([], [], color=shades[rate], marker=marks[rate], label=f"{rate:g}") for rate in rates]
    figure.legend(
        handles=handles, title="learning rate", loc="outside upper center", ncols=len(rates), fontsize=9, frameon=False
    )
    return figure


def _usual_reach(curves: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """By method, the reach with which the learning rates were varied: that of most curves."""
    methods = {curve["method"] for curve in curves}
    reaches = {method: [curve["epsilon"] for curve in curves if curve["method"] == method] for method in methods}
    return {method: max(found, key=found.count) for method, found in reaches.items()}


def reach_table(curves: Sequence[dict[str, Any]], metrics: dict[str, Any]) -> Styler:
    """Boundary Shrink at its own learning rate by the reach of its search: what is left, what is kept."""
    own = metrics["config"]["unlearning"].get("boundary_shrink", {}).get("lr")
    rows = {
        (curve["batchnorm"], f"{curve['epsilon']:g}"): {
            f"{_set_title(part)}, %": _number(curve["points"][-1]["before"][part]) for part in SPLITS
        }
        for curve in sorted(curves, key=lambda curve: (curve["batchnorm"], curve["epsilon"] or 0))
        if curve["method"] == "boundary_shrink" and curve["lr"] == own
    }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["batchnorm", "reach"])
    return _table(frame)


def variants_table(variants: dict[str, dict[str, Any]]) -> Styler:
    """The variants of the released code, with what a log beside that code says of them."""
    rows = {}
    for name, found in variants.items():
        for title, entry in found.items():
            logged = RELEASED_LOG.get(title) if name == "boundary_shrink" else None
            rows[METHOD_TITLES[name], title] = {
                **{f"{_set_title(part)}, %": _number(entry["accuracy"][part]) for part in SPLITS},
                "logged " + _set_title("forget_test"): _number(logged.forget_test if logged else None),
                "logged " + _set_title("remain_test"): _number(logged.remain_test if logged else None),
            }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["method", "variant"])
    return _table(frame)


def elsewhere_table(places: Sequence[dict[str, Any]]) -> Styler:
    """What is left of D_f / kept of D_rt on each model: for its first class, and on average where it has several.

    What the statistics explain is their share of Boundary Shrink's forgetting.
    """
    rows = {}
    for places_of_one in forgetting.by_model(places):
        found = [_left_and_kept(place) for place in places_of_one]
        first = places_of_one[0]
        rows[first["title"], first["forget_class"]] = _in_cells(found[0])
        if len(found) > 1:
            rows[first["title"], f"mean of {len(found)} classes"] = {
                title: " /<br>".join(
                    "{mean:.2f} ± {half_width:.2f}".format(**interval(values))
                    for values in zip(*(row[title] for row in found), strict=True)
                )
                for title in found[0]
                if all(title in row for row in found)
            }
    return _places_table(rows)


def classes_table(places: Sequence[dict[str, Any]]) -> Styler | None:
    """The same for each class of the models that have several; None where none has."""
    rows = {
        (place["title"], place["forget_class"]): _in_cells(_left_and_kept(place))
        for of_one in forgetting.by_model(places)
        if len(of_one) > 1
        for place in of_one
    }
    return _places_table(rows) if rows else None


def _left_and_kept(place: dict[str, Any]) -> dict[str, list[float]]:
    """Accuracy on D_f and D_rt by column, in one place of `Measurements.elsewhere`, and what the statistics explain."""

    def pair(entry: dict[str, Any]) -> list[float]:
        return [entry["accuracy"][part] for part in ("forget_train", "remain_test")]

    row = {"original": pair(place["original"])}
    if place["statistics"]:
        row["statistics alone"] = pair(place["statistics"])
    if (share := _share_of_shrink(place)) is not None:
        row["explained by the statistics"] = [share]
    return row | {METHOD_TITLES[name]: pair(found["before"]) for name, found in place["methods"].items()}


def _in_cells(row: dict[str, list[float]]) -> dict[str, str]:
    return {title: " / ".join(map(_number, values)) for title, values in row.items()}


def _places_table(rows: dict[tuple[str, str], dict[str, str]]) -> Styler:
    frame = pd.DataFrame.from_dict(rows, orient="index").fillna("–")
    frame.columns = [f"{title}, %" for title in frame.columns]
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["model", "forgets"])
    return _table(frame)


def elsewhere_in_words(places: Sequence[dict[str, Any]], metrics: dict[str, Any]) -> str:
    """What `elsewhere_table` says of each model, and how well the same model fits when it is trained again, as a list.

    Places where Boundary Shrink or Boundary Expanding was not run are left out.
    """

    def recognised(place: dict[str, Any]) -> float:
        """The original's accuracy on all test images."""
        parts = ("remain_test", "forget_test")
        sizes = {part: metrics["dataset"]["sizes"][part] for part in parts}
        return sum(place["original"]["accuracy"][part] * sizes[part] for part in parts) / sum(sizes.values())

    places = [place for place in places if {"boundary_shrink", "boundary_expanding"} <= set(place["methods"])]
    lines = [_of_classes(own) if len(own) > 1 else _of_one_class(*own) for own in forgetting.by_model(places)]
    if twins := [place for place in places[1:] if set(place["changed"]) <= {"seed", "precision"}]:
        others = ", ".join(f"{recognised(place):.2f} % as *{place['title']}*" for place in twins)
        lines.append(
            f"**Trained again:** of all test images the original recognises {recognised(places[0]):.2f} % "
            f"(seed {metrics['config']['seed']}, {metrics['environment']['precision']}), and {others}."
        )
    return "\n".join(f"- {line}" for line in lines)


def _of_classes(places: list[dict[str, Any]]) -> str:
    """What the places of one model say together."""
    shares = [share for share in map(_share_of_shrink, places) if share is not None]
    explained = ""
    if len(shares) == len(places):
        explained = (
            "the statistics alone explain {mean:.1f} ± {half_width:.1f} % of what Boundary Shrink forgets "
            "({low:.1f} to {high:.1f} %); "
        ).format(**interval(shares), low=min(shares), high=max(shares))
    more = interval(
        [forgetting.left(place, "boundary_expanding") - forgetting.left(place, "boundary_shrink") for place in places]
    )
    settled = abs(more["mean"]) > more["half_width"]
    return (
        f"**{places[0]['title']}**, over {len(places)} classes: {explained}Boundary Expanding leaves "
        f"{more['mean']:+.2f} ± {more['half_width']:.2f} points more of $D_f$ than Boundary Shrink, so which "
        f"of the two forgets more is {'' if settled else 'not '}settled."
    )


def _of_one_class(place: dict[str, Any]) -> str:
    if (share := _share_of_shrink(place)) is not None:
        return f"**{place['title']}**: the statistics alone explain {share:.1f} % of what Boundary Shrink forgets."
    start = place["original"]["accuracy"]["remain_test"]
    said = "; ".join(
        f"{METHOD_TITLES[name]} leaves {forgetting.left(place, name):.2f} % of $D_f$ and costs "
        f"{start - place['methods'][name]['before']['accuracy']['remain_test']:.2f} points of $D_{{rt}}$"
        for name in ("boundary_shrink", "boundary_expanding")
    )
    return f"**{place['title']}**, where only weights can forget: {said}."


def trainings_table(places: Sequence[dict[str, Any]], metrics: dict[str, Any]) -> Styler | None:
    """Table 1 beside each width and training in `Measurements.elsewhere`; None where there is but one."""
    trained = _trainings(places, metrics)
    if len(trained) < 2:
        return None
    published = table_1(metrics["dataset"]["name"])
    names = list(next(iter(trained.values())))
    paper = "paper" if published.same else f"paper, {published.dataset}"
    rows = {}
    for part in SPLITS:
        for title, found in {paper: published.accuracy, **trained}.items():
            rows[_set_title(part), title] = {name: _number(found.get(name, {}).get(part)) for name in names}
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=names).rename(columns=METHOD_TITLES.__getitem__)
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["set", "accuracy, %"])
    return _table(frame)


def trainings_in_words(places: Sequence[dict[str, Any]], metrics: dict[str, Any]) -> str:
    """How far each training's numbers lie from the paper's on average, as a list; "" where there is but one."""
    trained, published = _trainings(places, metrics), table_1(metrics["dataset"]["name"])

    def distance(found: dict[str, dict[str, float]], parts: Sequence[str]) -> float:
        known = [name for name in found if name in published.accuracy]
        return np.mean([abs(found[name][part] - published.accuracy[name][part]) for name in known for part in parts])

    lines = [
        f"- {title}: {distance(found, ('remain_train', 'forget_train')):.2f} points from the paper on training images, "
        f"{distance(found, ('remain_test', 'forget_test')):.2f} on test images"
        for title, found in trained.items()
    ]
    return "\n".join(lines) if len(lines) > 1 else ""


def other_trainings_in_words(places: Sequence[dict[str, Any]]) -> str:
    """What is left of D_ft, and how D_rt changes, in each place where only epochs or rate differ; "" for none."""
    sentences = []
    for place in places:
        if place["changed"] and set(place["changed"]) <= {"epochs", "lr"}:
            start, said = place["original"]["accuracy"]["remain_test"], []
            for name in ("boundary_shrink", "boundary_expanding"):
                after = place["methods"][name]["before"]["accuracy"]
                change = f"{after['remain_test'] - start:+.1f} points"
                said.append(f"{METHOD_TITLES[name]} {after['forget_test']:.1f} % and {change}")
            sentences.append(f" Trained otherwise (*{place['title']}*): {', '.join(said)}.")
    return "".join(sentences)


def _trainings(places: Sequence[dict[str, Any]], metrics: dict[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """By width and training: the accuracies of the original and of each method that was measured with all of them."""
    config = metrics["config"]
    places = [place for place in places if set(place["changed"]) <= {"width", "epochs", "lr"}]
    names = [name for name in places[0]["methods"] if all(name in place["methods"] for place in places)]
    found = {}
    for place in places:
        named = {"epochs", "lr"} & set(place["changed"])
        recipe = "" if named else f", {config['epochs']} epochs at lr {config['lr']:g}"
        after = {name: place["methods"][name]["before"]["accuracy"] for name in names}
        found[place["title"] + recipe] = {"original": place["original"]["accuracy"], **after}
    return found


def _share_of_shrink(place: dict[str, Any]) -> float | None:
    """How much of what Boundary Shrink forgets the statistics alone explain, in percent; None where they cannot."""
    if not place["statistics"] or "boundary_shrink" not in place["methods"]:
        return None
    steps = (place["original"], place["statistics"], place["methods"]["boundary_shrink"]["before"])
    return forgetting.share_explained(*(entry["accuracy"]["forget_train"] for entry in steps))


def runs_table(runs: dict[str, Sequence[dict[str, Any]]]) -> Styler:
    """What is recognised of D_f in several runs (`Measurements.recognised`, by the title of the run), a row a model."""
    rows = {}
    for run, entries in runs.items():
        for entry in entries:
            row = {"original": _number(entry["original"]), "statistics alone": _number(entry["statistics"])}
            for name in ("boundary_shrink", "boundary_expanding", "retrain"):
                found = entry["methods"].get(name, {"before": None, "after": None})
                title = METHOD_TITLES[name].removeprefix("Boundary ")
                row[title] = _number(found["before"])
                row[f"{title}, audited"] = f"<b>{_number(found['after'])}</b>"
            rows[run, entry["model"]] = row
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["run", "model"])
    return _table(frame)


def audit_chart(audit: dict[str, Any]) -> Figure:
    """What each model recognises of D_f, before (hollow) and after (filled) its statistics were estimated anew."""
    names, shades = list(audit["models"]), ("^", "s", "o")
    figure, axes = plt.subplots(figsize=(8, 0.42 * len(names) + 1.6), layout="constrained")
    for place, name in enumerate(names):
        found = audit["models"][name]
        before = found["before"]["accuracy"]["forget_train"]
        after = [entry["accuracy"]["forget_train"] for entry in found["after"]]
        axes.plot([before, after[-1]], [place, place], color=COLOURS[name], linewidth=2, alpha=0.5)
        axes.plot(before, place, "o", color=COLOURS[name], markerfacecolor="white", markersize=9)
        for value, marker in zip(after, shades, strict=False):
            axes.plot(value, place, marker, color=COLOURS[name], markersize=6)
    axes.set(xlabel="accuracy on $D_f$, %", xlim=(-3, 103), yticks=range(len(names)))
    axes.set_yticklabels([METHOD_TITLES[name] for name in names])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    handles = [Line2D([], [], color="0.3", marker="o", linestyle="", markerfacecolor="white", label="before")]
    handles += [
        Line2D([], [], color="0.3", marker=marker, linestyle="", label=f"{count:,} images")
        for count, marker in zip(audit["images"], shades, strict=False)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=9, frameon=False)
    return figure


def audit_table(audit: dict[str, Any]) -> Styler:
    """Table 1 and the attack, before, and after the statistics were estimated anew on the most images."""
    rows = {}
    for name, found in audit["models"].items():
        row = {}
        for part in SPLITS:
            before, after = (entry["accuracy"][part] for entry in (found["before"], found["after"][-1]))
            row[f"{_set_title(part)}, %"] = _number(before)
            row[f"{_set_title(part)} after"] = f"<b>{_number(after)}</b>"
        row["ASR, %"] = _between(found["before"]["attack"], "asr", "{:.1f}")
        row["ASR after"] = _between(found["after"][-1]["attack"], "asr", "{:.1f}")
        rows[METHOD_TITLES[name]] = row
    return _table(pd.DataFrame.from_dict(rows, orient="index"))


def survivors_table(found: Sequence[dict[str, Any]]) -> Styler:
    """The settings that the audit leaves standing: of each method and way with the statistics the cheapest."""
    cheapest: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in found:
        cheapest.setdefault((entry["method"], entry["batchnorm"]), entry)
    rows = {
        (METHOD_TITLES[method], batchnorm): {
            "learning rate": f"{entry['lr']:g}",
            "reach": "–" if entry["epsilon"] is None else f"{entry['epsilon']:g}",
            "epochs": str(entry["epoch"]),
            **{f"{_set_title(part)} after, %": _number(entry["accuracy"][part]) for part in SPLITS},
        }
        for (method, batchnorm), entry in cheapest.items()
    }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["method", "batchnorm"])
    return _table(frame)


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


def verdicts(judgements: Sequence[Judgement]) -> Styler:
    """A row for each claim: what the paper says and where, the verdict, and the checks behind it."""
    rows = []
    for claim, verdict, checks, missing in judgements:
        because = [f"{'✓' if check.holds else '✗'} {check.rule}: {check.measured}" for check in checks] or [missing]
        rows.append((claim.number, f"{claim.text} ({claim.source})", verdict, "<br>".join(map(_as_html, because))))
    frame = pd.DataFrame(rows, columns=["claim", "the paper says", "verdict", "because"]).set_index("claim")
    frame["the paper says"] = frame["the paper says"].map(_as_html)
    frame.index.name = None
    return frame.style.set_table_attributes('class="results verdicts"')


def verdicts_by_run(runs: dict[str, Sequence[Judgement]]) -> Styler:
    """A row for each claim, and the verdict of each run, with how many of its checks hold (✓) and do not (✗)."""

    def in_short(judgement: Judgement) -> str:
        held = sum(check.holds for check in judgement.checks)
        counts = [f"{mark} {count}" for mark, count in (("✓", held), ("✗", len(judgement.checks) - held)) if count]
        return "–" if judgement.missing else f"{_SHORT_VERDICTS[judgement.verdict]}<br>{', '.join(counts)}"

    claims = [judgement.claim for judgement in next(iter(runs.values()))]
    frame = pd.DataFrame({title: map(in_short, judgements) for title, judgements in runs.items()})
    frame.index = [f"{claim.number}. {_as_html(claim.text)}" for claim in claims]
    return _table(frame)


_SHORT_VERDICTS = {REPRODUCED: "<b>yes</b>", PARTLY: "partly", NOT_REPRODUCED: "<b>no</b>"}


def _as_html(text: str) -> str:
    """Text with the names of the four sets as they are printed."""
    return re.sub(r"\bD_(rt|ft|r|f)\b", r"<i>D</i><sub>\1</sub>", html.escape(text, quote=False))


def _table(frame: pd.DataFrame) -> Styler:
    # A wide table scrolls inside its own frame on a narrow screen: see book/_static/book.css.
    return frame.style.set_table_attributes('class="results"')


def _number(value: float | None, sign: str = "", digits: int = 2) -> str:
    return "–" if value is None else format(value, f"{sign}.{digits}f")


def _plain(value: Any) -> str:
    if value in ({}, []):
        return "–"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(entry)}" for name, entry in value.items() if entry is not None)
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return "–" if value is None else str(value)
