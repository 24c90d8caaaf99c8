"""The drawing of learning curves: a panel for each environment, lines named where they end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .curves import Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT = "#2b2b2b", "#8a8a8a"
# Distinguishable with the common colour-vision deficiencies (after Okabe and Ito), the first for the paper's method.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#6b6b6b")
DASHES = ("solid", "dashed", "dotted")  # for the first eight lines, the next eight, and those after them
AXIS_NAMES = {
    "test_return_mean": "Test return",
    "test_win_rate": "Test win rate",
    "test_length_mean": "Test episode length",
    "return_mean": "Return of training episodes",
    "win_rate": "Win rate of training episodes",
}
COLUMNS = 3
PANEL = (5.6, 3.5)  # inches


def draw(groups: Sequence[Group], metric: str, title: str, png: Path) -> Path:
    """Writes `png` and, beside it, the same as SVG, whose path is returned."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    environments = list(dict.fromkeys(group.env for group in groups))
    labels = list(dict.fromkeys(group.label for group in groups))
    looks = {
        label: (COLORS[i % len(COLORS)], DASHES[min(i // len(COLORS), len(DASHES) - 1)])
        for i, label in enumerate(labels)
    }
    columns = min(COLUMNS, len(environments))
    rows = -(-len(environments) // columns)
    style: dict[Any, Any] = {
        "font.family": "sans-serif", "font.size": 10, "text.color": INK, "axes.labelcolor": INK,
        "axes.edgecolor": FAINT, "xtick.color": FAINT, "ytick.color": FAINT, "xtick.labelcolor": INK,
        "ytick.labelcolor": INK, "svg.hashsalt": "powqmix", "svg.fonttype": "none",
    }  # fmt: skip
    with mpl.rc_context(style):
        figure, axes = plt.subplots(
            rows, columns, figsize=(PANEL[0] * columns, PANEL[1] * rows), squeeze=False, layout="constrained"
        )
        for axis in axes.flat[len(environments) :]:
            axis.set_visible(False)
        for axis, env in zip(axes.flat, environments):
            _panel(axis, [group for group in groups if group.env == env], metric, looks)
            axis.set_title(env, loc="left", fontsize=11, fontweight="bold")
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=13)
        figure.supxlabel(_caption(groups), x=0.01, ha="left", fontsize=8, color=FAINT)
        svg = png.with_suffix(".svg")
        figure.savefig(png, dpi=200, facecolor="white")
        figure.savefig(svg, facecolor="white", metadata={"Date": None})
        plt.close(figure)
    return svg


def _panel(axis: Axes, groups: Sequence[Group], metric: str, looks: dict[str, tuple[str, str]]) -> None:
    """`looks`: colour and dashes of the line of each label."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    end = max(float(group.steps[-1]) for group in groups)
    scale, unit = (1e6, " (millions)") if end >= 1e6 else (1e3, " (thousands)") if end >= 1e4 else (1.0, "")
    for group in groups:
        (color, dashes), steps = looks[group.label], group.steps / scale
        axis.plot(steps, group.centre, color=color, linestyle=dashes, linewidth=1.8, solid_capstyle="round", zorder=3)
        if len(steps) == 1:
            axis.plot(steps, group.centre, "o", color=color, markersize=5, zorder=3)
        if len(group.curves) > 1:
            axis.fill_between(steps, group.low, group.high, color=color, alpha=0.18, linewidth=0, zorder=2)
    axis.set_xlim(left=min(0.0, *(group.steps[0] / scale for group in groups)), right=end / scale or 1.0)
    axis.set_xlabel(f"Environment steps{unit}")
    axis.set_ylabel(AXIS_NAMES.get(metric, metric.replace("_", " ").capitalize()))
    if metric.endswith("win_rate"):
        axis.set_ylim(-0.02, 1.02)
        axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axis.xaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 2.5, 5, 10)))
    axis.yaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 2.5, 5, 10)))
    axis.grid(axis="y", color="#e6e6e6", linewidth=0.8, zorder=0)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    _name_lines(axis, groups, scale, {label: color for label, (color, _) in looks.items()})


def _name_lines(axis: Axes, groups: Sequence[Group], scale: float, colors: dict[str, str]) -> None:
    """Names at the lines' right ends, moved apart where they would touch, each in its line's colour."""
    low, high = axis.get_ylim()
    ends = [(float(group.centre[-1]) - low) / (high - low) for group in groups]
    for group, end, place in zip(groups, ends, spread(ends, 0.07)):
        axis.annotate(
            group.label if len(group.curves) > 1 else f"{group.label}, seed {group.curves[0].seed}",
            xy=(float(group.steps[-1]) / scale, end * (high - low) + low),
            xytext=(1.03, place),
            textcoords="axes fraction",
            color=colors[group.label],
            va="center",
            fontsize=9.5,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-", "color": colors[group.label], "linewidth": 0.7, "alpha": 0.6,
                "shrinkA": 1, "shrinkB": 2, "relpos": (0.0, 0.5),
            },
        )  # fmt: skip


def spread(places: Sequence[float], distance: float) -> list[float]:
    """`places`, moved as little as is simple, in the same order and at least `distance` apart."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    blocks: list[tuple[float, list[int]]] = []  # (centre, members) of runs of names that touch
    for index in order:
        centre, members = places[index], [index]
        while blocks and centre - blocks[-1][0] < distance * (len(members) + len(blocks[-1][1])) / 2:
            before, others = blocks.pop()
            centre = (centre * len(members) + before * len(others)) / (len(members) + len(others))
            members = others + members
        blocks.append((centre, members))
    moved = [0.0] * len(places)
    for centre, members in blocks:
        for rank, index in enumerate(members):
            moved[index] = centre + (rank - (len(members) - 1) / 2) * distance
    return moved


def _caption(groups: Sequence[Group]) -> str:
    """What line and band are, and of how many runs."""
    sizes = sorted({len(group.curves) for group in groups})
    if sizes == [1]:
        return "a single run" if len(groups) == 1 else "single runs"
    runs = f"{sizes[0]} runs" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} runs"
    return f"interquartile mean of {runs}; shaded: 95 % bootstrap interval over seeds"
