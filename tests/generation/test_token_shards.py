"""Records come back from every format as they went in, mapped where they can be; damage and mixtures are named."""

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.errors import BitstreamError, MediaError, ModelMismatchError
from codec.generation import (
    Delay,
    Flatten,
    Parallel,
    ShardFormat,
    TokenDataset,
    TokenRecord,
    TokenSource,
    Vocabulary,
    open_shard,
    shard_path,
    write_shard,
)
from codec.generation.shards import FlatShard

FORMATS: list[ShardFormat] = ["npy", "bin", "webdataset", "parquet"]
SOURCE = TokenSource("some-model", "ab" * 32, "image", (64, 1000, 300))


def record(key: str, rows: int, seed: int, **facts: object) -> TokenRecord:
    random = np.random.default_rng(seed)
    codes = np.stack([random.integers(size, size=(rows, 4)) for size in SOURCE.alphabets])
    return TokenRecord(key, codes, {"width": 60, "height": 16 * rows}, **facts)  # type: ignore[arg-type]


RECORDS = [
    record("a/b.c", 3, 0, label=7),
    record("a/b_c", 1, 1, caption="zwölf Boxkämpfer"),
    record("d", 5, 2, label=0, caption=""),
]


@pytest.fixture(params=FORMATS)
def format(request: pytest.FixtureRequest) -> ShardFormat:
    return request.param  # type: ignore[no-any-return]


def written(folder: Path, format: ShardFormat, number: int = 0) -> Path:
    path = shard_path(folder, number, format)
    write_shard(path, format, SOURCE, 123, RECORDS)
    return path


def test_records_come_back(tmp_path: Path, format: ShardFormat) -> None:
    shard = open_shard(written(tmp_path, format))
    assert shard.source == SOURCE
    assert shard.inputs == 123
    for i, expected in enumerate(RECORDS):
        found = shard[i]
        assert np.array_equal(found.codes, expected.codes)
        assert found.codes.dtype == np.uint16
        assert replace(found, codes=expected.codes) == expected
    assert len(shard) == len(RECORDS)


@pytest.mark.parametrize("format", ["npy", "bin", "webdataset"])
def test_codes_are_mapped(tmp_path: Path, format: ShardFormat) -> None:
    base = open_shard(written(tmp_path, format))[1].codes
    while not isinstance(base, np.memmap):
        assert isinstance(base, np.ndarray)
        base = base.base  # type: ignore[assignment]


def test_a_tar_is_one_for_other_loaders(tmp_path: Path) -> None:
    with tarfile.open(written(tmp_path, "webdataset")) as tar:
        names = tar.getnames()
    assert names == [
        "__codec__.json",
        "a/b_c_0.npy", "a/b_c_0.json", "a/b_c_0.cls",
        "a/b_c_1.npy", "a/b_c_1.json", "a/b_c_1.txt",
        "d.npy", "d.json", "d.cls", "d.txt",
    ]  # fmt: skip


def test_damage_is_named(tmp_path: Path, format: ShardFormat) -> None:
    path = written(tmp_path, format)
    data = path.with_suffix(f".{format}") if format in ("npy", "bin") else path
    whole = data.read_bytes()
    for kept in (len(whole) // 5, 10, 0):  # of a tar the end is only padding
        data.write_bytes(whole[:kept])
        with pytest.raises(BitstreamError, match=f"shard-00000{data.suffix}"):
            open_shard(path)[2]


def test_flipped_codes_fail_their_checksum(tmp_path: Path) -> None:
    path = written(tmp_path, "bin")
    data = bytearray(path.with_suffix(".bin").read_bytes())
    data[5] ^= 1
    path.with_suffix(".bin").write_bytes(data)
    with pytest.raises(BitstreamError, match="damaged"):
        FlatShard(path).verify()


def test_headers_are_checked(tmp_path: Path) -> None:
    path = written(tmp_path, "bin")
    values = json.loads(path.read_bytes())
    path.write_text(json.dumps(values | {"version": 2}))
    with pytest.raises(BitstreamError, match="up to version 1"):
        open_shard(path)
    path.write_text("{}")
    with pytest.raises(BitstreamError, match="no shard of tokens"):
        open_shard(path)


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        (np.full((3, 2, 2), 64), "codes 64..64 of plane 0 leave"),
        (np.full((3, 2, 2), -1), "leave"),
        (np.zeros((2, 2, 2), int), "expected 3 planes"),
        (np.zeros((3, 0, 2), int), "no codes"),
    ],
)
def test_codes_that_cannot_be_are_not_written(tmp_path: Path, codes: np.ndarray, reason: str) -> None:  # type: ignore[type-arg]
    path = shard_path(tmp_path, 0, "bin")
    with pytest.raises(BitstreamError, match=reason):
        write_shard(path, "bin", SOURCE, 0, [*RECORDS, TokenRecord("bad", codes)])
    assert not list(tmp_path.iterdir())


def test_a_data_set_reads_shards_in_order(tmp_path: Path, format: ShardFormat) -> None:
    written(tmp_path, format, 1), written(tmp_path, format, 0)
    data = TokenDataset(tmp_path)
    assert len(data) == 6
    assert [data.record(i).key for i in range(6)] == [one.key for one in RECORDS] * 2
    assert data.record(-1).key == "d"
    assert len(TokenDataset(shard_path(tmp_path, 0, format))) == 3
    with pytest.raises(IndexError):
        data.record(6)
    item = data[3]
    assert (item.key, item.label, item.grid) == ("a/b.c", 7, (3, 4))
    assert item.words.shape == (36, 1)
    assert torch.equal(data.codes(item.words, item.grid), torch.from_numpy(RECORDS[0].codes))


@pytest.mark.parametrize("pattern", [Flatten(), Delay(), Parallel()], ids=["flatten", "delay", "parallel"])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("planes", [1, 3])
def test_words_go_back_to_codes(tmp_path: Path, pattern: Flatten, shared: bool, planes: int) -> None:
    written(tmp_path, "bin")
    vocabulary = Vocabulary(SOURCE.alphabets[:planes], shared=shared)
    data = TokenDataset(tmp_path, pattern=pattern, planes=planes, vocabulary=vocabulary)
    for i in range(3):
        item = data[i]
        assert int(item.words.max()) < vocabulary.size
        assert torch.equal(data.codes(item.words, item.grid), torch.from_numpy(RECORDS[i].codes[:planes]))


def test_a_vocabulary_is_explicit() -> None:
    words = Vocabulary((4, 6), special=("end", "pad"))
    assert (words.size, words.offsets, words.number("pad")) == (12, (2, 6), 1)
    assert words.logit_mask([1]).tolist() == [[False] * 6 + [True] * 6]
    planes = torch.tensor([[0, -1], [0, 1]])
    assert words.words(torch.tensor([[3, -1], [0, 5]]), planes).tolist() == [[5, 1], [2, 11]]
    assert words.codes(torch.tensor([[5, 0], [2, 11]]), planes).tolist() == [[3, -1], [0, 5]]
    with pytest.raises(BitstreamError, match=r"word 6 at step 1 is no code of plane 0, which are 2\.\.5"):
        words.codes(torch.tensor([[5, 0], [6, 11]]), planes)
    with pytest.raises(ValueError, match="one of them pad"):
        Vocabulary((4,), special=("end",))
    assert Vocabulary((4, 6), shared=True).size == 9


def test_models_are_not_mixed(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    written(one, "bin")
    write_shard(shard_path(two, 0, "bin"), "bin", replace(SOURCE, model="other", coding_hash="cd" * 32), 0, RECORDS)
    with pytest.raises(ModelMismatchError, match="holds codes of other"):
        TokenDataset([one, two])
    with pytest.raises(MediaError, match="no shards"):
        TokenDataset(tmp_path)
    with pytest.raises(ValueError, match="4 are none of them"):
        TokenDataset(one, planes=4)
    with pytest.raises(ValueError, match="the vocabulary is of"):
        TokenDataset(one, vocabulary=Vocabulary((64,)))
