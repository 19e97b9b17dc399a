"""Archives of images, as they are listed: tar files and Parquet files, whose images are read in place (`shards`).

Only the standard library is imported here, see `kinds`; pyarrow where a Parquet file is opened.
"""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from detector.core import extras
from detector.core.errors import DetectorError
from detector.core.labels import SPLIT_WORDS
from detector.data import walk

TAR, PARQUET = ".tar", ".parquet"
BUFFER = 1 << 20  # bytes of a column of a Parquet file that are read at a time
BOMB = 200  # times that a column of images may shrink when it is compressed: they are compressed already
SMALL = 64 << 20  # bytes, which may shrink as they will


def files(root: Path, suffix: str) -> list[str]:
    """Paths below `root` of all shards, sorted.

    Raises `DetectorError` for a file that does not end in `suffix` and is no note, where there is none, and as
    `walk.tree` does.
    """
    found = []
    for folder, _, names in walk.tree(root):
        walk.check_suffixes(root / folder, names, frozenset({suffix}))
        found += [f"{folder}/{name}" if folder else name for name in names]
    if not found:
        raise DetectorError(f"{root}: found no file that ends in {suffix}; fill the folder, or fix the root")
    return sorted(found)


def split_of(shard: str) -> str:
    """The split that a shard's name or a folder that holds it says, as in train-00000.parquet; "" if none."""
    *folders, name = shard.split("/")
    words = (word.lower() for word in (*folders, name.split(".")[0].split("-")[0]))
    return next((SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS), "")


# --- tar ------------------------------------------------------------------------------------------

EXTENSIONS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
MAX_EXTENSION = 1 << 16  # bytes of a long name and the like, which tarfile holds in memory
TYPES = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
}


class _Header(tarfile.TarInfo):
    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or (header.type in EXTENSIONS and header.size > MAX_EXTENSION):
            raise DetectorError(f"a header of {header.size:,} bytes")
        return header


def members(file: Path) -> Iterator[tuple[tarfile.TarInfo, io.BufferedReader]]:
    """Each regular file of an uncompressed tar archive, with the open archive.

    Raises `DetectorError`, which names archive and member, for a name that is absolute or climbs, for links,
    devices, pipes and sparse files, for an archive that is damaged or cut off, and for headers that no program
    writes.
    """
    size = file.stat().st_size
    try:
        with (
            open(file, "rb") as stream,
            tarfile.open(
                fileobj=stream, mode="r:", tarinfo=_Header, encoding="utf-8", errors="surrogateescape"
            ) as tar,
        ):
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # of a million the headers would be a gigabyte
                _check_member(file, member, size)
                if not member.isdir():
                    yield member, stream
            # tarfile takes a header that it does not understand for the end.
            stream.seek(tar.offset)
            end = stream.read(tarfile.BLOCKSIZE)
            if len(end) < tarfile.BLOCKSIZE or any(end):
                raise DetectorError(f"no header and no end at byte {tar.offset:,}")
    except (tarfile.TarError, OSError, RecursionError, DetectorError, ValueError) as error:
        if str(error).startswith(str(file)):
            raise
        raise DetectorError(
            f"{file}: found {str(error) or type(error).__name__}, expected an uncompressed tar archive that is "
            "whole; copy it again, or unpack what is compressed (gunzip)"
        ) from None


def _check_member(file: Path, member: tarfile.TarInfo, size: int) -> None:
    name = member.name
    if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/"):
        raise DetectorError(
            f"{file}: {_shown(name)} leads out of the archive, expected names below it, without '..'. It was not "
            "made by a careful hand; make it anew from images that you trust"
        )
    if member.issparse() or "size" in member.pax_headers or not (member.isreg() or member.isdir()):
        kind = TYPES.get(member.type, "a sparse file, or something unknown")
        raise DetectorError(
            f"{file}: {_shown(name)} is {kind}, expected files and folders alone; make the archive anew without it"
        )
    if member.offset_data + member.size > size:
        raise DetectorError(f"{file}: {_shown(name)} is cut off by the end of the archive; copy it again")


def _shown(name: str) -> str:
    return os.fsencode(name).decode(errors="backslashreplace")


# --- Parquet --------------------------------------------------------------------------------------


def table(file: Path) -> Any:
    """An open Parquet file, whose columns are read a buffer at a time. Raises `DetectorError` where it is none."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise extras.missing("pyarrow", f"the shard {file}") from None
    try:
        return parquet.ParquetFile(file, buffer_size=BUFFER, pre_buffer=False)
    except (pyarrow.ArrowException, OSError) as error:
        raise _unreadable(file, error) from None


def batches(file: Path, opened: Any, columns: list[str], **how: Any) -> Iterator[Any]:
    """Record batches of these columns. Raises `DetectorError` where the file is damaged."""
    import pyarrow

    try:
        yield from opened.iter_batches(columns=columns, use_threads=False, **how)
    except (pyarrow.ArrowException, OSError, MemoryError) as error:
        raise _unreadable(file, error) from None


def check_bombs(file: Path, opened: Any, column: str) -> None:
    """Raise `DetectorError` where a column of images would be far larger in memory than it is in the file."""
    for group in range(opened.metadata.num_row_groups):
        part = opened.metadata.row_group(group)
        for number in range(part.num_columns):
            chunk = part.column(number)
            if chunk.path_in_schema.split(".")[0] != column.split(".")[0]:
                continue
            packed, whole = chunk.total_compressed_size, chunk.total_uncompressed_size
            if whole > max(SMALL, BOMB * packed):
                raise DetectorError(
                    f"{file}: row group {group} of column {column} grows from {packed:,} to {whole:,} bytes, "
                    "which no images do; it may be a decompression bomb. Write it anew from images that you trust"
                )


def _unreadable(file: Path, error: BaseException) -> DetectorError:
    text = (str(error).splitlines() or [type(error).__name__])[0]
    return DetectorError(f"{file}: it cannot be read as Parquet ({text}); copy it again")
