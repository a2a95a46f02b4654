"""What every codec offers, whatever it is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from torch import Tensor

from codec.errors import UsageError
from codec.types import Codes, Media, MediaKind

PriorName = str  # static, learned; generator, a checkpoint of its own; reduced-K, of a codebook cut down to K codes
DEFAULT_QUALITY = 50


@dataclass(frozen=True)
class Encoding:
    """What is asked of an encoder; at most one of quality and targets.

    Attributes:
        prior: which entropy model codes the tokens; the best that a model has by default.
        quality: 1 (coarse) to 100, for models of continuous rate.
        target_bytes: of the file, at most; the finest picture that fits.
        target_bpp: the same in bits a pixel.
        target_psnr: decibels that the decoded picture should have.
        roi: region of interest, float `(H, W)` in [0, 1] in pixels: 1 where quality matters most.
        effort: steps of refinement of the latent for this picture; 0 is fast.
        progressive: coarse planes first, so that the front of the file is a coarse picture.
        bitrate: bits a second of file: of sound at most, as many planes as fit; of video on average.
        packet_ms: milliseconds of a packet of sound; shorter ones cost more and wait less.
    """

    prior: PriorName | None = None
    quality: int | None = None
    target_bytes: int | None = None
    target_bpp: float | None = None
    target_psnr: float | None = None
    roi: Tensor | None = None
    effort: int = 0
    progressive: bool = False
    bitrate: float | None = None
    packet_ms: float | None = None

    def __post_init__(self) -> None:
        targets = {"target size": self.target_bytes, "target bpp": self.target_bpp, "target PSNR": self.target_psnr}
        asked = {"quality": self.quality, "bitrate": self.bitrate} | targets
        given = [name for name, value in asked.items() if value is not None]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} exclude each other")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UsageError(f"quality must lie in 1..100, got {self.quality}")
        if any(target is not None and target <= 0 for target in (self.target_bytes, self.target_bpp, self.target_psnr)):
            raise UsageError(f"the {given[0]} must be greater than 0")
        for name, value in (("bitrate", self.bitrate), ("packet", self.packet_ms)):
            if value is not None and not value > 0:
                raise UsageError(f"the {name} must be greater than 0")
        if self.effort < 0:
            raise UsageError(f"effort must be at least 0, got {self.effort}")

    def check_picture(self) -> None:
        """Refuse what only a model of sound or of video can do."""
        for name, value, media in (
            ("a bitrate", self.bitrate, "sound and video"),
            ("a packet length", self.packet_ms, "sound"),
        ):
            if value is not None:
                raise UsageError(f"this is a model of pictures; {name} is for {media}")

    def check_sound(self) -> None:
        """Refuse what only a model of pictures can do."""
        self.check_fixed_rate("this is a model of sound, whose rate is its bitrate")

    def check_video(self) -> None:
        """Refuse what a model of video, which has a quality or a bitrate, cannot do."""
        for name, given in self._of_pictures().items():
            if given:
                raise UsageError(f"this is a model of video with a quality or a bitrate; {name} is for pictures")
        if self.packet_ms is not None:
            raise UsageError("this is a model of video; a packet length is for sound")

    def check_fixed_rate(self, models: str = "this model has one fixed rate") -> None:
        """Refuse what only a model of continuous rate can do."""
        for name, given in ({"quality": self.quality is not None} | self._of_pictures()).items():
            if given:
                raise UsageError(f"{models}; {name} is for models with continuous quality")

    def _of_pictures(self) -> dict[str, bool]:
        """What is asked for that only pictures of continuous rate have."""
        return {
            "a target": any(value is not None for value in (self.target_bytes, self.target_bpp, self.target_psnr)),
            "a region of interest": self.roi is not None,
            "effort": self.effort > 0,
            "progressive order": self.progressive,
        }


PLAIN = Encoding()


class Codec(Protocol):
    """A model that turns media into codes and into files, and back."""

    @property
    def kind(self) -> MediaKind:
        """`image`, `audio` or `video`."""

    def encode(self, x: Tensor) -> Codes:
        """Samples `(B, C, *space)` to codes."""

    def decode(self, codes: Codes) -> Tensor:
        """Codes to samples."""

    def compress(self, media: Media, encoding: Encoding = PLAIN) -> bytes:
        """Media to the bytes of a `.lmc` file."""

    def decompress(self, data: bytes, *, partial: bool = False) -> Media:
        """The bytes of a `.lmc` file to media."""

    def read_codes(self, source: BinaryIO, *, partial: bool = False) -> object:
        """Only the lossless half of `decompress`: the codes of a file, checked."""

    def coding_hash(self, prior: PriorName = "static") -> bytes:
        """SHA-256 of all that a decoder must share for files written with a prior."""

    def to(self, device: str) -> "Codec":
        """The same model on another device."""

    def priors(self) -> Mapping[PriorName, object]:
        """The entropy models at hand by name, the best last."""

    def coded_with(self) -> Mapping[PriorName, object]:
        """These, and those of coarser codes that it can write too; the best last."""

    def seal(self) -> None:
        """Remember the coding hashes, which take milliseconds: the coding part will not change."""

    def float_twins(self) -> frozenset[str]:
        """Names in the state dict of floats that only training needs, since integers stand for them in files."""

    def thaw(self) -> None:
        """After loading: make such floats from the integers, where the model can."""

    def state_dict(self) -> dict[str, Tensor]:
        """Weights by name."""

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> object:
        """Take over weights."""
