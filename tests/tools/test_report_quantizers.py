"""The report of the comparison: what is read and refused, what the tables say, names that do not cover one another."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from benchmark_quantizers import ROOT, Run
from place_labels import Label, overlaps, place_labels
from quantizer_columns import percent, thousands
from quantizer_plot import COLOURS, together
from quantizer_results import Row, family_of, read_rows, read_sizes, reference_curve
from quantizer_tables import gain_over, goal_table, main_table, picture_tables, speech_tables
from report_quantizers import BEGIN, END, main, replace_measured

from codec.errors import MediaError, UsageError

SIZES = read_sizes(ROOT / "configs" / "comparison" / "images.yaml")
SPEECH = read_sizes(ROOT / "configs" / "comparison" / "speech.yaml")
WANTED = [(name, bits) for name, wanted in SIZES.items() for bits in wanted]
BASE = Run(
    row="fsq",
    bits=14,
    seed=0,
    steps=3000,
    psnr=26.0,
    ms_ssim=0.94,
    nominal_bits=13.9,
    coded_bits=13.0,
    usage=0.995,
    perplexity=8192.0,
    dead=82,
    tokens_per_code=128.0,
    step_ms=400.0,
    train_seconds=1200.0,
    peak_mb=1500.0,
    threads=1,
)


def made_up(name: str, bits: int, seed: int = 0) -> Run:
    """A believable result, another for every row."""
    random = np.random.default_rng([len(name), *name.encode(), bits, seed])
    coded = bits * random.uniform(0.88, 0.985)
    return replace(
        BASE,
        row=name,
        bits=bits,
        seed=seed,
        coded_bits=coded,
        psnr=22 + 0.3 * coded + random.normal(0, 0.2),
        ms_ssim=0.9 + 0.004 * coded,
        usage=random.uniform(0.9, 1),
    )


def write(folder: Path, *runs: Run) -> Path:
    """Results as the benchmark leaves them."""
    folder.mkdir(exist_ok=True)
    for run in runs:
        (folder / f"{run.row}-{run.bits}-{run.seed}.json").write_text(json.dumps(asdict(run)))
    return folder


def single(run: Run) -> Row:
    return Row(run.row, run.bits, (run,))


FSQ = [
    single(replace(BASE, bits=bits, coded_bits=coded, psnr=psnr)) for bits, coded, psnr in [(10, 8, 24), (18, 16, 28)]
]


def test_rows_come_in_the_order_of_the_comparison_with_their_seeds(tmp_path: Path) -> None:
    runs = [replace(BASE, row="simvq", seed=seed, psnr=25.0 + seed) for seed in (2, 0, 1)]
    rows = read_rows(write(tmp_path, BASE, *runs, replace(BASE, row="vq_ema", bits=18)), SIZES)
    assert [(row.name, row.bits) for row in rows] == [("vq_ema", 18), ("simvq", 14), ("fsq", 14)]
    assert rows[1].values("psnr") == [25, 26, 27]
    assert rows[1].mean("psnr") == 26


def test_unequal_training_is_refused(tmp_path: Path) -> None:
    short = replace(BASE, row="simvq", steps=500)
    with pytest.raises(UsageError, match=r"most results are of 3000 steps.*simvq-14-0 \(500\)"):
        read_rows(write(tmp_path, BASE, replace(BASE, row="lfq"), short), SIZES)


def test_what_is_no_result_of_the_comparison_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no results"):
        read_rows(tmp_path, SIZES)
    with pytest.raises(UsageError, match="no such rows: fsq-12-0"):
        read_rows(write(tmp_path / "strange", replace(BASE, bits=12)), SIZES)
    (write(tmp_path / "renamed", BASE) / "fsq-14-0.json").rename(tmp_path / "renamed" / "lfq-14-0.json")
    with pytest.raises(MediaError, match="holds the result of fsq-14-0"):
        read_rows(tmp_path / "renamed", SIZES)
    (write(tmp_path / "broken") / "fsq-14-0.json").write_text('{"row": "fsq"}')
    with pytest.raises(MediaError, match="is no result"):
        read_rows(tmp_path / "broken", SIZES)


def test_gain_is_over_fsq_at_equal_coded_bits() -> None:
    curve = reference_curve(FSQ)
    between = single(
        replace(BASE, row="simvq", coded_bits=128**0.5, psnr=26.5)
    )  # the middle of 8 and 16 on a log scale
    assert gain_over(between, curve) == pytest.approx(0.5)
    assert gain_over(single(replace(BASE, row="lfq", coded_bits=7.0)), curve) is None
    assert gain_over(between, reference_curve(FSQ[:1])) is None


def test_best_at_its_bits_comes_first() -> None:
    spends = [("vq_ema", 12.0, 26.4), ("simvq", 10.0, 25.8), ("vq_wae", 5.0, 23.0), ("vq_gradient", 6.0, 23.5)]
    rows = [single(replace(BASE, row=name, coded_bits=coded, psnr=psnr)) for name, coded, psnr in spends]
    lines = main_table([*rows, *FSQ, single(replace(BASE, coded_bits=128**0.5))]).splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == ["simvq", "vq_ema", "fsq", "vq_gradient", "vq_wae"]
    assert "+0.51" in lines[0]
    assert "is it" in lines[2]
    assert "fewer bits" in lines[4]
    assert "no curve" in main_table(rows)


def test_goals_count_only_with_enough_tokens() -> None:
    rows = [
        single(BASE),
        single(replace(BASE, bits=16, usage=0.9499)),
        single(replace(BASE, row="lfq", tokens_per_code=7.9)),
    ]
    lines = {line.split("`")[1]: line for line in goal_table(rows, SIZES).splitlines()[2:]}
    assert lines["fsq"] == "| `fsq` | 99.5 % | 128 | met | 94.9 % | 128 | missed |"
    assert lines["lfq"] == "| `lfq` | 99.5 % | 7.9 | too few tokens | missing |  |  |"


def test_what_is_missing_is_said() -> None:
    several = Row("fsq", 14, (BASE, replace(BASE, seed=1, psnr=26.5)))
    said = picture_tables([several], SIZES)
    assert "- at 10 bits: `vq_gradient`, `vq_ema`, `simvq`, `fsq`, `lfq`, `bsq`, `gsq`, `residual`, `product`" in said
    assert "26.25 (26.00 to 26.50)" in said
    assert "Nothing was measured at other sizes" in said
    full = [single(made_up(*wanted)) for wanted in WANTED]
    assert "Nothing: all that the comparison names was measured." in picture_tables(full, SIZES)
    assert "Every row has one seed." in picture_tables(full, SIZES)


def test_speech_is_by_size_and_nearness() -> None:
    sound = replace(BASE, psnr=None, ms_ssim=None, si_sdr=3.0)
    near = [("residual", 40, 1.1), ("product", 40, 0.9), ("fsq", 40, 1.2), ("simvq", 14, 1.0)]
    rows = [single(replace(sound, row=name, bits=bits, mel_distance=distance)) for name, bits, distance in near]
    lines = [line for line in speech_tables(rows, SPEECH).splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in lines] == ["product", "residual", "fsq", "simvq"]
    assert lines[0].startswith("| `product` | 0.900 | 3.00 |")
    assert "- at 14 bits: `vq_ema`, `fsq`" in speech_tables(rows, SPEECH)
    with pytest.raises(UsageError, match="fsq at 14 bits has no mel_distance"):
        speech_tables([single(BASE)], SPEECH)


def test_numbers_are_written_for_readers() -> None:
    assert [percent(share) for share in (0.98999, 0.99, 1.0)] == ["98.9 %", "99.0 %", "100.0 %"]
    assert [thousands(value) for value in (16384, 128.4, 7.92, 0)] == ["16 384", "128", "7.9", "0"]


def test_every_row_has_a_family() -> None:
    assert {family_of(name) for name in SIZES} <= COLOURS.keys()
    known = {
        "vq_cosine": "one table",
        "fvq": "one table behind a map",
        "e8": "no table",
        "gsq": "several codes a position",
    }
    assert {name: family_of(name) for name in known} == known


def test_rows_far_below_the_others_are_left_to_the_lower_panels() -> None:
    rows = [single(made_up(name, 14)) for name in SIZES if 14 in SIZES[name] and name != "vq_gradient"]
    collapsed = single(replace(BASE, row="vq_gradient", coded_bits=4.0, psnr=22.0))
    assert together([*rows, collapsed]) == rows
    assert together([]) == []


def test_names_do_not_cover_one_another() -> None:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    figure = Figure(figsize=(8, 6), dpi=100)
    axes = figure.subplots()
    places = [(float(a), float(b)) for a, b in np.random.default_rng(0).normal(size=(35, 2))]
    axes.plot(*zip(*places, strict=True), "o")
    figure.draw_without_rendering()
    place_labels(axes, [Label(f"quantizer_{i}", place, "black") for i, place in enumerate(places)], places)
    figure.draw_without_rendering()
    boxes = np.array([Text.get_window_extent(text).extents for text in axes.texts])
    assert boxes.shape == (35, 4)
    assert np.triu(overlaps(boxes, boxes), 1).max() < 1


def test_only_the_part_between_the_marks_changes() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    changed = replace_measured(page, "new")
    assert changed == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    assert replace_measured(changed, "new") == changed
    for bad in ("nothing", f"{END} {BEGIN}", f"{page}{page}"):
        with pytest.raises(UsageError, match="must have"):
            replace_measured(bad, "new")


def test_the_page_has_its_marks() -> None:
    replace_measured((ROOT / "docs" / "quantizers.md").read_text(), "")


def test_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = write(tmp_path / "runs", *(made_up(*wanted) for wanted in WANTED), made_up("fsq", 14, 1))
    sound = [
        replace(made_up("fsq", bits), psnr=None, mel_distance=1.0, si_sdr=2.0, steps=500) for bits in SPEECH["fsq"]
    ]
    write(runs / "speech", *sound)
    page, plot = tmp_path / "page.md", tmp_path / "plots" / "plot.svg"
    plot.parent.mkdir()
    page.write_text(f"# Page\n\n{BEGIN}\n{END}\n")
    monkeypatch.setattr("sys.argv", ["report", str(runs), "--out", str(page), "--plot", str(plot)])
    main()
    text = page.read_text()
    assert "](plots/plot.svg)" in text
    assert all(f"| `{name}` |" in text for name in SIZES)
    assert text.index("### Pictures") < text.index("### Speech")
    page.unlink()
    with pytest.raises(SystemExit, match="cannot read"):
        main()
