"""Write the tables and the plot of docs/quantizers.md from the results of `benchmark_quantizers.py`.

    python tools/report_quantizers.py RUNS [--out docs/quantizers.md] [--plot docs/plots/quantizers.png] [--config FILE]

RUNS holds the files `ROW-BITS-SEED.json` of pictures, and those of speech in its folder `speech` if there is one; the rows of speech
are in `speech.yaml` beside the config of pictures. What stands between the two marks of the page is replaced, all else stays.
"""

import argparse
import os
from pathlib import Path

from benchmark_quantizers import ROOT
from quantizer_plot import plot_quantizers
from quantizer_results import read_rows, read_sizes
from quantizer_tables import picture_tables, speech_tables

from codec.errors import CodecError, MediaError, UsageError
from codec.evaluation.plot import check_plot
from codec.media.files import whole_file

SPEECH = "speech"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def replace_measured(page: str, measured: str) -> str:
    """The page with new text between its marks."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise UsageError(f"the page must have {BEGIN} and then {END}, once each")
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{measured}\n\n{END}{rest.split(END)[1]}"


def read_page(path: Path) -> str:
    """What is there already: a page is written by hand, and only filled in here."""
    try:
        return path.read_text()
    except OSError as error:
        raise MediaError(f"cannot read {path}: {error.strerror}") from error


def picture_of(plot: Path, page: Path) -> str:
    """Markdown that shows the plot, wherever it lies beside the page."""
    link = os.path.relpath(plot.resolve(), page.resolve().parent)
    return f"![Quality over coded bits]({Path(link).as_posix()})"


def report(arguments: argparse.Namespace) -> None:
    """Read, draw, write."""
    check_plot(arguments.plot)
    sizes = read_sizes(arguments.config)
    rows = read_rows(arguments.runs, sizes)
    parts = [picture_of(arguments.plot, arguments.out), picture_tables(rows, sizes)]
    if (speech := arguments.runs / SPEECH).is_dir():
        sizes = read_sizes(arguments.config.with_name(f"{SPEECH}.yaml"))
        parts.append(speech_tables(read_rows(speech, sizes), sizes))
    page = replace_measured(read_page(arguments.out), "\n\n".join(parts))
    plot_quantizers(arguments.plot, rows)
    with whole_file(arguments.out) as file:
        file.write(page.encode())


def parse_arguments() -> argparse.Namespace:
    """What the first lines of this file say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "quantizers.md")
    parser.add_argument("--plot", type=Path, default=ROOT / "docs" / "plots" / "quantizers.png")
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "comparison" / "images.yaml")
    return parser.parse_args()


def main() -> None:
    """Write the page, or say in a sentence why not."""
    try:
        report(parse_arguments())
    except CodecError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
