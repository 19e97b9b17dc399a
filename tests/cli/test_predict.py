"""`detector predict` takes files, folders, patterns and lists, prints one complete row for each in order, even
after Ctrl-C, and starts at once. `detector doctor` reports and never fails."""

import ast
import csv
import fcntl
import importlib.metadata
import io
import json
import os
import pty
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from detector.cli import doctor, predict
from detector.data.sources import cifake
from detector.imaging.looks import Looks
from detector.imaging.preprocessing import Preprocessing
from detector.predict import bundles, explanation
from detector.predict.model import Model
from tests.export.test_card import BAND
from tests.predict.test_model import brightness, grey
from tests.support import ROOT, samples


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return brightness(tmp_path_factory.mktemp("asked") / "results/mine/runs/r/seed0/l1-40/bundle")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Sure fakes and unsure ones, a bad file, a hidden one, a folder in a folder, and what is no image."""
    folder = tmp_path_factory.mktemp("pictures")
    for level in (0, 40, 200):
        grey(folder, level)
    grey(folder / "b", 10)
    grey(folder / ".hidden", 10)
    (folder / ".thumb.png").write_bytes((folder / "000.png").read_bytes())
    (folder / "bad.jpg").write_text("no picture")
    (folder / "notes.txt").write_text("no picture either")
    return folder


# Modules that read files which people have, beside those of `data/sources`.
READERS = (
    *("cli/predict", "imaging/decoding", "imaging/headers", "imaging/preprocessing", "imaging/video"),
    *("predict/model", "predict/bundles", "export/runtimes", "models/sparse", "serve/app", "serve/uploads"),
)
ORDER = ["000.png", "040.png", "200.png", "bad.jpg", "b/010.png"]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "detector.cli.main", *map(str, arguments)]


def ask(*arguments: object, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess:
    return subprocess.run(command("predict", *arguments), cwd=cwd, input=stdin, capture_output=True, text=True)


def test_a_folder_in_each_form(bundle, pictures):
    """The same facts in all of them; and 1, as one file is bad."""
    done = {form: ask(".", "--model", bundle, "--format", form, cwd=pictures) for form in predict.WRITERS}
    assert {d.returncode for d in done.values()} == {1}
    rows = json.loads(done["json"].stdout)
    assert [row["path"] for row in rows] == [f"./{name}" for name in ORDER]
    assert [row["verdict"] for row in rows] == ["fake", "fake", "unsure", None, "fake"]
    assert list(rows[0]) == list(predict.COLUMNS)
    told = Model.open(bundle).judge(pictures / "040.png")
    assert rows[1]["logit"] == pytest.approx(told.logit, abs=1e-4)
    assert rows[1]["probability_fake"] == pytest.approx(told.probability_fake, abs=1e-5)
    assert {row["model"] for row in rows} == {"resnet18 l1-40 seed 3, fp32"}
    assert rows[3]["error"].startswith("no image that can be read, expected JPEG, PNG, ")

    table = list(csv.DictReader(io.StringIO(done["csv"].stdout)))
    assert [{k: v or None for k, v in row.items()} for row in table] == [
        {k: None if v in (None, "") else str(v) for k, v in row.items()} for row in rows
    ]
    lines = done["table"].stdout.splitlines()
    assert lines[0] == "model: resnet18 l1-40 seed 3, fp32"
    assert [line.split()[0] for line in lines[2:]] == ["fake", "fake", "unsure", "error", "fake"]
    assert re.fullmatch(r"fake       1\.000  \./000\.png", lines[2])
    assert "(too close a call; rather real)" in lines[4]
    assert "no image that can be read" in lines[5]
    for errors in (d.stderr for d in done.values()):
        assert "5 images (3 fake, 1 unsure, 1 bad)" in errors


def test_paths_patterns_and_lists_give_the_same_rows(bundle, pictures):
    rows = ask("000.png", "b", "--model", bundle, "--format", "csv", cwd=pictures)
    assert rows.returncode == 0
    assert rows.stdout.count("\n") == 3
    for given, stdin in ((["0[0]0.png", "b/*"], ""), (["-"], "000.png\nb\n"), (["000.png", "-"], "b/010.png\n")):
        done = ask(*given, "--model", bundle, "--format", "csv", cwd=pictures, stdin=stdin)
        assert (done.returncode, done.stdout) == (0, rows.stdout)
    assert list(predict.images_of([str(pictures / "**")])) == sorted(
        str(pictures / name) for name in ("000.png", "040.png", "200.png", "bad.jpg", "b/010.png", "notes.txt")
    ), "a pattern gives what it matches"


def test_what_is_not_there_is_a_row_too(bundle, pictures):
    done = ask("gone.png", "none*.png", "000.png", "--model", bundle, "--format", "csv", cwd=pictures)
    assert done.returncode == 1
    assert [line.split(",")[0] for line in done.stdout.splitlines()[1:]] == ["gone.png", "none*.png", "000.png"]
    assert done.stdout.count("no such file") == 2


def test_a_name_cannot_move_the_cursor_and_need_not_be_text(bundle, tmp_path):
    for name in (b"a\x1b[2J.png", b"b\xff.png", b"c\n.png"):
        shutil.copy(grey(tmp_path / "in", 0), os.path.join(os.fsencode(tmp_path), name))
    shutil.rmtree(tmp_path / "in")
    done = {}
    for form in predict.WRITERS:
        arguments = command("predict", ".", "--model", bundle, "--format", form)
        environment = {**os.environ, "PYTHONUTF8": "1"}
        result = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True)
        assert result.returncode == 0, result.stderr
        done[form] = result.stdout
    assert b"\x1b" not in done["table"]
    assert done["table"].count(b"\n") == 5
    names = [os.fsencode(row["path"]) for row in json.loads(done["json"])]
    assert names == [b"./a\x1b[2J.png", b"./b\xff.png", b"./c\n.png"]
    assert b"b\xff.png" in done["csv"]


def test_the_newest_bundle_is_taken_and_named(bundle, pictures, tmp_path):
    for age, name in ((100, "old"), (10, "new"), (50, "other")):
        copy = shutil.copytree(bundle, tmp_path / f"results/{name}/runs/r/seed0/b/bundle")
        when = bundles.time_of(copy) - age
        os.utime(copy / bundles.SUMS, (when, when))
    half = brightness(tmp_path / "results/half/runs/r/seed0/b/bundle")
    (half / bundles.SUMS).unlink()  # being made
    (tmp_path / "disk").mkdir()
    (tmp_path / "results/new").rename(tmp_path / "disk/new")
    (tmp_path / "results/new").symlink_to(tmp_path / "disk/new")
    done = ask(pictures / "000.png", cwd=tmp_path)
    assert done.returncode == 0
    assert "the newest bundle below results: results/new/runs/r/seed0/b/bundle" in done.stderr
    assert done.stdout.startswith("model: ")


def test_it_says_its_version():
    done = subprocess.run([sys.executable, "-m", "detector.cli.main", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"detector {importlib.metadata.version('detector')}\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["x.png"], "results: found no bundle below it"),
        (["x.png", "--model", "."], "found no such file, expected a bundle"),
        (["x.png", "--batch", "0"], "expected a whole number from 1 on, found '0'"),
        (["x.png", "--format", "xml"], "invalid choice: 'xml'"),
        ([], "required: PATH"),
    ],
)
def test_wrong_use_is_2_and_says_what_to_do(arguments, words, tmp_path):
    done = ask(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_without_images_is_2(bundle, tmp_path):
    done = ask(tmp_path, "--model", bundle, cwd=tmp_path)
    assert done.returncode == 2
    assert "found no image, expected files that end in .avi" in done.stderr


@pytest.mark.parametrize("form", predict.WRITERS)
def test_an_empty_list_is_2_too_and_no_half_answer(bundle, tmp_path, form):
    done = ask("-", "--model", bundle, "--format", form, cwd=tmp_path, stdin="\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert "-: found no image" in done.stderr


def test_what_is_left_out_below_a_folder_is_said(bundle, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    grey(tmp_path / "photos/b", 10)
    grey(tmp_path / "elsewhere", 10)
    (tmp_path / "photos/link").symlink_to("../elsewhere")
    (tmp_path / "photos/.hidden").mkdir()
    for name in ("IMG_1.RAW1", "IMG_2.raw1", "notes", ".hidden.raw1", ".hidden/x.raw1", "b/c.x\x1b"):
        (tmp_path / "photos" / name).touch()
    said = "left out: files that are no image or video by name (2 .raw1, 1 without an ending, 1 .x\\x1b), "
    said += "1 × a linked folder, judged where it is named"
    for given, stdin in (("photos", ""), ("pho*s", ""), ("-", "photos\n")):
        done = ask(given, "--model", bundle, "--format", "csv", cwd=tmp_path, stdin=stdin)
        assert done.returncode == 0
        assert done.stdout.count("\n") == 2
        assert said in done.stderr
    (tmp_path / "photos/b/010.png").unlink()
    done = ask("photos", "--model", bundle, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    scan = os.scandir

    def closed(folder):
        if folder.endswith("elsewhere"):
            raise PermissionError(13, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr(predict.os, "scandir", closed)  # as root, no folder is closed
    left = predict.Counter()
    assert list(predict.images_of([str(tmp_path)], left=left)) == []
    assert left[predict.CLOSED] == 1


def test_folders_a_thousand_deep_are_looked_into(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(1200):
        os.mkdir("d")
        os.chdir("d")
    Path("a.png").touch()
    os.chdir(tmp_path)
    try:
        assert list(predict.images_of(["d"])) == ["d/" * 1200 + "a.png"]
    finally:
        subprocess.run(["rm", "-r", "d"], check=True)  # pytest's own clean-up calls itself for each folder


def streams(bundle, redirections: str, *arguments: str, cwd: Path, **environment: str):
    line = f"exec {' '.join(command('predict', '--model', bundle, *arguments))} {redirections}"
    return subprocess.run(
        ["bash", "-c", line], cwd=cwd, env={**os.environ, **environment}, capture_output=True, timeout=60
    )


@pytest.mark.parametrize(
    ("path", "redirections", "words"),
    [
        ("-", "<&-", "-: standard input is closed"),
        ("-", "0> /dev/null", "-: standard input cannot be read"),
        ("000.png", ">&-", "standard output is closed"),
        ("000.png", "> /dev/full", "standard output: No space left on device"),
    ],
)
def test_a_stream_that_cannot_be_used_is_one_line_and_2(bundle, pictures, path, redirections, words):
    done = streams(bundle, redirections, path, cwd=pictures)
    assert done.returncode == 2
    assert words in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_without_a_place_for_errors_there_are_rows_all_the_same(bundle, pictures):
    done = streams(bundle, "2>&-", "000.png", cwd=pictures)
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 3)


@pytest.mark.parametrize("form", predict.WRITERS)
def test_every_row_is_there_whatever_the_output_can_show(bundle, pictures, tmp_path, form):
    shutil.copy(pictures / "000.png", tmp_path / "Ω→é.png")
    shutil.copy(pictures / "000.png", tmp_path / "later.png")
    arguments = ("--format", form, "Ω→é.png", "gone.png", "later.png")
    done = streams(bundle, "", *arguments, cwd=tmp_path, PYTHONIOENCODING="latin-1")
    assert done.returncode == 1, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"\\u03a9\\u2192" in done.stdout
    assert b"later.png" in done.stdout


def test_explain_takes_a_folder(bundle, pictures, tmp_path):
    (tmp_path / "maps").touch()
    done = ask(pictures / "000.png", "--model", bundle, "--explain", "maps", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--explain: found the file maps, expected a folder" in done.stderr
    done = ask(pictures, "--model", bundle, "--explain", pictures / "maps", cwd=tmp_path)
    assert done.returncode == 2
    assert "maps, which lies in PATH" in done.stderr


@pytest.mark.parametrize("name", ["000.png", "model.sparse.fp16.safetensors", "notes.txt"])
def test_nobody_is_told_to_delete_what_is_theirs(pictures, tmp_path, name):
    (tmp_path / "model.sparse.fp16.safetensors").write_bytes(b"x" * 100)
    model = pictures / name if (pictures / name).exists() else tmp_path / name
    done = ask(pictures / "000.png", "--model", model, cwd=tmp_path)
    assert done.returncode == 2
    assert "found a file that is not .onnx, expected a bundle or an ONNX file in one" in done.stderr
    assert not re.search("delete|remove", done.stderr.replace(str(tmp_path), ""), re.IGNORECASE)


def test_no_module_that_reads_what_is_theirs_tells_anybody_to_delete_it():
    library = ROOT / "src/detector"
    theirs = [*library.glob("data/sources/*.py"), *(library / f"{name}.py" for name in READERS)]
    found = [
        f"{path.name}: {node.value}"
        for path in theirs
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.search(r"\b(delete|remove) (it|them|the|this)\b", node.value, re.IGNORECASE)
    ]
    assert found == []


def test_no_thread_is_left_when_a_question_was_answered(bundle, pictures, tmp_path):
    """Answered, interrupted, or wrong: one that wakes up while Python is taken down can crash it."""
    watch = "import atexit, sys, threading\nfrom detector.cli import main\n"
    watch += (
        "atexit.register(lambda: print([t.name for t in threading.enumerate()], file=sys.stderr))\nmain.main()\n"
    )
    for model, code in ((bundle, 1), (tmp_path, 2)):
        arguments = ["predict", str(pictures), "--model", str(model)]
        done = subprocess.run([sys.executable, "-c", watch, *arguments], capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        assert done.stderr.endswith("['MainThread']\n")
    names = tmp_path / "names"
    names.write_text(f"{pictures / '000.png'}\n" * 5000)
    with open(names) as stdin:
        asked = subprocess.Popen(
            [sys.executable, "-c", watch, "predict", "-", "--model", str(bundle)],
            **{"stdin": stdin, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True},
        )
    for _ in range(20):
        asked.stdout.readline()
    asked.send_signal(signal.SIGINT)
    _, errors = asked.communicate()
    assert asked.returncode == 130, errors
    assert errors.endswith("['MainThread']\n")


def test_ctrl_c_leaves_what_was_finished_whole(bundle, tmp_path):
    """Of 5,000 images some are done; the JSON so far is complete, and the exit code is that of Ctrl-C."""
    path = grey(tmp_path, 0, side=600)
    (tmp_path / "names").write_text(f"{path}\n" * 5000)
    asked = subprocess.Popen(
        command("predict", "-", "--model", bundle, "--format", "json", "--threads", "1"),
        stdin=open(tmp_path / "names"),  # noqa: SIM115
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    begun = [asked.stdout.readline() for _ in range(20)]
    asked.send_signal(signal.SIGINT)
    rest, errors = asked.stdout.read(), asked.stderr.read()
    assert asked.wait(20) == 130, errors
    rows = json.loads("".join(begun) + rest)
    assert 19 <= len(rows) < 5000
    assert all(row["verdict"] == "fake" for row in rows)
    assert f"{len(rows):,} images ({len(rows):,} fake)" in errors
    assert "stopped by SIGINT; the images that were finished have their rows" in errors
    assert "Traceback" not in errors


def test_a_reader_that_has_seen_enough_is_no_error(bundle, tmp_path):
    path = grey(tmp_path, 0)
    names = "".join(f"{path}\n" for _ in range(3000))
    line = f"{' '.join(command('predict', '-', '--model', bundle))} | head -n 3"
    done = subprocess.run(["bash", "-c", line], input=names, capture_output=True, text=True)
    assert done.stdout.count("\n") == 3
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_a_row_says_by_how_many_frames_a_video_was_judged(bundle, tmp_path, capsys, caplog):
    caplog.set_level("INFO")
    samples.write_video(tmp_path / "a.mp4", frames=12)
    grey(tmp_path, 0)
    for form in predict.WRITERS:
        assert predict.predict([str(tmp_path)], model=bundle, form=form, frames=3) == 0
    assert "a video is judged by 3 frames, spread evenly over it" in caplog.text
    table, rows, lines = re.split(r"(?=^\[\n)|(?=^path,)", capsys.readouterr().out, flags=re.MULTILINE)
    assert [line.split("  ")[-1][1:9] for line in table.splitlines() if ".mp4" in line] == ["3 frames"]
    assert [row["frames"] for row in json.loads(rows)] == [None, 3]
    assert [row["frames"] for row in csv.DictReader(io.StringIO(lines))] == ["", "3"]


def test_where_a_verdict_comes_from_is_saved_beside_its_row(pictures, bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(predict, "_check_explainable", lambda model: None)
    shown = Image.new("RGB", (256, 256), "red")
    monkeypatch.setattr(explanation, "overlay", lambda *asked: np.asarray(shown))
    code = predict.predict([str(pictures)], model=bundle, form="json", explain=tmp_path / "maps")
    assert code == 1
    rows = json.loads(capsys.readouterr().out)
    saved = [row["explanation"] for row in rows]
    assert saved[3] == "", "of a bad file there is none"
    names = [Path(path).name for path in saved if path]
    assert names == ["000000-000.png", "000001-040.png", "000002-200.png", "000004-010.png"]
    assert sorted(names) == sorted(path.name for path in (tmp_path / "maps").iterdir())
    with Image.open(saved[0]) as image:
        assert image.size == (256, 256)


def test_the_map_of_a_file_with_a_long_name_is_saved_too(bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(predict, "_check_explainable", lambda model: None)
    monkeypatch.setattr(explanation, "overlay", lambda *asked: np.zeros((8, 8, 3), np.uint8))
    path = grey(tmp_path, 0)
    path = path.rename(path.with_name("照" * 83 + ".png"))  # 253 bytes; a cut at 200 halves a letter
    assert predict.predict([str(path)], model=bundle, form="csv", explain=tmp_path / "maps") == 0
    (saved,) = (tmp_path / "maps").iterdir()
    said = capsys.readouterr().out
    assert next(csv.DictReader(io.StringIO(said)))["explanation"] == str(saved)
    said.encode()  # raises where a letter was cut in two


def test_several_looks_are_said_where_there_are_some(bundle, pictures, tmp_path, caplog):
    how = Preprocessing(12, centre=8, looks=Looks(4, (8, 12)))
    several = brightness(tmp_path / "bundle", preprocessing={"mine": how.record()})
    for model, said in ((bundle, False), (several, True)):
        caplog.clear()
        with caplog.at_level("INFO"):
            assert predict.predict([str(pictures / "000.png")], model=model, form="csv") == 0
        assert ("it sees 5 windows of each image; the logit is the mean of theirs" in caplog.text) == said


def cpu_seconds(*arguments: str) -> float:
    """The least of three."""
    found = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(arguments, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def test_it_starts_in_a_second_and_without_torch(bundle, pictures):
    """CPU seconds, as another job on the machine would count as ours on the clock."""
    assert cpu_seconds(*command("predict", pictures / "000.png", "--model", bundle)) < 1
    program = (
        "import sys\nfrom detector.cli import main\n"
        "try:\n    main.main()\nexcept SystemExit as end:\n    assert end.code == 0, end.code\n"
        "slow = {'torch', 'pandas', 'scipy', 'matplotlib', 'snakemake', 'onnx'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    arguments = ["predict", pictures / "000.png", "--model", bundle]
    subprocess.run([sys.executable, "-c", program, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def test_a_bar_on_a_terminal_leaves_the_rows_whole(bundle, pictures):
    """Both streams on one terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
    done = subprocess.run(command("predict", ".", "--model", bundle), cwd=pictures, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # EIO: the end
        while part := os.read(ours, 65536):
            shown += part
    os.close(ours)
    assert done.returncode == 1
    assert b"image/s" in shown
    for name in ORDER:
        assert re.search(rf"(^|[\r\n])(fake|unsure|error) +\S+  \./{re.escape(name)}".encode(), shown), shown


@pytest.fixture
def project(tmp_path) -> Path:
    """A folder with the config and its schema, no data and no results."""
    shutil.copy(ROOT / "config.yaml", tmp_path / "config.yaml")
    return tmp_path


def overlay(project: Path, **data: object) -> Path:
    path = project / "mine.yaml"
    path.write_text(yaml.safe_dump({"data": data}))
    return path


def test_the_doctor_says_what_is_missing_and_what_comes_next(project):
    said = doctor.text(root=project)
    for line in (
        "  torch ",
        "  onnxruntime ",
        "faces140k: not there, looked in",
        "Bundles below",
        "  none",
        "without any data: make demo",
        "make a bundle: snakemake",
    ):
        assert line in said
    assert re.search(r"\d+ of \d+ cores; ", said)
    assert re.search(r"VNNI \(fast int8\): (yes|no)|not known", said)


def test_the_doctor_counts_what_is_there(project, monkeypatch):
    for label in ("REAL", "FAKE"):
        for split in ("train", "test"):
            samples.write_picture(project / "cifake" / split / label / "0000 (1).jpg")
    options = {"use": ["cifake"], "sources": {"cifake": {"root": "cifake", "expect": "official"}}}
    mine = overlay(project, **options)
    said = doctor.text([mine], root=project)
    assert "this is not the complete" in said
    assert "found 1, expected" in said
    monkeypatch.setattr(cifake, "OFFICIAL", dict.fromkeys(cifake.OFFICIAL, 1))
    assert "cifake: complete, 4 files (2 real, 2 fake)" in doctor.text([mine], root=project)
    options["sources"]["cifake"]["expect"] = "any"
    assert "4 files (2 real, 2 fake) in" in doctor.text([overlay(project, **options)], root=project)


def test_the_doctor_knows_the_bundles_and_how_sure_they_are(project, bundle):
    kept = {**BAND, "real": {**BAND["fake"], "cut": 3.0}}
    poor = {**kept, "fake": {**BAND["fake"], "bound": 0.08}}
    for name, facts in (
        *(("a", {"valid_accuracy": 0.9}), ("b", "{broken"), ("c", None)),
        *(("d", {"valid_accuracy": 0.8, "band": kept}), ("e", {"valid_accuracy": 0.7, "band": poor})),
    ):
        folder = project / f"results/runs/r/seed0/{name}"
        shutil.copytree(bundle, folder / "bundle")
        when = time.time() - (3.5 * 3600 if name == "a" else -5)
        os.utime(folder / "bundle" / bundles.SUMS, (when, when))
        if facts is not None:
            (folder / "export.json").write_text(facts if isinstance(facts, str) else json.dumps(facts))
    said = doctor.text(root=project)
    assert re.search(r"r/seed0/a/bundle: 3 hours old, validation accuracy 0\.9000, never unsure", said)
    assert re.search(r"r/seed0/b/bundle: new\n", said)
    assert re.search(r"r/seed0/d/bundle: new, validation accuracy 0\.8000, at most 0\.9% errors", said)
    assert re.search(r"r/seed0/e/bundle: .*, errors outside its unsure range not shown to be below 1\.0%", said)
    assert re.search(r"detector predict PICTURE --model \S+/bundle", said)


def test_the_doctor_survives_whatever_it_finds(project, monkeypatch, tmp_path):
    assert "found no such file" in doctor.text(root=tmp_path / "nowhere")
    (project / "config.yaml").write_text("data: [")
    assert "Next" in doctor.text(root=project)
    (project / "config.yaml").write_text("data: {use: [x]}")
    assert "the configuration has 1 error" in doctor.text(root=project)
    assert "make a bundle" not in doctor.text(root=project), "with what?"
    monkeypatch.setattr(doctor.machine, "cpu_flags", lambda: 1 / 0)
    assert "could not look: ZeroDivisionError" in doctor.text(root=project)


def test_what_is_read_is_utf_8_in_any_locale(project, tmp_path):
    """The page, the config, and the code that a stage depends on."""
    mine = overlay(project)
    mine.write_text("# für mich →\ndata: {}\n", encoding="utf-8")
    program = (
        "import sys\nfrom pathlib import Path\nfrom detector.cli import doctor\n"
        "from detector.core import dependencies\nfrom detector.serve import app, uploads\n"
        "app.page(), app.openapi(uploads.Limits())\n"
        "assert 'faces140k: not there' in doctor.text([Path('mine.yaml')])\n"
        "dependencies.key(sys.argv[1])\n"
    )
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", program, ROOT / "workflow/scripts/export/bundle.py"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    mine.write_bytes(b"# \xff\ndata: {}\n")
    assert "Next" in doctor.text([mine], root=project), "a file that is no text is said, too"


def test_the_doctor_starts_no_torch(project):
    program = "import sys\nfrom detector.cli import main\nmain.main()\n"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program, "doctor"], cwd=project, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "Versions" in done.stdout
    assert not re.search(r"\| +torch$", done.stderr, re.MULTILINE)
