"""Shards as Parquet: columns `key`, `codes`, `shape`, `label`, `caption` and what is known of the media; needs `pyarrow`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codec.errors import BitstreamError, UsageError
from codec.generation.records import TokenRecord, TokenSource
from codec.generation.shards import header, read_header
from codec.media.files import whole_file

HEADER = b"codec"  # in the metadata of the schema


def _arrow() -> tuple[Any, Any]:
    """`pyarrow` and its Parquet reader."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError("shards in Parquet need pyarrow: pip install 'codec[tokens]'") from error
    return pyarrow, pyarrow.parquet


class ParquetShard:
    """Reads one.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        arrow, parquet = _arrow()
        try:
            self._table = parquet.read_table(path, memory_map=True)
            values = json.loads(self._table.schema.metadata[HEADER])
        except (OSError, KeyError, TypeError, ValueError, arrow.ArrowException) as error:
            raise BitstreamError(f"it cannot be read ({error})", str(path)) from error
        self.source, self.inputs = read_header(values, str(path))

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __getitem__(self, i: int) -> TokenRecord:
        """Record i."""
        row = self._table.slice(i, 1)
        codes = row.column("codes").combine_chunks().values.to_numpy()
        facts = {name: row.column(name)[0].as_py() for name in row.column_names if name != "codes"}
        media = {name: facts[name] for name in facts if name not in ("key", "shape", "label", "caption")}
        return TokenRecord.from_facts(facts | {"media": media}, codes.astype(self.source.dtype, copy=False))


def write_parquet(path: Path, source: TokenSource, inputs: int, records: Sequence[TokenRecord]) -> None:
    """Write one."""
    arrow, parquet = _arrow()
    media = sorted({name for record in records for name in record.media})
    codes = [record.codes.reshape(-1).astype(source.dtype) for record in records]
    ends = np.cumsum([0, *(len(row) for row in codes)])
    columns = {
        "key": arrow.array([record.key for record in records], arrow.string()),
        "codes": arrow.LargeListArray.from_arrays(arrow.array(ends, arrow.int64()), arrow.array(np.concatenate(codes))),
        "shape": arrow.array([list(record.codes.shape) for record in records], arrow.list_(arrow.int32())),
        "label": arrow.array([record.label for record in records], arrow.int32()),
        "caption": arrow.array([record.caption for record in records], arrow.string()),
    }
    columns |= {name: arrow.array([record.media.get(name) for record in records], arrow.int64()) for name in media}
    table = arrow.table(columns).replace_schema_metadata({HEADER: json.dumps(header(source, inputs)).encode()})
    with whole_file(path) as file:
        parquet.write_table(table, file)
