"""AVIF sizes: width and height as coded in the AV1 stream, which decoders allocate by, whatever the boxes say."""

import struct
from collections.abc import Iterator

CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
SEQUENCE_HEADER = 1  # type of an OBU, a unit of AV1


def coded_sizes(data: bytes) -> list[tuple[int, int]]:
    """Sizes (width, height) in pixels in the AV1 sequence headers of all items and of the tracks' first samples.

    Boxes as in ISO/IEC 14496-12 and 23008-12, AV1 as in its specification, 5.5. Raises `ValueError` where the
    boxes cannot be followed, and where nothing is coded.
    """
    try:
        sizes = [size for part in _parts(data) for size in _sizes(part)]
    except (struct.error, IndexError, KeyError, OverflowError) as error:
        raise ValueError(f"boxes that cannot be followed: {error}") from None
    if not sizes:
        raise ValueError("no coded picture")
    return sizes


def _boxes(data: bytes, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, where its content begins, where it ends) of the boxes from `start` to before `stop`."""
    while start + 8 <= stop:
        size, kind = struct.unpack(">I4s", data[start : start + 8])
        content = start + 8
        if size == 1:
            (size,), content = struct.unpack(">Q", data[content : content + 8]), content + 8
        end = min(start + size if size else stop, stop)
        if end < content:
            return
        yield kind, content, end
        start = end


def _parts(data: bytes) -> Iterator[bytes]:
    """Coded data, one piece per item and track."""
    waiting = [(0, len(data))]
    for start, stop in waiting:
        for kind, content, end in _boxes(data, start, stop):
            if kind in CONTAINERS:
                waiting.append((content, end))
            elif kind in (b"stco", b"co64"):
                form = ">Q" if kind == b"co64" else ">I"
                (offset,) = struct.unpack_from(form, data, content + 8)
                yield data[offset:]
            elif kind == b"meta":
                yield from _items(data, {name: place for name, *place in _boxes(data, content + 4, end)})


def _items(data: bytes, meta: dict[bytes, list[int]]) -> Iterator[bytes]:
    kinds = {}
    start, stop = meta[b"iinf"]
    start += 4 + (2 if data[start] == 0 else 4)
    for _, content, _ in _boxes(data, start, stop):
        wide = data[content] >= 3
        number, _, kind = struct.unpack_from(">IH4s" if wide else ">HH4s", data, content + 4)
        kinds[number] = kind
    at = meta[b"iloc"][0]

    def take(size: int) -> int:
        nonlocal at
        at += size
        return int.from_bytes(data[at - size : at])

    version, _, sizes = take(1), take(3), take(2)
    of_offset, of_length, of_base, of_index = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15
    for _ in range(take(2 if version < 2 else 4)):
        number = take(2 if version < 2 else 4)
        inside = version > 0 and take(2) & 15 == 1  # in the box idat of this one
        take(2)
        base, coded = take(of_base), b""
        for _ in range(take(2)):
            take(of_index if version > 0 else 0)
            offset, length = base + take(of_offset), take(of_length)
            offset += meta[b"idat"][0] if inside else 0
            coded += data[offset : offset + length] if length else data[offset:]
        if kinds.get(number) == b"av01":
            yield coded


def _sizes(data: bytes) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(data):
        kind, extended, sized = data[at] >> 3 & 15, data[at] >> 2 & 1, data[at] >> 1 & 1
        at += 1 + extended
        size, shift = 0, 0
        while sized:
            size |= (data[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if data[at - 1] < 128 or shift > 56:
                break
        content = data[at : at + size] if sized else data[at:]
        if kind == SEQUENCE_HEADER:
            yield _frame(content[:64])
        at += len(content)
        if not content and not sized:
            return


def _frame(header: bytes) -> tuple[int, int]:
    """The largest width and height of a frame, of a sequence header."""
    bits = iter(f"{int.from_bytes(header):0{8 * len(header)}b}")

    def take(count: int) -> int:
        return int("".join(next(bits) for _ in range(count)) or "0", 2)

    try:
        take(4)  # profile, still picture
        if take(1):  # a reduced header
            take(5)
        else:
            delay, model = 0, 0
            if take(1):  # timing
                take(64)
                if take(1):
                    zeros = 0
                    while not take(1):
                        zeros += 1
                    take(zeros)
                model = take(1)
                if model:
                    delay = take(5) + 1
                    take(42)
            display = take(1)
            for _ in range(take(5) + 1):
                take(12)
                if take(5) > 7:
                    take(1)
                if model and take(1):
                    take(2 * delay + 1)
                if display and take(1):
                    take(4)
        wide, high = take(4) + 1, take(4) + 1
        return take(wide) + 1, take(high) + 1
    except (StopIteration, RuntimeError):
        raise ValueError("a sequence header that ends too early") from None
