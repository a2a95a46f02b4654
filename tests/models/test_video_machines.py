"""Files of video on other machines: the same codes under any instruction set and number of threads, and nearly the same pictures."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.models import load_as, save
from codec.models.video import VideoFiles
from codec.types import Media
from tests.models.video_models import CONFIG, moving_clip, small_video_codec
from tests.models.video_token_models import CONFIG as TOKENS
from tests.models.video_token_models import small_video_tokens

FRAMES = 20
MACHINES = {
    "sse": ({"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}, 1),
    "avx2": ({"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}, 2),
    "numba-generic": ({"NUMBA_CPU_NAME": "generic"}, 1),
}
ELSEWHERE = """
import json, sys
from pathlib import Path
import numpy as np, torch
from codec.models import load
torch.set_num_threads(int(sys.argv[2]))
folder, found = Path(sys.argv[1]), {}
for name in ("small-video", "small-tokens"):
    model, data = load(folder / name), (folder / f"{name}.lmc").open("rb")
    found[name] = model.read_codes(data).digest.hex()
    np.save(folder / f"{name}-{sys.argv[3]}.npy", model.decompress((folder / f"{name}.lmc").read_bytes()).samples.numpy())
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("here")
    media = Media("video", moving_clip(FRAMES).transpose(0, 1).contiguous())
    for name, model, config in (
        ("small-video", small_video_codec(), CONFIG),
        ("small-tokens", small_video_tokens(), TOKENS),
    ):
        save(folder / name, model, config, f"# {name}\n")
        (folder / f"{name}.lmc").write_bytes(load_as(VideoFiles, folder / name).compress(media))
    return folder


@pytest.mark.parametrize("machine", MACHINES)
def test_codes_are_the_same_and_pictures_nearly(here: Path, machine: str, tmp_path: Path) -> None:
    variables, threads = MACHINES[machine]
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(here), str(threads), machine],
        capture_output=True,
        text=True,
        env=os.environ | variables | {"NUMBA_CACHE_DIR": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    digests = json.loads(done.stdout)
    for name in ("small-video", "small-tokens"):
        model, data = load_as(VideoFiles, here / name), (here / f"{name}.lmc").read_bytes()
        assert digests[name] == model.read_codes(io.BytesIO(data)).digest.hex()
        own, other = model.decompress(data).samples.numpy(), np.load(here / f"{name}-{machine}.npy")
        error = np.square(own.astype(float) - other).mean()
        assert error < 255**2 / 10**5, "the pictures are less than 50 dB apart"


def test_codes_are_read_in_one_thread_as_in_two(here: Path) -> None:
    model, data = load_as(VideoFiles, here / "small-video"), (here / "small-video.lmc").read_bytes()
    threads = torch.get_num_threads()
    try:
        digests = set()
        for count in (1, 2):
            torch.set_num_threads(count)
            digests.add(model.read_codes(io.BytesIO(data)).digest)
    finally:
        torch.set_num_threads(threads)
    assert len(digests) == 1
