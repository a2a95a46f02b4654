"""The command line: one file per verb; each plans, calls, prints."""

import gc
import os
import sys
from collections.abc import Sequence

from codec.errors import CodecError, MediaError, UsageError

USUAL_PATIENCE = gc.get_threshold()
PATIENCE = 1_000_000  # objects made before unreachable ones are looked for; torch brings most of these, and they stay


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `codec VERB …`; a failure is one sentence on stderr and its exit code."""
    gc.set_threshold(PATIENCE)
    try:
        _run(arguments)
    except CodecError as error:
        print(f"codec: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(MediaError.exit_code)
    finally:
        gc.freeze()  # else the interpreter walks every object of torch once more as it ends: 0.4 s


def _run(arguments: Sequence[str] | None) -> None:
    """Parse, import the verb's module, and give its `run` what was parsed."""
    from importlib import import_module

    from codec.cli.app import make_parser

    parser = make_parser()
    chosen = vars(parser.parse_args(arguments))
    verb = chosen.pop("verb")
    if chosen.pop("version"):
        from importlib.metadata import version

        print(f"codec {version('codec')}")
    elif verb is None:
        parser.print_help(sys.stderr)
        sys.exit(UsageError.exit_code)
    else:
        import_module(f"codec.cli.{verb}").run(**chosen)
