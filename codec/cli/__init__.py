"""The command line: one file per verb; each parses, calls, prints."""

import os
import sys
from collections.abc import Sequence

from codec.errors import CodecError, MediaError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `codec VERB …`; a failure is one sentence on stderr and its exit code."""
    from codec.cli.app import app

    try:
        app(args=list(sys.argv[1:] if arguments is None else arguments))
    except CodecError as error:
        print(f"codec: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(MediaError.exit_code)
