"""organism:bypass, a latent reasoner whose answer never sees its thoughts.

The planted wiring with six thoughts between prompt and answer. The thoughts read the value, so
they differ between the runs, but the end token may read the prompt only. A framework that finds
an effect at any thought finds effects everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from causaltest.asking.pairs import Pair, Pairs
from causaltest.organisms import planted

if TYPE_CHECKING:
    from causaltest.measuring.adapters.model import LoadedModel

NAME = "organism:bypass"
LAYERS, THOUGHTS = planted.LAYERS, 6


def load() -> LoadedModel:
    """The wired reasoner, from formulas: there is no file."""
    import torch
    from torch import Tensor, nn

    from causaltest.measuring.adapters.decoder import count_heads, resolve_blocks
    from causaltest.measuring.adapters.model import LoadedModel, Reasoning
    from causaltest.measuring.adapters.proof import proven
    from causaltest.organisms.wiring import BEGIN, END, tokenizer, vocabulary, wired

    def mask(prompt_tokens: int, total: int) -> Tensor:
        """Causal, but what follows the thoughts does not see them. [1, 1, query, key]"""
        seen = torch.ones(total, total, dtype=torch.bool).tril()
        first, end = prompt_tokens + 1, prompt_tokens + 1 + THOUGHTS
        seen[end:, first:end] = False
        return torch.where(seen, 0.0, torch.finfo(torch.float32).min)[None, None]

    model, words = wired([BEGIN, END]), vocabulary()
    return proven(
        LoadedModel(
            name=NAME,
            model=model,
            tokenizer=tokenizer(),
            blocks=resolve_blocks(model),
            heads=count_heads(model),
            reasoning=Reasoning(THOUGHTS, (words.index(BEGIN),), (words.index(END),), nn.Identity().eval()),
            mask=mask,
            provenance={"wired": "by formula"},
        )
    )


def pairs(*, per_cluster: int = 4, seed: int = 0) -> Pairs:
    """The planted organism's pairs, without its reader token: here the end token reads."""
    given = planted.pairs(per_cluster=per_cluster, seed=seed)
    return Pairs(
        [
            Pair(
                **{
                    **p.as_dict(),
                    "clean": p.clean.removesuffix(" Answer:"),
                    "corrupt": p.corrupt.removesuffix(" Answer:"),
                }
            )
            for p in given
        ]
    )
