"""Classical video codecs on the same frames, through FFmpeg: x264 (H.264), x265 (HEVC) and SVT-AV1.

Bytes are those of the bare stream, headers of the codec included and a container's left out, as is the text of its settings that
x264 would write into it. All tunings for the eye are as the encoders have them by default, which costs them some PSNR.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from torch import Tensor

from codec.errors import UsageError

EncoderName = Literal["libx264", "libx265", "libsvtav1"]
QUALITIES: dict[EncoderName, tuple[int, int]] = {"libx264": (1, 51), "libx265": (1, 51), "libsvtav1": (1, 63)}
"""Finest and coarsest CRF of each encoder: 0 means lossless, or none at all."""
OWN_SYNTAX: dict[EncoderName, str] = {"libx264": "x264-params", "libx265": "x265-params", "libsvtav1": "svtav1-params"}
DECODERS: dict[EncoderName, str] = {"libx264": "h264", "libx265": "hevc", "libsvtav1": "libdav1d"}


@dataclass(frozen=True)
class EncodedVideo:
    """A bare stream.

    Attributes:
        data: all packets, one after the other.
        frame_bytes: of each packet, one for each frame, in the order of decoding.
        size: height and width of the pictures.
    """

    data: bytes
    frame_bytes: tuple[int, ...]
    size: tuple[int, int]

    def __post_init__(self) -> None:
        if sum(self.frame_bytes) != len(self.data):
            raise ValueError(f"packets have {sum(self.frame_bytes)} bytes, the stream {len(self.data)}")

    @property
    def total_bytes(self) -> int:
        """Of the stream."""
        return len(self.data)

    def packets(self) -> Iterator[bytes]:
        """The stream cut where it was put together."""
        begin = 0
        for size in self.frame_bytes:
            yield self.data[begin : begin + size]
            begin += size


@dataclass(frozen=True)
class VideoBaseline:
    """A classical codec whose quality is its constant rate factor (CRF): a higher one means fewer bytes.

    Attributes:
        preset: the encoder's own word for how long it may think.
        low_delay: each frame can be shown as soon as its packet is there, and the encoder looks at no later ones; otherwise as the
            encoder has it by default, with frames predicted from both sides.
        gop: frames from one key frame to the next, at most; None leaves it to the encoder.
        settings: further ones, in the encoder's own syntax, `name=value:name=value`.
    """

    name: str
    encoder: EncoderName
    preset: str
    low_delay: bool
    gop: int | None = None
    settings: str = ""

    def encode(self, frames: Iterable[Tensor], rate_hz: float, quality: int, *, threads: int = 1) -> EncodedVideo:
        """Uint8 RGB frames `(3, H, W)` of one shape to a stream.

        The codec works on yuv420p: BT.601, or BT.709 from 720 rows on, in limited range. Odd sides get a copy of the last row or
        column.

        Args:
            frames: at least one.
            rate_hz: frames a second.
            quality: CRF.
            threads: of the encoder; SVT-AV1 starts more, and takes this for its level of parallelism.

        Raises:
            UsageError: no such quality.
            MediaError: the encoder refuses, such as x265 for pictures below 16 pixels.
        """
        from codec.media.video_streams import VideoEncoder  # here: whoever trains needs no FFmpeg
        from codec.media.yuv_frames import YuvFrames

        low, high = QUALITIES[self.encoder]
        if not low <= quality <= high:
            raise UsageError(f"{self.name} has qualities {low} to {high}, got {quality}")
        pictures = iter(frames)
        first = next(pictures, None)
        if first is None:
            raise ValueError("a video has at least one frame, got none")
        height, width = first.shape[-2:]
        converter = YuvFrames(height, width)
        encoder = VideoEncoder(self.encoder, self._options(quality, threads), rate_hz, self.gop, threads)
        packets = list(encoder.packets(map(converter.to_yuv, chain([first], pictures))))
        return EncodedVideo(b"".join(packets), tuple(map(len, packets)), (height, width))

    def decode(self, coded: EncodedVideo) -> Iterator[Tensor]:
        """The frames one by one, uint8 `(3, H, W)`, in the order and at the size in which they were given."""
        from codec.media.video_streams import decoded_frames
        from codec.media.yuv_frames import YuvFrames

        return map(YuvFrames(*coded.size).to_rgb, decoded_frames(coded.packets(), DECODERS[self.encoder]))

    def _options(self, quality: int, threads: int) -> dict[str, str]:
        """As FFmpeg passes them on."""
        options = {"preset": self.preset, "crf": str(quality)}
        own: list[str] = []
        if self.encoder == "libsvtav1":
            own = [f"lp={threads}", *(["pred-struct=1"] if self.low_delay else [])]
        elif self.low_delay:
            options |= {"tune": "zerolatency", "bf": "0"}
        if self.encoder == "libx265":
            # It prints by itself, tells its settings in the stream, and has a pool of threads besides those it is told of.
            own = ["log-level=none", "info=0", f"pools={'none' if threads == 1 else threads}"]
            own += ["frame-threads=1"] if self.low_delay else []
        own += [self.settings] if self.settings else []
        return options | ({OWN_SYNTAX[self.encoder]: ":".join(own)} if own else {})


VIDEO_BASELINES = {
    baseline.name: baseline
    for baseline in (
        VideoBaseline("x264-veryfast-ld", "libx264", "veryfast", low_delay=True),
        VideoBaseline("x264-veryslow-ld", "libx264", "veryslow", low_delay=True),
        VideoBaseline("x264-veryslow-ra", "libx264", "veryslow", low_delay=False),
        VideoBaseline("x265-ultrafast-ld", "libx265", "ultrafast", low_delay=True),
        VideoBaseline("x265-slow-ld", "libx265", "slow", low_delay=True),
        VideoBaseline("x265-slow-ra", "libx265", "slow", low_delay=False),
        # Its mode for conversations, without which presets above 11 are not what they say.
        VideoBaseline("svtav1-12-ld", "libsvtav1", "12", low_delay=True, settings="rtc=1"),
        VideoBaseline("svtav1-4-ld", "libsvtav1", "4", low_delay=True),
        VideoBaseline("svtav1-4-ra", "libsvtav1", "4", low_delay=False),
    )
}
"""By name, as tools take them: `ld` with low delay, `ra` for random access, which is what the encoders do by default."""
