"""The same images as folder, list, Parquet and tar files have the same splits and the same packed bytes, and an
archive that is not what it should be is one error that names it."""

import gzip
import io
import json
import random
import shutil
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detector.core.errors import DetectorError
from detector.core.labels import FAKE, REAL
from detector.data import archives, manifest, packing, scanning, shards, store
from detector.data.kinds import module
from detector.data.records import Record
from detector.imaging import preprocessing
from tests.support import samples

LIMIT = 1_000_000
FORMS = ("folder", "list", "parquet", "parquet-large-groups", "tar", "tar-labels")
OPTIONS = {"list": {"list": "images.csv"}, "folder": {"groups": "p([0-9]+)[.]"}, "tar": {"groups": "p([0-9]+)[.]"}}
NAMES = ("images.npy", "images.json", "bad.csv")


def kind_of(form: str) -> str:
    return form.split("-")[0]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A tree of 60 pictures of several formats, two of which do not decode, with persons in their names."""
    root = tmp_path_factory.mktemp("pictures")
    for number in range(60):
        part = ("real", "fake", "fake/glide", "fake/dalle")[number % 4]
        suffix = ("png", "jpg", "webp")[number % 3]
        samples.write_picture(root / part / f"{number:03d}p{number % 11}.{suffix}", seed=number, size=(20, 16))
    cut = root / "real/000p0.png"
    cut.write_bytes(cut.read_bytes()[:200])
    (root / "fake/glide/002p2.webp").write_bytes(b"no picture")
    return root


def facts(root: Path) -> list[dict]:
    """What is known of each picture, in an order of its own: that of shards is not that of paths."""
    found = [
        {
            "path": path.relative_to(root).as_posix(),
            "label": path.relative_to(root).parts[0],
            "generator": path.parent.name if path.parent.name in ("glide", "dalle") else "",
            "group": path.stem.split("p")[1],
            "content": path.read_bytes(),
        }
        for path in sorted(root.rglob("*.*"))
    ]
    random.Random(0).shuffle(found)
    return found


def write_parquet(file: Path, rows: list[dict], *, row_group_size: int = 4, **columns) -> None:
    """Rows in Hugging Face's layout."""
    table = {
        "image": [{"bytes": row["content"], "path": row["path"]} for row in rows],
        **{name: [row.get(name) for row in rows] for name in ("label", "generator", "group")},
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table | columns), file, row_group_size=row_group_size)


def add(tar: tarfile.TarFile, name: str, content: bytes = b"", **more) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in more.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content))


def write_tar(file: Path, rows: list[dict], *, labels: bool = False) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for row in rows:
            add(tar, f"./{row['path']}", row["content"])
            if labels:
                said = {name: row[name] for name in ("label", "generator", "group")}
                add(tar, f"{row['path'].split('.')[0]}.json", json.dumps(said).encode())


def written(form: str, pictures: Path, root: Path) -> Path:
    """The pictures in a form, in several shards; returns its root."""
    rows = facts(pictures)
    if form == "folder":
        return pictures
    if form == "list":
        shutil.copytree(pictures, root)
        lines = [",".join(row[name] for name in ("path", "label", "generator", "group")) for row in rows]
        (root / "images.csv").write_text("\n".join(["path,label,generator,group", *lines]) + "\n")
    for number in range(3):
        part = rows[number::3]
        if kind_of(form) == "parquet":
            size = 100 if "large" in form else 4
            write_parquet(root / f"data/{number}.parquet", part, row_group_size=size)
        elif kind_of(form) == "tar":
            write_tar(root / f"{number}.tar", part, labels=form.endswith("labels"))
    return root


def scan(form: str, root: Path):
    return scanning.scan_source("mine", kind_of(form), root, OPTIONS.get(form, {}), max_pixels=LIMIT, max_bad=9)


def packed(table, root: Path, out: Path, workers: int = 1) -> list[bytes]:
    out.mkdir(exist_ok=True)
    how = preprocessing.Preprocessing(8, max_pixels=LIMIT, preprocess="random_crop")
    files = [out / name for name in NAMES]
    packing.pack(table, root, how, *files, out / "state", workers=workers, max_bad=9, meta={})
    assert not (out / "state").exists()
    return [file.read_bytes() for file in files]


@pytest.fixture(scope="module")
def of_folder(pictures, tmp_path_factory):
    """Scan, splits and packed files of the pictures as a folder."""
    table = scan("folder", pictures)
    return table, splits_of("folder", table), packed(table, pictures, tmp_path_factory.mktemp("packed") / "folder")


def splits_of(form: str, table):
    return manifest.build({"mine": table}, {}, {"mine": {"type": kind_of(form)}}, (0.6, 0.2, 0.2), 5)


@pytest.mark.parametrize("form", FORMS[1:])
def test_all_forms_give_the_same_splits_and_the_same_bytes(form, pictures, of_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "CHUNK", 7)
    monkeypatch.setattr(scanning, "SCAN_CHUNK", 11)
    root = written(form, pictures, tmp_path / "data")
    table = scan(form, root)
    expected, splits, content = of_folder
    places = ["shard", "at"]
    assert table.drop(columns=places).equals(expected.drop(columns=places))
    assert splits_of(form, table).equals(splits)
    assert set(splits.split) == {"train", "valid", "test"}
    assert splits.groupby("group").split.nunique().max() == 1
    index = [json.loads(files[1]) for files in (content, packed(table, root, tmp_path / "out"))]
    chunks = [found.pop("crc32") for found in index]
    assert [found.pop("chunk") for found in index] == [256, 7]
    assert index[0] == index[1]
    assert [len(found) for found in chunks] == [1, 9]
    assert [(tmp_path / "out" / name).read_bytes() for name in (NAMES[0], NAMES[2])] == [content[0], content[2]]
    store.verify(tmp_path / "out" / NAMES[0], tmp_path / "out" / NAMES[1])


@pytest.mark.parametrize("form", ["parquet", "tar"])
def test_packing_of_shards_resumes_and_is_the_same_with_workers(form, pictures, of_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "CHUNK", 7)
    root = written(form, pictures, tmp_path / "data")
    table = scan(form, root)
    load, loaded = preprocessing.load, []

    def counting(path, *args, **kwargs):
        loaded.append(path)
        if len(loaded) == 30:
            raise KeyboardInterrupt
        return load(path, *args, **kwargs)

    monkeypatch.setattr(packing, "load", counting)
    with pytest.raises(KeyboardInterrupt):
        packed(table, root, tmp_path / "out")
    assert packed(table, root, tmp_path / "out")[0] == of_folder[2][0]
    images = len(table) - 1  # that the scan called good
    assert images < len(loaded) <= images + 7, "finished chunks are not decoded again"
    monkeypatch.undo()
    assert packed(table, root, tmp_path / "two", workers=2) == of_folder[2]


def test_a_state_of_other_shards_is_thrown_away(pictures, of_folder, tmp_path, monkeypatch):
    """What was done is known by its place in the order of the shards."""
    monkeypatch.setattr(packing, "CHUNK", 7)
    root, load, loaded = written("tar", pictures, tmp_path / "data"), preprocessing.load, []

    def dying(path, *args, **kwargs):
        loaded.append(path)
        if len(loaded) == 30:
            raise KeyboardInterrupt
        return load(path, *args, **kwargs)

    table = scan("tar", root)
    with monkeypatch.context() as patch:
        patch.setattr(packing, "load", dying)
        with pytest.raises(KeyboardInterrupt):
            packed(table, root, tmp_path / "out")
    for number in range(3):
        write_tar(root / f"{number}.tar", facts(pictures)[::-1][number::3])
    assert packed(scan("tar", root), root, tmp_path / "out")[0] == of_folder[2][0]


# --- Parquet --------------------------------------------------------------------------------------

ROW = {"path": "a.png", "label": "real", "content": b"x"}


def test_parquet_maps_columns_and_values_and_takes_splits_from_names(tmp_path):
    image = [b"1", b"2", b"3"]
    for name, kind in (("train-00000-of-00001", ["camera", "glide", "dalle"]), ("test-00000", ["glide"] * 3)):
        table = {"img": image, "kind": kind, "file": [f"{name}/{k}{i}.png" for i, k in enumerate(kind)]}
        pq.write_table(pa.table(table), tmp_path / f"{name}.parquet")
    options = {
        "columns": {"image": "img", "label": "kind", "generator": "kind", "path": "file"},
        "labels": {"real": ["camera"], "fake": ["glide", "dalle"]},
    }
    records = module("parquet").scan(tmp_path, options)
    assert [(r.path, r.label, r.generator, r.official) for r in records] == [
        *((f"test-00000/glide{i}.png", FAKE, "glide", "test") for i in range(3)),
        ("train-00000-of-00001/camera0.png", REAL, "", "train"),
        ("train-00000-of-00001/dalle2.png", FAKE, "dalle", "train"),
        ("train-00000-of-00001/glide1.png", FAKE, "glide", "train"),
    ]
    last = records[-1]
    assert shards.content(tmp_path, last.path, last.shard, last.at).read() == b"2"


@pytest.mark.parametrize("path", [None, "given"])
def test_parquet_without_names_is_called_by_file_and_row(tmp_path, path):
    rows = [ROW | {"path": path and "same.png"}] * 3
    write_parquet(tmp_path / "x.parquet", rows)
    records = module("parquet").scan(tmp_path, {"columns": {"path": None}} if path else {})
    assert [(record.path, record.at) for record in records] == [(f"x/{row:07d}", row) for row in range(3)]


def test_parquet_reads_the_names_of_numbers(tmp_path):
    features = {"label": {"names": ["fake", "real"], "_type": "ClassLabel"}}
    table = pa.table({"image": [b"1", b"2"], "label": [1, 0]})
    described = json.dumps({"info": {"features": features}})
    pq.write_table(table.replace_schema_metadata({"huggingface": described}), tmp_path / "a.parquet")
    assert [record.label for record in module("parquet").scan(tmp_path, {})] == [REAL, FAKE]


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        ([ROW, ROW], {}, "row 1: the path a.png is there twice.*or null to call images by their file and row"),
        ([ROW | {"path": "../a.png"}], {}, r"row 0: \.\./a.png leads out of the data set"),
        ([ROW | {"path": "/a.png"}], {}, "row 0: /a.png leads out of the data set"),
        ([ROW | {"path": "x/.a.png"}], {}, r"row 0: x/\.a.png: \.a.png is hidden"),
        ([ROW | {"path": "a.exe"}], {}, "row 0: found a.exe, expected a path that ends in"),
        ([ROW, ROW | {"path": None}], {}, "row 1: the path is empty"),
        ([ROW | {"label": "1"}], {}, r"row 0: found label '1'.*labels: \{real"),
        (
            [ROW | {"label": "2"}],
            {"labels": {"real": [0], "fake": [1]}},
            "row 0: found label '2', expected one of 0, 1",
        ),
        (
            [ROW],
            {"columns": {"image": "img"}},
            "found the columns image, label.*expected img; say what they are called",
        ),
        ([ROW], {"columns": {"generator": "maker"}}, "expected maker; say what they are called"),
        ([], {}, "found no row in 1 file"),
    ],
)
def test_a_parquet_row_that_is_wrong_is_named(tmp_path, rows, options, words):
    write_parquet(tmp_path / "a.parquet", rows or [ROW])
    if not rows:
        pq.write_table(pq.read_table(tmp_path / "a.parquet").slice(1), tmp_path / "a.parquet")
    with pytest.raises(DetectorError, match=f"(?s){words}"):
        module("parquet").scan(tmp_path, options)


def test_what_is_no_parquet_or_not_alone_is_named(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no table")
    with pytest.raises(DetectorError, match="a.parquet: it cannot be read as Parquet"):
        module("parquet").scan(tmp_path, {})
    (tmp_path / "b.zip").touch()
    with pytest.raises(DetectorError, match="not .parquet; move them away:\n  b.zip"):
        module("parquet").scan(tmp_path, {})


def test_a_parquet_bomb_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "SMALL", 1 << 20)
    table = pa.table({"image": [bytes(1 << 21)] * 4, "label": ["real"] * 4})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd")
    with pytest.raises(DetectorError, match="a.parquet: row group 0 of column image grows from .* bomb"):
        module("parquet").scan(tmp_path, {})


def test_an_image_that_is_not_in_the_table_or_too_large_is_bad(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "MAX_BYTES", 100)
    rows = [ROW | {"path": "none.png", "content": None}, ROW | {"path": "large.png", "content": bytes(101)}]
    write_parquet(tmp_path / "a.parquet", rows)
    table = scan("parquet", tmp_path)
    assert table.error.tolist() == [
        "101 bytes in a shard are more than 100; store it as a file of its own",
        "no bytes in the table, which must hold the image itself",
    ]


def test_rows_of_a_large_group_are_read_once(pictures, tmp_path, monkeypatch):
    """Else of a file written in one group each chunk would read all that comes before it."""
    monkeypatch.setattr(packing, "CHUNK", 7)
    root = written("parquet-large-groups", pictures, tmp_path / "data")
    table = scan("parquet", root)
    batches, read = archives.batches, []

    def counting(*args, **kwargs):
        for batch in batches(*args, **kwargs):
            read.append(len(batch))
            yield batch

    shards._open.clear()
    monkeypatch.setattr(archives, "batches", counting)
    packed(table, root, tmp_path / "out")
    assert sum(read) == 60


# --- tar ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("a.cls", "1\n", {"labels": {"real": [0], "fake": [1]}}),
        ("a.cls", "fake", {}),
        ("a.txt", "ai", {}),
        ("a.json", '{"label": "fake", "width": 3}', {}),
        (
            "a.json",
            '{"is_fake": true}',
            {"columns": {"label": "is_fake"}, "labels": {"real": [False], "fake": [True]}},
        ),
    ],
)
def test_tar_takes_the_label_beside_an_image(tmp_path, name, text, options):
    with tarfile.open(tmp_path / "test-000.tar", "w") as tar:
        add(tar, "x", type=tarfile.DIRTYPE)
        add(tar, f"x/{name}", text.encode())
        add(tar, "x/a.png", b"123")
        add(tar, "x/._a.png", b"clutter")
        add(tar, "README.md", b"a note")
    (record,) = module("tar").scan(tmp_path, options)
    assert (record.path, record.label, record.generator, record.official) == ("x/a.png", FAKE, "unknown", "test")
    assert shards.content(tmp_path, record.path, record.shard, record.at).read() == b"123"


def test_a_caption_does_not_say_the_label_where_folders_do(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for part in ("real", "fake/glide"):
            add(tar, f"{part}/1.png", b"1")
            add(tar, f"{part}/1.txt", b"a cat on a mat")
    assert [(r.path, r.generator) for r in module("tar").scan(tmp_path, {})] == [
        ("fake/glide/1.png", "glide"),
        ("real/1.png", ""),
    ]


def hostile(name: str, **more):
    def write(tar):
        add(tar, "real/good.png", b"1")
        add(tar, name, b"2" if more.get("type", tarfile.REGTYPE) == tarfile.REGTYPE else b"", **more)

    return write


def twice(tar):
    for _ in range(2):
        add(tar, "real/a.png", b"1")


def masks(tar):
    add(tar, "1.png", b"1")
    add(tar, "1.mask.png", b"1")
    add(tar, "1.cls", b"real")


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (hostile("/etc/x.png"), "/etc/x.png leads out of the archive"),
        (hostile("real/../../x.png"), r"real/\.\./\.\./x.png leads out of the archive"),
        (hostile("..\\x.png"), "leads out of the archive"),
        (
            hostile("real/x.png", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
            "real/x.png is a link, expected files",
        ),
        (hostile("real/x.png", type=tarfile.LNKTYPE, linkname="real/good.png"), "real/x.png is a hard link"),
        (hostile("real/x.png", type=tarfile.CHRTYPE), "real/x.png is a device"),
        (hostile("real/x.png", type=tarfile.BLKTYPE), "real/x.png is a device"),
        (hostile("real/x.png", type=tarfile.FIFOTYPE), "real/x.png is a named pipe"),
        (hostile("real/x.png", type=tarfile.GNUTYPE_SPARSE), "a.tar: "),
        (
            hostile("real/x.png", pax_headers={"GNU.sparse.size": "99999999999", "GNU.sparse.map": "0,1"}),
            "sparse file",
        ),
        (hostile("real/x.png", pax_headers={"size": "1"}), "real/x.png is .*, expected files and folders alone"),
        (hostile("real/x.png", pax_headers={"comment": "x" * 100_000}), "a header of 100,0"),
        (hostile("real/" + "y" * 70_000 + ".png"), "a header of 70,0"),
        (hostile("real/caf\udce9.png"), r"found the path real/caf\\xe9.png, expected UTF-8"),
        (hostile("real/x.exe"), "found real/x.exe, expected a path that ends in"),
        (hostile("real/x.json"), "real/x.json: found what is no text .*expected a JSON object"),
        (hostile("elsewhere/x.png"), "cannot place elsewhere/"),
        (twice, "real/a.png is there twice, expected each name once"),
        (masks, "1.*png is one of 2 images called 1, expected one beside its label"),
    ],
)
def test_a_hostile_archive_is_one_error_that_names_what_is_in_it(tmp_path, write, words):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        write(tar)
    with pytest.raises(DetectorError, match=words) as caught:
        module("tar").scan(tmp_path, {})
    assert "\udce9" not in str(caught.value)


def test_a_name_in_two_archives_is_refused(tmp_path):
    for number in range(2):
        with tarfile.open(tmp_path / f"{number}.tar", "w") as tar:
            add(tar, "real/a.png", b"1")
    with pytest.raises(DetectorError, match=r"1\.tar: real/a.png is in .*0\.tar too"):
        module("tar").scan(tmp_path, {})


def damaged_header(content: bytearray) -> bytes:
    content[1024 + 10] ^= 255  # of the second member
    return bytes(content)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: bytes(content[: 1024 + 512 + 100]), "real/b.png is cut off by the end of the archive"),
        (lambda content: bytes(content[:1024]), "no header and no end at byte 1,024"),
        (damaged_header, "no header and no end at byte 1,024"),
        (lambda content: gzip.compress(bytes(content)), "expected an uncompressed tar archive"),
        (lambda content: b"", "expected an uncompressed tar archive"),
    ],
)
def test_a_damaged_archive_is_no_shorter_one(tmp_path, damage, words):
    """tarfile takes a header that it does not understand for the end, and says nothing of what is lost."""
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "real/a.png", b"1" * 512)
        add(tar, "real/b.png", b"2" * 512)
    file = tmp_path / "a.tar"
    file.write_bytes(damage(bytearray(file.read_bytes())))
    with pytest.raises(DetectorError, match=f"a.tar: .*{words}"):
        module("tar").scan(tmp_path, {})


def test_nested_headers_end_in_an_error(tmp_path):
    """tarfile calls itself for each."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1
    block = header.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")
    (tmp_path / "a.tar").write_bytes(block * 2_000)
    with pytest.raises(DetectorError, match="a.tar: found .*recursion.*, expected an uncompressed tar"):
        module("tar").scan(tmp_path, {})


def test_a_size_below_zero_is_refused(tmp_path):
    """It would lead back to a header that was read before, and round for ever."""
    header = bytearray(tarfile.TarInfo("real/a.png").tobuf())
    header[124:136] = b"\xff" * 10 + b"\xfe\x00"  # -512, to the base of 256
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "a.tar").write_bytes(bytes(header) * 2)
    with pytest.raises(DetectorError, match="a.tar: found a header of -512 bytes"):
        module("tar").scan(tmp_path, {})


@pytest.mark.parametrize("form", ["parquet", "tar"])
def test_shards_that_changed_after_the_scan_are_named(form, pictures, tmp_path):
    root = written(form, pictures, tmp_path / "data")
    table = scan(form, root)
    for file in root.rglob(f"0.{form}"):
        file.unlink()
        if form == "tar":
            file.write_bytes(bytes(100_000))
    with pytest.raises(DetectorError, match=rf"0\.{form}: found no image at .*it was changed since the scan"):
        packed(table, root, tmp_path / "out")


def test_a_link_in_the_root_must_not_lead_out(tmp_path):
    with tarfile.open(tmp_path / "out.tar", "w") as tar:
        add(tar, "real/a.png", b"1")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.tar").symlink_to(tmp_path / "out.tar")
    with pytest.raises(DetectorError, match="a.tar: leads out of the data set"):
        module("tar").scan(tmp_path / "data", {})


def test_groups_of_shards_are_those_of_folders(tmp_path):
    names = ["real/p1/a.png", "real/b.png", "fake/g/c.png", "fake/g/p1/d.png"]
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in names:
            add(tar, name, b"1")
    records = module("tar").scan(tmp_path, {"groups": "parent"})
    assert {record.path: record.group for record in records} == dict(zip(names, ["p1", "", "", "p1"], strict=True))


def test_records_of_files_have_no_shard():
    assert (Record("a", REAL).shard, Record("a", REAL).at) == ("", 0)
    assert shards.content(Path(), "a", "", 0) is None
