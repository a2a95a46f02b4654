"""Tables of the comparison of quantizers, in Markdown."""

from collections.abc import Sequence

from quantizer_columns import (
    CODED_BITS,
    CODES,
    COMPUTE,
    NAME,
    PICTURE_QUALITY,
    SOUND_QUALITY,
    USAGE,
    Column,
    Measured,
    markdown,
    percent,
    table_of,
    thousands,
)
from quantizer_results import MAIN_BITS, REFERENCE, Row, Sizes, missing, reference_curve

from codec.evaluation import RateCurve

LARGE = ("simvq", "fvq", "ibq", "optvq", "vqgan_lc", "fsq", "lfq", "bsq", "gsq")
"""Methods that their papers make for large tables."""
GOALS = {14: 0.99, 16: 0.95}
"""Least usage, by nominal bits."""
FEWEST_TOKENS = 8
"""A code, below which usage says little."""


def picture_tables(rows: Sequence[Row], sizes: Sizes) -> str:
    """All tables of pictures, each with its heading."""
    parts = [
        "### Pictures",
        amount(rows),
        f"#### All at {MAIN_BITS} nominal bits",
        main_table(rows),
        "#### Sizes side by side",
        "PSNR at coded bits a position, and usage in brackets.",
        size_table(rows, sizes),
        "#### Large tables in use",
        goal_table(rows, sizes),
        "#### Seeds",
        seed_table(rows, PICTURE_QUALITY),
        "#### Missing",
        missing_list(rows, sizes),
    ]
    return "\n\n".join(parts)


def speech_tables(rows: Sequence[Row], sizes: Sizes) -> str:
    """Those of speech."""
    parts = [
        "### Speech",
        amount(rows),
        speech_table(rows),
        "#### Seeds of speech",
        seed_table(rows, SOUND_QUALITY),
        "#### Missing of speech",
        missing_list(rows, sizes),
    ]
    return "\n\n".join(parts)


def amount(rows: Sequence[Row]) -> str:
    """How much training is behind the tables."""
    return f"Runs of {rows[0].runs[0].steps} steps: {sum(len(row.runs) for row in rows)}."


def speech_table(rows: Sequence[Row]) -> str:
    """All rows of speech: by nominal bits, largest first, then the nearest to the original first."""
    shown = sorted(rows, key=lambda row: (-row.bits, row.mean("mel_distance")))
    return table_of(shown, (NAME, *(measure.column for measure in SOUND_QUALITY), *CODES, *COMPUTE))


def main_table(rows: Sequence[Row]) -> str:
    """All rows of `MAIN_BITS`: first those that the curve of FSQ can be compared with, by what they gain; then by PSNR."""
    curve = reference_curve(rows)
    shown = [row for row in rows if row.bits == MAIN_BITS]
    shown.sort(key=lambda row: (-_order(gain_over(row, curve)), -row.mean("psnr")))
    against: Column = ("against FSQ dB", lambda row: format_gain(row, curve))
    return table_of(shown, (NAME, *(measure.column for measure in PICTURE_QUALITY), against, *CODES, *COMPUTE))


def gain_over(row: Row, curve: RateCurve) -> float | None:
    """Decibels beyond the curve at the row's coded bits; None beyond its ends."""
    quality = curve.quality_at(row.point.bits_per_pixel)
    return None if quality is None else row.point.psnr_db - quality


def format_gain(row: Row, curve: RateCurve) -> str:
    """The gain, or on which side of the curve the row lies."""
    if row.name == REFERENCE:
        return "is it"
    gain = gain_over(row, curve)
    if gain is not None:
        return f"{gain:+.2f}"
    rates, _ = curve.best("psnr_db")
    if len(rates) < 2:
        return "no curve"
    return "fewer bits" if row.point.bits_per_pixel < rates[0] else "more bits"


def _order(gain: float | None) -> float:
    return float("-inf") if gain is None else gain


def size_table(rows: Sequence[Row], sizes: Sizes) -> str:
    """Rows that the comparison wants at other sizes than `MAIN_BITS`, a column a size."""
    columns = sorted({bits for wanted in sizes.values() for bits in wanted})
    found = {(row.name, row.bits): row for row in rows}
    names = [
        name for name, wanted in sizes.items() if any((name, bits) in found for bits in wanted if bits != MAIN_BITS)
    ]
    if not names:
        return f"Nothing was measured at other sizes than {MAIN_BITS} bits yet."
    body = [
        [f"`{name}`", *(_size_cell(found.get((name, bits)), bits in sizes[name]) for bits in columns)] for name in names
    ]
    return markdown(["row", *(f"{bits} bits" for bits in columns)], body)


def _size_cell(row: Row | None, wanted: bool) -> str:
    if row is None:
        return "missing" if wanted else ""
    return f"{row.mean('psnr'):.2f} dB at {row.mean('coded_bits'):.2f} ({percent(row.mean('usage'))})"


def goal_table(rows: Sequence[Row], sizes: Sizes) -> str:
    """Usage of the methods for large tables, beside the goals."""
    found = {(row.name, row.bits): row for row in rows}
    heads = [
        head
        for bits, goal in GOALS.items()
        for head in (f"usage of {thousands(2**bits)}", "tokens a code", f"at least {100 * goal:g} %")
    ]
    body = [
        [f"`{name}`", *(cell for bits in GOALS for cell in _goal_cells(found.get((name, bits)), GOALS[bits]))]
        for name in LARGE
        if name in sizes
    ]
    return markdown(["row", *heads], body)


def _goal_cells(row: Row | None, goal: float) -> Sequence[str]:
    if row is None:
        return "missing", "", ""
    usage, tokens = row.mean("usage"), row.mean("tokens_per_code")
    if row.is_joint:  # several small tables are one large one together
        usage, tokens = row.mean("joint_usage"), row.mean("joint_tokens_per_code")
    verdict = "met" if usage >= goal else "missed"
    return percent(usage), thousands(tokens), verdict if tokens >= FEWEST_TOKENS else "too few tokens"


def seed_table(rows: Sequence[Row], qualities: Sequence[Measured]) -> str:
    """Mean and ends of rows that were trained more than once."""
    several = [row for row in rows if len(row.runs) > 1]
    if not several:
        return "Every row has one seed."
    columns: tuple[Column, ...] = (
        NAME,
        ("bits", lambda row: str(row.bits)),
        ("seeds", lambda row: str(len(row.runs))),
        *(measure.spread for measure in (*qualities, CODED_BITS, USAGE)),
    )
    return table_of(several, columns)


def missing_list(rows: Sequence[Row], sizes: Sizes) -> str:
    """What the comparison wants and the folder has not."""
    lines = [
        f"- at {bits} bits: {', '.join(f'`{name}`' for name in names)}" for bits, names in missing(rows, sizes).items()
    ]
    return "\n".join(lines) or "Nothing: all that the comparison names was measured."
