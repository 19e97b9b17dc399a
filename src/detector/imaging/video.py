"""Video frames: the frame at a position of a video, or several that are evenly spread over it, as images."""

import contextlib
import os
from collections.abc import Iterator

import av
import numpy as np
from PIL import Image

from detector.imaging import decoding
from detector.imaging.decoding import BadImageError

# A video's display matrix, of which (a, b, c, d) move the point (x, y) to (ax + cy, bx + dy) → the same.
MATRICES = {
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
}


def video_frame(path: str | os.PathLike, position: float, *, max_pixels: int | None = None) -> Image.Image:
    """Decode the frame at `position` of a video (0 = first, 1 = last) to an RGB image.

    Of n frames it is number round(position · (n - 1)). Frames are counted by reading the packets without decoding
    them, so neither a missing duration nor a wrong frame count in the header matters. Decoding starts at the
    preceding key frame. Quarter turns and reflections that the file asks for are applied.

    Raises `BadImageError` where there is no such frame or it has more than `max_pixels` pixels; `av.FFmpegError`
    where FFmpeg cannot decode it.
    """
    times = _times(path, max_pixels)
    return _decoded(path, times, round(position * (len(times) - 1)), max_pixels)


def video_frames(path: str | os.PathLike, count: int, *, max_pixels: int | None = None) -> Iterator[Image.Image]:
    """Decode the frames of a video that `spread` names, one after the other, as `video_frame` decodes one.

    Raises as it does.
    """
    times = _times(path, max_pixels)
    for number in spread(len(times), count):
        yield _decoded(path, times, number, max_pixels)


def frame_count(path: str | os.PathLike, max_pixels: int | None = None) -> int:
    """How many frames a video has, counted as in `video_frame`. Raises as it does."""
    return len(_times(path, max_pixels))


def spread(total: int, count: int) -> list[int]:
    """Numbers of `count` of `total` frames: the middles of as many equal parts. All, where there are no more."""
    return [(2 * part + 1) * total // (2 * count) for part in range(count)] if total > count else [*range(total)]


def _times(path: str | os.PathLike, max_pixels: int | None) -> list[int | None]:
    """The presentation time of each frame, in the order of the file; None where it has none."""
    with decoding.opened_video(path, max_pixels) as container:
        packets = container.demux(container.streams.video[0])
        times = [packet.pts for packet in packets if packet.size and not packet.is_discard]
    if not times:
        raise BadImageError("holds no video frames")
    return times


def _decoded(path: str | os.PathLike, times: list[int | None], index: int, max_pixels: int | None) -> Image.Image:
    # Without a time on every packet there is nothing to seek to: count decoded frames from the start.
    known = sorted(time for time in times if time is not None)
    if len(known) < len(times):
        frame = _frame_number(path, index, max_pixels)
    else:
        frame = _frame_at(path, known[index], max_pixels)
    if frame is None:
        raise BadImageError(f"frame {index} of {len(times)} does not decode")
    if max_pixels is not None:
        decoding.check_size(frame.width, frame.height, max_pixels)
    image, turn = frame.to_image(), _turn_of(frame)
    return image if turn is None else image.transpose(turn)


def _turn_of(frame: av.VideoFrame) -> Image.Transpose | None:
    """Transposition that makes a frame upright, by the display matrix of its file."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return None
    a, b, _, c, d, *_ = np.sign(np.frombuffer(matrix, np.int32)).tolist()  # type: ignore[call-overload]  # a buffer
    return MATRICES.get((a, b, c, d))


def _frame_at(path: str | os.PathLike, time: int, max_pixels: int | None) -> av.VideoFrame | None:
    """The frame with presentation time `time` (in the stream's time base), else the next one that decodes."""
    last = None
    # Some files' indices lead too far; then the only honest way is from the start.
    for seek in (True, False):
        with decoding.opened_video(path, max_pixels) as container:
            stream = container.streams.video[0]
            if seek:
                container.seek(time, stream=stream, backward=True)
            for frame in container.decode(stream):
                last = frame
                if frame.pts is not None and frame.pts >= time:
                    break
        if last is not None and last.pts == time:
            break
    return last


def _frame_number(path: str | os.PathLike, index: int, max_pixels: int | None) -> av.VideoFrame | None:
    last = None
    with decoding.opened_video(path, max_pixels) as container, contextlib.suppress(StopIteration):
        frames = container.decode(container.streams.video[0])
        for _ in range(index + 1):
            last = next(frames)
    return last
