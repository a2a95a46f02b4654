"""Two processes under gloo: wrappers start and train alike on both, and never wait for a stage that the other left out."""

import subprocess
import sys
from pathlib import Path

import torch


def test_composed_quantizers_of_two_processes_stay_equal(tmp_path: Path) -> None:
    meeting = tmp_path / "meeting"
    command = [sys.executable, "-W", "ignore", "-m", "tests.quantizers.composed_processes"]
    processes = [subprocess.Popen([*command, str(rank), str(meeting)], stderr=subprocess.PIPE) for rank in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors.decode()
    one, two = (torch.load(f"{meeting}.{rank}", weights_only=True) for rank in range(2))
    assert not [name for name in one if not torch.equal(one[name], two[name])]
