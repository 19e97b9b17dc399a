"""Evaluation: inspects the data, asks every contender, writes tables, figures and the page."""

import contextlib
import logging
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from detector.audit import leaks, shortcuts
from detector.audit.hashes import NEAR, Hashes
from detector.core.errors import DetectorError
from detector.core.files import canonical
from detector.core.labels import CLASSES, REAL
from detector.core.tabular import write_csv
from detector.data import shards
from detector.figures import drawing, reliability, robustness, roc
from detector.figures.scores import Scored
from detector.imaging import perturbations
from detector.imaging.perturbations import CLEAN, Steps
from detector.referee import contenders, inspection, perturbed, remarks, report, results, scoring
from detector.referee.contenders import Contender
from detector.referee.images import Data
from detector.referee.judged import CALIBRATION, OWN, TEST, Judged, folds, judge, parts
from detector.referee.scoring import Limits

log = logging.getLogger(__name__)
OPTIONAL = ("per_date", "robustness")  # tables that not every evaluation has
AUDIT = (*shortcuts.COLUMNS, *shortcuts.SHARES)
NO_NAME = re.compile(r"[^\w.-]+")  # in the name of a log
VERDICT = ("check", "verdict", "sentence")


def evaluate(
    data: Data,
    asked: Sequence[Contender],
    out: Path,
    *,
    calibrate: float = 0.0,
    perturb: Mapping[str, Steps] | None = None,
    limits: Limits = Limits(),  # noqa: B008 - it cannot be changed
    threads: int = 0,
) -> bool:
    """Evaluate contenders on data; writes `tables`, `figures` and `report.html` into `out`.

    `calibrate`: share of the images that thresholds are chosen on, and nothing else is measured on. `perturb`:
    steps by name. Scores are kept in `out`, and asked for again only where the image or the contender is another.

    Returns whether every contender scored every image. Raises `DetectorError` for a file of scores that is of no
    use, where no image can be read, and where no contender gave a score.
    """
    for contender in asked:
        if (
            contender.kind == contenders.SCORES
        ):  # what is wrong with a file can be known before anything is decoded
            scoring.ScoresAsker(Path(contender.target), data.root, data.table["path"])
    found, hashes = inspection.inspect(data, out / "state" / "images")
    images = pd.concat([data.table, found.rename(columns={"error": "bad"})], axis=1)
    images["pixels"] = hashes.pixels
    fine = (images["bad"] == "").to_numpy()
    bad = [
        {"model": "", "perturbation": "", "path": path, "reason": reason}
        for path, reason in images.loc[~fine, ["path", "bad"]].itertuples(index=False)
    ]
    images = images[fine].reset_index(drop=True)
    hashes = Hashes(hashes.pixels[fine], hashes.phash[fine], hashes.thumbnails[fine])
    images["part"] = parts(images, calibrate)
    log.info("%s: %d images, %d of them cannot be read", data.name, len(fine), len(bad))
    variants: dict[str, Steps] = {CLEAN: (), **(perturb or {})}
    judged: dict[str, dict[str, Judged]] = {}
    failed: dict[str, str] = {}
    for contender in asked:
        try:
            judged[contender.name] = _ask(contender, data, images, out, variants, limits, threads)
        except DetectorError as error:
            log.error("%s: %s", contender.name, error)
            failed[contender.name] = str(error)
    clean = [by[CLEAN] for by in judged.values()]
    if not any(model.scored.any() for model in clean):
        reasons = "; ".join(failed.values()) or next((e for model in clean for e in model.error if e), "")
        logs = f"; {out / 'logs'} has what they wrote" if (out / "logs").is_dir() else ""
        raise DetectorError(f"no model gave a score of any image: {reasons}{logs}")
    remarked = remarks.remarks(images, len(bad), clean, calibrate=calibrate > 0)
    for sentence in remarked:
        log.warning("%s", sentence)
    tables = _tables(judged, images, hashes, data.name, len(bad)) | {"errors": (results.ERRORS, bad)}
    for by in judged.values():
        for variant, model in by.items():
            bad.extend(results.errors(model, images, "" if variant == CLEAN else variant))
    for name in OPTIONAL:
        (out / "tables" / f"{name}.csv").unlink(missing_ok=True)
    for name, (columns, rows) in tables.items():
        write_csv(rows, columns, out / "tables" / f"{name}.csv")
    _draw(clean, images, out / "figures")
    _draw_robustness(tables, variants, out / "figures" / "robustness.svg")
    figures = sorted((out / "figures").glob("*.svg"))
    report.write(out / "report.html", data.name, images, tables, failed, remarked, figures)
    return not bad and not failed


def _ask(
    contender: Contender,
    data: Data,
    images: pd.DataFrame,
    out: Path,
    variants: Mapping[str, Steps],
    limits: Limits,
    threads: int,
) -> dict[str, Judged]:
    """Scores of one contender, by perturbation."""
    asker = scoring.asker(
        contender,
        log_file=out / "logs" / f"{re.sub(NO_NAME, '-', contender.name)[:100]}.log",
        limits=limits,
        root=data.root,
        paths=data.table["path"].tolist(),
        threads=threads,
    )
    in_turn = images.iloc[shards.order(images)]
    pairs = list(zip(in_turn["path"], in_turn["sha256"], strict=True))
    found: dict[str, Judged] = {}
    files = []
    try:
        for name, steps in variants.items():
            if steps and contender.kind == contenders.SCORES:
                continue
            # Another name with the same steps is the same; the same name with others is not.
            variant = name if not steps else f"{name}-{_number_of(steps):08x}"
            files.append(scoring.journal(out / "state" / "scores", contender, variant))

            def located(path: str, steps: Steps = steps) -> contextlib.AbstractContextManager[Path]:
                if contender.kind == contenders.SCORES:  # looked up by the path, nothing is read
                    return contextlib.nullcontext(data.root / path)
                return perturbed.file(data, path, steps) if steps else data.file(path)

            scores = scoring.score(
                asker, pairs, located, files[-1], f"{contender.name}{f', {name}' * bool(steps)}"
            )
            found[name] = judge(contender, images, scores)
        asker.close()
    except DetectorError:
        for file in files:
            file.unlink(missing_ok=True)
        raise
    finally:
        asker.kill()
    return found


def _number_of(steps: Steps) -> int:
    return zlib.crc32(canonical(list(steps)).encode())


def _tables(
    judged: Mapping[str, Mapping[str, Judged]], images: pd.DataFrame, hashes: Hashes, name: str, unreadable: int
) -> dict[str, tuple[Sequence[str], list[dict]]]:
    clean = [by[CLEAN] for by in judged.values()]
    duplicates, metadata, verdicts = _audit(images, hashes, name)
    scores = images[["path", "label", "generator", "group", "part"]].copy()
    scores["label"] = scores["label"].map(CLASSES)
    for model in clean:
        scores[f"score: {model.name}"] = [("" if np.isnan(value) else repr(float(value))) for value in model.score]
    tables: dict[str, tuple[Sequence[str], list[dict]]] = {
        "metrics": (results.METRICS, list(results.metrics(clean, images, unreadable))),
        "per_generator": (results.PER_GENERATOR, list(results.per_generator(clean, images))),
        "per_group": (results.PER_GROUP, list(results.per_group(clean, images))),
        **_dated(clean, images),
        "comparisons": (results.COMPARISONS, results.comparisons(clean, images)),
        "cost": (results.COST, list(results.cost(clean))),
        "scores": (list(scores), scores.to_dict("records")),
        "audit_duplicates": (leaks.DUPLICATE_COLUMNS, duplicates),
        "audit_metadata": (AUDIT, metadata),
        "audit_verdict": (VERDICT, verdicts),
    }
    rows = [
        row
        for by in judged.values()
        if len(by) > 1
        for row in results.robustness(by[CLEAN], {k: v for k, v in by.items() if k != CLEAN}, images, CLEAN)
    ]
    return tables | ({"robustness": (results.ROBUSTNESS, results.adjusted(rows))} if rows else {})


def _dated(clean: Sequence[Judged], images: pd.DataFrame) -> dict[str, tuple[Sequence[str], list[dict]]]:
    rows = list(results.per_date(clean, images)) if (images["date"] != "").any() else []
    return {"per_date": (results.PER_DATE, rows)} if rows else {}


def _audit(images: pd.DataFrame, hashes: Hashes, name: str) -> tuple[list[dict], list[dict], list[dict]]:
    table = images.assign(source=name, split=images["split"].where(images["split"] != "", TEST), row=images.index)
    pairs, found, whole = leaks.duplicates(table[["source", "path", "split", "label"]], hashes, NEAR)
    copies = int(images["pixels"].duplicated(keep=False).sum())
    near = int(pairs.loc[pairs["kind"] == "near", "pairs"].sum())
    parts = [
        f"{copies} of {len(images)} images have exactly the pixels of another" if copies else "no two are equal"
    ]
    parts.append(f"{near} pairs are nearly the same" if near else "none are nearly the same")
    if both := int((found["split"] == found["of_split"]).sum()):
        parts.append(f"{both} are there under both labels")
    if across := int((found["split"] != found["of_split"]).sum()):
        parts.append(f"{across} are in an earlier split too")
    verdict = "leak" if len(found) else "clean" if whole else "unknown"
    rows = shortcuts.crossed(table, {name: images}, folds(images), name)
    verdicts = [{"check": "duplicates", "verdict": verdict, "sentence": f"{name}: {'; '.join(parts)}"}]
    return pairs.to_dict("records"), rows, [*verdicts, *shortcuts.verdicts(rows)]


def _draw(models: Sequence[Judged], images: pd.DataFrame, folder: Path) -> None:
    test, label = (images["part"] == TEST).to_numpy(), images["label"].to_numpy()
    styles = _styles(model.name for model in models)
    curves = {m.name: (label[test & m.scored], -m.score[test & m.scored]) for m in models}
    stated = {m.name: m.cuts[OWN] for m in models if not np.isnan(m.cuts[OWN])}
    curves |= {name: (curves[name][0], curves[name][1] + cut) for name, cut in stated.items()}
    without = [name for name in curves if name not in stated]
    title = f"ROC curves: {(label[test] == REAL).sum():,} real, {(label[test] != REAL).sum():,} fake images"
    roc.roc_curves(folder / "roc.svg", curves, title, styles=styles, cut="own threshold", without=without)
    probable: dict[str, tuple[Scored, Scored]] = {
        m.name: (_part(m, images, CALIBRATION if m.scales else ""), _part(m, images, TEST))
        for m in models
        if m.are_probabilities and (test & m.scored).any()
    }
    if probable:
        reliability.reliability_diagrams(folder / "reliability.svg", probable, "Reliability", raw="as given")
    else:
        (folder / "reliability.svg").unlink(missing_ok=True)


def _styles(models: Iterable[str]) -> dict[str, drawing.Style]:
    return {
        model: {"color": colour, "linestyle": line, "linewidth": 1.4}
        for number, model in enumerate(models)
        for colour in (drawing.SERIES[number % len(drawing.SERIES)][1],)
        for line in (("-", "--", "-.", ":")[number // len(drawing.SERIES) % 4],)
    }


def _draw_robustness(
    tables: Mapping[str, tuple[Sequence[str], list[dict]]], variants: Mapping[str, Steps], path: Path
) -> None:
    if "robustness" not in tables:
        path.unlink(missing_ok=True)
        return
    table = pd.DataFrame([row for row in tables["robustness"][1] if row["threshold"] == OWN])
    steps = [variants[name] for name in table["perturbation"]]
    table["kind"] = [perturbations.kind(own) if own else CLEAN for own in steps]
    table["value"] = [perturbations.value(own) for own in steps]
    models = table["model"].unique()
    styles: dict[str, drawing.Style] = {
        model: {
            "marker": drawing.SERIES[number % len(drawing.SERIES)][0],
            "markersize": 5,
            "color": style["color"],
        }
        for number, (model, style) in enumerate(_styles(models).items())
    }
    robustness.by_model(path, table, "Area under the ROC curve on perturbed images", styles)


def _part(model: Judged, images: pd.DataFrame, part: str) -> Scored:
    chosen = model.scored & (images["part"] == part).to_numpy()
    return images["label"].to_numpy()[chosen], model.odds[chosen]
