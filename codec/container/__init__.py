"""Bytes to file and back: head, sections, checksums; docs/bitstream.md specifies them. No torch, so `codec info` is quick."""

from codec.container.describe import FileDescription, SectionInfo, describe, planes_of, truncate
from codec.container.head import AudioFields, Head, ImageFields, VideoFields
from codec.container.index import IndexEntry, find_index, parse_index
from codec.container.packets import Packet, packet_section, parse_packet, parse_packet_frames
from codec.container.reader import Reader
from codec.container.sections import Section, SectionType, pack_planes, unpack_planes
from codec.container.writer import Writer

__all__ = [
    "AudioFields",
    "FileDescription",
    "Head",
    "ImageFields",
    "IndexEntry",
    "Packet",
    "Reader",
    "Section",
    "SectionInfo",
    "SectionType",
    "VideoFields",
    "Writer",
    "describe",
    "find_index",
    "pack_planes",
    "packet_section",
    "parse_index",
    "parse_packet",
    "parse_packet_frames",
    "planes_of",
    "truncate",
    "unpack_planes",
]
