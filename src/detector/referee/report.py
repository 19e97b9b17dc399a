"""Report: one page of HTML that holds what the tables and figures of an evaluation say."""

import base64
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template

import pandas as pd

from detector.core.files import write_text
from detector.core.labels import FAKE, REAL
from detector.referee.judged import CALIBRATED, EVERY, OWN, SCORED
from detector.stats.groups import apart, known

TEMPLATE = Path(__file__).with_name("templates") / "report.html"
SHOWN = 50  # rows of errors
Tables = Mapping[str, tuple[Sequence[str], Sequence[Mapping]]]
FAILED = (
    "<p>Images that a model gave no score for are left out of its first columns: a model that fails on hard "
    "images looks better there than it is. “Failed as wrong” is on all images, with the worst score for "
    "those: compare models by that, and look at the reasons below.</p>"
)
GROUPED = {"accuracy": "grouped", "auc": "auc_grouped"}  # what columns of intervals by groups begin with
NAMES = {OWN: "own", CALIBRATED: "chosen"}


def write(
    path: Path,
    name: str,
    images: pd.DataFrame,
    tables: Tables,
    failed: Mapping[str, str],
    remarked: Iterable[str],
    figures: Iterable[Path],
) -> None:
    """Write the page atomically; it needs no other file.

    `failed`: what is wrong, by model; `remarked`: sentences of `remarks`.
    """
    counts = {word: int((images["label"] == label).sum()) for word, label in (("real", REAL), ("fake", FAKE))}
    chosen = int((images["part"] == "calibration").sum())
    text = f"{counts['real']:,} real and {counts['fake']:,} fake images"
    if known(images["group"]):
        text += f" of {apart(images['group']).max() + 1:,} groups, each one draw to the tables below"
    text += (
        f"; thresholds were chosen on {chosen:,} of them, and all else was measured on the others"
        if chosen
        else ""
    )
    write_text(
        path,
        Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
            name=html.escape(name),
            data=html.escape(text),
            failed="".join(
                f"<p class=bad>{html.escape(text)}</p>"
                for text in (*(f"{k}: {v}" for k, v in failed.items()), *(f"{text}." for text in remarked))
            ),
            models=_models(tables),
            figures="".join(_figure(file) for file in figures),
            generators=_shares(tables["per_generator"][1], "generator"),
            dates=_dates(tables["per_date"][1]) if "per_date" in tables else "",
            comparisons=_comparisons(tables["comparisons"][1]),
            audit="".join(f"<p>{html.escape(row['sentence'])}.</p>" for row in tables["audit_verdict"][1]),
            robustness=_robustness(tables["robustness"][1]) if "robustness" in tables else "",
            errors=_errors(tables["errors"][1]),
        ),
    )


def _number(value: object, digits: int = 3, sign: str = "") -> str:
    if not isinstance(value, int | float) or math.isnan(value):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:{sign}.{digits}f}".replace("-", "−")


def _interval(row: Mapping, key: str, sign: str = "") -> str:
    """A number, or with `sign` the difference of two, with its interval: by groups where these are known."""
    name, value = (GROUPED[key], f"{key}_difference") if sign else (GROUPED[key], key)
    name = name if f"{name}_low" in row else key
    shown = _number(row.get(value), sign=sign)
    low, high = row.get(f"{name}_low", math.nan), row.get(f"{name}_high", math.nan)
    if math.isnan(low):
        return shown
    return f"{shown} <small>{_number(low, sign=sign)} to {_number(high, sign=sign)}</small>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells of `rows` are HTML already, the first of each a heading."""
    lines = [
        f"<tr><th scope=row>{first}</th>{''.join(f'<td>{cell}</td>' for cell in rest)}</tr>"
        for first, *rest in rows
    ]
    titles = "".join(f"<th scope=col>{html.escape(title)}</th>" for title in head)
    return f"<div class=wide><table><thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"


def _at(
    rows: Sequence[Mapping], threshold: str, kind: str = "generator", images: str = SCORED
) -> dict[tuple, Mapping]:
    return {
        (row["model"], row.get(kind)): row
        for row in rows
        if row["threshold"] == threshold and row["images"] == images
    }


def _models(tables: Tables) -> str:
    rows = tables["metrics"][1]
    own, chosen = _at(rows, OWN), _at(rows, CALIBRATED)
    every, every_chosen = _at(rows, OWN, images=EVERY), _at(rows, CALIBRATED, images=EVERY)
    cost = {row["model"]: row for row in tables["cost"][1]}
    ranked = every or own  # by what all are measured on alike
    lines = [
        (
            html.escape(key[0]),
            _interval(own[key], "auc"),
            _interval(own[key], "accuracy"),
            _interval(chosen[key], "accuracy"),
            _number(own[key].get("ece")),
            f"{own[key]['n']:,}",
            f"{own[key]['failed']:,}",
            *((_interval(every[key], "auc"), _all(every[key], every_chosen[key])) if every else ()),
            _number(cost[key[0]].get("ms_per_image"), 1),
            _number(cost[key[0]].get("megabytes"), 1),
        )
        for key in sorted(ranked, key=lambda key: -_or_zero(ranked[key].get("auc")))
    ]
    wrong = ("AUC, failed as wrong", "accuracy, failed as wrong") if every else ()
    head = ("model", "AUC", "accuracy, own threshold", "accuracy, chosen", "ECE", "images", "failed", *wrong)
    return _table((*head, "ms", "MB"), lines) + (FAILED if every else "")


def _all(own: Mapping, chosen: Mapping) -> str:
    """Accuracy on all images at a model's own threshold, or at the chosen one where it states none."""
    return _interval(own if "accuracy" in own else chosen, "accuracy")


def _or_zero(value: float | None) -> float:
    return 0.0 if value is None or math.isnan(value) else value


def _shares(rows: Sequence[Mapping], kind: str) -> str:
    """Right calls and areas of each model by generator or date."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    kinds = list(dict.fromkeys(row[kind] for row in rows))
    at = {threshold: _at(rows, threshold, kind) for threshold in (OWN, CALIBRATED)}
    # A model that states no threshold is judged at the chosen one, and its heading says so.
    stated = {row["model"] for row in rows if row["threshold"] == OWN and "accuracy" in row}
    used = {model: OWN if model in stated else CALIBRATED for model in models}
    cells = [
        (html.escape(name), *(_share(at[used[model]].get((model, name), {})) for model in models))
        for name in kinds
    ]
    heads = [f"{model}, {NAMES[used[model]]} threshold" for model in models]
    return _table(("share called right", *heads), cells)


def _share(row: Mapping) -> str:
    count = f"{row.get('n', 0):,} images" + (f", {row['failed']:,} failed" if row.get("failed") else "")
    area = f"AUC {_interval(row, 'auc')}" if not math.isnan(row.get("auc", math.nan)) else ""
    return f"{_interval(row, 'accuracy')}{area}<small>{count}</small>"


def _dates(rows: Sequence[Mapping]) -> str:
    return f"<h2>By date</h2>{_shares(rows, 'date')}"


def _comparisons(rows: Sequence[Mapping]) -> str:
    if not rows:
        return "<p>One model: nothing to compare.</p>"
    parts = (("", SCORED), ("<p>The same on all images, failed as wrong:</p>", EVERY))
    found = [(title, [row for row in rows if row["images"] == way]) for title, way in parts]
    return "".join(title + _pairs(part) for title, part in found if part)


def _pairs(rows: Sequence[Mapping]) -> str:
    """A line per pair: differences of areas, which need no threshold, and of right calls at either threshold."""
    own, chosen = ([row for row in rows if row["threshold"] == threshold] for threshold in (OWN, CALIBRATED))
    cells = [
        (
            html.escape(f"{row['second']} against {row['first']}"),
            _interval(row, "auc", "+"),
            _p(row, "auc", "p_delong_holm"),
            *(cell for at in (row, other) for cell in _calls(at)),
            f"{row['n']:,}" + (f"<small>{row['left_out']:,} left out</small>" if row["left_out"] else ""),
        )
        for row, other in zip(own, chosen, strict=True)
    ]
    calls = [f"{word}{NAMES[at]} threshold" for at in (OWN, CALIBRATED) for word in ("accuracy, ", "p, ")]
    return _table(("models", "AUC", "p, AUC", *calls, "images"), cells)


def _calls(row: Mapping) -> tuple[str, str]:
    return _interval(row, "accuracy", "+"), _p(row, "accuracy", "p_mcnemar_holm")


def _p(row: Mapping, kind: str, of_images: str) -> str:
    """The p of groups where these are known, else that of images."""
    value = row.get(f"p_{kind}_grouped_holm" if f"p_{kind}_grouped" in row else of_images, math.nan)
    if math.isnan(value):
        return "–"
    return "&lt; 0.001" if value < 0.001 else f"{value:.3f}"


def _robustness(rows: Sequence[Mapping]) -> str:
    shown = [row for row in rows if row["threshold"] == OWN]
    models = list(dict.fromkeys(row["model"] for row in shown))
    names = list(dict.fromkeys(row["perturbation"] for row in shown))
    cells = {(row["model"], row["perturbation"]): _interval(row, "auc") for row in shown}
    lines = [[html.escape(name), *(cells.get((model, name), "–") for model in models)] for name in names]
    return f"<h2>Perturbed images: AUC</h2>{_table(('perturbation', *models), lines)}"


def _errors(rows: Sequence[Mapping]) -> str:
    if not rows:
        return "<p>Every model scored every image.</p>"
    cells = [
        tuple(html.escape(str(row[key])) for key in ("path", "model", "perturbation", "reason"))
        for row in rows[:SHOWN]
    ]
    more = f"<p>… and {len(rows) - SHOWN:,} more in tables/errors.csv.</p>" if len(rows) > SHOWN else ""
    return _table(("image", "model", "perturbation", "reason"), cells) + more


def _figure(path: Path) -> str:
    coded = base64.b64encode(path.read_bytes()).decode()
    return f'<p><img alt="{html.escape(path.stem)}" src="data:image/svg+xml;base64,{coded}"></p>'
