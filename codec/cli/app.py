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

    from codec.media import SoundFormat

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
        prog="codec",
        description="Learned media codecs: pictures, sound and video to small files and back.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for add in (_encode, _decode, _info, _truncate, _verify, _tokenize, _detokenize, _generate):
        add(verbs)
    for add in (_models, _evaluate, _train, _demo):
        add(verbs)
    return parser


def _encode(verbs: Verbs) -> None:
    verb = _verb(verbs, "encode", "Pictures and sound to .lmc files.")
    _add_files(verb)
    verb.add_argument("--model", metavar="NAME", help="name, folder or hash; see `codec models`")
    verb.add_argument(
        "--prior",
        type=_one_of("static", "learned", "generator"),
        metavar="PRIOR",
        help="static (fast), learned (smaller files) or generator (slow, a checkpoint of its own); learned if left out",
    )
    rate = verb.add_mutually_exclusive_group()
    rate.add_argument("--quality", type=_quality, metavar="1-100", help="for models with continuous quality")
    rate.add_argument(
        "--target-size", type=_positive(int), metavar="BYTES", help="the finest picture in at most so many bytes"
    )
    rate.add_argument("--target-bpp", type=_positive(float), metavar="B", help="the same in bits a pixel")
    rate.add_argument(
        "--target-psnr", type=_positive(float), metavar="DB", help="the smallest file of so many decibels"
    )
    rate.add_argument(
        "--bitrate", type=_positive(float), metavar="KBPS", help="of sound and video: so many kbit of file a second"
    )
    verb.add_argument(
        "--packet",
        type=_positive(float),
        metavar="MS",
        help="of sound: milliseconds of a packet, which is the delay of a stream; 320 through a pipe, 1280 in a file",
    )
    verb.add_argument(
        "--raw",
        type=_raw,
        metavar="RATE,CHANNELS",
        help="the input is sound without a header: little-endian integers of 16 bits",
    )
    verb.add_argument(
        "--roi",
        metavar="MASK",
        type=Path,
        help="grey picture of the same size: white keeps the quality, black is coarser",
    )
    verb.add_argument(
        "--effort",
        type=_effort,
        default=0,
        metavar="N",
        help="steps of refinement for each picture, 0 is fastest (%(default)s)",
    )
    verb.add_argument(
        "--progressive", action="store_true", help="coarse planes first: the front of the file is a coarse picture"
    )
    _add_common(verb)


def _decode(verbs: Verbs) -> None:
    verb = _verb(verbs, "decode", "The way back: .lmc files to pictures, sound and video.")
    _add_files(verb)
    verb.add_argument("--model", metavar="NAME", help="decode with this model, not the first that the file fits")
    verb.add_argument(
        "--format",
        help="png, jpeg, webp, …; wav, flac, opus, …; mp4, mkv, webm, y4m, of video png is a folder; png, wav or mp4 if OUT has no suffix",
    )
    verb.add_argument("--start", type=_at_least_0, metavar="S", help="of sound and video: from this second on")
    verb.add_argument("--duration", type=_positive(float), metavar="S", help="of sound and video: so many seconds")
    verb.add_argument(
        "--partial",
        action="store_true",
        help="give what is whole of a damaged file; lost packets of sound are concealed",
    )
    verb.add_argument(
        "--conceal", action="store_true", help="the same; a generative model of the codes makes what is lost"
    )
    _add_common(verb)


def _info(verbs: Verbs) -> None:
    verb = _verb(verbs, "info", "Planes, sizes and sections of a .lmc file, without its model.")
    _add_file(verb)
    _add_json(verb)


def _truncate(verbs: Verbs) -> None:
    verb = _verb(
        verbs,
        "truncate",
        "Cut the finest planes off a .lmc file: a smaller file, coarser media. Of a picture without the model.",
    )
    _add_file(verb)
    verb.add_argument("target", metavar="OUT", help="file, or - for stdout")
    verb.add_argument(
        "--planes", type=_positive(int), metavar="N", required=True, help="how many to keep; see `codec info`"
    )
    _add_force(verb)


def _verify(verbs: Verbs) -> None:
    verb = _verb(verbs, "verify", "Check a .lmc file: checksums, and the codes where the model is at hand.")
    _add_file(verb)
    _add_device(verb)
    _add_json(verb)


def _tokenize(verbs: Verbs) -> None:
    verb = _verb(
        verbs,
        "tokenize",
        "Pictures, sounds, videos or .lmc files to shards of tokens; goes on where it was stopped.",
    )
    verb.add_argument("source", metavar="IN", type=Path, help="folder, or one file")
    verb.add_argument("target", metavar="OUT", type=Path, help="folder for the shards")
    verb.add_argument("--model", metavar="NAME", help="a tokenizer; see `codec models`")
    verb.add_argument(
        "--format",
        type=_one_of("parquet", "webdataset", "npy", "bin"),
        default="npy",
        metavar="FORMAT",
        help="parquet, webdataset, npy or bin (%(default)s)",
    )
    verb.add_argument("--planes", type=_positive(int), metavar="N", help="keep only the first codes of a position")
    verb.add_argument(
        "--shard-size", type=_positive(int), metavar="N", default=1000, help="files in a shard (%(default)s)"
    )
    verb.add_argument("--workers", type=_positive(int), metavar="N", default=1, help="processes (%(default)s)")
    verb.add_argument(
        "--engine",
        type=_one_of("local", "ray"),
        default="local",
        metavar="ENGINE",
        help="local, or ray for a cluster whose machines see the same files (%(default)s)",
    )
    _add_common(verb)


def _detokenize(verbs: Verbs) -> None:
    verb = _verb(verbs, "detokenize", "The way back: shards of tokens to pictures, sounds, videos or .lmc files.")
    verb.add_argument("source", metavar="TOKENS", type=Path, help="folder of shards, or one shard")
    verb.add_argument("target", metavar="OUT", type=Path, help="folder for the files")
    verb.add_argument("--model", metavar="NAME", help="decode with this model, not the one that made the tokens")
    verb.add_argument("--format", metavar="SUFFIX", help="png, webp, … or wav, flac, …, or lmc; png or wav if left out")
    _add_force(verb)
    _add_device(verb)


def _generate(verbs: Verbs) -> None:
    verb = _verb(verbs, "generate", "Pictures and sounds from a generative model of a tokenizer's codes.")
    verb.add_argument(
        "target", metavar="OUT", type=Path, help="file; with --count a folder of this name, and its suffix"
    )
    verb.add_argument("--model", metavar="NAME", required=True, help="a tokenizer, or jpeg:SIDE:QUALITY:LENGTH")
    verb.add_argument(
        "--generator",
        metavar="NAME",
        help="name or folder; if left out the causal one of this tokenizer, the masked one with --mask, --coarse, --label",
    )
    verb.add_argument("--prompt", type=Path, metavar="FILE", help="picture that is kept in part, sound to go on from")
    verb.add_argument(
        "--keep", type=_share, metavar="PART", help="of the prompt's rows from the top, for pictures (0.5)"
    )
    verb.add_argument(
        "--mask", type=Path, metavar="FILE", help="grey picture: what is white of the prompt is drawn anew"
    )
    verb.add_argument("--coarse", type=Path, metavar="FILE", help="picture that says roughly what to draw")
    verb.add_argument("--label", type=_effort, metavar="N", help="class to draw, of models that know classes")
    verb.add_argument("--size", type=_size, metavar="WxH", help="of a picture; that of the prompt, or 256x256")
    verb.add_argument("--seconds", type=_positive(float), metavar="S", help="of a sound, after its prompt (4)")
    verb.add_argument("--count", type=_positive(int), metavar="N", default=1, help="how many (%(default)s)")
    verb.add_argument("--temperature", type=_at_least_0, metavar="T", default=1.0, help="0 draws the likeliest (1)")
    verb.add_argument("--top-k", type=_positive(int), metavar="N", help="draw from the N likeliest codes only")
    verb.add_argument("--top-p", type=_share, metavar="P", default=1.0, help="draw from the likeliest share only (1)")
    verb.add_argument("--guidance", type=_at_least_0, metavar="G", default=1.0, help="1 is none (1)")
    verb.add_argument("--steps", type=_positive(int), metavar="N", default=16, help="of masked models (%(default)s)")
    verb.add_argument("--seed", type=_effort, metavar="N", default=0, help="of what is drawn (%(default)s)")
    _add_force(verb)
    _add_device(verb)


def _models(verbs: Verbs) -> None:
    verb = _verb(verbs, "models", "The checkpoints at hand.")
    verb.add_argument("--quantizers", action="store_true", help="the quantizers that can be trained, instead")
    _add_json(verb)


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
        help="classical codecs, each at the first model's size (%(default)s); also avif_slow, avif444, jpeg2000, jxl",
    )
    verb.add_argument(
        "--metrics", default="psnr,ms_ssim", metavar="NAMES", help="what to measure (%(default)s); also effnet, lpips"
    )
    verb.add_argument(
        "--qualities", metavar="LIST", help="of models with continuous quality: 1 to 100, separated by commas"
    )
    verb.add_argument(
        "--curves",
        action="store_true",
        help="classical codecs and models with continuous quality at many rates instead, with BD-rates",
    )
    verb.add_argument("--plot", metavar="FILE", type=Path, help="draw the curves, as .png or .svg; implies --curves")
    verb.add_argument("--published", metavar="FILE", type=Path, help="JSON of published curves of the same pictures")
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


def _effort(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"expected 0 or more, got {text}")
    return int(text)


def _share(text: str) -> float:
    value = _positive(float)(text)
    if value > 1:
        raise ArgumentTypeError(f"expected more than 0, at most 1, got {text}")
    return value


def _at_least_0(text: str) -> float:
    return 0.0 if text in ("0", "0.0") else _positive(float)(text)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not width.isdecimal() or not height.isdecimal() or not int(width) * int(height):
        raise ArgumentTypeError(f"expected width and height as in 256x256, got {text}")
    return int(width), int(height)


def _raw(text: str) -> "SoundFormat":
    from codec.media import SoundFormat

    rate, _, channels = text.partition(",")
    if not rate.isdecimal() or not channels.isdecimal():
        raise ArgumentTypeError(f"expected samples a second and channels as in 16000,1, got {text}")
    try:
        return SoundFormat(int(rate), int(channels))
    except ValueError as error:
        raise ArgumentTypeError(f"of the sound {error}") from error


def _positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    """A type for numbers greater than 0."""

    def check(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = kind(0)
        if not 0 < value < float("inf"):
            raise ArgumentTypeError(
                f"expected {'an integer' if kind is int else 'a number'} greater than 0, got {text}"
            )
        return value

    return check
