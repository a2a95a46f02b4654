"""Pictures to look at: labelled panels side by side."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from codec.media.image import to_pillow

SMALLEST_FONT, FONT_SHARE = 12, 0.045  # pixels; share of the tallest picture's height
BACKGROUND, INK = (255, 255, 255), (20, 20, 20)


def side_by_side(pictures: Sequence[tuple[str, Tensor]]) -> Image.Image:
    """One row of panels, each a picture with its label centred below.

    Args:
        pictures: labels, of one or more lines, with uint8 `(1 or 3, H, W)`; the sizes may differ.
    """
    if not pictures:
        raise ValueError("side_by_side needs at least one picture")
    tallest = max(samples.shape[1] for _, samples in pictures)
    font_size = max(SMALLEST_FONT, round(FONT_SHARE * tallest))
    panels = [_panel(label, to_pillow(samples), tallest, font_size) for label, samples in pictures]
    gap = max(2, tallest // 64)
    width = sum(panel.width for panel in panels) + gap * (len(panels) - 1)
    row = Image.new("RGB", (width, max(panel.height for panel in panels)), BACKGROUND)
    left = 0
    for panel in panels:
        row.paste(panel, (left, 0))
        left += panel.width + gap
    return row


def _panel(label: str, picture: Image.Image, height: int, font_size: int) -> Image.Image:
    """Picture at the bottom of `height` rows, the label below; as wide as the wider of the two."""
    font, margin = ImageFont.load_default(font_size), font_size // 3
    text_left, _, text_right, text_bottom = ImageDraw.Draw(picture).multiline_textbbox((0, 0), label, font)
    width = max(picture.width, round(text_right - text_left) + 2 * margin)
    panel = Image.new("RGB", (width, height + round(text_bottom) + 2 * margin), BACKGROUND)
    panel.paste(picture, ((width - picture.width) // 2, height - picture.height))
    ImageDraw.Draw(panel).multiline_text((width / 2, height + margin), label, INK, font, anchor="ma", align="center")
    return panel
