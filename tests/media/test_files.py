"""A file appears whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from codec.errors import MediaError
from codec.media.files import whole_file


def write(target: Path, content: bytes) -> None:
    with whole_file(target) as file:
        file.write(content)


def write_half(target: Path, failure: type[BaseException]) -> None:
    with whole_file(target) as file:
        file.write(b"half")
        raise failure


def test_writes_and_replaces(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    write(target, b"old")
    write(target, b"new")
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    write(tmp_path / "a", b"1")
    (tmp_path / "b").write_bytes(b"1")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE((tmp_path / "b").stat().st_mode)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_failure_leaves_the_old_content_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    target = tmp_path / "a.bin"
    write(target, b"old")
    with pytest.raises(failure):
        write_half(target, failure)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_operating_system_failure_inside_is_a_media_error(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"a\.bin: no space"), whole_file(tmp_path / "a.bin"):
        raise OSError(28, "no space")
    assert not os.listdir(tmp_path)


def test_unwritable_targets(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="No such file"):
        write(tmp_path / "missing" / "a", b"")
    with pytest.raises(MediaError, match="folder"):
        write(tmp_path, b"")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MediaError, match="Not a directory"):
        write(tmp_path / "file" / "a", b"")


def test_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"old")
    link.symlink_to(real)
    write(link, b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


@pytest.mark.skipif(not Path(os.devnull).is_char_device(), reason="needs a device file")
def test_device_is_written_not_replaced() -> None:
    write(Path(os.devnull), b"gone")
    assert Path(os.devnull).is_char_device()
