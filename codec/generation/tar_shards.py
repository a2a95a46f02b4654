"""Shards as WebDataset has them: a tar in which files that share a name before the first dot are one record."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codec.errors import BitstreamError
from codec.generation.records import TokenRecord, TokenSource
from codec.generation.shards import header, read_header
from codec.media.files import whole_file

HEADER = "__codec__.json"  # the first member; WebDataset passes over names with two underscores in front


class TarShard:
    """Reads one; codes are mapped into memory where the tar is on disk.

    Args:
        path: of the tar.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with tarfile.open(path, "r:") as tar:
                members = {member.name: member for member in tar.getmembers()}
                first = tar.extractfile(members[HEADER])
                assert first is not None
                values = json.loads(first.read())
                facts = [name for name in members if name.endswith(".json") and name != HEADER]
                self._facts: list[Mapping[str, Any]] = [_json(tar, name) for name in facts]
                self._codes = [members[name.removesuffix(".json") + ".npy"] for name in facts]
        except (OSError, tarfile.TarError, KeyError, ValueError) as error:
            raise BitstreamError(f"it cannot be read ({error})", str(path)) from error
        self.source, self.inputs = read_header(values, str(path))
        if len(self) != int(values["count"]):
            raise BitstreamError(f"expected {values['count']} records, got {len(self)}", str(path))

    def __len__(self) -> int:
        return len(self._facts)

    def __getitem__(self, i: int) -> TokenRecord:
        """Record i, its codes a view of the file."""
        return TokenRecord.from_facts(self._facts[i], self._mapped(self._codes[i]))

    def _mapped(self, member: tarfile.TarInfo) -> NDArray[Any]:
        """The array of a `.npy` inside the tar."""
        with self._path.open("rb") as file:
            file.seek(member.offset_data)
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                raise BitstreamError(f"{member.name} is .npy of version {version}", str(self._path))
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            if (
                dtype != self.source.dtype
                or file.tell() + dtype.itemsize * int(np.prod(shape)) > member.offset_data + member.size
            ):
                raise BitstreamError(f"{member.name} has {shape} of {dtype}", str(self._path))
            return np.memmap(self._path, dtype, mode="r", offset=file.tell(), shape=shape).reshape(-1)


def write_tar(path: Path, source: TokenSource, inputs: int, records: Sequence[TokenRecord]) -> None:
    """Write one; classes and captions are files of their own too, as loaders expect them."""
    with whole_file(path) as file, tarfile.open(fileobj=file, mode="w") as tar:
        _add(tar, HEADER, json.dumps(header(source, inputs) | {"count": len(records)}).encode())
        for name, record in zip(_names(records), records, strict=True):
            codes = io.BytesIO()
            np.save(codes, record.codes.astype(source.dtype), allow_pickle=False)
            _add(tar, f"{name}.npy", codes.getvalue())
            _add(tar, f"{name}.json", json.dumps(record.facts()).encode())
            if record.label is not None:
                _add(tar, f"{name}.cls", str(record.label).encode())
            if record.caption is not None:
                _add(tar, f"{name}.txt", record.caption.encode())


def _names(records: Sequence[TokenRecord]) -> list[str]:
    """Keys without dots, which would end them, made different by their number where they are not."""
    names = [record.key.replace(".", "_") for record in records]
    return [f"{name}_{i}" if names.count(name) > 1 else name for i, name in enumerate(names)]


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _json(tar: tarfile.TarFile, name: str) -> Mapping[str, Any]:
    file = tar.extractfile(name)
    assert file is not None
    values: Mapping[str, Any] = json.loads(file.read())
    return values
