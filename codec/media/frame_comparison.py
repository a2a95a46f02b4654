"""Filters of FFmpeg that compare two videos, through PyAV."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

import av
import av.filter

from codec.errors import MediaError

CLOCK = Fraction(1, 25)  # frames are matched by their times, which mean nothing else here


def has_filter(name: str) -> bool:
    """Whether this build of FFmpeg has a filter."""
    return name in av.filter.filters_available


def run_comparison(name: str, options: Mapping[str, str], pairs: Iterable[tuple[av.VideoFrame, av.VideoFrame]]) -> None:
    """Send pairs of frames of one format through a filter, the judged frame first; its numbers are in a file of its own after that.

    Raises:
        MediaError: the filter does not take such frames or options.
    """
    graph: Any = None
    try:
        for index, pair in enumerate(pairs):
            if graph is None:
                graph = _graph(name, options, pair[0])
            for side, frame in enumerate(pair):
                frame.pts, frame.time_base = index, CLOCK
                graph.vpush(frame, side)
            _drain(graph)
        if graph is not None:
            graph.vpush(None)
            _drain(graph)
    except av.FFmpegError as error:
        raise MediaError(f"cannot compare videos with {name}: {error.strerror}") from error


def _graph(name: str, options: Mapping[str, str], like: av.VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    comparison, end = graph.add(name, **options), graph.add("buffersink")
    for side in range(2):
        source = graph.add_buffer(width=like.width, height=like.height, format=like.format, time_base=CLOCK)
        source.link_to(comparison, 0, side)
    comparison.link_to(end)
    graph.configure()
    return graph


def _drain(graph: av.filter.Graph) -> None:
    """Throw away the frames that come out: nobody asked for them."""
    while True:
        try:
            graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
