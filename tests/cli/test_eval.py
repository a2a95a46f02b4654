"""`codec eval` on two small pictures: tables, whole curves, plots, and requests that are refused before any work."""

import json
from pathlib import Path

import pytest
from PIL import Image

from codec.cli.app import make_parser
from codec.cli.eval import run
from codec.errors import MediaError, UsageError
from tests.conftest import synthetic_picture

TINY = Path(__file__).parents[1] / "golden"


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODEC_CHECKPOINTS", str(TINY))
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, size in enumerate([(64, 96), (75, 61)]):
        Image.fromarray(synthetic_picture(*size, seed).permute(1, 2, 0).numpy()).save(folder / f"{seed}.png")
    return folder


def evaluate(folder: Path, *arguments: object) -> None:
    """What the command line does with these arguments."""
    chosen = vars(make_parser().parse_args(["eval", str(folder), "--model", "tiny", *map(str, arguments)]))
    run(**{name: value for name, value in chosen.items() if name not in ("verb", "version")})


def test_classical_codecs_spend_no_fewer_bytes_on_any_picture(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pillow_jxl")
    evaluate(photos, "--baselines", "jpeg,webp,avif,jpeg2000,jxl", "--json", tmp_path / "rows.json")
    content = json.loads((tmp_path / "rows.json").read_text())
    assert sorted(content) == ["images", "means"]
    for picture in ("0.png", "1.png"):
        spent = {row["codec"]: row["bytes"] for row in content["images"] if row["image"] == picture}
        assert set(spent) == {"tiny", "jpeg", "webp", "avif", "jpeg2000", "jxl"}
        assert min(spent.values()) == spent["tiny"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["codec", "bytes", "bpp", "PSNR", "dB", "enc", "s", "dec", "s"]
    assert [line.split()[0] for line in lines[1:]] == ["tiny", "jpeg", "webp", "avif", "jpeg2000", "jxl"]


def test_measures_become_columns(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    evaluate(photos, "--metrics", "psnr,effnet", "--baselines", "jpeg", "--json", tmp_path / "rows.json")
    assert "effnet" in capsys.readouterr().out.splitlines()[0]
    model, jpeg = json.loads((tmp_path / "rows.json").read_text())["means"]
    assert model["effnet"] > 0
    assert jpeg["effnet"] > 0
    assert (jpeg["lpips"], jpeg["ms_ssim"]) == (None, None)


def test_whole_curves_with_a_plot(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    published = tmp_path / "published.json"
    published.write_text('{"curves": {"a": {"name": "A", "bpp": [0.5, 1], "psnr-rgb": [30, 33]}}}')
    outputs = tmp_path / "rows.json", tmp_path / "plot.svg"
    request = ["--baselines", "jpeg,jpeg2000", "--json", outputs[0], "--plot", outputs[1], "--published", published]
    evaluate(photos, *request)
    content = json.loads(outputs[0].read_text())
    assert [(curve["name"], len(curve["points"])) for curve in content["curves"]] == [("jpeg", 21), ("jpeg2000", 12)]
    assert [point["quality"] for point in content["curves"][0]["points"]][:4] == [3, 4, 5, 10]
    assert [(row["anchor"], row["test"]) for row in content["bd_rates"]] == [("jpeg", "jpeg2000"), ("jpeg", "A")]
    assert [(row["model"], row["curve"]) for row in content["gains"]] == [("tiny", "jpeg"), ("tiny", "jpeg2000")]
    printed = capsys.readouterr().out
    assert f"{content['bd_rates'][0]['bd_rate_psnr_percent']:+.1f} %" in printed
    assert "<svg" in outputs[1].read_text()
    for option, output in zip(("--json", "--plot"), outputs, strict=True):
        with pytest.raises(UsageError, match="exists; use --force"):
            evaluate(photos, option, output)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--baselines", "jpeg,gif"], "unknown baseline gif: choose from jpeg, "),
        (["--metrics", "psnr,vmaf"], "unknown metric vmaf"),
        (["--plot", "plot.jpg"], "a plot is written as .png or .svg"),
        (["--published", "curves.json"], r"only compared with curves: add --curves or --plot FILE"),
        (["--qualities", "10,50"], "tiny have one fixed rate; --qualities is for continuous quality"),
        (["--qualities", "0,50"], "expected qualities 1 to 100 separated by commas, got '0,50'"),
    ],
)
def test_refused_before_work(arguments: list[str], complaint: str, photos: Path) -> None:
    with pytest.raises(UsageError, match=complaint):
        evaluate(photos, *arguments)


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="holds no picture"):
        evaluate(tmp_path)
