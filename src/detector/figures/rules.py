"""Rule graph: the workflow's rules and their dependencies, from Snakemake's own graph."""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import networkx as nx
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Curve

from detector.core.errors import DetectorError
from detector.figures import drawing, placement


def parse_dot(text: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Parse the output of `snakemake --rulegraph dot`: rule names by id, and edges.

    An edge is the id that must run first and the id that needs it. Raises `DetectorError` for any other text.
    """
    nodes = dict(re.findall(r'^\s*(\d+)\[label = "([^"]*)"', text, re.MULTILINE))
    edges = re.findall(r"^\s*(\d+) -> (\d+)\s*$", text, re.MULTILINE)
    if not nodes:
        raise DetectorError(f"expected the output of `snakemake --rulegraph dot`, found:\n{text[:400]}")
    return nodes, edges


def rule_graph(
    path: Path | str, nodes: Mapping[str, str], edges: Sequence[tuple[str, str]], title: str = "Workflow"
) -> None:
    """Draw which rule needs which: first at the top, an arrow from a rule to the one that uses its output.

    `nodes`: rule name by id; `edges`: pairs of ids. Shaded boxes are results, which no rule uses. An arrow that a
    longer path implies is left out. Raises `DetectorError` where the rules form a circle.
    """
    graph = nx.DiGraph()
    graph.add_nodes_from(sorted(nodes, key=lambda node: nodes[node]))  # ids are arbitrary, names are not
    graph.add_edges_from(sorted(edges, key=lambda edge: (nodes[edge[0]], nodes[edge[1]])))
    if not nx.is_directed_acyclic_graph(graph):
        raise DetectorError(f"{path}: the rules form a circle: {nx.find_cycle(graph)}")
    needed = nx.transitive_reduction(graph).edges
    graph.remove_edges_from([edge for edge in graph.edges if edge not in needed])
    labels = {node: _two_lines(name) for node, name in nodes.items()}
    box = 0.35 + 0.078 * max(len(line) for label in labels.values() for line in label.split("\n"))
    row, tall = 0.85, 0.45  # inches from row to row, and of a box
    x, level, routes = placement.layered(graph, box)
    left, right = min(x.values()) - box / 2 - 0.2, max(x.values()) + box / 2 + 0.2
    bottom = -row * max(level.values()) - tall
    with drawing.figure(path, title, right - left, 0.65 - bottom) as figure:
        figure.set_layout_engine("none")  # one unit is one inch: boxes fit their text
        axes = figure.add_axes((0, 0, 1, 1), xlim=(left, right), ylim=(bottom, 0.65))
        axes.axis("off")
        for route in routes:
            points, codes = [(x[route[0]], -row * level[route[0]] - tall / 2)], [Curve.MOVETO]
            for above, below in pairwise(route):
                start, end = -row * level[above] - tall / 2, -row * level[below] + tall / 2
                # Bends lie between two rows; beside the boxes of a row an arrow runs straight down.
                middle = (start + end) / 2
                points += [(x[above], middle), (x[below], middle), (x[below], end)]
                codes += [Curve.CURVE4] * 3
                if below != route[-1]:
                    points.append((x[below], end - tall))
                    codes.append(Curve.LINETO)
            arrow = {"arrowstyle": "-|>", "mutation_scale": 9, "color": drawing.GREY}
            axes.add_patch(FancyArrowPatch(path=Curve(points, codes), **arrow))
        for node in graph:
            corner = (x[node] - box / 2 + 0.08, -row * level[node] - tall / 2 + 0.08)
            colour = "white" if graph.out_degree(node) else "0.9"
            shape = {"boxstyle": "round,pad=0.08", "facecolor": colour, "edgecolor": "black"}
            axes.add_patch(FancyBboxPatch(corner, box - 0.16, tall - 0.16, **shape))
            axes.text(x[node], -row * level[node], labels[node], ha="center", va="center", linespacing=1.1)


def _two_lines(name: str) -> str:
    """A long name broken after the underscore nearest to its middle."""
    breaks = [match.end() for match in re.finditer("_", name)]
    if len(name) <= 14 or not breaks:
        return name
    at = min(breaks, key=lambda i: abs(i - len(name) / 2))
    return f"{name[:at]}\n{name[at:]}"
