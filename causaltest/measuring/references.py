"""Reference runs: the clean and the corrupt run of every pair, computed once and kept."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from causaltest.asking.pairs import Pairs
from causaltest.asking.sites import STREAM, Component
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.engine import Run, run, run_length
from causaltest.measuring.prompts import Chunk, tokenise

Side = Literal["clean", "corrupt"]

RECORDED: tuple[Component, ...] = ("embed", "resid_pre", "resid_post", "attn_out", "mlp_out", "head")
ALWAYS = STREAM
"""Kept whatever is asked for: most claims are about the stream, and a block's input is the output before it."""
CACHE_BYTES = 384 << 20
"""Up to here, all sets of pairs together, reference runs keep every component; then those asked for."""


@dataclass(frozen=True)
class Reference:
    """One side of all pairs: a run per chunk, with what was recorded in it."""

    runs: tuple[Run, ...]
    recorded: frozenset[Component]


class References:
    """The reference runs of one model. Two claims about the same pairs share them."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._chunks: dict[str, tuple[Chunk, ...]] = {}
        self._kept: dict[tuple[str, Side, int], Reference] = {}
        self._reserved: dict[tuple[str, int], int] = {}
        self.forwards = self.runs = self.reused = 0

    def chunks(self, pairs: Pairs) -> tuple[Chunk, ...]:
        """The pairs as tokens, tokenised once."""
        if pairs.digest not in self._chunks:
            self._chunks[pairs.digest] = tokenise(self._model, pairs)
        return self._chunks[pairs.digest]

    def get(self, pairs: Pairs, side: Side, new_tokens: int, components: Collection[Component] = ()) -> Reference:
        """The runs of one side, computed on the first call and kept for those after it."""
        key = (pairs.digest, side, new_tokens)
        wanted = needed(components)
        kept = self._kept.get(key)
        if kept is not None and wanted <= kept.recorded:
            self.reused += len(pairs)
            return kept
        if self._everything_fits(pairs, new_tokens):
            wanted = frozenset(RECORDED)
        elif kept is not None:
            wanted |= kept.recorded
        # What is repeated with more components is let go first, so that it is not held twice.
        kept = None
        self._kept.pop(key, None)
        runs = tuple(
            run(self._model, getattr(chunk, side), new_tokens=new_tokens, record=wanted) for chunk in self.chunks(pairs)
        )
        self.forwards += sum(r.forwards for r in runs)
        self.runs += len(pairs)
        self._kept[key] = Reference(runs, wanted)
        return self._kept[key]

    def _everything_fits(self, pairs: Pairs, new_tokens: int) -> bool:
        """Whether both sides of these pairs may keep every component, beside those that do already."""
        key = (pairs.digest, new_tokens)
        others = sum(size for other, size in self._reserved.items() if other != key)
        fits = others + self._bytes(pairs, new_tokens) <= CACHE_BYTES
        if fits:
            self._reserved[key] = self._bytes(pairs, new_tokens)
        return fits

    def _bytes(self, pairs: Pairs, new_tokens: int) -> int:
        """What both sides take when every component is recorded."""
        model = self._model.model
        width: int = model.config.get_text_config(decoder=True).hidden_size
        # Embedding, and per block residual, attention, heads, MLP, keys and values.
        per_position = width * model.dtype.itemsize * (1 + 6 * len(self._model.blocks))
        positions = sum(len(c.pairs) * run_length(self._model, c.prompt_tokens, new_tokens) for c in self.chunks(pairs))
        return int(2 * positions * per_position)


def needed(components: Collection[Component]) -> frozenset[Component]:
    return frozenset(components) | frozenset(ALWAYS)
