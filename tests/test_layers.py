"""A room imports only from rooms above it in this list; lightning stays in the training room."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOMS = [
    "lazy", "errors", "types", "media", "nn", "quantizers", "coding", "container", "entropy", "models", "evaluation",
    "generation", "transfer", "api", "training", "cli",
]  # fmt: skip
PACKAGE = Path(__file__).parents[1] / "codec"
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield str(node.module)


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_up_only(file: Path) -> None:
    room = room_of(file)
    if room in ("__init__", "__main__"):
        return
    for name in imported(file):
        if name.startswith("codec."):
            other = name.split(".")[1]
            assert ROOMS.index(other) <= ROOMS.index(room), f"{room} must not import {name}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_only_training_imports_lightning(file: Path) -> None:
    heavy = {name.split(".")[0] for name in imported(file)} & {"lightning", "pytorch_lightning"}
    assert not heavy or room_of(file) == "training"


@pytest.mark.parametrize("room", ["nn", "quantizers", "coding", "entropy", "models", "training", "evaluation"])
def test_training_path_needs_no_media_libraries(room: str) -> None:
    for file in (PACKAGE / room).rglob("*.py"):
        assert not {name.split(".")[0] for name in imported(file)} & {"soundfile", "av", "compressai"}, file
