"""Labels keep clear of each other and of bars; boxes of a graph do not overlap, and its arrows run down."""

import re

import networkx as nx
import numpy as np
import pytest

from detector.figures import placement
from tests.support import ROOT


@pytest.mark.parametrize("seed", range(5))
def test_labels_keep_clear_of_each_other_of_bars_and_of_the_edge(seed: int) -> None:
    """On a front of twelve points with bars, as it lies on a page."""
    rng = np.random.default_rng(seed)
    points = np.sort(rng.uniform((80, 60), (420, 320), (12, 2)), axis=0)
    bars = np.hstack([points - (5, 30), points + (5, 30)])
    sizes = np.stack([rng.uniform(40, 80, 12), np.full(12, 12.0)], axis=1)
    centres = placement.labels(points, sizes, bars, np.empty((0, 4)), (0, 0, 500, 400))
    boxes = np.hstack([centres - sizes / 2, centres + sizes / 2])
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= (500, 400)).all()
    for i, (left, bottom, right, top) in enumerate(boxes):
        for other in [*bars, *boxes[:i]]:
            assert right <= other[0] or left >= other[2] or top <= other[1] or bottom >= other[3]


def test_a_label_with_room_lies_up_and_to_the_left_and_close() -> None:
    (centre,) = placement.labels(
        np.array([[50, 50]]), np.array([[20, 10]]), np.empty((0, 4)), np.empty((0, 4)), (0, 0, 99, 99)
    )
    assert centre[0] < 50 < centre[1]
    assert np.abs(centre - 50).max() < 25


def test_boxes_of_a_row_do_not_overlap_and_arrows_run_down() -> None:
    rng = np.random.default_rng(0)
    graph = nx.DiGraph((i, j) for i in range(25) for j in range(i + 1, 25) if rng.random() < 0.08)
    x, row, routes = placement.layered(graph, box=1.5)
    for level in set(row.values()):
        places = sorted(
            (x[place], 0.3 if isinstance(place, tuple) else 1.5) for place in row if row[place] == level
        )
        for (left, wide), (right, other) in zip(places, places[1:], strict=False):
            assert right - left > (wide + other) / 2 - 1e-9
    assert {(route[0], route[-1]) for route in routes} == set(graph.edges)
    assert all(
        row[below] == row[above] + 1 for route in routes for above, below in zip(route, route[1:], strict=False)
    )


def test_an_edge_over_many_rows_does_not_drift_away() -> None:
    """The workflow's own graph, as documented, is little wider than its widest row of boxes."""
    text = (ROOT / "docs/architecture.md").read_text().split("```mermaid")[1].split("```")[0]
    edges = [(start, end.split("[")[0]) for start, end in re.findall(r"(\w+) --> (\S+)", text)]
    graph = nx.DiGraph()
    graph.add_nodes_from(sorted({name for edge in edges for name in edge}))
    graph.add_edges_from(sorted(edges))
    graph = nx.transitive_reduction(graph)
    x, row, _ = placement.layered(graph, box=1.6)
    widest = max(sum(row[place] == level for place in graph) for level in row.values())
    assert max(x.values()) - min(x.values()) < 1.8 * (widest + 2)
