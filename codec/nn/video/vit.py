"""Block-causal vision transformer: a position sees its window in its own frame and in the frames before it.

Zhao, Xiong, Krähenbühl 2024, "Image and video tokenization with binary spherical quantization", arXiv:2406.07548 (BSQ-ViT), with
windows in place of attention over the whole frame, so that a frame may have any size. Frames are computed one after another with the
keys and values of those before, in training as in streams; the number of frames is free.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.nn.blocks import start_at_zero
from codec.nn.norms import RMSNorm
from codec.nn.transformer import NORM_FLOOR, Cache, Side, blocks_of, rotations, windows_of
from codec.nn.video.block_basis import BlockBasis
from codec.nn.video.haar import SIDE, from_bands, to_bands

SIZE = 3 * SIDE * SIDE


class FrameTransformer(nn.Module):
    """Transformer layers over the windows of a frame and of those before it.

    Args:
        dim: channels.
        depth: layers; every other one has windows that lie half a window further.
        heads: of each.
        window: rows and columns of a window.
        reach: frames before its own that a position sees.
    """

    def __init__(self, dim: int, depth: int, heads: int, *, window: Side, reach: int) -> None:
        super().__init__()
        self.dim, self.heads, self.window, self.reach = dim, heads, (window[0], window[1]), reach
        self.layers = blocks_of(dim, depth, heads, None)
        self.norm = RMSNorm(dim, NORM_FLOOR)

    def forward(self, x: Tensor, past: Cache | None, time: int) -> tuple[Tensor, Cache]:
        """One frame `(B, R, C, dim)`, the one of number `time`, after what was seen, to the same, normed, and what has been seen then."""
        grid, cache = (x.shape[1], x.shape[2]), Cache([] if past is None else list(past.pairs))
        for i, layer in enumerate(self.layers):
            place = windows_of(grid, self.window, shifted=i % 2 == 1)
            rows, columns = place.window
            positions = torch.cartesian_prod(torch.tensor([time]), torch.arange(rows), torch.arange(columns))
            turns = rotations(positions.to(x.device), self.dim // self.heads).to(x)
            mask = place.mask(x.device, len(x))
            seen = 1 + (cache.pairs[i][0].shape[2] // (rows * columns) if i < len(cache.pairs) else 0)
            mask = None if mask is None else mask.repeat(1, 1, 1, seen)
            x = place.join(layer(place.cut(x), turns, mask, cache=cache, layer=i))
            kept = self.reach * rows * columns
            cache.pairs[i] = (cache.pairs[i][0][:, :, -kept:], cache.pairs[i][1][:, :, -kept:])
        return self.norm(x), cache


State = tuple[int, Cache | None]  # frames so far, and what was seen of the last of them


class _Frames(nn.Module):
    """Positions of frames through a transformer, one frame after another."""

    def __init__(self, inputs: int, outputs: int, dim: int, depth: int, heads: int, window: Side, reach: int) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, dim)
        self.transformer = FrameTransformer(dim, depth, heads, window=window, reach=reach)
        self.leave = nn.Conv2d(dim, outputs, 1)
        start_at_zero(self.leave)

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """`(B, T, inputs, h, w)` to `(B, T, outputs, h, w)`."""
        time, past = (0, None) if state is None else state
        found = []
        for frame in x.unbind(1):
            mixed, past = self.transformer(self.enter(frame.movedim(1, -1)), past, time)
            found.append(self.leave(mixed.movedim(-1, 1)))
            time += 1
        return torch.stack(found, 1), (time, past)


class FrameEncoder(nn.Module):
    """Frames `(B, 3, T, H, W)` in [0, 1] to latents `(B, latent_dim, T, H / 8, W / 8)`.

    Args:
        latent_dim: D.
        width: channels of the transformer.
        depth: layers.
        heads: of each.
        window: rows and columns of positions.
        reach: frames before its own that a position sees in each layer.
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        width: int = 192,
        depth: int = 4,
        heads: int = 6,
        window: Side = (8, 8),
        reach: int = 3,
    ) -> None:
        super().__init__()
        self.stride, self.group = SIDE, 1
        self.linear = nn.Conv2d(SIZE, latent_dim, 1)
        self.frames = _Frames(SIZE, latent_dim, width, depth, heads, window, reach)

    @torch.no_grad()
    def start_from(self, basis: BlockBasis) -> None:
        """Set the linear part to the basis; the transformer adds nothing yet."""
        weight = basis.directions / basis.step
        self.linear.weight.copy_(weight[..., None, None])
        self.linear.bias.copy_(-(weight @ basis.mean))  # type: ignore[union-attr]

    def forward(self, frames: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Shapes as in the class text; what is seen of earlier frames is in the state, and comes back in the next."""
        bands = to_bands(frames, 1)
        learned, after = self.frames(4 * bands, state)
        latents = self.linear(bands.flatten(0, 1)).unflatten(0, bands.shape[:2]) + 4 * learned
        return latents.transpose(1, 2), after


class FrameDecoder(nn.Module):
    """The mirror of `FrameEncoder`: latents `(B, latent_dim, T, h, w)` to frames `(B, 3, T, 8 h, 8 w)`, about [0, 1].

    Args:
        latent_dim: D.
        width: channels of the transformer.
        depth: layers.
        heads: of each.
        window: rows and columns of positions.
        reach: frames before its own that a position sees in each layer.
        mend_width: channels of a small network at half resolution.
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        width: int = 256,
        depth: int = 6,
        heads: int = 8,
        window: Side = (8, 8),
        reach: int = 3,
        mend_width: int = 24,
    ) -> None:
        super().__init__()
        self.stride, self.group = SIDE, 1
        self.linear = nn.Conv2d(latent_dim, SIZE, 1)
        self.frames = _Frames(latent_dim, SIZE, width, depth, heads, window, reach)
        mended = nn.Conv2d(mend_width, 12, 3, padding=1)
        self.mend = nn.Sequential(nn.Conv2d(12, mend_width, 3, padding=1), nn.GELU(), mended)
        start_at_zero(mended)

    @torch.no_grad()
    def start_from(self, basis: BlockBasis) -> None:
        """Set the linear part to the transposed basis; the networks add nothing yet."""
        self.linear.weight.copy_((basis.directions.T * basis.step)[..., None, None])
        self.linear.bias.copy_(basis.mean)  # type: ignore[union-attr]

    def forward(self, latents: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Shapes as in the class text; the state as of the encoder."""
        vectors = latents.transpose(1, 2)
        learned, after = self.frames(vectors, state)
        bands = self.linear(vectors.flatten(0, 1)).unflatten(0, vectors.shape[:2]) + 0.25 * learned
        single = from_bands(bands, 1).transpose(1, 2).flatten(0, 1)
        mended = single + 0.25 * F.pixel_shuffle(self.mend(2 * F.pixel_unshuffle(single, 2) - 1), 2)
        return mended.unflatten(0, (len(latents), -1)).transpose(1, 2), after
