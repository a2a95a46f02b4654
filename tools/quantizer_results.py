"""Results of `benchmark_quantizers.py`: read and checked, their seeds gathered, and set against the curve of FSQ."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any, cast

from benchmark_quantizers import ROOT, STRIDE, Run
from omegaconf import OmegaConf

from codec.errors import MediaError, UsageError
from codec.evaluation import RateCurve, RatePoint

MAIN_BITS = 14
REFERENCE = "fsq"  # nothing in it can collapse, and its points lie close to one curve
Sizes = Mapping[str, Sequence[int]]  # nominal bits by row


@dataclass(frozen=True)
class Row:
    """One quantizer at one size, with all its seeds."""

    name: str
    bits: int
    runs: tuple[Run, ...]

    def values(self, field: str) -> list[float]:
        """A field of `Run`, seed by seed."""
        found = [getattr(run, field) for run in self.runs]
        if None in found:
            raise UsageError(f"{self.name} at {self.bits} bits has no {field}: it was measured on another medium")
        return [float(value) for value in found]

    def mean(self, field: str) -> float:
        """Over the seeds."""
        return fmean(self.values(field))

    @property
    def is_joint(self) -> bool:
        """Whether the several codes of a position were counted as one, too."""
        return all(run.joint_usage is not None for run in self.runs)

    @property
    def point(self) -> RatePoint:
        """The means, at coded bits a pixel."""
        return RatePoint(self.mean("coded_bits") / STRIDE**2, self.mean("psnr"), self.mean("ms_ssim"))


def read_sizes(config: Path) -> Sizes:
    """The rows of a comparison, with the nominal bits at which each is wanted."""
    try:
        specs = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(config)))
    except OSError as error:
        raise MediaError(f"cannot read {config}: {error.strerror}") from error
    return {row: sorted(spec["bits"]) for row, spec in specs.items()}


def read_rows(folder: Path, sizes: Sizes) -> list[Row]:
    """All results of a folder, in the order of the comparison.

    Raises:
        MediaError: a file that is no result, or whose name says another run than its content.
        UsageError: no result at all, one that the comparison does not have, or results of unequal training.
    """
    runs = [read_run(path) for path in sorted(folder.glob("*.json"))]
    if not runs:
        raise UsageError(f"{folder} has no results: run tools/benchmark_quantizers.py with --out {folder} first")
    check_rows(runs, sizes)
    check_steps(runs)
    seeds: dict[tuple[str, int], list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: run.seed):
        seeds[run.row, run.bits].append(run)
    order = [(row, bits) for row, wanted in sizes.items() for bits in wanted]
    return [Row(*key, tuple(seeds[key])) for key in order if key in seeds]


def read_run(path: Path) -> Run:
    """One result."""
    try:
        run = Run(**json.loads(path.read_bytes()))
    except OSError as error:
        raise MediaError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise MediaError(f"{path} is no result of benchmark_quantizers.py: {error}") from error
    if path.stem != (named := stem(run)):
        raise MediaError(f"{path} holds the result of {named}: rename or remove it")
    return run


def stem(run: Run) -> str:
    """The name of a result's file without its suffix."""
    return f"{run.row}-{run.bits}-{run.seed}"


def check_rows(runs: Sequence[Run], sizes: Sizes) -> None:
    """Refuse what the comparison does not have."""
    strangers = [stem(run) for run in runs if run.bits not in sizes.get(run.row, ())]
    if strangers:
        raise UsageError(f"the comparison has no such rows: {', '.join(strangers)}; add them to it or remove the files")


def check_steps(runs: Sequence[Run]) -> None:
    """Refuse results of shorter or longer training than most."""
    usual = Counter(run.steps for run in runs).most_common(1)[0][0]
    others = [f"{stem(run)} ({run.steps})" for run in runs if run.steps != usual]
    if others:
        raise UsageError(
            f"most results are of {usual} steps, and these are not: {', '.join(others)}; move them away or train again"
        )


def missing(rows: Sequence[Row], sizes: Sizes) -> dict[int, list[str]]:
    """The names of what is wanted and was not measured, by nominal bits, rising."""
    there = {(row.name, row.bits) for row in rows}
    found: dict[int, list[str]] = defaultdict(list)
    for name, wanted in sizes.items():
        for bits in wanted:
            if (name, bits) not in there:
                found[bits].append(name)
    return dict(sorted(found.items()))


def reference_curve(rows: Sequence[Row]) -> RateCurve:
    """The points of FSQ at all its sizes."""
    return RateCurve(REFERENCE, tuple(row.point for row in rows if row.name == REFERENCE))


@cache
def family_of(row: str) -> str:
    """What kind of quantizer a row's config builds: one of the keys of `quantizer_plot.COLOURS`."""
    path = ROOT / "configs" / "model" / "quantizer" / f"{row}.yaml"
    if not path.exists():
        return "a grid of codes"
    config = OmegaConf.to_container(OmegaConf.load(path))
    targets = {target.rpartition(".")[2] for target in _values(config, "_target_")}
    if "VectorQuantizer" not in targets:
        return "no table"
    if targets & {"Residual", "SharedResidual", "Product", "Grouped"}:
        return "several codes a position"
    return "one table behind a map" if any(_values(config, "parameterisation")) else "one table"


def _values(node: Any, key: str) -> Iterator[Any]:
    """What stands under a key, at any depth of dicts and lists."""
    if isinstance(node, dict):
        if key in node:
            yield node[key]
        node = list(node.values())
    if isinstance(node, list):
        for entry in node:
            yield from _values(entry, key)
