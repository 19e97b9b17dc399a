"""Snakemake logger plugin: what is to do, a line per finished stage, and all errors, on the terminal.

Snakemake finds this package by its name; profiles/default asks for it (`logger: detector`). What is not shown is
in Snakemake's own log, whose path is said at the end, and in the logs of the stages. Where the environment names
a file of how long stages should take (`job.EXPECTED`), long ones are announced, and each line says what is left.
"""

import json
import logging
import os
import re
import sys
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path

from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

from detector.core.job import EXPECTED, LOG_ONLY

# What Snakemake says of itself at every start.
BANNER = (
    *(
        "Assuming unrestricted shared filesystem usage",
        "Building DAG of jobs",
        "Conda environments",
        "Config file ",
    ),
    *("Elapsed time", "Group jobs: inactive", "Select jobs to execute", "Singularity containers", "Using shell"),
    "host: ",
)
HIDDEN = {
    *(LogEvent.WORKFLOW_STARTED, LogEvent.RESOURCES_INFO, LogEvent.JOB_STARTED, LogEvent.SHELLCMD),
    *(LogEvent.PROGRESS, LogEvent.RULEGRAPH, LogEvent.DEBUG_DAG),
}
ENDING = "Terminating processes on user request"  # what Snakemake says once it was told to stop
STOPPED = " stopped by SIG"  # what the last error of a stage says then (`detector.core.signals`)
TARGET = "all"  # a rule that makes nothing
ERROR = re.compile(r"^\d\d:\d\d:\d\d (?:ERROR|CRITICAL) ", re.MULTILINE)
WARNING = re.compile(r"^\d\d:\d\d:\d\d WARNING (.*)$", re.MULTILINE)
LONG = 15  # seconds from which on a stage is announced
TRUST = 0.25  # share of a run after which its own times weigh as much as what was expected of it
SHOWN = 40  # last lines of what went wrong in a stage
CLEAR, RED, PLAIN = "\r\x1b[K", "\x1b[31m", "\x1b[0m"


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    full: bool = field(
        default=False,
        metadata={"help": "Show all that Snakemake and the stages say", "env_var": False, "required": False},
    )


class Event(logging.LogRecord):
    """Record of Snakemake's logger; its fields depend on the event (`LogEvent`)."""

    stats: dict[str, int]  # RUN_INFO: jobs by rule, and `total`
    jobid: int
    job_id: int  # JOB_FINISHED
    rule_name: str
    wildcards: dict[str, object]
    log: list[str]  # paths, with remarks behind them
    shellcmd: str | None
    aux: dict[str, object]
    exception: str | None


@dataclass
class _Rest:
    """What is left of a run: seconds that a job of a rule is expected to take, and how many of each are to do."""

    stages: dict[str, float] = field(default_factory=dict)
    others: float = 0.0
    jobs: dict[str, int] = field(default_factory=dict)
    total: float = 0.0

    @classmethod
    def read(cls, file: str | None) -> "_Rest":
        """Of a file; nothing is expected where there is none that can be read."""
        try:
            found = json.loads(Path(file).read_text()) if file else {}
            return cls({rule: float(seconds) for rule, seconds in found["stages"].items()}, float(found["others"]))
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return cls()

    def of(self, rule: str) -> float:
        """Seconds of a job of a rule; 0 where nobody knows."""
        return self.stages.get(rule, 0.0)

    def plan(self, counts: dict[str, int]) -> None:
        """Take over how many jobs of each rule there are to do."""
        self.jobs, self.total = dict(counts), self._sum(counts)

    def _sum(self, counts: dict[str, int]) -> float:
        return sum(self.stages.get(rule, self.others) * count for rule, count in counts.items())

    def left(self, done: str, elapsed: float, running: dict[str, float]) -> float:
        """Seconds that are left once a job of the rule `done` has ended; 0 where nothing was expected.

        `elapsed`: seconds of the run so far; `running`: of jobs that are at work, by rule. The longer the run, the
        more its own pace counts.
        """
        self.jobs[done] = self.jobs.get(done, 1) - 1
        rest = self._sum(self.jobs) - sum(min(self.of(rule), seconds) for rule, seconds in running.items())
        share = TRUST * self.total
        return max(0.0, rest) * (elapsed + share) / (self.total - rest + share) if self.total else 0.0


class LogHandler(LogHandlerBase):
    """Dry runs, and runs with --verbose, --quiet or --printshellcmds, look as Snakemake makes them."""

    def __post_init__(self) -> None:
        asked = self.common_settings
        self._stream = sys.stdout if asked.stdout else sys.stderr
        self._plain = ColorizingTextHandler(
            nocolor=asked.nocolor,
            stream=self._stream,
            formatter=DefaultFormatter(asked.quiet, asked.show_failed_logs),
            filter=DefaultFilter(asked.quiet, asked.debug_dag, asked.verbose, asked.dryrun, asked.printshellcmds),
        )
        others = (asked.dryrun, asked.verbose, asked.quiet, asked.debug_dag, asked.printshellcmds)
        self._full = any(others) or (self.settings is not None and self.settings.full)
        if not self._full:
            os.environ[LOG_ONLY] = "1"  # for the stages, which Snakemake starts
        self._terminal = self._stream.isatty()
        self._jobs: dict[int, Event] = {}
        self._begin = time.time()
        self._done = self._total = 0
        self._ending = False
        self._rest = _Rest.read(os.environ.get(EXPECTED))

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def emit(self, record: Event) -> None:
        try:
            self._emit(record)
        except BrokenPipeError:
            raise
        except Exception:
            self.handleError(record)

    def _emit(self, record: Event) -> None:
        event = getattr(record, "event", None)
        if self._full:
            self._plain.handle(record)
        elif event == LogEvent.RUN_INFO:
            self._plan(record.stats)
        elif event == LogEvent.JOB_INFO:
            self._jobs[record.jobid] = record
            if (seconds := self._rest.of(record.rule_name)) >= LONG:
                clock = _clock(record.created - self._begin)
                self._write(f"{clock:>7}  {'now':>10}  {_name(record):<50}  {_words(seconds)}")
        elif event == LogEvent.JOB_FINISHED:
            self._finished(record)
        elif event == LogEvent.JOB_ERROR:
            self._failed(record)
        elif not self._is_noise(record, event):
            self._ending |= record.getMessage().startswith(ENDING)
            self._write()
            self._plain.handle(record)

    def _is_noise(self, record: Event, event: LogEvent | None) -> bool:
        text = record.getMessage()
        if event == LogEvent.ERROR:  # of a command that failed: its stage was named, with its message
            return record.exception == "RuleException" and "CalledProcessError" in text
        return event in HIDDEN or (record.levelno < logging.WARNING and text.startswith(BANNER))

    def _plan(self, stats: dict[str, int]) -> None:
        counts = {rule: count for rule, count in stats.items() if rule not in ("total", TARGET)}
        self._total = sum(counts.values())
        self._rest.plan(counts)
        names = ", ".join(rule if count == 1 else f"{count} {rule}" for rule, count in counts.items())
        self._write(*textwrap.wrap(f"{self._total} stages to run: {names}", 110, subsequent_indent="  "))

    def _finished(self, record: Event) -> None:
        job = self._jobs.pop(record.job_id, None)
        if job is None or job.rule_name == TARGET:
            return
        self._done += 1
        count = f"{self._done} of {self._total}"
        elapsed = record.created - self._begin
        running = {other.rule_name: record.created - other.created for other in self._jobs.values()}
        left = self._rest.left(job.rule_name, elapsed, running)
        line = f"{_clock(elapsed):>7}  {count:>10}  {_name(job):<50} {_took(job, record)}"
        lines = [f"{line:<82}  {_words(left)} left" if left and self._done < self._total else line]
        lines += [f"{'':>21}warning: {text}" for path in job.log for text in WARNING.findall(_read(path))]
        if self._done == self._total:
            lines.append(f"all {self._total} stages are done, in {_clock(record.created - self._begin)}")
        self._write(*lines)

    def _failed(self, record: Event) -> None:
        job = self._jobs.pop(record.jobid, None)
        name, took = (_name(job), f" after {_took(job, record)}") if job else (record.rule_name, "")
        logs = {path: _read(path) for path in record.log}
        errors = {path: said for path, text in logs.items() if (said := _last_error(text))}
        # One that has no log yet may be reported before Snakemake says that it was told to stop.
        if self._ending or any(STOPPED in said.partition("\n")[0] for said in errors.values()):
            shown = (f"    {line}" for said in errors.values() for line in said.splitlines())
            self._write(f"stopped  {name}{took}", *shown)
            return
        lines = [self._red(f"FAILED  {name}{took}")]
        for path, text in logs.items():
            shown = (f"    {line}" for line in errors.get(path, text).splitlines()[-SHOWN:])
            lines += [f"  its log, {path}:", *shown]
        if not record.log:
            lines.append(f"  its command: {record.shellcmd}")
        lines += [f"  {key}: {value}" for key, value in record.aux.items()]
        self._write(*lines)

    def _red(self, text: str) -> str:
        return f"{RED}{text}{PLAIN}" if self._terminal and not self.common_settings.nocolor else text

    def _write(self, *lines: str) -> None:
        """Lines, over what a stage's progress bar may have left in the last one of a terminal."""
        if self._terminal:
            self._stream.write(CLEAR)
        self._stream.write("".join(f"{line}\n" for line in lines))
        self._stream.flush()


def _name(job: Event) -> str:
    values = (f"seed {value}" if key == "seed" else str(value) for key, value in job.wildcards.items())
    return " ".join(filter(None, [job.rule_name, *values]))  # the place of the plain run has no name


def _read(path: str) -> str:
    """A stage's log; what Snakemake says behind a path is left out."""
    try:
        return Path(path.split(" (")[0]).read_text(errors="replace")
    except OSError as error:
        return f"(not there: {error.strerror})"


def _last_error(text: str) -> str:
    """The end of a log from its last error on; "" where it has none."""
    errors = list(ERROR.finditer(text))
    return text[errors[-1].start() :] if errors else ""


def _took(job: Event, end: Event) -> str:
    seconds = end.created - job.created
    return f"{seconds:.1f} s" if seconds < 60 else _clock(seconds)


def _words(seconds: float) -> str:
    """About how long, in words."""
    return f"about {max(5, 5 * round(seconds / 5))} s" if seconds < 90 else f"about {round(seconds / 60)} min"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
