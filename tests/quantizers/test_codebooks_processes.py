"""Two processes under gloo: every rule with a state ends with the same codebook on both, which is that of one process."""

import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

from tests.quantizers.processes import train


def two_processes(meeting: Path) -> list[dict[str, Tensor]]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.quantizers.processes"]
    processes = [subprocess.Popen([*command, str(rank), str(meeting)], stderr=subprocess.PIPE) for rank in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors.decode()
    return [torch.load(f"{meeting}.{rank}", weights_only=True) for rank in range(2)]


def test_codebooks_of_two_processes_stay_equal_and_as_of_one(tmp_path: Path) -> None:
    one, two = two_processes(tmp_path / "meeting")
    assert not torch.equal(one.pop("drawn"), two.pop("drawn"))  # each process draws codes of its own
    alone = train(slice(None))
    for name, value in one.items():
        assert torch.equal(value, two[name]), name
        assert torch.allclose(value, alone[name], atol=1e-4, rtol=1e-3), name
