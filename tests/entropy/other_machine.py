"""Stands for another machine: reads models and streams that were saved, decodes and encodes again, prints what agreed."""

import sys
from pathlib import Path

import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from codec.entropy import Layout, decode_chunk, encode_chunk
from codec.models.checkpoint import build


def agrees(folder: Path, config: Path) -> bool:
    """Whether this process reads and writes the saved streams."""
    model = build(OmegaConf.to_container(OmegaConf.load(config))).eval()  # type: ignore[arg-type]
    model.load_state_dict(load_file(folder / f"{config.stem}.model"))
    saved = load_file(folder / f"{config.stem}.chunk")
    planes = [saved[f"plane_{i}"] for i in range(len(saved) // 2)]
    streams = [saved[f"stream_{i}"].numpy().tobytes() for i in range(len(saved) // 2)]
    decoded = decode_chunk(model, Layout(tuple(tuple(plane.shape) for plane in planes)), streams)
    same = all(torch.equal(one, two) for one, two in zip(decoded, planes, strict=True))
    return same and encode_chunk(model, planes) == streams


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[2]))
    for path in map(Path, sys.argv[3:]):
        if agrees(Path(sys.argv[1]), path):
            print(path.stem)
