"""Variants: trained networks by architecture, seed and branch, and the grammar of branch names."""

from dataclasses import dataclass
from pathlib import Path

from detector.experiment import methods

BASELINE, DENSE_CONTROL, VALID, COMBINED = "baseline", "l1-00", "valid", "combined"
MATCHED = (
    "matched-"  # and the percent of the branch whose optimizer and learning rate a control was fine-tuned with
)


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

    def __str__(self) -> str:
        return f"{self.arch}, seed {self.seed}, {self.branch}"

    @property
    def run(self) -> tuple[str, int]:
        """Architecture and seed: the run that the variant belongs to."""
        return self.arch, self.seed

    @property
    def sparsity_percent(self) -> int:
        """Percent pruned, of what `percent_of` says; 0 for the baseline and for matched controls."""
        if self.branch == BASELINE or self.branch.startswith(MATCHED):
            return 0  # the percent in a matched control's name is that of the branch it is matched with
        return int(self.branch.rsplit("-", 1)[1])

    @property
    def percent_of(self) -> str:
        """Unit of the percent: `weights` (conv and fc, zeroed) or `parameters` (all, removed with channels)."""
        if self.branch == BASELINE or self.branch.startswith(MATCHED):
            return "weights"
        return methods.facts(self.branch.rpartition("-")[0]).PERCENT_OF


def names(variant: Variant) -> dict:
    """Columns `arch`, `seed` and `branch` of a variant's rows in tables."""
    return {"arch": variant.arch, "seed": variant.seed, "branch": variant.branch}
