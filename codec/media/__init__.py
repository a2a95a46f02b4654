"""Files to tensors with what is needed to write them back, and tensors to files."""

from codec.media.image import IMAGE_SUFFIXES, read_image, write_image

__all__ = ["IMAGE_SUFFIXES", "read_image", "write_image"]
