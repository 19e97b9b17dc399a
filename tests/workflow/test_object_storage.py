"""A data set in object storage gives what the same files in a folder give, and is copied again when it changes."""

import os

import pytest
from moto.server import ThreadedMotoServer

from tests.support.workspace import TINY, Workspace

pytestmark = pytest.mark.long
BUCKET, FOLDER = "pictures", "sets/synthbuster"
FETCHED = "results/tiny/data/synthbuster/fetched.json"
SCAN, PIXELS = "results/tiny/data/synthbuster/scan.parquet", "results/tiny/data/synthbuster/images.npy"


@pytest.fixture
def bucket(monkeypatch):
    """A bucket of a storage on this machine; jobs of Snakemake know where it is."""
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    address, port = server.get_host_and_port()
    for name, value in (
        ("ENDPOINT_URL", f"http://{address}:{port}"),
        *(("ACCESS_KEY", "someone"), ("SECRET_KEY", "something")),
    ):
        monkeypatch.setenv(f"SNAKEMAKE_STORAGE_S3_{name}", value)
    import boto3

    found = boto3.resource(
        "s3",
        endpoint_url=f"http://{address}:{port}",
        region_name="us-east-1",
        aws_access_key_id="someone",
        aws_secret_access_key="something",
    ).Bucket(BUCKET)
    found.create()
    yield found
    server.stop()


def rows(workspace):
    return {name: (workspace.folder / name).read_bytes() for name in (SCAN, PIXELS)}


def test_a_root_in_object_storage_is_its_files(bucket, tmp_path):
    workspace = Workspace(tmp_path / "here")
    local = workspace.folder / "data/synthbuster"
    done = workspace.snakemake(PIXELS)
    assert done.returncode == 0, done.stdout
    of_files = rows(workspace)
    pictures = sorted(path for path in local.rglob("*") if path.is_file())
    for path in pictures:
        bucket.upload_file(os.fspath(path), f"{FOLDER}/{path.relative_to(local)}")
    bucket.put_object(Key="sets/synthbuster-2/other.png", Body=b"of another data set")

    away = Workspace(tmp_path / "away")
    source = TINY["data"]["sources"]["synthbuster"] | {"root": f"s3://{BUCKET}/{FOLDER}/"}
    sources = TINY["data"]["sources"] | {"synthbuster": source}
    away.configure(TINY | {"data": TINY["data"] | {"sources": sources}})
    done = away.snakemake(PIXELS)
    assert done.returncode == 0, done.stdout
    assert rows(away) == of_files
    assert "Nothing to be done" in away.snakemake("--dry-run", PIXELS).stdout
    assert not list((away.folder / ".snakemake/storage").rglob("*.png")), "one copy is enough"

    bucket.Object(f"{FOLDER}/{pictures[0].relative_to(local)}").delete()
    bucket.upload_file(os.fspath(pictures[1]), f"{FOLDER}/{pictures[2].relative_to(local)}")
    pictures[0].unlink()
    pictures[2].write_bytes(pictures[1].read_bytes())
    for here in (workspace, away):
        done = here.snakemake(PIXELS)
        assert done.returncode == 0, done.stdout
    assert rows(away) == rows(workspace) != of_files

    half = away.folder / f".snakemake/storage/s3/{BUCKET}/{FOLDER}"
    half.mkdir(parents=True)
    (half / "half.png").write_bytes(b"of a run that was killed")
    (away.folder / FETCHED).unlink()
    refused = away.snakemake(FETCHED)
    assert refused.returncode != 0
    assert "this copy is not what the storage holds, and was removed; run again" in refused.stdout
    done = away.snakemake(FETCHED, PIXELS)
    assert done.returncode == 0, done.stdout
    assert rows(away) == rows(workspace)


def test_what_is_not_there_is_one_error_before_anything_starts(bucket, tmp_path, monkeypatch):
    workspace = Workspace(tmp_path / "here")
    source = TINY["data"]["sources"]["synthbuster"] | {"root": f"s3://{BUCKET}/nothing"}
    sources = TINY["data"]["sources"] | {"synthbuster": source}
    workspace.configure(TINY | {"data": TINY["data"] | {"sources": sources}})
    said = workspace.snakemake("--dry-run").stdout
    assert f"nothing was started: s3://{BUCKET}/nothing: found nothing there" in said
    bucket.put_object(Key="nothing/../../../outside.png", Body=b"where it must not lie")
    said = workspace.snakemake("--dry-run").stdout
    assert "found keys that are no paths below it" in said
    assert "../../../outside.png" in said


def test_generators_of_a_root_that_was_never_copied_are_not_guessed(bucket, tmp_path):
    workspace = Workspace(tmp_path / "here")
    source = TINY["data"]["sources"]["synthbuster"] | {"root": f"s3://{BUCKET}/{FOLDER}"}
    sources = TINY["data"]["sources"] | {"synthbuster": source}
    workspace.configure(
        TINY | {"protocol": "leave_one_generator_out", "data": TINY["data"] | {"sources": sources}}
    )
    bucket.put_object(Key=f"{FOLDER}/glide/r000.png", Body=b"a picture")
    said = workspace.snakemake("--dry-run").stdout
    assert "protocol: the generators of synthbuster are listed in the copy of s3://pictures/sets/synth" in said
    assert f"snakemake --cores 1 {FETCHED}" in said
