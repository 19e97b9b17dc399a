# The study's protocol as a graph of files. One file per phase in workflow/rules/; docs/architecture.md explains.
#
#   snakemake --cores 1 --resources gpu=1                                 the study (config.yaml)
#   snakemake --cores 2 --configfile configs/demo.yaml                    the demo
#   snakemake --cores 1 results/tables/efficiency.csv                     one table
from snakemake.utils import min_version

min_version("9.0")


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/start.smk"
include: "workflow/rules/inputs.smk"
include: "workflow/rules/outputs.smk"
include: "workflow/rules/undo.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/compress.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/systems.smk"
include: "workflow/rules/deploy.smk"
include: "workflow/rules/robustness.smk"
include: "workflow/rules/protocols.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/figures.smk"


rule all:
    default_target: True
    input:
        TABLES,
        FIGURES,
        BUNDLES,
        FURTHER_WORKERS,


localrules:
    all,


# Jobs that are done keep their state, and what they replaced, until Snakemake has noted that they are.
onstart:
    begin_run()


onsuccess:
    end_run(succeeded=True)


onerror:
    end_run(succeeded=False)
