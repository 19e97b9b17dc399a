"""A Python that need not import: its processes are forked from one that holds the large libraries already.

Most of a tiny stage's time is the import of torch. `python()` is a program that is called as Python is and does
the same, but for that: it hands its command line, folder, environment and streams to a process that has imported
torch, Snakemake and what else is large, which forks one that goes on with them. That process holds nothing of the
project, whose modules are those that are found at the time of the call.

Not for tests that kill or measure what they started, or give it a terminal: the one that works is no child of the
one that was called. Nor does it take over limits, the umask and streams beside the first three.
"""

import atexit
import functools
import gc
import importlib
import marshal
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

# What stages and Snakemake take long to import.
HELD = (
    *(
        "torch",
        "torchvision.models",
        "torchvision.transforms.v2",
        "torch.utils.data",
        "optuna",
        "safetensors.torch",
    ),
    *("pandas", "pyarrow.parquet", "scipy.stats", "sklearn.metrics", "sklearn.linear_model", "matplotlib.pyplot"),
    *("onnx", "onnxruntime", "PIL.Image", "yaml", "jsonschema"),
    *("snakemake.cli", "snakemake.api", "snakemake.workflow", "snakemake.script", "snakemake.report"),
)
# The program that is called. Without site-packages and with built-in modules alone it starts at once.
CALLED = """\
import _socket, marshal, os, signal, sys

at = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
at.connect(os.path.dirname(sys.argv[0]) + "/socket")
asked = marshal.dumps((sys.argv, os.getcwd(), dict(os.environ)))
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
at.sendmsg([b"%8d" % len(asked)], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
at.sendall(asked)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, _: at.send(bytes([number])))
code = int(at.recv(8) or 1)
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@functools.cache
def python() -> str:
    """The path of the program, to be called like `sys.executable`; what it needs runs until this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    program = folder / "python"
    program.write_text(f"#!{sys.executable} -SsE\n{CALLED}")
    program.chmod(0o755)
    holder = subprocess.Popen(
        [sys.executable, "-P", __file__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    atexit.register(holder.communicate)  # its standard input ends, and with that the process
    if holder.stdout.readline() != "ready\n":
        raise RuntimeError(f"the process that holds the libraries ended at its start (code {holder.wait()})")
    return str(program)


def hold(folder: Path) -> Callable[[], None]:
    """Import, then fork for each call until standard input ends; returns in those alone, with what to run."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as the project sets it: else it holds a thread, which no fork has
    for name in HELD:
        importlib.import_module(name)
    gc.freeze()  # else the first collection of each would copy all that is shared
    address = folder / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen(64)
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            while _ended():
                pass
            if listener not in ready:
                break
            call, _ = listener.accept()
            with call:
                if os.fork() == 0:
                    listener.close()
                    return _watch(call, str(folder / "python"))
    for path in (address, folder / "python"):
        path.unlink()
    folder.rmdir()
    os._exit(0)  # not through the libraries' farewells


def _ended() -> bool:
    """Whether a child has ended; it is forgotten."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _watch(call: socket.socket, program: str) -> Callable[[], None]:
    """Fork the one that works, pass signals on to it and its exit code back; returns in that one alone."""
    length, streams, _, _ = socket.recv_fds(call, 8, 3)
    asked = b""
    while len(asked) < int(length):
        asked += call.recv(1 << 20)
    worker = os.fork()
    if worker == 0:
        call.close()
        return _become(*marshal.loads(asked), streams, program)
    for stream in streams:
        os.close(stream)
    end = os.pidfd_open(worker)
    while end not in (ready := select.select([end, call], [], [])[0]):
        assert call in ready
        os.kill(worker, (call.recv(1) or bytes([signal.SIGKILL]))[0])
    code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    try:
        call.sendall(b"%d" % code)
    finally:
        os._exit(0)


def _become(
    words: list[str], folder: str, environment: dict[str, str], streams: list[int], program: str
) -> Callable[[], None]:
    """Take over what was called; the answer runs it."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    _, *words = words
    paths = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    if words[:1] == ["-m"]:
        module, own = words[1], folder
        words = words[1:]
        run = functools.partial(runpy.run_module, module, run_name="__main__", alter_sys=True)
    elif words and not words[0].startswith("-"):
        own = str(Path(words[0]).parent)
        run = functools.partial(runpy.run_path, words[0], run_name="__main__")
    else:
        real = sys.executable
        return functools.partial(os.execv, real, [real, *words])
    sys.path[:0] = paths if environment.get("PYTHONSAFEPATH") else [own, *paths]
    sys.argv[:] = words
    sys.executable = program  # what it calls in its turn
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        mode, lines = ("r", -1) if number == 0 else ("w", 1 if number == 2 or os.isatty(number) else -1)
        setattr(sys, name, open(number, mode, buffering=lines, encoding="utf-8", errors="surrogateescape"))  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    return run


def _run(main: Callable[[], None]) -> NoReturn:
    """Do what Python does with a program, but for taking the libraries apart at its end: most of a second."""
    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit((code or 0) & 0xFF)


if __name__ == "__main__":
    _run(hold(Path(sys.argv[1])))
