"""The layout of measured sounds."""

from collections.abc import Sequence

from codec.evaluation import SoundSummary

HEAD = f"{'kind':7} {'codec':20} {'clips':>5} {'kbit/s':>7} {'PESQ':>6} {'STOI':>6} {'ViSQOL':>6} {'mel':>6} {'SI-SDR dB':>9}"


def format_sounds(means: Sequence[SoundSummary]) -> str:
    """A kind and codec a line, in the order that they come in."""
    return "\n".join((HEAD, *map(_line, means)))


def _line(row: SoundSummary) -> str:
    opinions = "".join(f" {'-' if value is None else f'{value:.3f}':>6}" for value in (row.pesq, row.stoi, row.visqol))
    return (
        f"{row.kind:7} {row.codec:20} {row.clips:5} {row.kbps:7.2f}{opinions} {row.mel_distance:6.3f}"
        f" {row.si_sdr_db:9.2f}"
    )
