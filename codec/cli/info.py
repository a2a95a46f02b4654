"""`codec info`: what a `.lmc` file says of itself, without its model and without torch."""

import json as jsonlib
from dataclasses import asdict

from codec import api
from codec.cli.jobs import PIPE, read_pipe
from codec.container import AudioFields, FileDescription, VideoFields


def run(source: str, *, json: bool) -> None:
    """Print a description of a file or of stdin."""
    description = api.probe(read_pipe() if source == PIPE else source)
    if json:
        print(jsonlib.dumps(as_dict(description), indent=2))
        return
    for name, value in lines(description):
        print(f"{name:12} {value}")


def as_dict(description: FileDescription) -> dict[str, object]:
    """The description for programs."""
    head = description.head
    return {
        "kind": head.kind,
        **asdict(head.fields),
        "version": head.version,
        "coding_hash": head.coding_hash.hex(),
        "alphabets": list(head.alphabets),
        "gain": head.gain,
        "bytes": description.bytes,
        "sections": [
            {"type": section.name, "chunk": section.chunk, "planes": list(section.planes), "bytes": section.bytes}
            for section in description.sections
        ],
    }


def lines(description: FileDescription) -> list[tuple[str, str]]:
    """The description for people."""
    head = description.head
    facts = ", ".join(f"{name} {value}" for name, value in asdict(head.fields).items())
    rows = [
        ("kind", f"{head.kind} ({facts})"),
        ("format", f"version {head.version}, {'chunk' if head.chunk_major else 'plane'}-major"),
        ("model", head.coding_hash.hex()),
        ("planes", ", ".join(f"{i}: {size or 'any'} codes" for i, size in enumerate(head.alphabets))),
        ("bytes", f"{description.bytes}"),
    ]
    if head.gain is not None:
        rows.insert(3, ("gain", f"{head.gain} of 1023"))
    if isinstance(head.fields, AudioFields):
        return rows + _sound_lines(description, head.fields)
    if isinstance(head.fields, VideoFields):
        return rows + _video_lines(description)
    return rows + [("section", f"{s.name}, chunk {s.chunk}, {s.bytes} bytes") for s in description.sections]


def _sound_lines(description: FileDescription, fields: AudioFields) -> list[tuple[str, str]]:
    """Length and bit rate, and the packets together, of which a sound has thousands."""
    samples = fields.samples or description.length or 0
    packets = [section.bytes for section in description.sections if section.name == "codes"]
    rows = [("packets", f"{len(packets)}, of {min(packets, default=0)} to {max(packets, default=0)} bytes")]
    if samples:
        seconds = samples / fields.rate_hz
        rows.insert(0, ("length", f"{seconds:.3f} s, {8 * description.bytes / seconds / 1000:.2f} kbit/s"))
    others = [section for section in description.sections if section.name != "codes"]
    return rows + [("section", f"{s.name}, {s.bytes} bytes") for s in others]


def _video_lines(description: FileDescription) -> list[tuple[str, str]]:
    """How many pictures, and the groups of them and the pieces of sound together."""
    groups, pieces = (
        [section.bytes for section in description.sections if section.name == name] for name in ("codes", "sound")
    )
    rows = [("groups", f"{len(groups)}, of {min(groups, default=0)} to {max(groups, default=0)} bytes")]
    if description.length:
        rows.insert(0, ("length", f"{description.length} pictures"))
    if pieces:
        rows.append(("sound", f"{sum(pieces)} bytes"))
    others = [section for section in description.sections if section.name not in ("codes", "sound")]
    return rows + [("section", f"{s.name}, {s.bytes} bytes") for s in others]
