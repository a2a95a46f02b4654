"""The command line on real files, each call in a fresh process: what a user types, sees and finds on disk."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from codec.errors import BitstreamError, MediaError, ModelNotFoundError, UsageError
from codec.evaluation import psnr
from codec.media import read_image
from tests.conftest import synthetic_picture

TINY = Path(__file__).parents[1] / "golden"
USAGE, MEDIA, DAMAGED, NO_MODEL = (
    error.exit_code for error in (UsageError, MediaError, BitstreamError, ModelNotFoundError)
)


def opened(source: Path | bytes) -> Image.Image:
    """A picture, loaded, its file closed."""
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        image.load()
        return image.copy()


def codec(
    *arguments: object, stdin: bytes = b"", code: int = 0, checkpoints: Path = TINY
) -> subprocess.CompletedProcess[bytes]:
    """Run the command line with the tiny golden models, or those of a folder, as the only other checkpoints."""
    done = subprocess.run(
        [sys.executable, "-m", "codec", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        env=os.environ | {"CODEC_CHECKPOINTS": str(checkpoints)},
        timeout=120,
        check=False,
    )
    assert done.returncode == code, (done.returncode, done.stderr.decode())
    assert b"Traceback" not in done.stderr
    if code:
        assert len(done.stderr.decode().strip().splitlines()) == 1
    return done


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(synthetic_picture(75, 101).permute(1, 2, 0).numpy()).save(path)
    return path


@pytest.fixture
def coded(photo: Path) -> Path:
    codec("encode", photo, "--model", "tiny")
    return photo.with_suffix(".lmc")


def test_photo_to_file_to_photo(photo: Path, tmp_path: Path) -> None:
    original = read_image(photo).samples
    codec("encode", photo)  # the shipped default model
    assert photo.with_suffix(".lmc").stat().st_size < photo.stat().st_size / 20
    codec("decode", photo.with_suffix(".lmc"), tmp_path / "back.png")
    back = read_image(tmp_path / "back.png").samples
    assert back.shape == original.shape
    assert psnr(original, back) > 22


def test_folder_keeps_its_tree_and_reports_a_bad_file(photo: Path, tmp_path: Path) -> None:
    tree = tmp_path / "in"
    (tree / "a" / "b").mkdir(parents=True)
    for name in ("top.png", "a/one.png", "a/b/two.png"):
        (tree / name).write_bytes(photo.read_bytes())
    (tree / "a" / "bad.png").write_bytes(b"not a picture")
    done = subprocess.run(
        [sys.executable, "-m", "codec", "encode", tree, tmp_path / "out", "--model", "tiny"],
        capture_output=True,
        env=os.environ | {"CODEC_CHECKPOINTS": str(TINY)},
        check=False,
    )
    assert done.returncode == MEDIA
    assert b"bad.png" in done.stderr
    made = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.lmc"))
    assert made == ["a/b/two.lmc", "a/one.lmc", "top.lmc"]
    codec("decode", tmp_path / "out", tmp_path / "back")
    assert (tmp_path / "back" / "a" / "b" / "two.png").is_file()


def test_pipes(photo: Path) -> None:
    data = codec("encode", "-", "-", "--model", "tiny", stdin=photo.read_bytes()).stdout
    assert data[:3] == b"LMC"
    picture = codec("decode", "-", "-", "--format", "png", stdin=data).stdout
    assert opened(picture).size == (101, 75)


def test_grey_and_alpha_survive(tmp_path: Path) -> None:
    grey, alpha = tmp_path / "grey.png", tmp_path / "alpha.png"
    picture = synthetic_picture(40, 33).permute(1, 2, 0).numpy()
    Image.fromarray(picture[..., 0]).save(grey)
    mask = Image.fromarray(picture[..., 1])
    rgba = Image.fromarray(picture)
    rgba.putalpha(mask)
    rgba.save(alpha)
    codec("encode", tmp_path, tmp_path / "out", "--model", "tiny")
    codec("decode", tmp_path / "out", tmp_path / "back")
    assert opened(tmp_path / "back" / "grey.png").mode == "L"
    back = opened(tmp_path / "back" / "alpha.png")
    assert back.mode == "RGBA"
    assert back.getchannel("A").tobytes() == mask.tobytes()


def test_one_pixel(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (200, 10, 30)).save(tmp_path / "dot.png")
    codec("encode", tmp_path / "dot.png", "--model", "tiny")
    codec("decode", tmp_path / "dot.lmc", tmp_path / "back.png")
    assert opened(tmp_path / "back.png").size == (1, 1)


def test_info_reads_the_file_alone_and_without_torch(coded: Path) -> None:
    text = codec("info", coded).stdout.decode()
    assert "width 101" in text
    facts = json.loads(codec("info", coded, "--json").stdout)
    assert (facts["width"], facts["height"]) == (101, 75)
    script = (
        f"import sys; from codec.cli import main\ntry: main(['info', {str(coded)!r}])\n"
        "finally: assert not {'torch', 'numba', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_verify_with_and_without_the_model(coded: Path) -> None:
    assert b"checksums and codes" in codec("verify", coded).stdout
    done = subprocess.run(
        [sys.executable, "-m", "codec", "verify", coded, "--json"],
        capture_output=True,
        env=os.environ | {"CODEC_CHECKPOINTS": ""},
        check=False,
    )
    assert done.returncode == 0
    assert "checksums only" in json.loads(done.stdout)["checked"]


def test_models_lists_names_for_programs() -> None:
    names = [row["name"] for row in json.loads(codec("models", "--json").stdout)]
    assert "tiny" in names
    assert b"tiny" in codec("models").stdout
    assert "image-tokens-f8" in names


def test_models_lists_generative_models_and_whose_codes_they_model() -> None:
    rows = {row["name"]: row for row in json.loads(codec("models", "--json").stdout)}
    generator = rows["image-tokens-f16-generator"]
    assert (generator["kind"], generator["tokenizer"]) == ("generator", "image-tokens-f16")
    assert generator["masked"]
    assert rows[generator["tokenizer"]]["kind"] == "codec"
    raster = rows["image-tokens-f16-raster-generator"]
    assert (raster["masked"], raster["tokenizer"]) == (False, "image-tokens-f16")
    assert b"[of image-tokens-f16]" in codec("models").stdout


def test_the_shipped_raster_model_codes_with_fewer_bytes(tmp_path: Path) -> None:
    opened(Path("docs/samples/kodim23.png")).crop((200, 100, 456, 260)).save(tmp_path / "photo.png")
    sizes = {}
    for prior in "learned", "generator":
        file = tmp_path / f"{prior}.lmc"
        codec("encode", tmp_path / "photo.png", file, "--model", "image-tokens-f16", "--prior", prior)
        codec("decode", file, file.with_suffix(".png"))
        sizes[prior] = file.stat().st_size
    assert sizes["generator"] < sizes["learned"]
    assert (tmp_path / "generator.png").read_bytes() == (tmp_path / "learned.png").read_bytes()


def test_quantizers_are_listed_with_a_line_each() -> None:
    rows = json.loads(codec("models", "--quantizers", "--json").stdout)
    configs = {row["config"] for row in rows}
    assert {"model/quantizer=simvq", "model/grid_quantizer=multiscale"} <= configs
    assert all(row["summary"] for row in rows)
    assert len(codec("models", "--quantizers").stdout.splitlines()) == len(rows)


def test_eval_writes_rows(photo: Path, tmp_path: Path) -> None:
    done = codec("eval", photo.parent, "--model", "tiny", "--baselines", "jpeg,webp", "--json", tmp_path / "rows.json")
    assert b"jpeg" in done.stdout
    assert len(json.loads((tmp_path / "rows.json").read_text())) > 0


def test_existing_output_is_kept_without_force(coded: Path, photo: Path) -> None:
    before = coded.read_bytes()
    done = codec("encode", photo, "--model", "tiny", code=USAGE)
    assert b"--force" in done.stderr
    assert coded.read_bytes() == before
    codec("encode", photo, "--model", "tiny", "--force")


def test_two_inputs_for_one_output_are_refused_before_work(photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "twins"
    folder.mkdir()
    (folder / "x.png").write_bytes(photo.read_bytes())
    opened(photo).save(folder / "x.bmp")
    done = codec("encode", folder, tmp_path / "none", "--model", "tiny", code=USAGE)
    assert b"both" in done.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [("text.png", b"hello, world" * 50), ("empty.png", b""), ("cut.png", None)],
)
def test_bad_pictures(name: str, content: bytes | None, photo: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad" / name
    bad.parent.mkdir()
    bad.write_bytes(photo.read_bytes()[: photo.stat().st_size // 2] if content is None else content)
    done = codec("encode", bad, "--model", "tiny", code=MEDIA)
    assert name.encode() in done.stderr
    assert sorted(bad.parent.iterdir()) == [bad]


def test_missing_input_and_unwritable_output(photo: Path, tmp_path: Path) -> None:
    codec("encode", tmp_path / "nothing.png", "--model", "tiny", code=MEDIA)
    codec("encode", photo, "/proc/none.lmc", "--model", "tiny", code=MEDIA)
    codec("encode", photo, "--model", "no-such-model", code=NO_MODEL)


def test_directory_where_a_file_is_expected(coded: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.lmc").mkdir()
    codec("info", tmp_path / "folder.lmc", code=MEDIA)
    codec("verify", tmp_path / "folder.lmc", code=MEDIA)


def test_a_file_cut_anywhere_is_refused(coded: Path, tmp_path: Path) -> None:
    """Every cut through the library; three of them through the command line."""
    import codec as library

    data = coded.read_bytes()
    model = library.load(TINY / "tiny")
    for length in range(len(data)):
        with pytest.raises(BitstreamError):
            library.decode(data[:length], model=model)
    for length in (0, 10, len(data) - 1):
        cut = tmp_path / f"cut{length}.lmc"
        cut.write_bytes(data[:length])
        done = codec("decode", cut, tmp_path / "never.png", code=DAMAGED)
        assert done.stderr
        assert not (tmp_path / "never.png").exists()


def test_one_flipped_bit_is_refused(coded: Path, tmp_path: Path) -> None:
    import codec as library

    data = bytearray(coded.read_bytes())
    model = library.load(TINY / "tiny")
    for position in range(0, 8 * len(data), 3):
        data[position // 8] ^= 1 << position % 8
        with pytest.raises(BitstreamError):
            library.decode(bytes(data), model=model)
        data[position // 8] ^= 1 << position % 8
    data[len(data) // 2] ^= 4
    (tmp_path / "flip.lmc").write_bytes(data)
    for verb in (["decode"], ["verify"]):
        codec(*verb, tmp_path / "flip.lmc", code=DAMAGED)
    assert not (tmp_path / "flip.png").exists()


def test_partial_gives_a_picture_of_a_damaged_file(coded: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.lmc"
    cut.write_bytes(coded.read_bytes()[:-3])
    codec("decode", cut, tmp_path / "part.png", "--partial")
    assert opened(tmp_path / "part.png").size == (101, 75)


def test_unknown_model_newer_version_and_petapixels(coded: Path, tmp_path: Path) -> None:
    from codec.coding import crc32c
    from codec.container import Head, ImageFields
    from codec.container.byte_reader import pack_varint

    def write(name: str, head: bytes) -> Path:
        (tmp_path / name).write_bytes(head)
        return tmp_path / name

    fields = ImageFields(width=64, height=64, channels=3)
    stranger = Head(fields=fields, coding_hash=b"\1" * 8, alphabets=(64,)).to_bytes()
    done = codec("decode", write("stranger.lmc", stranger), code=NO_MODEL)
    assert b"0101010101010101" in done.stderr
    body = b"LMC\x01\x01" + coded.read_bytes()[5:13] + b"".join(map(pack_varint, ((1 << 25) - 1, (1 << 25) - 1, 1, 63)))
    peta = write("peta.lmc", body + crc32c(body).to_bytes(4, "little"))
    for verb in ("decode", "info", "verify"):
        assert b"width must lie in" in codec(verb, peta, code=DAMAGED).stderr
    newer = bytearray(coded.read_bytes())
    newer[3] += 1
    assert b"version" in codec("decode", write("newer.lmc", bytes(newer)), code=DAMAGED).stderr


def test_another_model_decodes_only_if_it_shares_the_coding_part(coded: Path, tmp_path: Path) -> None:
    codec("decode", coded, tmp_path / "back.png", "--model", "tiny")
    assert opened(tmp_path / "back.png").size == (101, 75)
    refused = codec("decode", coded, tmp_path / "never.png", "--model", "image-tokens-f8", code=DAMAGED)
    assert b"the file needs model" in refused.stderr
    assert not (tmp_path / "never.png").exists()


def test_quality_is_refused_on_a_fixed_rate_model(photo: Path) -> None:
    assert b"fixed" in codec("encode", photo, "--quality", 50, "--model", "tiny", code=USAGE).stderr


def test_python_functions(photo: Path, tmp_path: Path) -> None:
    import codec as library

    data = library.encode(photo, tmp_path / "x.lmc", model=TINY / "tiny")
    assert (tmp_path / "x.lmc").read_bytes() == data
    assert torch.equal(
        library.decode(data, model=TINY / "tiny").samples,
        library.decode(tmp_path / "x.lmc", model=TINY / "tiny").samples,
    )
    assert library.probe(data).head.alphabets
    with pytest.raises(library.CodecError):
        library.encode(photo, tmp_path / "x.lmc", model=TINY / "tiny")
    assert set(library.__all__) == {
        "Codec",
        "CodecError",
        "Codes",
        "Encoding",
        "Media",
        "decode",
        "encode",
        "load",
        "probe",
    }
