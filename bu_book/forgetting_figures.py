"""The plots and tables of "What does the forgetting?" and of the audit, in the style of `figures`.

They take what `Measurements.parts`, `curves`, `variants`, `elsewhere`, `audit` and `recognised` return.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pandas.io.formats.style import Styler

from bu_core.data import SPLITS
from bu_core.measures import interval

from . import forgetting
from .figures import COLOURS, as_table, number, set_title, with_interval
from .paper import METHOD_TITLES, RELEASED_LOG, table_1

_PART_TITLES = {
    "statistics": "statistics alone",
    "weights": "weights alone",
    "shift": "their shift alone",
    "both": "both, as released",
}


def parts_table(parts: dict[str, Any]) -> Styler:
    """Accuracies, attack and entropy of each part of each method, between the original and Retrain."""
    rows = {(METHOD_TITLES[name], "–"): _judged_row(parts[name]) for name in ("original", "retrain") if name in parts}
    for name, found in parts["methods"].items():
        for part, title in _PART_TITLES.items():
            explained = number(found[part]["explained"], digits=0)
            rows[METHOD_TITLES[name], title] = _judged_row(found[part]) | {"forgetting explained, %": explained}
    frame = pd.DataFrame.from_dict(rows, orient="index").fillna("–")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["model", "what may move"])
    return as_table(frame)


def parts_in_words(parts: dict[str, Any]) -> str:
    """What each part leaves of D_f, and what the search for neighbours is worth to the weights alone, as a list."""

    def explained(entry: dict[str, Any]) -> str:
        return "nothing to explain" if entry["explained"] is None else f"{entry['explained']:.0f} % of it"

    def left(entry: dict[str, Any]) -> str:
        return f"{entry['accuracy']['forget_train']:.2f} %"

    def cost(entry: dict[str, Any]) -> str:
        return f"{parts['original']['accuracy']['remain_train'] - entry['accuracy']['remain_train']:.2f}"

    methods = parts["methods"]
    lines = [
        f"**{METHOD_TITLES[name]}** takes $D_f$ from {left(parts['original'])} to {left(found['both'])}; audited, it "
        f"recognises {found['both']['audited']:.2f} %, and where weights alone moved {found['weights']['audited']:.2f} "
        f"%. The statistics alone reach {left(found['statistics'])} ({explained(found['statistics'])}), the weights "
        f"alone {left(found['weights'])} ({explained(found['weights'])}), and the original with its channels shifted "
        f"alike, but with no weight moved, {left(found['shift'])} ({explained(found['shift'])})."
        for name, found in methods.items()
    ]
    if {"boundary_shrink", "random_labels"} <= set(methods):
        nearest, drawn = methods["boundary_shrink"], methods["random_labels"]
        lines.append(
            f"**What the search is worth:** where only weights move, the nearest labels leave "
            f"{left(nearest['weights'])} of $D_f$ and cost {cost(nearest['weights'])} points of $D_r$, labels drawn "
            f"at random leave {left(drawn['weights'])} and cost {cost(drawn['weights'])}; where the statistics "
            f"follow, they cost {cost(nearest['both'])} and {cost(drawn['both'])}."
        )
    return "\n".join(f"- {line}" for line in lines)


def parts_over_table(places: Sequence[dict[str, Any]]) -> Styler:
    """What each part of Boundary Shrink leaves of D_f, costs and explains: means over places with 95 % intervals."""
    rows = {}
    for part, title in _PART_TITLES.items():
        found = [place["parts"][part] for place in places]
        left = [entry["accuracy"]["forget_train"] for entry in found]
        lost = [
            place["original"]["accuracy"]["remain_test"] - entry["accuracy"]["remain_test"]
            for place, entry in zip(places, found, strict=True)
        ]
        explained = [entry["explained"] for entry in found]
        rows[title] = {
            f"left of {set_title('forget_train')}, %": _mean(left),
            "lowest to highest": f"{min(left):.2f} to {max(left):.2f}",
            f"points lost on {set_title('remain_test')}": _mean(lost),
            "forgetting explained, %": "–" if None in explained else _mean(explained),
            f"{set_title('forget_train')} audited, %": (
                f"<b>{_mean([entry['audited'] for entry in found])}</b>" if "audited" in found[0] else "–"
            ),
        }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index.name = "Boundary Shrink"
    return as_table(frame)


def _mean(values: Sequence[float]) -> str:
    """The mean over several classes or seeds, with its 95 % interval."""
    return "{mean:.2f} ± {half_width:.2f}".format(**interval(values))


def _judged_row(entry: dict[str, Any]) -> dict[str, str]:
    accuracies = {f"{set_title(part)}, %": number(entry["accuracy"][part]) for part in SPLITS}
    return accuracies | {
        "ASR, %": with_interval(entry["attack"], "asr", "{:.1f}"),
        f"entropy of {set_title('forget_train')}, nats": number(entry["entropy"]),
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


def frozen_in_words(curves: Sequence[dict[str, Any]], metrics: dict[str, Any]) -> str:
    """What the curves at the methods' own rates with frozen statistics end at, before and after the audit, if any."""
    lines = []
    for curve in curves:
        if curve["batchnorm"] == "frozen" and curve["lr"] == metrics["config"]["unlearning"][curve["method"]]["lr"]:
            before, after = (curve["points"][-1][when] for when in ("before", "after"))
            change = before["remain_test"] - curve["points"][0]["before"]["remain_test"]
            reach = "" if curve["epsilon"] is None else f", reach {curve['epsilon']:g}"
            lines.append(
                f"- {METHOD_TITLES[curve['method']]}{reach}: {before['forget_train']:.1f} % of $D_f$, {change:+.1f} "
                f"points of $D_{{rt}}$; after the audit {after['forget_train']:.1f} % of $D_f$."
            )
    intro = "With frozen statistics and at their own rates, where nothing but weights can forget, the methods leave:"
    return "\n".join([intro, "", *lines]) if lines else ""


def _usual_reach(curves: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """By method, the reach with which the learning rates were varied: that of most curves."""
    methods = {curve["method"] for curve in curves}
    reaches = {method: [curve["epsilon"] for curve in curves if curve["method"] == method] for method in methods}
    return {method: max(found, key=found.count) for method, found in reaches.items()}


def reach_table(curves: Sequence[dict[str, Any]], metrics: dict[str, Any]) -> Styler:
    """Boundary Shrink at its own learning rate, by the reach of its search: what is left, kept, and what comes back."""
    own = metrics["config"]["unlearning"].get("boundary_shrink", {}).get("lr")
    rows = {
        (curve["batchnorm"], f"{curve['epsilon']:g}"): {
            **{f"{set_title(part)}, %": number(curve["points"][-1]["before"][part]) for part in SPLITS},
            f"{set_title('forget_train')} audited, %": f"<b>{number(curve['points'][-1]['after']['forget_train'])}</b>",
        }
        for curve in sorted(curves, key=lambda curve: (curve["batchnorm"], curve["epsilon"] or 0))
        if curve["method"] == "boundary_shrink" and curve["lr"] == own
    }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["batchnorm", "reach"])
    return as_table(frame)


def variants_table(variants: dict[str, dict[str, Any]]) -> Styler:
    """The variants of the released code, with what a log beside that code says of them."""
    rows = {}
    for name, found in variants.items():
        for title, entry in found.items():
            logged = RELEASED_LOG.get(title) if name == "boundary_shrink" else None
            rows[METHOD_TITLES[name], title] = {
                **{f"{set_title(part)}, %": number(entry["accuracy"][part]) for part in SPLITS},
                "logged " + set_title("forget_test"): number(logged.forget_test if logged else None),
                "logged " + set_title("remain_test"): number(logged.remain_test if logged else None),
            }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["method", "variant"])
    return as_table(frame)


def elsewhere_table(places: Sequence[dict[str, Any]]) -> Styler:
    """What is left of D_f / kept of D_rt on each model: in its first place, and on average over classes and seeds.

    What the statistics explain is their share of Boundary Shrink's forgetting.
    """
    rows = {}
    for of_one in forgetting.by_model(places):
        rows[_row(of_one[0])] = _in_cells(_left_and_kept(of_one[0]))
        for unit, alike in forgetting.repeated(of_one).items():
            found = [_left_and_kept(place) for place in alike]
            rows[of_one[0]["title"], f"mean of {len(found)} {unit}"] = {
                title: " /<br>".join(map(_mean, zip(*(row[title] for row in found), strict=True)))
                for title in found[0]
                if all(title in row for row in found)
            }
    return _places_table(rows)


def each_place_table(places: Sequence[dict[str, Any]]) -> Styler | None:
    """The same for each class and each seed of the models that have several; None where none has."""
    rows = {
        _row(place): _in_cells(_left_and_kept(place))
        for of_one in forgetting.by_model(places)
        if len(of_one) > 1
        for place in of_one
    }
    return _places_table(rows) if rows else None


def _row(place: dict[str, Any]) -> tuple[str, str]:
    return place["title"], place["forget_class"] + forgetting.seed_in_words(place)


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
    return {title: " / ".join(map(number, values)) for title, values in row.items()}


def _places_table(rows: dict[tuple[str, str], dict[str, str]]) -> Styler:
    frame = pd.DataFrame.from_dict(rows, orient="index").fillna("–")
    frame.columns = [f"{title}, %" for title in frame.columns]
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["model", "forgets"])
    return as_table(frame)


def elsewhere_in_words(places: Sequence[dict[str, Any]], metrics: dict[str, Any]) -> str:
    """What `elsewhere_table` says of each model, what the audit finds where a model has several classes or seeds, and
    how well the same model fits when it is trained again, as a list.

    Places where Boundary Shrink or Boundary Expanding was not run are left out.
    """

    def recognised(place: dict[str, Any]) -> float:
        """The original's accuracy on all test images."""
        parts = ("remain_test", "forget_test")
        sizes = {part: metrics["dataset"]["sizes"][part] for part in parts}
        return sum(place["original"]["accuracy"][part] * sizes[part] for part in parts) / sum(sizes.values())

    places = [place for place in places if {"boundary_shrink", "boundary_expanding"} <= set(place["methods"])]
    models, lines, again = forgetting.by_model(places), [], []
    for of_one in models:
        repeated = forgetting.repeated(of_one)
        lines += [_of_several(alike, unit) for unit, alike in repeated.items()] or [_of_one_place(of_one[0])]
    if models and (seeds := forgetting.repeated(models[0]).get("seeds")):
        again.append(f"{_mean([recognised(place) for place in seeds])} % over {len(seeds)} seeds")
    again += [
        f"{recognised(place):.2f} % as *{place['title']}{forgetting.seed_in_words(place)}*"
        for place in places
        if "precision" in place["changed"] and set(place["changed"]) <= {"seed", "precision"}
    ]
    if again:
        lines.append(
            f"**Trained again:** of all test images the original recognises {recognised(places[0]):.2f} % "
            f"(seed {metrics['config']['seed']}, {metrics['environment']['precision']}), {', '.join(again)}."
        )
    return "\n".join(f"- {line}" for line in lines)


def _of_several(places: list[dict[str, Any]], unit: str) -> str:
    """What the classes or the seeds of one model say together."""
    shares = [share for share in map(_share_of_shrink, places) if share is not None]
    explained = ""
    if len(shares) == len(places):
        explained = (
            "the statistics alone explain {mean:.1f} ± {half_width:.1f} % of what Boundary Shrink forgets "
            "({low:.1f} to {high:.1f} %); "
        ).format(**interval(shares), low=min(shares), high=max(shares))
    more = forgetting.expanding_less_shrink(places)
    settled = abs(more["mean"]) > more["half_width"]
    audited = ""
    if places[0]["statistics"]:
        shrink, expanding = (
            _mean([forgetting.left(place, name, "after") for place in places])
            for name in ("boundary_shrink", "boundary_expanding")
        )
        audited = f" Audited, Shrink's models recognise {shrink} % of $D_f$, Expanding's {expanding} %."
    return (
        f"**{places[0]['title']}**, over {len(places)} {unit}: {explained}Boundary Expanding leaves "
        f"{more['mean']:+.2f} ± {more['half_width']:.2f} points more of $D_f$ than Boundary Shrink, so which "
        f"of the two forgets more is {'' if settled else 'not '}settled.{audited}"
    )


def _of_one_place(place: dict[str, Any]) -> str:
    title = f"**{place['title']}{forgetting.seed_in_words(place)}**"
    if (share := _share_of_shrink(place)) is not None:
        return f"{title}: the statistics alone explain {share:.1f} % of what Boundary Shrink forgets."
    start = place["original"]["accuracy"]["remain_test"]
    said = "; ".join(
        f"{METHOD_TITLES[name]} leaves {forgetting.left(place, name):.2f} % of $D_f$ and costs "
        f"{start - place['methods'][name]['before']['accuracy']['remain_test']:.2f} points of $D_{{rt}}$"
        for name in ("boundary_shrink", "boundary_expanding")
    )
    return f"{title}, where only weights can forget: {said}."


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
            rows[set_title(part), title] = {name: number(found.get(name, {}).get(part)) for name in names}
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=names).rename(columns=METHOD_TITLES.__getitem__)
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["set", "accuracy, %"])
    return as_table(frame)


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
            row = {"original": number(entry["original"]), "statistics alone": number(entry["statistics"])}
            for name in ("boundary_shrink", "boundary_expanding", "retrain"):
                found = entry["methods"].get(name, {"before": None, "after": None})
                title = METHOD_TITLES[name].removeprefix("Boundary ")
                row[title] = number(found["before"])
                row[f"{title}, audited"] = f"<b>{number(found['after'])}</b>"
            rows[run, entry["model"]] = row
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["run", "model"])
    return as_table(frame)


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
            row[f"{set_title(part)}, %"] = number(before)
            row[f"{set_title(part)} after"] = f"<b>{number(after)}</b>"
        row["ASR, %"] = with_interval(found["before"]["attack"], "asr", "{:.1f}")
        row["ASR after"] = with_interval(found["after"][-1]["attack"], "asr", "{:.1f}")
        rows[METHOD_TITLES[name]] = row
    return as_table(pd.DataFrame.from_dict(rows, orient="index"))


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
            **{f"{set_title(part)} after, %": number(entry["accuracy"][part]) for part in SPLITS},
        }
        for (method, batchnorm), entry in cheapest.items()
    }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["method", "batchnorm"])
    return as_table(frame)
