"""Bytes to file and back: head, sections, checksums; docs/bitstream.md specifies them. No torch, so `codec info` is quick."""

from codec.container.describe import FileDescription, SectionInfo, describe, planes_of, truncate
from codec.container.head import AudioFields, Head, ImageFields, VideoFields
from codec.container.index import IndexEntry, find_index, parse_index
from codec.container.reader import Reader
from codec.container.sections import Section, SectionType, pack_planes, unpack_planes
from codec.container.writer import Writer

__all__ = [
    "AudioFields",
    "FileDescription",
    "Head",
    "ImageFields",
    "IndexEntry",
    "Reader",
    "Section",
    "SectionInfo",
    "SectionType",
    "VideoFields",
    "Writer",
    "describe",
    "find_index",
    "pack_planes",
    "parse_index",
    "planes_of",
    "truncate",
    "unpack_planes",
]
