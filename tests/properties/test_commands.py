"""Each command that a page prints can be given: its options exist, the overlays that it names are there or are
written by the lines before it, together they are a configuration, and tables that it asks for are of that run."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from snakemake.cli import get_argument_parser

from detector.cli.main import command_line
from detector.core.errors import DetectorError
from detector.experiment.config import config_of
from tests.support import ROOT
from tests.support.rules import FILES

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
OURS = re.compile(r"^(snakemake|detector|python|run|\w+\(\)) ", re.MULTILINE)
TABLES = {name for text in FILES.values() for name in re.findall(r'(?:\btable\(\s*"|scripts/tables/)(\w+)', text)}
YOURS = "configs/mine.yaml"  # a reader's own overlay
UNKNOWN = "kubernetes"  # the executor of a plugin that we do not depend on
END = "the-end"  # noted down after the last line of a page
# All lines of a page in one shell. Of programs it has `cat` and `sed`, which write overlays. Ours are noted down,
# each word with what the file of that name holds at that moment; all others do nothing.
SHELL = r"""
PATH=$PROGRAMS
note() {
  number=$((number + 1))
  for word in "$@"; do
    printf '%s\0' "$word"; if [ -f "$word" ]; then cat "$word"; fi; printf '\0'
  done > "$NOTES/$number"
}
snakemake() { note snakemake "$@"; }
detector() { note detector "$@"; }
python() { note python "$@"; }
command_not_found_handle() { :; }
"""


def commands(page: str, folder: Path) -> Iterator[list[tuple[str, str]]]:
    """Commands of ours in a page's text: each word, with what the file of that name holds, if any.

    Raises `AssertionError` where the shell stops on the way, as it does at what it cannot parse.
    """
    programs, notes, work = folder / "programs", folder / "notes", folder / "work"
    for made in (programs, notes, work):
        made.mkdir()
    for name in ("cat", "sed"):
        (programs / name).symlink_to(shutil.which(name))
    shutil.copytree(ROOT / "configs", work / "configs")
    lines = [SHELL]
    for language, text in FENCE.findall(page):
        if language == "yaml" and (name := re.match(r"# ([\w/-]+\.yaml)\n", text)):
            (work / name[1]).write_text(text)
        elif not language and OURS.search(text):
            lines.append(text)
    lines.append(f"note {END}")
    places = {"PROGRAMS": str(programs), "NOTES": str(notes), "HOME": str(folder)}
    shell = [shutil.which("bash")]
    subprocess.run(shell, input="\n".join(lines), cwd=work, env=places, text=True, capture_output=True, timeout=60)
    noted = [
        note.read_text().split("\0")[:-1] for note in sorted(notes.iterdir(), key=lambda path: int(path.name))
    ]
    assert noted[-1:] == [[END, ""]], "the shell did not come to the end of the page"
    for parts in noted[:-1]:
        yield list(zip(parts[::2], parts[1::2], strict=True))


def wrong(command: list[tuple[str, str]], folder: Path) -> list[str]:
    """What is wrong with a command."""
    program, *words = [word for word, _ in command]
    if program == "python":
        return wrong_of_benchmark(words) if words[1:] and words[1].startswith("benchmarks.") else []
    if UNKNOWN in words:
        return []
    try:
        asked = (command_line() if program == "detector" else get_argument_parser()).parse_args(words)
    except SystemExit:
        return [f"options of {program}: {' '.join(words)}"]
    named = map(str, (getattr(asked, "config", None) if program == "detector" else asked.configfile) or [])
    overlays = {name: dict(command)[name] for name in named if name != YOURS}
    if absent := [name for name, text in overlays.items() if not text]:
        return [f"no such file: {name}" for name in absent]
    files = [folder / f"overlay{number}.yaml" for number in range(len(overlays))]
    for file, text in zip(files, overlays.values(), strict=True):
        file.write_text(text)
    try:
        results = config_of(ROOT, files)["results"]
    except DetectorError as error:
        return [str(error)]
    found = []
    for target in (asked.targets or []) if program == "snakemake" else []:
        if not target.startswith(f"{results}/") and YOURS not in dict(command):
            found.append(f"not in {results}: {target}")
        elif (table := re.fullmatch(r".*/tables/(\w+)\.csv", target)) and table[1] not in TABLES:
            found.append(f"no table: {target}")
    return found


def wrong_of_benchmark(words: list[str]) -> list[str]:
    """What is wrong with `python -m benchmarks.NAME …`."""
    file = (ROOT / words[1].replace(".", "/")).with_suffix(".py")
    if not file.is_file():
        return [f"no such benchmark: {words[1]}"]
    options = [word for word in words[2:] if word.startswith("--")]
    return [f"{words[1]} has no {option}" for option in options if f'"{option}"' not in file.read_text()]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_of_a_page_can_be_given(page, tmp_path):
    found = list(commands(page.read_text(), tmp_path))
    if page.parent.name == "results" and page.name != "index.md":
        assert found, "a study says how it is run"
    assert [problem for command in found for problem in wrong(command, tmp_path)] == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("detector predict photos/ --modle x", "options of detector: predict photos/ --modle x"),
        ("snakemake --core 2 --configfiel configs/demo.yaml", "options of snakemake"),
        ("snakemake --cores 2 --configfile more.yaml", "no such file: more.yaml"),
        ("printf 'seed: [0]\\n' > more.yaml\nsnakemake --cores 2 --configfile more.yaml", "seed"),
        ("detector doctor --config configs/none.yaml", "no such file: configs/none.yaml"),
        ("run() { snakemake -- $T/metric.csv; }\nT=results/tables\nrun it", "no table: results/tables/metric.csv"),
        (
            "snakemake --cores 1 --configfile configs/demo.yaml -- results/tables/metrics.csv",
            "not in results/demo",
        ),
        ("python -m benchmarks.two_fields a b", "no such benchmark: benchmarks.two_fields"),
        ("python -m benchmarks.two_files a b --fast", "benchmarks.two_files has no --fast"),
    ],
)
def test_what_cannot_be_given_is_found(lines, said, tmp_path):
    [command] = commands(f"```\n{lines}\n```\n", tmp_path)
    [problem] = wrong(command, tmp_path)
    assert said in problem


@pytest.mark.parametrize("lines", ["run() { detector doctor", "models=(a b", "cat > a.yaml <<'END'\nseeds: [0]"])
def test_a_page_that_stops_the_shell_is_found(lines, tmp_path):
    """What follows would not be looked at."""
    page = f"```\ndetector doctor\n{lines}\n```\n```\ndetector doctor --hlep\n```\n"
    with pytest.raises(AssertionError, match="end of the page"):
        list(commands(page, tmp_path))


def test_an_overlay_is_read_as_it_was_at_the_command(tmp_path):
    """A name that is written twice has what stood in it then."""
    lines = [
        f"printf 'seeds: [{seed}]\\n' > one.yaml\nsnakemake --cores 1 --configfile one.yaml" for seed in (0, 1)
    ]
    both = list(commands("```\n" + "\n".join(lines) + "\n```\n", tmp_path))
    assert [dict(command)["one.yaml"] for command in both] == ["seeds: [0]\n", "seeds: [1]\n"]
