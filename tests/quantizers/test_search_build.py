"""The kernel is optional: without a compiler the build succeeds and leaves no library behind."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KERNEL = Path("codec/quantizers/kernel")


def build(folder: Path, compiler: str) -> list[str]:
    """Run the build in a copy of what it needs; names of the libraries that it made."""
    pytest.importorskip("setuptools")
    shutil.copy(ROOT / "setup.py", folder)
    shutil.copytree(ROOT / KERNEL, folder / KERNEL, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    environment = {"PATH": "/usr/bin:/bin", "CC": compiler, "CXX": compiler}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return [path.name for path in (folder / KERNEL).glob("nearest*.so")]


def test_no_compiler_no_kernel_no_failure(tmp_path: Path) -> None:
    assert build(tmp_path, "/bin/false") == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler here")
def test_a_compiler_makes_the_kernel(tmp_path: Path) -> None:
    assert len(build(tmp_path, "g++")) == 1
