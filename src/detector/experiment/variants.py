"""Variants: trained networks by architecture, seed and branch, and the grammar of branch names."""

import re
from dataclasses import dataclass
from pathlib import Path

from detector.experiment import methods

BASELINE, DENSE_CONTROL, VALID, COMBINED = "baseline", "l1-00", "valid", "combined"
MAGNITUDE, MATCHED = "l1", "matched"  # the method of the study and its control; the name of a matched control
SHARED = "all"  # in place of a branch, the search that all branches of a run share


@dataclass(frozen=True)
class Branch:
    """A branch by its name: `baseline`, or `{method}-{percent}` with at least two digits.

    `method` is "" for the baseline and `MATCHED` for a matched control, whose `percent` is that of the branch
    whose optimizer and learning rate it was fine-tuned with. No other place reads or writes such names.
    """

    method: str = ""
    percent: int = 0

    @classmethod
    def of(cls, name: str) -> "Branch":
        """Branch of a name. Raises `ValueError` for text that is none."""
        if name == BASELINE:
            return cls()
        method, _, percent = name.rpartition("-")
        if not method:
            raise ValueError(f"{name!r} names no branch; expected {BASELINE} or METHOD-PERCENT, such as l1-40")
        return cls(method, int(percent))

    @classmethod
    def at(cls, method: str, share: float) -> "Branch":
        """Branch of a method at a share, such as 0.4, of what it prunes."""
        return cls(method, round(100 * share))

    def __str__(self) -> str:
        return f"{self.method}-{self.percent:02d}" if self.method else BASELINE

    @property
    def is_control(self) -> bool:
        """Whether it was trained further with nothing pruned: the dense control, or a matched one."""
        return self.method == MATCHED or (self.method != "" and self.percent == 0)

    @property
    def sparsity_percent(self) -> int:
        """Percent pruned, of what `percent_of` says; 0 for the baseline and for controls."""
        return 0 if self.method == MATCHED else self.percent

    @property
    def percent_of(self) -> str:
        """What the percent is of: `weights` (conv and fc, set to zero) or `parameters` (all, removed)."""
        return "weights" if self.method in ("", MATCHED) else methods.facts(self.method).PERCENT_OF


@dataclass(frozen=True)
class Variant:
    """A trained network, identified by its folder runs/{arch}/seed{seed}/{branch}."""

    arch: str
    seed: int
    branch: str

    @classmethod
    def of(cls, folder: Path | str) -> "Variant":
        """Variant of a folder whose path ends in {arch}/seed{seed}/{branch}."""
        arch, seed, branch = Path(folder).parts[-3:]
        return cls(arch, int(seed.removeprefix("seed")), branch)

    @classmethod
    def searched(cls, hpo: Path | str) -> "Variant":
        """What a search in the folder `hpo` is of: a variant, or in a run's own folder all branches (`SHARED`)."""
        above = Path(hpo).parent
        return cls.of(above / SHARED if re.fullmatch(r"seed\d+", above.name) else above)

    def __str__(self) -> str:
        return f"{self.arch}, seed {self.seed}, {self.branch}"

    @property
    def run(self) -> tuple[str, int]:
        """Architecture and seed: the run that the variant belongs to."""
        return self.arch, self.seed

    @property
    def sparsity_percent(self) -> int:
        """Percent pruned, of what `percent_of` says; 0 for the baseline and for matched controls."""
        return Branch.of(self.branch).sparsity_percent

    @property
    def percent_of(self) -> str:
        """Unit of the percent: `weights` (conv and fc, zeroed) or `parameters` (all, removed with channels)."""
        return Branch.of(self.branch).percent_of


def names(variant: Variant) -> dict:
    """Columns `arch`, `seed` and `branch` of a variant's rows in tables."""
    return {"arch": variant.arch, "seed": variant.seed, "branch": variant.branch}
