"""Every failure a user can meet, drawn as a tree; the exit code of the command line stands beside each.

CodecError                      1
├── UsageError                  2   wrong arguments, or an output that exists
├── MediaError                  3   an input that cannot be read, an output that cannot be written
├── BitstreamError              4   a damaged stream; `section` names where
│   ├── UnsupportedVersionError 4   a file from a newer format than this reader knows
│   └── ModelMismatchError      4   the right file for another model's tables
└── ModelNotFoundError          5   no checkpoint of that name or hash
"""


class CodecError(Exception):
    """Base of all failures; its text is one sentence that says what, where and what to do."""

    exit_code = 1


class UsageError(CodecError):
    """The request cannot be carried out as asked; nothing was changed."""

    exit_code = 2


class MediaError(CodecError):
    """A media file cannot be read or written."""

    exit_code = 3


class BitstreamError(CodecError):
    """A coded stream is damaged.

    Args:
        message: what was expected and what came.
        section: the part of the file where the damage was seen, e.g. `"head"` or `"codes of chunk 3"`.
    """

    exit_code = 4

    def __init__(self, message: str, section: str = "") -> None:
        super().__init__(f"{section}: {message}" if section else message)
        self.section = section


class UnsupportedVersionError(BitstreamError):
    """The file was written by a newer version of the format."""


class ModelMismatchError(BitstreamError):
    """The stream was coded with other tables than this model's."""


class ModelNotFoundError(CodecError):
    """No checkpoint has the wanted name or hash."""

    exit_code = 5
