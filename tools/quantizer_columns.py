"""Columns of the tables of the comparison of quantizers, and how their numbers are written."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from quantizer_results import Row

Column = tuple[str, Callable[[Row], str]]


@dataclass(frozen=True)
class Measured:
    """A field of `Run` under a heading, with so many decimals."""

    head: str
    field: str
    decimals: int

    @property
    def column(self) -> Column:
        """The mean over the seeds."""
        return self.head, lambda row: f"{row.mean(self.field):.{self.decimals}f}"

    @property
    def spread(self) -> Column:
        """The mean, and the lowest and highest seed."""
        return self.head, self._spread

    def _spread(self, row: Row) -> str:
        ends = min(row.values(self.field)), max(row.values(self.field))
        mean, low, high = (f"{value:.{self.decimals}f}" for value in (row.mean(self.field), *ends))
        return f"{mean} ({low} to {high})"


def percent(share: float) -> str:
    """Cut, not rounded, so that no goal looks met that is not."""
    return f"{int(share * 1000 + 1e-9) / 10:.1f} %"


def thousands(value: float) -> str:
    """A whole number with its thousands apart; one decimal below ten."""
    return f"{value:.1f}" if value < 10 and value != int(value) else f"{value:,.0f}".replace(",", " ")


def table_of(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """A line a row."""
    return markdown([head for head, _ in columns], [[cell(row) for _, cell in columns] for row in rows])


def markdown(heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "\n".join(_lines(heads, body))


def _lines(heads: Sequence[str], body: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for cells in body:
        yield f"| {' | '.join(cells)} |"


NAME: Column = ("row", lambda row: f"`{row.name}`")
PICTURE_QUALITY = (Measured("PSNR dB", "psnr", 2), Measured("MS-SSIM", "ms_ssim", 4))
SOUND_QUALITY = (Measured("mel distance", "mel_distance", 3), Measured("SI-SDR dB", "si_sdr", 2))
CODED_BITS = Measured("coded bits", "coded_bits", 2)
USAGE = Measured("usage", "usage", 4)
CODES: tuple[Column, ...] = (
    ("nominal bits", lambda row: f"{row.mean('nominal_bits'):.2f}"),
    CODED_BITS.column,
    ("usage", lambda row: percent(row.mean("usage"))),
    ("perplexity", lambda row: thousands(row.mean("perplexity"))),
    ("dead codes", lambda row: thousands(row.mean("dead"))),
    ("tokens a code", lambda row: thousands(row.mean("tokens_per_code"))),
    ("joint usage", lambda row: percent(row.mean("joint_usage")) if row.is_joint else ""),
    ("joint bits", lambda row: f"{row.mean('joint_bits'):.2f}" if row.is_joint else ""),
)
COMPUTE: tuple[Column, ...] = (
    ("step ms", lambda row: thousands(row.mean("step_ms"))),
    ("memory MB", lambda row: thousands(row.mean("peak_mb"))),
    ("minutes", lambda row: f"{row.mean('train_seconds') / 60:.1f}"),
    ("threads", lambda row: "/".join(sorted({str(run.threads) for run in row.runs}))),
)
