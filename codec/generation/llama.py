"""The Llama blocks of `transformers` as the trunk of a language model of codes, so that its checkpoints can be moved in and out.

Touvron et al. 2023, "LLaMA: Open and Efficient Foundation Language Models", arXiv:2302.13971. Needs the extra `generate`.
"""

from typing import Any

from torch import Tensor, nn

from codec.errors import UsageError


class LlamaTrunk(nn.Module):
    """`transformers.LlamaModel` between vectors and vectors; `model` has its parameters under their usual names.

    Args:
        dim: channels.
        depth: layers.
        heads: of each.
        hidden: channels of the feed-forward layers; by default 8/3 of `dim`, in whole 32s.
        longest: positions that a sequence may have.
    """

    def __init__(self, dim: int, depth: int, heads: int, *, hidden: int | None = None, longest: int = 16384) -> None:
        super().__init__()
        try:
            from transformers import LlamaConfig, LlamaModel
        except ImportError as error:
            raise UsageError('this model needs transformers: pip install "codec[generate]"') from error
        self.dim = dim
        config = LlamaConfig(
            vocab_size=1,  # words are embedded outside
            bos_token_id=None,
            eos_token_id=None,
            hidden_size=dim,
            intermediate_size=hidden if hidden is not None else 32 * round(8 * dim / 3 / 32),
            num_hidden_layers=depth,
            num_attention_heads=heads,
            max_position_embeddings=longest,
        )
        self.model = LlamaModel(config)
        self.model.set_input_embeddings(nn.Identity())

    def new_cache(self) -> Any:
        """Where nothing has been seen yet."""
        from transformers import DynamicCache

        return DynamicCache()

    def forward(self, x: Tensor, cache: Any = None) -> Tensor:
        """`(B, N, dim)`, those that follow what the cache has seen, to the same, normed."""
        found: Tensor = self.model(
            inputs_embeds=x, past_key_values=cache, use_cache=cache is not None
        ).last_hidden_state
        return found
