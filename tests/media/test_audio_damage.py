"""Sound files that are cut, lie or are something else: one sentence each, or the right sound."""

import io
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from codec.errors import MediaError
from codec.media import open_sound, read_sound
from codec.media.sound import Samples
from codec.media.sound_writing import WRITABLE
from tests.media.test_audio import noise, read, tones, written

RATE = 24_000
WAV = written(noise(1000, 2))  # written in pieces, so that a chunk JUNK comes first
FORMAT, DATA = WAV.index(b"fmt ") + 8, WAV.index(b"data") + 4


def changed(place: int, layout: str, value: int) -> bytes:
    """The file with another number in its header."""
    data = bytearray(WAV)
    struct.pack_into(layout, data, place, value)
    return bytes(data)


def saved(samples: Samples, format: str, subtype: str | None = None) -> bytes:
    """As libsndfile writes it."""
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, subtype, format=format)
    return file.getvalue()


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(file, "PNG")
    return file.getvalue()


REFUSED = {
    "empty": (b"", "it is empty"),
    "text": (b"Not a sound at all.\n" * 50, "it is damaged, or no sound"),
    "playlist": (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\na.wav\n", "it is damaged, or no sound"),
    "noise": (np.random.default_rng(0).bytes(5000), "it is damaged, or no sound"),
    "picture": (picture(), "it is damaged, or no sound"),
    "only magic": (b"RIFF", "it is damaged, or no sound"),
    "only start": (WAV[:12], "ends before its first sample"),
    "no data chunk": (WAV[: FORMAT + 16], "ends before its first sample"),
    "no format chunk": (WAV[:12] + WAV[DATA - 4 :], "does not say how its samples are stored"),
    "no samples": (written(noise(0, 2)), "it holds no samples"),
    "cut": (WAV[: DATA + 4 + 4 * 600], r"it claims 1,000 samples \(0.042 s\) and holds 600 \(0.025 s\)"),
    "cut in a sample": (WAV[:-1], "it claims 1,000 samples .* and holds 999"),
    "claims more": (changed(DATA, "<I", 1 << 30), "it claims 268,435,456 samples .* and holds 1,000"),
    "claims less": (changed(DATA, "<I", 400), "its header says 100 samples, but 3,600 more bytes follow"),
    "rate 0": (changed(FORMAT + 4, "<I", 0), "its rate must lie in 1,000..1,536,000 samples a second, got 0"),
    "rate absurd": (changed(FORMAT + 4, "<I", 0xFFFFFFFF), "got 4,294,967,295"),
    "channels 0": (changed(FORMAT + 2, "<H", 0), "0 channels of 16 bits in 4 bytes, which does not fit"),
    "channels 9": (changed(FORMAT + 2, "<H", 9), "9 channels of 16 bits in 4 bytes, which does not fit"),
    "block": (changed(FORMAT + 12, "<H", 3), "2 channels of 16 bits in 3 bytes, which does not fit"),
    "block 0": (changed(FORMAT + 12, "<H", 0), "2 channels of 16 bits in 0 bytes"),
    "bits": (changed(FORMAT + 14, "<H", 24), "2 channels of 24 bits in 4 bytes"),
    "format short": (changed(FORMAT - 4, "<I", 4), "its header"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str, tmp_path: Path) -> None:
    data, message = REFUSED[case]
    file = tmp_path / "a.wav"
    file.write_bytes(data)
    with pytest.raises(MediaError, match=f"^cannot read {file}: .*{message}"):
        read_sound(file)


@pytest.mark.parametrize("case", ["no folder", "folder", "nul"])
def test_what_is_no_file(case: str, tmp_path: Path) -> None:
    path = {"no folder": tmp_path / "b" / "a.wav", "folder": tmp_path, "nul": Path("a\0b")}[case]
    with pytest.raises(MediaError, match=r"^cannot read "):
        read_sound(path)


@pytest.mark.parametrize(
    ("format", "subtype"),
    [("FLAC", None), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None), ("AIFF", None), ("AU", None), ("CAF", None),
     ("W64", None), ("RF64", None), ("WAV", "ULAW"), ("WAV", "IMA_ADPCM")],
)  # fmt: skip
def test_cut_files_of_every_format(format: str, subtype: str | None) -> None:
    samples = tones(RATE, 1, RATE)
    data = saved(samples, format, subtype)
    assert len(read(data)) >= RATE
    for part in (0.002, 0.02, 0.3, 0.6, 0.95):
        with pytest.raises(MediaError, match=r"cannot read the sound: .*(damaged|no sound|no samples|truncated)"):
            read_sound(data[: int(len(data) * part)])


def outcome(data: bytes) -> str:
    """`sound`, or the sentence that says why not."""
    try:
        read(data)
    except MediaError as error:
        return str(error)
    return "sound"


@pytest.mark.parametrize("suffix", WRITABLE)
def test_whatever_happens_it_is_a_sound_or_one_sentence(suffix: str) -> None:
    data, random = written(tones(4000, 2, RATE), suffix), np.random.default_rng(0)
    for case in range(60):
        broken = bytearray(data)
        for place in random.integers(0, len(data) if case % 2 else 100, 4):
            broken[place] = random.integers(256)
        cut = int(random.integers(len(data)))
        del broken[cut : cut + int(random.integers(500)) * (case % 3 == 0)]
        assert re.fullmatch(r"sound|cannot read the sound: .+", outcome(bytes(broken)))


@pytest.mark.parametrize(("format", "subtype"), [("FLAC", None), ("OGG", "VORBIS")])
def test_a_flipped_byte(format: str, subtype: str | None) -> None:
    data = bytearray(saved(noise(3 * RATE), format, subtype))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(MediaError, match="damaged"):
        read_sound(bytes(data))


def test_an_mp3_without_its_count_is_read_as_far_as_it_goes() -> None:
    quiet = np.concatenate([np.zeros((5 * RATE, 1), np.float32), noise(5 * RATE)])
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", RATE, 1, format="MP3", bitrate_mode="VARIABLE", compression_level=0.3) as sound:
        sound.write(quiet)
    data = file.getvalue()
    second = data.index(data[:2], 4)
    with open_sound(data[second:]) as reader:
        assert reader.frames is None
        assert sum(len(block) for block in reader.blocks(5000)) == pytest.approx(10 * RATE, abs=3000)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("write", [lambda s: saved(s, "WAV", "FLOAT"), lambda s: saved(s, "AIFF", "FLOAT")])
def test_what_is_no_number_is_refused_where_it_is(write: Callable[[Samples], bytes], value: float) -> None:
    samples = noise(RATE, 2)
    samples[6000, 1] = value
    message = f"its sample at 0.250000 s in channel 2 is {value}, not a number within float32; repair it"
    for size in (100, 1 << 20):
        with pytest.raises(MediaError, match=message), open_sound(write(samples)) as reader:
            for _ in reader.blocks(size):
                pass


def test_doubles_beyond_float32_are_refused() -> None:
    with pytest.raises(MediaError, match="is inf, not a number within float32"):
        read(saved(np.array([[1e300]]), "WAV", "DOUBLE"))


@pytest.mark.parametrize(
    ("format", "subtype", "encoding"),
    [("WAV", "PCM_U8", "PCM_U8"), ("WAV", "ULAW", "PCM_16"), ("WAV", "ALAW", "PCM_16"), ("WAV", "DOUBLE", "FLOAT"),
     ("WAVEX", "PCM_24", "PCM_24"), ("RF64", "PCM_16", "PCM_16"), ("W64", "PCM_32", "PCM_32"), ("AIFF", "PCM_S8", "PCM_U8"),
     ("CAF", "ALAC_24", "PCM_24"), ("AU", "FLOAT", "FLOAT")],
)  # fmt: skip
def test_other_formats_and_encodings(format: str, subtype: str, encoding: str) -> None:
    data = saved(noise(5000, 2), format, subtype)
    known, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    with open_sound(data) as reader:
        assert (reader.format.encoding, reader.frames) == (encoding, 5000)
        assert np.array_equal(np.concatenate(list(reader.blocks(777))), known)


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def test_chunks_around_the_samples_do_no_harm_and_tags_behind_count() -> None:
    title = chunk(b"LIST", b"INFO" + chunk(b"INAM", b"Fr\xfch\0"))
    data = WAV[:12] + chunk(b"bext", bytes(603)) + WAV[12:] + chunk(b"odd ", b"123") + title + b"TAG" + bytes(125)
    assert np.array_equal(read(data), read(WAV))
    with open_sound(data) as reader:
        assert reader.format.tags == {"title": "Früh"}


def test_a_file_whose_writer_did_not_know_its_length() -> None:
    for value in (0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF):
        data = changed(DATA, "<I", value)
        assert np.array_equal(read(data), read(WAV))
    never_closed = bytearray(changed(DATA, "<I", 0))
    struct.pack_into("<I", never_closed, 4, 0)
    assert np.array_equal(read(bytes(never_closed)), read(WAV))


def test_a_sound_named_raw_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(saved(noise(500), "FLAC"))
    assert len(read(tmp_path / "a.raw")) == 500
