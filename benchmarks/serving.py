"""Load on `detector serve` from parallel clients: failures, wrong answers, growth of memory.

Clients are threads of this process that ask again as soon as they are answered; everything stays on this machine.
"""

import argparse
import http.client
import itertools
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import common

NUMBERS, ROUNDING = ("probability_fake", "logit"), 1e-4  # also of a logit above 1
FLAT = 4  # MiB
LEAST = 3  # requests of a client
SETTLED = 0.25  # share of the time after which memory is looked at: threads and buffers come to be before


@dataclass
class Load:
    """Result of a load test."""

    seconds: float = 0.0
    milliseconds: list[float] = field(default_factory=list)  # of each answered request
    failures: list[str] = field(default_factory=list)  # any answer but 200, and no answer
    different: int = 0  # answers that are not the expected ones
    memory: list[float] = field(default_factory=list)  # MiB of the server, over time

    @property
    def growth(self) -> float:
        """MiB that the most memory of the last half is above the most of the half before it."""
        settled = self.memory[int(SETTLED * len(self.memory)) :]
        half = len(settled) // 2
        return max(settled[half:]) - max(settled[:half])


def form(name: str, data: bytes) -> tuple[bytes, dict[str, str]]:
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="images"; filename="{name}"\r\n\r\n'
    body = head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def resident(pid: int) -> float:
    """MiB of memory that a process holds (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def load(
    port: int, pid: int, pictures: Mapping[str, bytes], expected: Mapping[str, dict], clients: int, seconds: float
) -> Load:
    """Ask for `seconds`, each client `LEAST` times at least. expected: name → what the command says of it."""
    found, lock, end = Load(), threading.Lock(), time.perf_counter() + seconds

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        names = itertools.islice(itertools.cycle(pictures), number % len(pictures), None)
        for asked, name in enumerate(names):
            if asked >= LEAST and time.perf_counter() >= end:
                break
            body, headers = form(name, pictures[name])
            started = time.perf_counter()
            try:
                connection.request("POST", "/api/images", body, headers)
                answer = connection.getresponse()
                status, text = answer.status, answer.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                with lock:
                    found.failures.append(repr(error))
                continue
            took = 1000 * (time.perf_counter() - started)
            with lock:
                found.milliseconds.append(took)
                if status != 200:
                    found.failures.append(f"{status} {text[:200]!r}")
                else:
                    (result,) = json.loads(text)["results"]
                    found.different += not agree(result, expected[name])
        connection.close()

    started = time.perf_counter()
    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found.memory.append(resident(pid))
        time.sleep(min(0.25, seconds / 40))
    found.seconds = time.perf_counter() - started
    return found


def predicted(model: Path, paths: list[Path]) -> dict[str, dict]:
    """Answers of `detector predict`, by file name."""
    done = subprocess.run(
        [sys.executable, "-m", "detector.cli.main", "predict", *map(str, paths), "--model", str(model)]
        + ["--format", "json"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {Path(row["path"]).name: row for row in json.loads(done.stdout)}


def agree(result: Mapping, expected: Mapping) -> bool:
    """Whether a result is the command's: batches of another size may change the last digits."""
    same = all(result[key] == (expected[key] or None) for key in ("verdict", "why"))
    return same and all(
        math.isclose(result[key], expected[key], rel_tol=ROUNDING, abs_tol=ROUNDING) for key in NUMBERS
    )


def started(model: Path) -> tuple[int, subprocess.Popen]:
    """`detector serve` on a free port; (port, process)."""
    server = subprocess.Popen(
        [sys.executable, "-m", "detector.cli.main", "serve", "--model", str(model), "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in server.stderr:
        if "open http://" in line:
            threading.Thread(target=server.stderr.read, daemon=True).start()  # a full pipe would stop the server
            return int(line.split(":")[-1].split()[0]), server
    raise SystemExit("the server did not start")


def main(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        common.write_pictures(folder, {"test": args.pictures // 2}, args.size)
        paths = sorted(folder.rglob("*.jpg"))
        for number, path in enumerate(paths):
            paths[number] = path.rename(folder / f"{number:03d}.jpg")
        expected = predicted(args.model, paths)
        port, server = started(args.model)
        try:
            pictures = {path.name: path.read_bytes() for path in paths}
            found = load(port, server.pid, pictures, expected, args.clients, args.seconds)
        finally:
            server.terminate()
            server.wait()
    times = sorted(found.milliseconds) or [math.nan]
    met = not found.failures and not found.different and found.growth < FLAT
    print(
        f"## Serving\n\n`{args.model.parent.name}` answers {args.clients} clients for {found.seconds:.0f} s, "
        f"each of which asks again as soon as it is answered; {len(pictures)} JPEG files of {args.size} pixels in "
        f"turn. Target: nothing fails, no answer unlike that of `detector predict`, memory grows by less "
        f"than {FLAT} MiB: {common.verdict(met)}.\n"
    )
    row = {
        "requests": f"{len(times):,}",
        "a second": f"{len(times) / found.seconds:.0f}",
        "ms, median": f"{times[len(times) // 2]:.0f}",
        "ms, 99th percentile": f"{times[int(0.99 * len(times))]:.0f}",
        "failed": len(found.failures),
        "unlike `predict`": found.different,
        "MiB at most": f"{max(found.memory):.0f}",
        "MiB grown": f"{found.growth:.1f}",
    }
    print(common.table(list(row), [list(row.values())]))
    for failure in found.failures[:5]:
        print(f"\n{failure}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of a bundle")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pictures", type=int, default=8, help="files that clients send in turn")
    parser.add_argument("--size", type=int, default=256, help="their side in pixels")
    main(parser.parse_args())
