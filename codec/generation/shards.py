"""Shards of token data sets: so many records in one file, or two, that appear whole and say which model made them.

`npy` and `bin` hold the codes of all records one after another, with a JSON file beside them, and are mapped into memory; `webdataset` is a
tar with `KEY.npy` and `KEY.json` (`KEY.cls`, `KEY.txt`) for each record; `parquet` has a row for each.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from codec.coding import crc32c
from codec.errors import BitstreamError, MediaError
from codec.generation.records import TokenRecord, TokenSource
from codec.media.files import whole_file

ShardFormat = Literal["parquet", "webdataset", "npy", "bin"]
NAME, VERSION = "codec-tokens", 1


class Shard(Protocol):
    """An open shard.

    Attributes:
        source: what made its codes.
        inputs: CRC-32C of the names of the files that it was made of, which says whether it belongs to a task.
    """

    source: TokenSource
    inputs: int

    def __len__(self) -> int:
        """How many records."""

    def __getitem__(self, i: int) -> TokenRecord:
        """Record i; its codes are a view where the format allows it."""


def header(source: TokenSource, inputs: int) -> dict[str, Any]:
    """What every shard says of itself."""
    return {"format": NAME, "version": VERSION, "source": source.to_json(), "inputs": inputs}


def read_header(values: Any, place: str) -> tuple[TokenSource, int]:
    """The way back.

    Raises:
        BitstreamError: it is no header of a shard, or one of a newer version.
    """
    try:
        if values["format"] != NAME or int(values["version"]) > VERSION:
            raise BitstreamError(
                f"expected {NAME} up to version {VERSION}, got {values['format']} {values['version']}", place
            )
        return TokenSource.from_json(values["source"]), int(values["inputs"])
    except (KeyError, TypeError, ValueError) as error:
        raise BitstreamError(f"this is no shard of tokens ({error})", place) from error


class FlatShard:
    """Codes in one array on disk, mapped when first used: `STEM.npy` or `STEM.bin`, and `STEM.json`.

    Args:
        index: the JSON file.
    """

    def __init__(self, index: Path) -> None:
        try:
            values = json.loads(index.read_bytes())
        except (OSError, ValueError) as error:
            raise BitstreamError(f"it cannot be read ({error})", str(index)) from error
        self.source, self.inputs = read_header(values, str(index))
        self._facts, self._crc = values["records"], int(values["crc32c"])
        self._path = index.with_name(values["data"])
        sizes = [int(np.prod(facts["shape"])) for facts in self._facts]
        self._ends = np.cumsum(sizes)
        self._array: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self._facts)

    def __getitem__(self, i: int) -> TokenRecord:
        """Record i, its codes a view of the file."""
        facts = self._facts[i]
        first = int(self._ends[i - 1]) if i else 0
        return TokenRecord.from_facts(facts, self.codes()[first : int(self._ends[i])])

    def codes(self) -> NDArray[Any]:
        """All codes of the shard, `(n,)`."""
        if self._array is None:
            self._array = self._mapped()
        return self._array

    def verify(self) -> None:
        """Read all codes and compare their checksum."""
        if crc32c(self.codes().tobytes()) != self._crc:
            raise BitstreamError("the codes are damaged", str(self._path))

    def _mapped(self) -> NDArray[Any]:
        expected = int(self._ends[-1]) if len(self) else 0
        try:
            if self._path.suffix == ".npy":
                array: NDArray[Any] = np.load(self._path, mmap_mode="r", allow_pickle=False)
            else:
                array = np.memmap(self._path, self.source.dtype, mode="r")
        except (OSError, EOFError, ValueError) as error:
            raise BitstreamError(f"it cannot be read ({error})", str(self._path)) from error
        if array.shape != (expected,) or array.dtype != self.source.dtype:
            raise BitstreamError(
                f"expected {expected} codes of {self.source.dtype}, got {array.shape} of {array.dtype}", str(self._path)
            )
        return array


def write_flat(index: Path, source: TokenSource, inputs: int, records: Sequence[TokenRecord], suffix: str) -> None:
    """Write the codes, then the JSON file, whose presence says that both are whole."""
    data = index.with_suffix(suffix)
    codes = np.concatenate([record.codes.reshape(-1).astype(source.dtype) for record in records])
    with whole_file(data) as file:
        if suffix == ".npy":
            np.save(file, codes, allow_pickle=False)
        else:
            file.write(codes.tobytes())
    values = header(source, inputs) | {"data": data.name, "crc32c": crc32c(codes.tobytes())}
    values["records"] = [record.facts() for record in records]
    with whole_file(index) as file:
        file.write(json.dumps(values).encode())


def shard_path(folder: Path, number: int, format: ShardFormat) -> Path:
    """The file by which a shard is opened."""
    return folder / f"shard-{number:05d}{ {'parquet': '.parquet', 'webdataset': '.tar'}.get(format, '.json') }"


def write_shard(
    path: Path, format: ShardFormat, source: TokenSource, inputs: int, records: Sequence[TokenRecord]
) -> None:
    """Write records, checked, as a file that appears whole."""
    if not records:
        raise MediaError(f"{path}: no record is left to write")
    for record in records:
        record.check(source)
    if format == "webdataset":
        from codec.generation.tar_shards import write_tar

        write_tar(path, source, inputs, records)
    elif format == "parquet":
        from codec.generation.parquet_shards import write_parquet

        write_parquet(path, source, inputs, records)
    else:
        write_flat(path, source, inputs, records, f".{format}")


def open_shard(path: Path) -> Shard:
    """A shard of any format, by its suffix."""
    if path.suffix == ".tar":
        from codec.generation.tar_shards import TarShard

        return TarShard(path)
    if path.suffix == ".parquet":
        from codec.generation.parquet_shards import ParquetShard

        return ParquetShard(path)
    return FlatShard(path)


def shards_in(folder: Path) -> Iterator[Path]:
    """The shards of a data set, in order."""
    return iter(sorted(path for path in folder.glob("shard-*") if path.suffix in (".json", ".tar", ".parquet")))
