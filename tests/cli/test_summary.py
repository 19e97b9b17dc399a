"""`detector summary` prints the tables that exist, and the progress of an unfinished run."""

import numpy as np
import pandas as pd
import pytest

from detector.cli import summary
from detector.core import job, locks
from detector.core.errors import DetectorError
from detector.core.files import finish_state, write_json


@pytest.fixture
def begun(tmp_path):
    """A run in the middle: one source packed and one scanned, a baseline, a search through, another at work."""
    results = tmp_path / "mine"
    for name in ("faces", "others"):
        (results / "data" / name).mkdir(parents=True)
        (results / "data" / name / "scan.parquet").touch()
    np.save(results / "data/faces/images.npy", np.zeros(1))
    write_json(results / "data/faces/images.json", {"shape": [1234, 32, 32, 3]})
    (results / "data/splits.parquet").touch()
    run = results / "runs/resnet18/seed10"
    write_json(run / "baseline/meta.json", {"epochs": 12, "valid_accuracy": 0.91234})
    write_json(results / "runs/waves/seed10/baseline/meta.json", {"valid_accuracy": 0.75})
    (run / "baseline/predictions").mkdir()
    (run / "baseline/predictions/valid.parquet").touch()
    write_json(run / "l1-00/hpo/best.json", {"trials": 5})
    (run / "l1-40/hpo").mkdir(parents=True)
    logs = {
        "baseline-resnet18-seed10": "10:00:00 INFO baseline resnet18 seed 10: epoch 12/12  loss 0.1\n",
        "search-resnet18-seed10-l1-40": "10:00:01 INFO cpu on 1 threads\n"
        "10:00:02 INFO search l1-40 seed 10: trial 3/5  {}\n"
        "10:00:03 INFO search l1-40 seed 10 trial 3: epoch 7/10  loss 0.6  accuracy 0.6\n"
        "10:00:04 WARNING something else\n",
        "search-resnet18-seed10-l1-40-worker1": "10:00:02 INFO search l1-40 seed 10: trial 4/5  {}\n",
        "search-resnet18-seed10-l1-400": "10:00:02 INFO of another job: trial 1/5\n",
        "pack-others": "10:00:05 INFO pack others: 512 of 4096 files, 80 files/s\n",
    }
    for name, text in logs.items():
        (results / "logs" / f"{name}.log").parent.mkdir(exist_ok=True)
        (results / "logs" / f"{name}.log").write_text(text)
    finish_state(results / "state/baseline-resnet18-seed10", "key")
    (results / "state/search-resnet18-seed10-l1-40/key").mkdir(parents=True)
    (results / "state/pack-others").mkdir()
    return results


def test_a_run_that_is_not_finished_says_how_far_it_is(begun):
    with locks.held(job.lock_of(begun / "state/search-resnet18-seed10-l1-40", 0)):
        said = summary.text(begun).splitlines()
    assert said == [
        "not finished yet",
        "  faces: scanned, packed (1,234 images of 32 px)",
        "  others: scanned",
        "  all sources: split",
        "  resnet18 seed 10 baseline: trained (12 epochs, validation accuracy 0.9123), tested",
        "  resnet18 seed 10 l1-00: searched (5 trials)",
        "  waves seed 10 baseline: fitted (a system, validation accuracy 0.7500)",
        "under way",
        "  stopped: pack others: 512 of 4096 files, 80 files/s",
        "  at work: search l1-40 seed 10 trial 3: epoch 7/10  loss 0.6  accuracy 0.6; "
        "search l1-40 seed 10: trial 4/5  {}",
        "what is left, and why: snakemake -n, with the --configfile that it was started with",
    ]


def test_a_search_that_all_branches_share_is_told(begun):
    write_json(begun / "runs/resnet18/seed10/hpo/best.json", {"trials": 7})
    said = summary.text(begun).splitlines()
    assert said[5:7] == [
        "  resnet18 seed 10 all branches: searched (7 trials)",
        "  resnet18 seed 10 l1-00: searched (5 trials)",
    ]


def test_counts_are_whole_numbers_also_beside_systems_which_have_none(begun):
    columns = "arch,seed,branch,nonzero_weights,file_mib,latency_ms_median\n"
    rows = "resnet18,0,baseline,11169152,42.7,3.1\nwaves,0,baseline,,0.1,0.2\n"
    (begun / "tables").mkdir()
    (begun / "tables/efficiency.csv").write_text(columns + rows)
    said = [line.split() for line in summary.text(begun).splitlines()]
    assert ["resnet18", "0", "baseline", "11169152", "42.7000", "3.1000"] in said
    assert ["waves", "0", "baseline", "0.1000", "0.2000"] in said


def test_networks_of_a_protocol_and_their_jobs_are_told_apart_from_the_plain_run_s(begun):
    write_json(
        begun / "protocols/gan/runs/resnet18/seed10/baseline/meta.json", {"epochs": 3, "valid_accuracy": 0.5}
    )
    job_of = "protocols/glide/baseline-resnet18-seed10"
    (begun / "state" / job_of / "key").mkdir(parents=True)
    (begun / f"logs/{job_of}.log").parent.mkdir(parents=True)
    (begun / f"logs/{job_of}.log").write_text("10:00:00 INFO baseline resnet18 seed 10: epoch 2/12  loss 0.1\n")
    finish_state(begun / "state/protocols/gan/baseline-resnet18-seed10", "key")
    with locks.held(job.lock_of(begun / "state" / job_of)):
        said = summary.text(begun).splitlines()
    assert "  protocols/gan: resnet18 seed 10 baseline: trained (3 epochs, validation accuracy 0.5000)" in said
    assert "  at work: protocols/glide: baseline resnet18 seed 10: epoch 2/12  loss 0.1" in said
    assert sum("protocols" in line for line in said) == 2


def test_a_job_that_has_said_nothing_yet_is_named(begun):
    (begun / "logs/pack-others.log").write_text("")
    (begun / "state/pack-others").rmdir()
    with locks.held(job.lock_of(begun / "state/pack-others")):
        assert "  at work: pack-others" in summary.text(begun).splitlines()


def test_what_there_is_of_the_tables_comes_first(begun):
    table = {"source": ["faces"], "split": ["train"], "real": [3], "fake": [4], "total": [7]}
    (begun / "tables").mkdir()
    pd.DataFrame(table).to_csv(begun / "tables/dataset_composition.csv", index=False)
    said = summary.text(begun)
    assert said.startswith("dataset_composition\n")
    assert "\n\nnot finished yet\n" in said


def test_a_folder_without_a_run_is_an_error(tmp_path):
    (tmp_path / "logs").mkdir()
    with pytest.raises(DetectorError, match=r"found no results in it, .* run the pipeline first"):
        summary.text(tmp_path)
