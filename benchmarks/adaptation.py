"""Adaptation: what `detector adapt` gains on a generator of which it has 1, 3, 10, … images, and what it forgets.

    python -m benchmarks.adaptation OVERLAY… --given 1 3 10 --draws 2 --out results/adaptation --csv adaptation.csv

OVERLAY…: those of a finished run whose `data.hold_out` names generators. Their test images are in its test sets,
and nothing else sees them: all networks are judged on the same images, however many they were given. The images of
these generators that the run left out are the pool. `--draws` times it is put in an order, and the first 1, 3, 10,
… are what `detector adapt` is given; beside its network stands one that is trained anew by the run's own recipe on
the same old and new images, of which the same are for training and for choosing. Numbers above a pool's size are
left out.

Made are the networks and their predictions alone; a bundle has the same weights. What becomes of copies
(`audit.on_leak`) is as in the run, where `detector adapt` drops them. A row of the CSV is a network on a part of
the test images: `new`, the given generator's; `old`, the mean over the parts that the run was trained with, each
source's real images and each generator; `real`, all real images; `beside`, those of the given generator's source;
`other`, the generators held out beside it. Each `difference` is to `against`, paired; in `old`
and `other` parts weigh the same. Intervals (95 %) are over other test images, for these networks, by groups where
sources know some; in rows without a `draw`, of all draws, each image counts with its mean over them. `auc`: the
part's fakes against all real images; `auc_own`: new fakes against the real images beside them, one half for a
network that calls the whole source fake. The last rows are of all generators that were given the same number of
images: `new` is the mean over them, each judged by the network that was given it. What was made is kept, and the
same command goes on from it.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from benchmarks import common
from detector.core import machine, parquet, tabular
from detector.core.files import write_text
from detector.core.labels import FAKE, REAL
from detector.data import splits
from detector.experiment.config import config_of, used_sources
from detector.experiment.variants import BASELINE
from detector.starter import adaptation, run
from detector.stats import predictions
from detector.stats.auc import auc
from detector.stats.intervals import mean_of_parts

BEFORE, ADAPTED, RETRAINED = "before", "adapted", "retrained"
PAIRS = ((BEFORE, ""), (ADAPTED, BEFORE), (RETRAINED, BEFORE), (ADAPTED, RETRAINED))
WHOLE = "predictions/provenance.json"  # the last file that predictions write


@dataclass(frozen=True)
class Case:
    """One adaptation and the training anew beside it: images to learn from and to choose by, predictions."""

    learned: int
    chosen_by: int
    tables: Mapping[str, pd.DataFrame]  # by network, all test images


def pool(config: Mapping, generator: str) -> list[Path]:
    """Files of a generator that the run has no use for: neither trained with nor tested on."""
    results = Path(config["results"])
    manifest = parquet.read(results / "data/manifest.parquet")
    found = []
    for name, options in used_sources(config).items():
        scan = parquet.read(results / "data" / name / "scan.parquet")
        used = set(manifest.loc[manifest["source"] == name, "path"])
        own = scan.loc[(scan["generator"] == generator) & ~scan["path"].isin(used), "path"]
        found += [Path(options["root"]) / path for path in own]
    return found


def drawn(files: Sequence[Path], draw: int) -> list[Path]:
    """The pool in the order of a draw."""
    by_name = {str(file): file for file in files}
    return [by_name[name] for name in splits.ordered(by_name, draw)]


def made(
    config: Mapping, generator: str, files: Sequence[Path], real: Path | None, folder: Path, cores: int
) -> Case:
    """Both trainings with these fakes, and the photographs in `real`, below `folder`."""
    images = folder / "images" / generator
    images.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, images / file.name)
    results = Path(config["results"])
    arch, seed = config["architectures"][0], config["seeds"][0]
    trained = f"runs/{arch}/seed{seed}/{BASELINE}"
    out, anew = folder / ADAPTED, folder / RETRAINED
    plan = adaptation.make(common.ROOT, results / trained / "bundle", results, images, real, out)
    plan.write(out)
    overlay = yaml.safe_load((out / "config.yaml").read_text())
    overlay["audit"] = {"on_leak": config["audit"]["on_leak"]}
    write_text(out / "config.yaml", yaml.safe_dump(overlay, sort_keys=False))
    own = {"results": str(anew), "architectures": [arch], **{key: config[key] for key in ("train", "inits")}}
    anew.mkdir(exist_ok=True)
    write_text(anew / "config.yaml", yaml.safe_dump({**overlay, **own, "deploy": {"branches": []}}))
    folders = {
        **{BEFORE: out / plan.folder(plan.before), ADAPTED: out / plan.folder(plan.after)},
        RETRAINED: anew / trained,
    }
    for place, networks in ((out, (BEFORE, ADAPTED)), (anew, (RETRAINED,))):
        targets = [str(folders[name] / WHOLE) for name in networks]
        if not all(Path(target).is_file() for target in targets):
            command = run.command(str(place / "config.yaml"), cores, 1, targets)
            if run.run(common.ROOT, [*command, "--quiet", "all"], out / adaptation.PLAN, lambda: None):
                sys.exit(f"{place}: a stage failed, as said above")
    sources = list(used_sources(config))
    found = predictions.read(folders.values(), sources)
    predictions.check(found)
    tables = dict(zip(folders, (pd.concat([t[s] for s in sources]) for t in found.values()), strict=True))
    return Case(plan.given.of(FAKE, "train"), plan.given.of(FAKE, "valid"), tables)


def parts(table: pd.DataFrame, generator: str, held: Sequence[str]) -> dict[str, np.ndarray]:
    """Number of the part of each image, from 0, -1 of one that is in none; by kind of part."""
    real, maker = (table["label"] == REAL).to_numpy(), table["generator"].to_numpy()
    name = np.where(real, table["source"], maker)
    numbers = {
        "new": (name == generator) & ~real,
        "old": real | ~np.isin(maker, held),
        "real": real,
        "beside": real & table["source"].isin(table.loc[(name == generator) & ~real, "source"]).to_numpy(),
        "other": np.isin(maker, [one for one in held if one != generator]) & ~real,
    }
    found = {}
    for kind, mask in numbers.items():
        which = real if kind in ("real", "beside") else np.where(real, "real " + name.astype(object), name)
        found[kind] = np.full(len(table), -1)
        found[kind][mask] = np.unique(which[mask].astype(str), return_inverse=True)[1]
    return {kind: number for kind, number in found.items() if (number >= 0).any()}


@dataclass(frozen=True)
class Answers:
    """How networks answered the images of one kind of part.

    `image`, `group`: keys (n,) by which an image, and images that are one draw, are known again, in the tables of
    other networks too; `part`, int (n,), from 0; `right`: by network, the share of draws in which an image is
    called rightly, float (n,); `area`, `own`: by network, the area under the ROC curve of the part's fakes against
    all real images, and of new ones against those `beside` them, means of draws.
    """

    image: np.ndarray
    group: np.ndarray
    part: np.ndarray
    right: Mapping[str, np.ndarray]
    area: Mapping[str, float]
    own: Mapping[str, float]


def answers(cases: Sequence[Case], generator: str, held: Sequence[str]) -> dict[str, Answers]:
    """Answers of the networks of several draws, by kind of part."""
    keys = [{*zip(c.tables[BEFORE]["source"], c.tables[BEFORE]["path"], strict=True)} for c in cases]
    shown = set.intersection(*keys)  # a copy of a given image is no test image, so draws can differ by one
    tables = [{name: _only(table, shown) for name, table in case.tables.items()} for case in cases]
    first = tables[0][BEFORE]
    image = (first["source"] + "/" + first["path"]).to_numpy()
    group = np.where(first["group"] == "", image, first["source"] + "//" + first["group"])
    right = {name: np.mean([predictions.right(t[name]) for t in tables], axis=0) for name in tables[0]}
    number = parts(first, generator, held)
    found = {}
    for kind, part in number.items():
        mask = part >= 0
        fakes, real = mask & (first["label"] == FAKE).to_numpy(), (first["label"] == REAL).to_numpy()
        beside = number["beside"] >= 0 if kind == "new" and "beside" in number else np.zeros(len(first), bool)
        area, own = (
            {name: float(np.mean([_area(t[name], fakes | reals) for t in tables])) for name in tables[0]}
            for reals in (real, beside)
        )
        right_here = {name: values[mask] for name, values in right.items()}
        found[kind] = Answers(image[mask], group[mask], part[mask], right_here, area, own)
    return found


def together(by_generator: Sequence[Mapping[str, Answers]]) -> dict[str, Answers]:
    """Answers of networks that were given different generators: of new images each network's own.

    New images are as many parts as there are generators; of old and real images, an image counts with its mean
    over the networks. A network's area is the mean over generators.
    """
    found = {}
    for kind in ("new", "old", "real", "beside"):
        all_of = [one[kind] for one in by_generator if kind in one]
        if len(all_of) < len(by_generator):
            continue  # a source without photographs has none beside its fakes
        if kind != "new":
            shown = sorted(set.intersection(*({*one.image} for one in all_of)))
            all_of = [_taken(one, shown) for one in all_of]
        first, names = all_of[0], list(all_of[0].right)
        area, own = (
            {name: float(np.mean([getattr(one, key)[name] for one in all_of])) for name in names}
            for key in ("area", "own")
        )
        if kind == "new":
            part = np.repeat(np.arange(len(all_of)), [len(one.part) for one in all_of])
            image, group = (np.concatenate([getattr(one, key) for one in all_of]) for key in ("image", "group"))
            right = {name: np.concatenate([one.right[name] for one in all_of]) for name in names}
        else:
            image, part, group = first.image, first.part, first.group
            right = {name: np.mean([one.right[name] for one in all_of], axis=0) for name in names}
        found[kind] = Answers(image, group, part, right, area, own)
    return found


def _taken(one: Answers, images: Sequence[str]) -> Answers:
    at = {image: index for index, image in enumerate(one.image)}
    index = np.array([at[image] for image in images])
    right = {name: values[index] for name, values in one.right.items()}
    part = np.unique(one.part[index], return_inverse=True)[1]
    return Answers(one.image[index], one.group[index], part, right, one.area, one.own)


def rows(found: Mapping[str, Answers]) -> list[dict]:
    """Rows of the CSV, from `network` on."""
    lines = []
    for kind, one in found.items():
        for network, against in PAIRS:
            share = one.right[network]
            low, high = mean_of_parts(share, one.part, one.group)
            row = {"network": network, "against": against, "part": kind, "n": len(share)}
            row |= {"parts": one.part.max() + 1, "accuracy": _mean(share, one.part)}
            row |= {"accuracy_low": low, "accuracy_high": high}
            row["auc"], row["auc_own"] = one.area[network], one.own[network]
            if against:
                change = share - one.right[against]
                low, high = mean_of_parts(change, one.part, one.group, differences=True)
                row |= {"difference": _mean(change, one.part), "difference_low": low, "difference_high": high}
            lines.append(row)
    return lines


def _area(table: pd.DataFrame, mask: np.ndarray) -> float:
    return auc(table["label"].to_numpy()[mask], table["logit"].to_numpy()[mask])


def _only(table: pd.DataFrame, shown: set[tuple[str, str]]) -> pd.DataFrame:
    keys = pd.MultiIndex.from_arrays([table["source"], table["path"]])
    return table[keys.isin(list(shown))].sort_values(["source", "path"], kind="stable").reset_index(drop=True)


def _mean(values: np.ndarray, part: np.ndarray) -> float:
    return float(np.mean(np.bincount(part, values) / np.bincount(part)))


def summary(table: pd.DataFrame) -> str:
    """The CSV's rows of all draws, for people, in percent and points."""
    lines = []
    for (generator, given), all_rows in table[table["draw"] == ""].groupby(["generator", "given"], sort=False):
        at = all_rows.set_index(["network", "against", "part"])
        line = [generator, given, f"{at.loc[(BEFORE, '', 'new'), 'accuracy']:.0%}"]
        for network in (ADAPTED, RETRAINED):
            for part in ("new", "old", "real"):
                row = at.loc[(network, BEFORE, part)]
                low, high = (100 * row[f"difference_{end}"] for end in ("low", "high"))
                line.append(f"{row['accuracy']:.0%}, {100 * row['difference']:+.0f} ({low:+.0f} … {high:+.0f})")
        lines.append(line)
    header = ["generator", "given", "new, before"]
    header += [f"{part}, {network}" for network in (ADAPTED, RETRAINED) for part in ("new", "old", "real")]
    return common.table(header, lines)


def main() -> None:
    """Make what is missing, write the CSV and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overlays", type=Path, nargs="+")
    parser.add_argument("--given", type=int, nargs="+", default=[1, 3, 10, 30])
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--real", type=Path, help="folder of photographs that are given each time, in no test set")
    parser.add_argument("--out", type=Path, required=True, help="for the runs, below the project's folder")
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--cores", type=int, default=machine.cores())
    args = parser.parse_args()
    os.chdir(common.ROOT)
    config = config_of(common.ROOT, args.overlays)
    held = sorted(config["data"]["hold_out"])
    cases: dict[tuple[str, int], dict[int, Case]] = {}
    for draw in range(args.draws):
        for generator in held:
            files = drawn(pool(config, generator), draw)
            for given in args.given:
                if given <= len(files):
                    folder = args.out / f"{generator}-{given}-{draw}"
                    case = made(config, generator, files[:given], args.real, folder, args.cores)
                    cases.setdefault((generator, given), {})[draw] = case
    found = []
    of_all: dict[int, dict[str, Mapping[str, Answers]]] = {}
    for (generator, given), draws in cases.items():
        case = draws[0]
        how = {"generator": generator, "given": given, "learned": case.learned, "chosen_by": case.chosen_by}
        for draw, some in [("", list(draws.values())), *((str(d), [one]) for d, one in draws.items())]:
            judged = answers(some, generator, held)
            found += [{**how, "draw": draw, "draws": len(some), **row} for row in rows(judged)]
            if not draw:
                of_all.setdefault(given, {})[generator] = judged
    for given, judged_by in of_all.items():
        if len(judged_by) > 1:
            some = [cases[generator, given] for generator in judged_by]
            learned, chosen_by = ([draws[0].learned for draws in some], [draws[0].chosen_by for draws in some])
            how = {"generator": f"{len(some)} generators", "given": given, "learned": np.mean(learned)}
            how |= {"chosen_by": np.mean(chosen_by), "draw": "", "draws": args.draws}
            found += [{**how, **row} for row in rows(together(list(judged_by.values())))]
    table = pd.DataFrame(found)
    tabular.write_table(table, args.csv)
    print(summary(table))


if __name__ == "__main__":
    main()
