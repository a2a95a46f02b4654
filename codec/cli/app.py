"""All verbs with their arguments in one place; what they do is imported when one is called."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Learned media codecs: pictures to small files and back.",
)

Input = Annotated[str, typer.Argument(metavar="IN", help="File, folder, or - for stdin.")]
Output = Annotated[
    str | None, typer.Argument(metavar="[OUT]", help="File, folder, or - for stdout; beside IN if left out.")
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace outputs that exist.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command()
def encode(
    source: Input,
    target: Output = None,
    *,
    model: Annotated[str | None, typer.Option(help="Name, folder or hash; see `codec models`.")] = None,
    prior: Annotated[
        str | None, typer.Option(help="static (fast) or learned (smaller files); the best the model has if left out.")
    ] = None,
    quality: Annotated[int | None, typer.Option(min=1, max=100, help="For models with continuous quality.")] = None,
    force: Force = False,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Pictures to .lmc files."""
    from codec.cli.encode import run

    run(source, target, model=model, prior=prior, quality=quality, force=force, device=device, json=json)


@app.command()
def decode(
    source: Input,
    target: Output = None,
    *,
    format: Annotated[str | None, typer.Option(help="png, jpeg, webp, …; png if OUT has no suffix.")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Give what is whole of a damaged file.")] = False,
    force: Force = False,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """The way back: .lmc files to pictures."""
    from codec.cli.decode import run

    run(source, target, format=format, partial=partial, force=force, device=device, json=json)


@app.command()
def info(source: Input, *, json: Json = False) -> None:
    """Planes, sizes and sections of a .lmc file, without its model."""
    from codec.cli.info import run

    run(source, json=json)


@app.command()
def verify(source: Input, *, device: Device = "auto", json: Json = False) -> None:
    """Check a .lmc file: checksums, and the codes where the model is at hand."""
    from codec.cli.verify import run

    run(source, device=device, json=json)


@app.command()
def models(*, json: Json = False) -> None:
    """The checkpoints at hand."""
    from codec.cli.models import run

    run(json=json)


@app.command(name="eval")
def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of pictures.")],
    *,
    model: Annotated[list[str] | None, typer.Option(help="Model to measure; may be given several times.")] = None,
    baselines: Annotated[
        str, typer.Option(help="Classical codecs, each at the first model's size.")
    ] = "jpeg,webp,avif",
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write every row as JSON.")] = None,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Bytes, PSNR, MS-SSIM and seconds over a folder, beside classical codecs at the same size."""
    from codec.cli.eval import run

    run(folder, models=model, baselines=baselines, json=json, device=device, force=force)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(context: typer.Context) -> None:
    """Train a model: `codec train experiment=image_fsq data.root=PICTURES` (the same as python train.py …)."""
    from codec.cli.train import run

    run(context.args)


@app.command()
def demo(
    target: Annotated[Path, typer.Argument(metavar="[OUT]", help="Folder for the results.")] = Path("demo_output"),
    *,
    device: Device = "auto",
) -> None:
    """Encode the bundled photographs, decode them, and compare with JPEG, WebP and AVIF at the same size."""
    from codec.cli.demo import run

    run(target, device=device)
