"""The byte budget: how many pairs, tokens and rows are held at once, above the model's own memory.

All of it follows from the model and the declared budget, never from what is free, because it fixes
the batch shapes and with them the last bits of every result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.planner import Limits
from causaltest.measuring.timeline import run_length

DEFAULT = 1 << 30
LEAST = 1 << 20
"""Out of memory, the budget is halved, and not below this."""
LEAST_TOKENS_CPU, MOST_TOKENS_CPU = 512, 2_048
"""Below this a processor multiplies matrices more slowly; beyond it its caches no longer hold a block's activations."""
SECOND_WEIGHTS_CPU = 20_000_000_000
"""Tokens times the weights that they pass, in about a second on a core."""
MOST_TOKENS = 65_536
MOST_ROWS = 4_096
HIDDEN_COPIES = 10
"""Tensors as wide as the stream that a block holds at once: norms, queries, keys, values, sums."""
INNER_COPIES = 3
"""Tensors as wide as the MLP."""
GRAPH_COPIES = 3
"""Tensors of attention scores that a block keeps for its gradient."""
FORWARD_COSTS_CPU = 32
FORWARD_COSTS = 512
"""What a forward costs beside its tokens, in tokens: reading the weights takes as long as computing so many."""
OVERHEAD_WEIGHTS = 20_000_000
"""And what calling a block's modules takes: as long as a token takes in a block of so many weights."""

PAIR_BYTES = 2_000
"""What is known of a pair as long as it is measured: its tokens and positions, and its numbers in a few effects."""
FEW = 10_000
"""So many pairs are not counted."""


@dataclass(frozen=True)
class Shape:
    """What a model's sizes say about its memory and work."""

    layers: int
    width: int
    inner: int
    keys: int
    """Keys and values of one position of one layer, in numbers."""
    block_weights: int
    vocabulary: int
    itemsize: int
    on_cpu: bool

    @classmethod
    def of(cls, model: LoadedModel) -> Shape:
        config = model.model.config.get_text_config(decoder=True)
        # A model without attention keeps no keys, and what it keeps is not held.
        queries = getattr(config, "num_attention_heads", None) or 0
        heads = getattr(config, "num_key_value_heads", None) or queries
        each = getattr(config, "head_dim", None) or (config.hidden_size // queries if queries else 0)
        inner = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * config.hidden_size
        block = model.blocks[0].block
        return cls(
            layers=len(model.blocks),
            width=config.hidden_size,
            inner=inner,
            keys=2 * heads * each,
            block_weights=sum(p.numel() for p in block.parameters()),
            vocabulary=config.vocab_size,
            itemsize=model.model.dtype.itemsize,
            on_cpu=model.device.type == "cpu",
        )

    @property
    def most_tokens(self) -> int:
        """Of a forward. It is the least that workers share, and that is lost when a run is killed: so about a second's
        work where the model is large."""
        if not self.on_cpu:
            return MOST_TOKENS
        a_second = SECOND_WEIGHTS_CPU // (self.layers * self.block_weights)
        return min(MOST_TOKENS_CPU, max(LEAST_TOKENS_CPU, a_second))

    @property
    def token_bytes(self) -> int:
        """What one token of a forward takes while a block computes it."""
        return self.itemsize * (HIDDEN_COPIES * self.width + INNER_COPIES * self.inner + 2 * self.keys)

    @property
    def reference_bytes(self) -> int:
        """What one position of an unpatched run keeps: per layer the stream, the keys, and one component more."""
        return self.itemsize * self.layers * (2 * self.width + self.keys)

    @property
    def row_bytes(self) -> int:
        """What a row keeps per position while it goes on to later segments, and its logits once."""
        return self.itemsize * self.layers * self.keys


@dataclass(frozen=True)
class Budget:
    """Bytes above the model's own: a quarter for the unpatched runs, half for the keys of patched ones that
    go on, and a quarter for a forward. What is kept of all pairs takes its share from that of the unpatched runs."""

    bytes: int = DEFAULT

    @property
    def for_references(self) -> int:
        return self.bytes // 4

    @property
    def for_vectors(self) -> int:
        """For the vectors of all pairs, which placebos and other pairs' activations need; the rest is in a file."""
        return self.bytes // 8

    def beside(self, pairs: int) -> Budget:
        """What is left beside what is known of so many pairs from the first to the last.

        Of few it is not counted: else each number of pairs would have batches of its own shape.
        """
        if pairs <= FEW:
            return self
        return replace(self, bytes=max(self.bytes - pairs * PAIR_BYTES, self.bytes // 4))

    def halved(self) -> Budget:
        return replace(self, bytes=self.bytes // 2)

    def pairs(self, model: LoadedModel, prompt_tokens: int) -> int:
        """How many pairs' unpatched runs, clean and corrupt, are held at once."""
        shape = Shape.of(model)
        length = run_length(model, prompt_tokens, 1)
        fit = self.for_references // (2 * length * shape.reference_bytes)
        return max(1, min(fit, MOST_TOKENS // length))

    def graphs(self, model: LoadedModel, length: int) -> int:
        """How many runs are held at once with all that a gradient goes back through."""
        shape = Shape.of(model)
        scores = GRAPH_COPIES * shape.itemsize * model.heads * length
        return max(1, self.bytes // 2 // (length * shape.layers * (shape.token_bytes + scores)))

    def limits(self, model: LoadedModel, length: int) -> Limits:
        shape = Shape.of(model)
        fit = self.bytes // 4 // shape.token_bytes
        rows = self.bytes // 2 // (length * shape.row_bytes + shape.vocabulary * (shape.itemsize + 4))
        return Limits(
            tokens=max(1, min(fit, shape.most_tokens)),
            rows=max(1, min(rows, MOST_ROWS)),
            forward_costs=max(
                FORWARD_COSTS_CPU if shape.on_cpu else FORWARD_COSTS, OVERHEAD_WEIGHTS // shape.block_weights
            ),
        )
