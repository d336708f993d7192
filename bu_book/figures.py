"""The book's plots and tables, in one style. Nothing is computed here but differences and means that a table shows.

Every function takes the dictionary that `Experiment.metrics` returns, or, where a heading says so, that of another
measurement.
"""

import html
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

from bu_core.data import SPLITS
from bu_core.measures import entropy_bins
from bu_core.models import ONE_WIDTH

from .claims import NOT_REPRODUCED, PARTLY, REPRODUCED, Judgement
from .paper import METHOD_TITLES, SPLIT_TITLES, TABLE_2_METHODS, Published, speed_up, table_1, table_2


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


def set_title(part: str) -> str:
    """The name of one of the four sets, as HTML."""
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
        title = set_title(part)
        rows[title, paper] = {name: number(theirs[name]) for name in ours}
        rows[title, "here"] = {name: number(ours[name]) for name in ours}
        rows[title, "difference"] = {
            name: number(None if theirs[name] is None else ours[name] - theirs[name], sign="+") for name in ours
        }
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=names).rename(columns=METHOD_TITLES.__getitem__)
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["set", "accuracy, %"])
    return as_table(frame).map_index(
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
    return as_table(pd.DataFrame.from_dict(rows, orient="index"))


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
                title: "–" if name == "retrain" and "distance" in shown[0] else with_interval(result[kind], *shown)
                for title, shown in columns.items()
            }
            for name, result in metrics["methods"].items()
        }
        tables[ATTACK_TITLES[kind]] = as_table(pd.DataFrame.from_dict(rows, orient="index"))
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
            **{f"mean on {set_title(part)}, nats": f"{found[part]:.3f}" for part in SPLITS},
            "Jensen-Shannon from Retrain, bits": number(distances.get("jensen_shannon"), digits=3),
            "Wasserstein from Retrain, nats": number(distances.get("wasserstein"), digits=3),
        }
    return as_table(pd.DataFrame.from_dict(rows, orient="index"))


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
            paper: number(published.times.get(name), digits=1),
        }
    return as_table(pd.DataFrame.from_dict(rows, orient="index"))


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
    return as_table(pd.DataFrame.from_dict(rows, orient="index"))


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
    for place, row in enumerate(rows):
        for axes, (name, maps) in zip(row, models.items(), strict=True):
            axes.imshow(images[place])
            axes.imshow(maps[place], cmap="jet", vmin=0, vmax=1, alpha=0.4)
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            if place == 0:
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
                result, where = found["models"][name][asked], set_title(part)
                row[f"on {where}, %"] = with_interval(result, "share", "{:.1f}")
                itself = name == "original"
                row[f"less the original's, {where}, points"] = (
                    "–" if itself else with_interval(result, "change", "{:+.1f}")
                )
                row[f"blank maps, {where}"] = f"{result['blank']} of {found['images']}"
            rows[title, METHOD_TITLES[name]] = row
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["the map", "model"])
    return as_table(frame)


def with_interval(result: dict[str, Any], key: str, form: str) -> str:
    """A number and below it the ends of its interval, as HTML; – where there is none."""
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
            "<i>D</i><sub>f</sub> given Retrain's class, %": number(forget["like_retrain"], digits=1),
            "of those that left: to the next class, %": (
                "–" if name == "original" else number(forget["to_nearest"], digits=1)
            ),
            "spread over classes": number(forget["classes"], digits=1),
            **{
                f"margin ({kind}), {set_title(part)}": number(margin[part][kind]["median"])
                for kind in ("logits", "softmax")
                for part in margin
            },
            "silhouette of <i>D</i><sub>r</sub>": number(compact["remain"], digits=3),
            "silhouette of <i>D</i><sub>f</sub>": number(compact["forget"], digits=3),
            "<i>D</i><sub>f</sub> from the centre": number(compact["from_centre"]),
        }
    return as_table(pd.DataFrame(rows))


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
            **{f"then Boundary Shrink on {set_title(part)}, %": number(outcome["accuracy"][part]) for part in SPLITS},
            "<i>D</i><sub>f</sub> given Retrain's class, %": number(outcome["like_retrain"], digits=1),
        }
    return as_table(pd.DataFrame.from_dict(rows, orient="index"))


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
    return as_table(frame).set_properties(**{"text-align": "left"})


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


_SHORT_VERDICTS = {REPRODUCED: "<b>yes</b>", PARTLY: "partly", NOT_REPRODUCED: "<b>no</b>"}


def verdicts_by_run(runs: dict[str, Sequence[Judgement]]) -> Styler:
    """A row for each claim, and the verdict of each run, with how many of its checks hold (✓) and do not (✗)."""

    def in_short(judgement: Judgement) -> str:
        held = sum(check.holds for check in judgement.checks)
        counts = [f"{mark}&nbsp;{count}" for mark, count in (("✓", held), ("✗", len(judgement.checks) - held)) if count]
        return "–" if judgement.missing else f"{_SHORT_VERDICTS[judgement.verdict]}<br>{'&nbsp; '.join(counts)}"

    claims = [judgement.claim for judgement in next(iter(runs.values()))]
    frame = pd.DataFrame({title: map(in_short, judgements) for title, judgements in runs.items()})
    frame.index = [f"{claim.number}. {_as_html(claim.text)}" for claim in claims]
    return as_table(frame)


def _as_html(text: str) -> str:
    """Text with the names of the four sets as they are printed."""
    return re.sub(r"\bD_(rt|ft|r|f)\b", r"<i>D</i><sub>\1</sub>", html.escape(text, quote=False))


def as_table(frame: pd.DataFrame) -> Styler:
    """A table as every page shows it."""
    # A wide table scrolls inside its own frame on a narrow screen: see book/_static/book.css.
    return frame.style.set_table_attributes('class="results"')


def number(value: float | None, sign: str = "", digits: int = 2) -> str:
    """A number as text, and – where there is none."""
    return "–" if value is None else format(value, f"{sign}.{digits}f")


def _plain(value: Any) -> str:
    if value in ({}, []):
        return "–"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(entry)}" for name, entry in value.items() if entry is not None)
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return "–" if value is None else str(value)
