"""Draw the rule graph as Snakemake lists it (the study's Fig 4)."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from detector.core import job
from detector.core.errors import DetectorError
from detector.figures import rules

TARGET = "all"  # every result leads there: its arrows would say nothing


def main(args: argparse.Namespace) -> None:
    nodes, edges = rules.parse_dot(asked(args.snakefile, args.config))
    target = {node for node, name in nodes.items() if name == TARGET}
    nodes = {node: name for node, name in nodes.items() if node not in target}
    edges = [edge for edge in edges if not target & set(edge)]
    rules.rule_graph(args.output, nodes, edges)


def asked(snakefile: Path, config: str) -> str:
    """The graph in dot, asked of a second Snakemake: the one that runs this job holds the lock meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        configfile = Path(folder, "config.json")
        configfile.write_text(config)
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile)]
        command += ["--configfile", str(configfile), "--rulegraph", "dot", "--nolock"]
        command += ["--profile", "none", "--workflow-profile", "none"]  # a cluster's has no say in a drawing
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise DetectorError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--snakefile", type=Path, required=True, help="the workflow to draw")
    parser.add_argument("--config", required=True, metavar="JSON", help="its configuration, as a JSON object")
    parser.add_argument("--output", type=Path, required=True, help="figure to write (.svg)")
    job.run(main, parser)
