"""`codec train`: the repository's train.py."""

import gc
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from codec.cli import USUAL_PATIENCE
from codec.errors import UsageError

SCRIPT = Path(__file__).resolve().parents[2] / "train.py"


def run(overrides: Sequence[str]) -> None:
    """Run it with Hydra overrides."""
    if not SCRIPT.is_file():
        raise UsageError(f"training needs a checkout of the repository; {SCRIPT} is not there")
    gc.set_threshold(*USUAL_PATIENCE)
    sys.argv = [str(SCRIPT), *overrides]
    runpy.run_path(str(SCRIPT), run_name="__main__")
