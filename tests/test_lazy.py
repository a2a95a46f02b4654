"""Lazy packages: every public name is there, no other is, and looking costs no heavy import."""

import importlib
import subprocess
import sys

import pytest


@pytest.mark.parametrize("package", ["codec", "codec.coding", "codec.models"])
def test_every_public_name_is_there(package: str) -> None:
    module = importlib.import_module(package)
    for name in module.__all__:
        assert getattr(module, name).__name__ == name
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        _ = module.nothing


def test_a_checksum_and_a_container_import_neither_numpy_nor_torch() -> None:
    script = (
        "import sys, codec, codec.container, codec.models; from codec.coding import crc32c; crc32c(bytes(1 << 16))\n"
        "print(sorted({'numpy', 'numba', 'torch', 'typing_extensions'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
