"""Placement without overlaps: the nodes of a graph, the labels of points."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from scipy.optimize import isotonic_regression

SWEEPS, SETTLING = 40, 30  # the last ten keep the order of each row and only even out the distances
WAY = 25  # places on the line from a point to its label that are looked at
BEND = 0.3  # inches across that a passing edge takes; boxes keep 0.2 from each other


def layered(graph: nx.DiGraph, box: float) -> tuple[dict, dict, list[list]]:
    """Sugiyama's layered drawing (1981) of an acyclic graph whose boxes are `box` inches wide.

    Returns x (inches) and row (0 = top) of each place, and for each edge the places on its way. An edge over
    several rows has a place of its own in each row between, the pair (start, row), so that it crosses no
    box; edges with the same start share it. Equal graphs, nodes in equal order, are drawn equally.
    """
    row = _rows(graph)
    routes = [[start, *((start, i) for i in range(row[start] + 1, row[end])), end] for start, end in graph.edges]
    links = nx.Graph()
    links.add_nodes_from(graph)
    for route in routes:
        links.add_edges_from(pairwise(route))
    row |= {place: place[1] for place in links if isinstance(place, tuple)}
    reach = {node: len(nx.descendants(graph, node)) for node in graph}
    rows: list[list] = [[] for _ in range(max(row.values()) + 1)]
    for place in sorted(links, key=lambda place: reach.get(place, 0)):
        # Light ones in turn to the left and right end, so that the main line goes down the middle.
        layer = rows[row[place]]
        layer.insert(len(layer) // 2, place)
    x = {place: (i - len(layer) / 2) * box for layer in rows for i, place in enumerate(layer)}

    def wanted(place: object, side: int) -> float:
        # What hangs on nothing stays near the others.
        near = [x[other] for other in links[place] or x if side in (0, row[other] - row[place])]
        return sum(near) / len(near) if near else x[place]

    for sweep in range(SWEEPS):
        # Settle the order below the row above and above the row below in turn, then look at both.
        side = (-1, 1)[sweep % 2] if sweep < SETTLING else 0
        for layer in reversed(rows) if side == 1 else rows:
            targets = {place: wanted(place, side) for place in layer}
            if side:
                layer.sort(key=targets.__getitem__)
            # As near to where they would be as their distances allow; those that touch no other stay.
            steps = np.cumsum([0.0, *(_apart(left, right, box) for left, right in pairwise(layer))])
            placed = isotonic_regression([targets[place] for place in layer] - steps).x + steps
            x |= dict(zip(layer, placed.tolist(), strict=True))
    return x, row, routes


def _rows(graph: nx.DiGraph) -> dict:
    """Each node one row below the lowest of those before it; what has none before it, just above its first use."""
    row = {node: i for i, layer in enumerate(nx.topological_generations(graph)) for node in layer}
    for node in graph:
        if graph.out_degree(node) and not graph.in_degree(node):
            row[node] = min(row[after] for after in graph[node]) - 1
    return row


def _apart(left: object, right: object, box: float) -> float:
    return sum(BEND / 2 if isinstance(place, tuple) else box / 2 + 0.1 for place in (left, right))


def labels(
    points: np.ndarray, sizes: np.ndarray, hard: np.ndarray, soft: np.ndarray, frame: tuple[float, ...]
) -> np.ndarray:
    """Places beside `points` for boxes of these `sizes`, all float (n, 2) and in one unit: their centres, (n, 2).

    `hard`, `soft`: rectangles (left, bottom, right, top), (m, 4), that a box must not, and had better not, lie on.
    Nor does it lie on another box, on the way from another to its point, or out of the `frame`, a rectangle too;
    where there is no such place, it is in the way as little as can be. Nearer places come before farther ones, and
    those up and to the left before others.
    """
    angles, distances = np.meshgrid(np.radians(np.arange(0, 360, 15)), 7 * 1.1 ** np.arange(32))
    turn = np.stack([np.cos(angles).ravel(), np.sin(angles).ravel()], axis=1)
    distance = distances.ravel()[:, None]
    away = (1 + turn @ (0.5**0.5, -(0.5**0.5))) / 2  # 0 up and to the left, 1 down and to the right
    boxes, ways, centres = np.empty((0, 4)), np.empty((0, 4)), []
    for point, size in zip(points, sizes, strict=True):
        places = point + turn * (size / 2 + distance)
        low, high = places - size / 2, places + size / 2
        tried = np.hstack([low, high])
        way = point + np.linspace(0, 1, WAY)[:, None] * (places - point)[:, None]
        spots = np.concatenate([way, way], axis=-1)  # rectangles without extent
        cost = distance[:, 0] * (1 + away) + 30 * _overlaps(tried, soft)
        cost += 1e3 * (_overlaps(tried, hard) + _overlaps(tried, boxes) + _overlaps(tried, ways))
        in_the_way = 1e3 * _overlaps(spots.reshape(-1, 4), boxes) + 4 * _overlaps(spots.reshape(-1, 4), hard)
        cost += in_the_way.reshape(-1, WAY).sum(axis=1)
        cost += 1e6 * ((low < frame[:2]) | (high > frame[2:])).any(axis=1)
        best = cost.argmin()
        boxes, ways = np.vstack([boxes, tried[best]]), np.vstack([ways, spots[best]])
        centres.append(places[best])
    return np.reshape(centres, (-1, 2))


def name_front(axes: Axes, names: Sequence[str], points: np.ndarray, hard: np.ndarray, soft: np.ndarray) -> None:
    """Write a name beside each of `points`, (n, 2) in data, that steps join from left to right.

    They lie clear of each other and of the steps; `hard`, `soft`: as in `labels`, in pixels. To be called once the
    figure was laid out: before that nobody knows where a point lies.
    """
    texts = [axes.annotate(name, tuple(point), **_LABEL) for name, point in zip(names, points, strict=True)]
    sizes = np.array([text.get_window_extent().size for text in texts]) + 4
    spots = axes.transData.transform(points)
    start, end = spots[:-1], spots[1:]
    corner = np.stack([end[:, 0], start[:, 1]], axis=1)
    steps = np.vstack([np.hstack([start, corner]), np.hstack([corner, end])])
    places = labels(spots, sizes, np.vstack([hard, steps]), soft, axes.bbox.extents)
    for text, offset in zip(texts, places - spots, strict=True):
        text.set_position(offset * 72 / axes.figure.dpi)


_LABEL: dict[str, Any] = {
    "xytext": (0, 0),
    "textcoords": "offset points",
    "ha": "center",
    "va": "center",
    "fontsize": 7,
    "arrowprops": {"arrowstyle": "-", "linewidth": 0.5, "color": "0.5", "shrinkA": 0, "shrinkB": 2},
}


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Number of `others` that each box overlaps; both are rectangles, (n, 4)."""
    boxes, others = boxes[:, None], np.reshape(others, (-1, 4))
    return ((boxes[..., :2] < others[:, 2:]) & (boxes[..., 2:] > others[:, :2])).all(axis=-1).sum(axis=1)
