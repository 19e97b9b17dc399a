"""Chart style: colours, markers and fonts of all figures, and atomic writes of reproducible files.

The file's kind follows the path: .svg for charts, .png for photographs. No image is shown on screen and no state
is shared (no pyplot).
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.colors
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D

from detector.core.files import replacing
from detector.experiment.variants import Branch

STYLE = {
    "svg.fonttype": "none",  # text stays text: it can be searched, copied and read aloud
    "svg.hashsalt": "detector",  # element names are random otherwise
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.88",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.titlesize": 11,
    "figure.titleweight": "bold",
    "axes.formatter.useoffset": False,
    "axes.ymargin": 0.1,
    "savefig.dpi": 150,
    "savefig.bbox": "tight",  # a long label widens the figure where it would be cut off
}
BLUE, ORANGE, GREEN, PINK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.45"  # Okabe & Ito 2008
SKY = "#56B4E9"
SERIES = (("o", BLUE), ("s", ORANGE), ("^", GREEN), ("v", PINK), ("P", GREY))  # marker and colour, by order
Style = dict[str, Any]  # properties of a line by name, as matplotlib has them
# A method has the same colour in every figure. Line and marker tell them apart where there is no colour.
METHODS: Mapping[str, Style] = {
    "l1": {"marker": "o", "color": BLUE, "linestyle": "-"},
    "gradual": {"marker": "^", "color": GREEN, "linestyle": "--"},
    "channels": {"marker": "v", "color": PINK, "linestyle": "-."},
    "lamp": {"marker": "D", "color": SKY, "linestyle": "--"},
    "random": {"marker": "s", "color": ORANGE, "linestyle": ":"},
}
OTHER: Style = {"marker": "P", "color": GREY, "linestyle": "-"}
BASELINE, CONTROL = "black", "0.45"  # colours; controls are pruned by nothing
BEST: Style = {"marker": "*", "color": "gold", "markeredgecolor": "black", "markersize": 13, "linestyle": "none"}
PERFECT: Style = {"color": "black", "linestyle": ":", "linewidth": 0.8}


def colours(branches: Iterable[str]) -> dict[str, tuple[float, ...]]:
    """Red, green and blue of each branch, from 0 to 1; the same in every figure that shows these branches.

    The baseline is black, and controls are grey. Others have the colour of their method, the darker the more is
    pruned; a method's only branch has just that colour.
    """
    found: dict[str, tuple[float, ...]] = {}
    percents: dict[str, list[tuple[int, str]]] = {}
    for name in branches:
        branch = Branch.of(name)
        found[name] = matplotlib.colors.to_rgb(CONTROL if branch.method else BASELINE)
        if branch.method and not branch.is_control:
            percents.setdefault(branch.method, []).append((branch.percent, name))
    for method, alike in percents.items():
        plain = np.array(matplotlib.colors.to_rgb(METHODS.get(method, OTHER)["color"]))
        for place, (_, name) in enumerate(sorted(alike)):
            shade = 2 * (place + 0.5) / len(alike) - 1  # from -1, light, to 1, dark
            found[name] = tuple((plain + 0.6 * abs(shade) * ((shade < 0) - plain)).tolist())
    return found


@contextmanager
def figure(path: Path | str, title: str, width: float, height: float) -> Iterator[Figure]:
    """A figure of this size in inches, written to `path` when the block ends without an error."""
    path = Path(path)
    kind = path.suffix.removeprefix(".")
    metadata = {"Date": None} if kind == "svg" else {}  # a date would make equal figures differ
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.suptitle(title)
        yield figure
        with replacing(path) as temporary:
            figure.savefig(temporary, format=kind, metadata=metadata)


def shape(count: int, across: int) -> tuple[int, int]:
    """Rows and columns for so many panels, at most `across` side by side, rows as equal as can be."""
    rows = math.ceil(count / across)
    return rows, math.ceil(count / rows)


def panels(
    figure: FigureBase, count: int, shape: tuple[int, int], xlabel: str, ylabel: str, *, share: str = ""
) -> list[Axes]:
    """`count` panels, row by row; axis labels only at the left and where nothing lies below."""
    grid = figure.subplots(*shape, squeeze=False, sharex=share == "both", sharey=share in ("y", "both"))
    for spare in grid.flat[count:]:
        spare.remove()
    panels = list(grid.flat[:count])
    for i, axes in enumerate(panels):
        if i % shape[1] == 0:
            axes.set_ylabel(ylabel)
        if i + shape[1] >= count:
            axes.set_xlabel(xlabel)
            axes.tick_params(labelbottom=True)
    return panels


def legend(figure: Figure, entries: Mapping[str, Style], *, side: bool = False) -> None:
    """One row below all panels, or a column at their right `side`; `entries`: properties of a line by label."""
    handles = [Line2D([], [], label=label, **style) for label, style in entries.items()]
    if side:
        figure.legend(handles=handles, loc="outside right upper")
    else:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def note(path: Path | str, title: str, text: str) -> None:
    """A figure that says why there is nothing to show."""
    with figure(path, title, 7.0, 1.2) as page:
        page.text(0.5, 0.3, text, ha="center")
