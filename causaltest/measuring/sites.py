"""Sites of a batch: what experiments name, as spots of the batch's pairs, and the vectors that they share."""

from __future__ import annotations

from collections.abc import Sequence

from causaltest.asking.experiment import Patching
from causaltest.asking.metrics import Metric
from causaltest.asking.pairs import Pairs
from causaltest.asking.positions import Position
from causaltest.measuring.batch import Batch
from causaltest.measuring.edges import Arrivals, Route, routes
from causaltest.measuring.patches import Spot, Where, spots
from causaltest.measuring.positions import layout, resolve
from causaltest.measuring.prompts import Chunk, TokenPair
from causaltest.measuring.scores import tokens_needed
from causaltest.measuring.spaces import Spaces
from causaltest.measuring.vectors import Elsewhere, patched_side


class Sites:
    """A batch's sites as spots; positions that are named alike are resolved once."""

    def __init__(self, batch: Batch, chunks: Sequence[Chunk] | None = None) -> None:
        """`chunks`: those of other pairs than the batch's own."""
        self.batch = batch
        self.chunks = batch.chunks if chunks is None else chunks
        self.pairs: list[TokenPair] = [pair for chunk in self.chunks for pair in chunk.pairs]
        self.ids = [str(pair.pair.id) for pair in self.pairs]
        self.clusters = [pair.pair.cluster or str(pair.pair.id) for pair in self.pairs]
        self.spaces = Spaces(batch.model)
        self._elsewhere: dict[Pairs, Sites] = {}
        self._tokens: dict[Metric, int] = {}
        self._where: dict[tuple[Position, int], tuple[Where, ...]] = {}

    def tokens(self, metric: Metric) -> int:
        """How many answer tokens a metric reads of these pairs."""
        if metric not in self._tokens:
            self._tokens[metric] = tokens_needed(metric, self.pairs)
        return self._tokens[metric]

    def spots(self, patching: Patching, new_tokens: int) -> tuple[tuple[Spot, ...], ...]:
        """Per chunk, the spots of a patching. Raises PositionError for a step that no metric reads."""
        if patching.edges:
            return tuple(tuple(route.receiver for route in some) for some in self.routes(patching, new_tokens))
        places = [(site, self.where(site.position, new_tokens)) for site in patching.sites]
        keys = max(layout(self.batch.model, chunk.prompt_tokens, new_tokens).total for chunk in self.chunks)
        return tuple(
            tuple(spot for site, where in places for spot in spots(site, where[n], keys))
            for n in range(len(self.chunks))
        )

    def routes(self, patching: Patching, new_tokens: int) -> tuple[tuple[Route, ...], ...]:
        """Per chunk, the receivers of a patching's edges, and what arrives at them."""
        ends = {site: self.where(site.position, new_tokens) for site in patching.sites}
        model = self.batch.model
        return tuple(
            routes(
                model,
                patching.edges,
                {site: where[n] for site, where in ends.items()},
                answer=layout(model, chunk.prompt_tokens, new_tokens).answer,
            )
            for n, chunk in enumerate(self.chunks)
        )

    def arrivals(self, patching: Patching, new_tokens: int) -> Arrivals | None:
        """What a patching's edges bring; None where sites are patched."""
        if not patching.edges:
            return None
        batch, lengths = self.batch, tuple(chunk.prompt_tokens for chunk in self.chunks)
        ways = self.routes(patching, new_tokens)
        # Which shortcuts hold is found out after the batch is planned.
        out = Arrivals(batch.model, patched_side(patching), ways, lengths, lambda: batch.references.shortcuts)
        batch.recorded |= out.components
        return out

    def elsewhere(self, patching: Patching, new_tokens: int) -> Elsewhere | None:
        """The other pairs over which a mean is taken, if any, and the same sites in them."""
        pairs = patching.intervention.over
        if pairs is None:
            return None
        if pairs not in self._elsewhere:
            self._elsewhere[pairs] = Sites(self.batch, self.batch.references.chunks(pairs))
        return Elsewhere(pairs, self._elsewhere[pairs].spots(patching, new_tokens))

    def where(self, position: Position, new_tokens: int) -> tuple[Where, ...]:
        key = (position, new_tokens)
        if key not in self._where:
            # Most pairs have them at the same places, which are held once.
            known: dict[tuple[int, ...], tuple[int, ...]] = {}
            self._where[key] = tuple(
                Where(tuple(known.setdefault(p, p) for p in (resolve(position, pair, at) for pair in chunk.pairs)))
                for chunk in self.chunks
                for at in [layout(self.batch.model, chunk.prompt_tokens, new_tokens)]
            )
        return self._where[key]
