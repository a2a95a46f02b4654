"""All verbs with their arguments in one place; a verb's own module is imported when it is called.

The standard library's parser, as importing it takes 4 ms where a typed one takes 100: `codec info` is quicker than that.
"""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from codec.errors import UsageError

if TYPE_CHECKING:
    from argparse import _SubParsersAction

NOT_A_PREFIX = "\0"  # stands in no argument, so a parser that looks for it takes every argument as it is


class Parser(ArgumentParser):
    """A parser whose complaints are errors of this suite: one sentence, exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Wrong usage."""
        raise UsageError(f"{message}; see `{self.prog} --help`")


Verbs: TypeAlias = "_SubParsersAction[Parser]"


def make_parser() -> Parser:
    """The parser of the whole command line; it sets `verb` and what the `run` of that verb's module takes."""
    parser = Parser(
        prog="codec", description="Learned media codecs: pictures to small files and back.", allow_abbrev=False
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for add in (_encode, _decode, _info, _verify, _models, _evaluate, _train, _demo):
        add(verbs)
    return parser


def _encode(verbs: Verbs) -> None:
    verb = _verb(verbs, "encode", "Pictures to .lmc files.")
    _add_files(verb)
    verb.add_argument("--model", metavar="NAME", help="name, folder or hash; see `codec models`")
    verb.add_argument(
        "--prior",
        type=_one_of("static", "learned"),
        metavar="PRIOR",
        help="static (fast) or learned (smaller files); the best the model has if left out",
    )
    verb.add_argument("--quality", type=_quality, metavar="1-100", help="for models with continuous quality")
    _add_common(verb)


def _decode(verbs: Verbs) -> None:
    verb = _verb(verbs, "decode", "The way back: .lmc files to pictures.")
    _add_files(verb)
    verb.add_argument("--model", metavar="NAME", help="decode with this model, not the first that the file fits")
    verb.add_argument("--format", help="png, jpeg, webp, …; png if OUT has no suffix")
    verb.add_argument("--partial", action="store_true", help="give what is whole of a damaged file")
    _add_common(verb)


def _info(verbs: Verbs) -> None:
    verb = _verb(verbs, "info", "Planes, sizes and sections of a .lmc file, without its model.")
    _add_file(verb)
    _add_json(verb)


def _verify(verbs: Verbs) -> None:
    verb = _verb(verbs, "verify", "Check a .lmc file: checksums, and the codes where the model is at hand.")
    _add_file(verb)
    _add_device(verb)
    _add_json(verb)


def _models(verbs: Verbs) -> None:
    _add_json(_verb(verbs, "models", "The checkpoints at hand."))


def _evaluate(verbs: Verbs) -> None:
    verb = _verb(
        verbs, "eval", "Bytes, PSNR, MS-SSIM and seconds over a folder, beside classical codecs at the same size."
    )
    verb.add_argument("folder", metavar="DIR", type=Path, help="folder of pictures")
    verb.add_argument(
        "--model", dest="models", metavar="NAME", action="append", help="model to measure; may be given several times"
    )
    verb.add_argument(
        "--baselines",
        default="jpeg,webp,avif",
        metavar="NAMES",
        help="classical codecs, each at the first model's size (%(default)s); also avif444, jpeg2000, jxl",
    )
    verb.add_argument(
        "--metrics", default="psnr,ms_ssim", metavar="NAMES", help="what to measure (%(default)s); also effnet, lpips"
    )
    verb.add_argument("--curves", action="store_true", help="the classical codecs at many rates instead, with BD-rates")
    verb.add_argument("--plot", metavar="FILE", type=Path, help="draw the curves, as .png or .svg; implies --curves")
    verb.add_argument("--published", metavar="FILE", type=Path, help="JSON of published curves for the plot")
    verb.add_argument("--json", metavar="FILE", type=Path, help="write every row as JSON")
    _add_device(verb)
    _add_force(verb)


def _train(verbs: Verbs) -> None:
    summary = "Train a model: `codec train experiment=image_fsq data.root=PICTURES`, the same as python train.py …"
    verb = verbs.add_parser("train", help=summary, add_help=False, prefix_chars=NOT_A_PREFIX)
    verb.add_argument("overrides", nargs="*")


def _demo(verbs: Verbs) -> None:
    verb = _verb(
        verbs, "demo", "The bundled photographs to files and back, beside JPEG, WebP and AVIF at the same size."
    )
    verb.add_argument(
        "target", metavar="OUT", nargs="?", type=Path, default=Path("demo_output"), help="folder (%(default)s)"
    )
    _add_device(verb)


def _verb(verbs: Verbs, name: str, summary: str) -> Parser:
    return verbs.add_parser(name, help=summary, description=summary, allow_abbrev=False)


def _add_files(verb: Parser) -> None:
    verb.add_argument("source", metavar="IN", help="file, folder, or - for stdin")
    verb.add_argument("target", metavar="OUT", nargs="?", help="file, folder, or - for stdout; beside IN if left out")


def _add_file(verb: Parser) -> None:
    verb.add_argument("source", metavar="IN", help="file, or - for stdin")


def _add_common(verb: Parser) -> None:
    _add_force(verb)
    _add_device(verb)
    _add_json(verb)


def _add_force(verb: Parser) -> None:
    verb.add_argument("-f", "--force", action="store_true", help="replace outputs that exist")


def _add_device(verb: Parser) -> None:
    verb.add_argument(
        "--device", type=_one_of("auto", "cpu", "cuda"), default="auto", help="auto, cpu or cuda (%(default)s)"
    )


def _add_json(verb: Parser) -> None:
    verb.add_argument("--json", action="store_true", help="print JSON for programs")


def _one_of(*names: str) -> Callable[[str], str]:
    """A type that is one of a few names, with a complaint in the words of the others."""

    def check(text: str) -> str:
        if text not in names:
            raise ArgumentTypeError(f"expected {', '.join(names[:-1])} or {names[-1]}, got {text}")
        return text

    return check


def _quality(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise ArgumentTypeError(f"expected 1 to 100, got {text}")
    return int(text)
