"""Reference runs: the clean and the corrupt run of every pair, computed once and kept while there is room."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from functools import partial

import torch
from torch import Tensor

from causaltest.asking.pairs import Pairs
from causaltest.asking.sites import Component
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.budget import Budget
from causaltest.measuring.chunk_runs import ChunkRuns, Recorded, halves
from causaltest.measuring.engine import Columns, Shortcuts
from causaltest.measuring.freed import give_back
from causaltest.measuring.kept_runs import KeptRuns, sooner_read
from causaltest.measuring.kept_vectors import Room
from causaltest.measuring.prompts import Chunk, tokenise
from causaltest.measuring.trajectory import Run, run
from causaltest.store.kept import Kept

STREAM_PARTS: frozenset[Component] = frozenset({"embed", "resid_pre", "resid_post"})
"""Always recorded: patched runs join in the stream, and a block's input is the output before it."""

MOST_TOKENISED = 8
"""Sets of pairs that are kept as tokens: a session of thousands of claims does not hold all that it has seen."""
ROUNDS_OTHERWISE: frozenset[Component] = frozenset({"pattern", "logits"})
"""Recorded, they change the last bits of a run: attention is worked out eagerly, the head at every position."""

Key = tuple[str, int, bool, int, tuple[str, ...]]


class References:
    """The reference runs of one model. Experiments on the same pairs share them.

    What was kept decides how long something takes, and never what comes out: a run that was let
    go is computed again in the same shape.
    """

    def __init__(self, model: LoadedModel, budget: Budget, kept: Kept | None = None) -> None:
        """`kept` is where runs are kept beyond this process."""
        self._model = model
        self.budget = budget
        self.room = Room(budget.for_vectors)
        """For the vectors of all pairs, which share the bytes of the unpatched runs."""
        self._store = KeptRuns(kept, model.device) if kept is not None and sooner_read(model) else None
        self.shortcuts = Shortcuts()
        self._chunks: dict[str, tuple[Chunk, ...]] = {}
        self._columns: dict[str, Columns] = {}
        self._kept: dict[Key, Recorded] = {}
        self.forwards = self.runs = self.reused = 0

    def chunks(self, pairs: Pairs) -> tuple[Chunk, ...]:
        """The pairs as tokens, tokenised once for those that were used last."""
        chunks = self._chunks.pop(pairs.digest, None)
        if chunks is None:
            chunks = tokenise(self._model, pairs, self.budget.beside(len(pairs)))
            self.room.bytes = self._left.for_vectors
        self._chunks[pairs.digest] = chunks  # the last one used stands last
        if len(self._chunks) > MOST_TOKENISED:
            oldest = next(iter(self._chunks))
            del self._chunks[oldest]
            self._columns.pop(oldest, None)
        return chunks

    def columns(self, pairs: Pairs) -> Columns:
        """The logits that any metric reads: those of every token of an answer."""
        if pairs.digest not in self._columns:
            answers = {i for c in self.chunks(pairs) for p in c.pairs for i in (*p.answer, *(p.corrupt_answer or ()))}
            ids = torch.tensor(sorted(answers), device=self._model.device)
            self._columns[pairs.digest] = Columns(ids, all_computed=True, total=True)
        return self._columns[pairs.digest]

    def get(
        self,
        pairs: Pairs,
        number: int,
        new_tokens: int,
        components: Collection[Component] = (),
        *,
        forced: bool = False,
    ) -> ChunkRuns:
        """Both sides of one chunk, with at least these components and steps; `forced`: the clean answer is given."""
        # The first token is predicted before any is given.
        forced = forced and new_tokens > 1
        wanted = STREAM_PARTS | set(components)
        like = rounding(new_tokens, wanted, forced)
        key = (pairs.digest, number, forced, *like)
        chunk = self.chunks(pairs)[number]
        kept = self._kept.pop(key, None)
        if kept is not None and wanted <= kept.recorded and new_tokens <= kept.new_tokens:
            self._kept[key] = kept  # the last one used stands last
            self.reused += 2 * len(chunk.pairs)
            return kept.runs
        if kept is not None:
            wanted, new_tokens = wanted | kept.recorded, max(new_tokens, kept.new_tokens)
        # What is repeated with more components is let go first, so that it is not held twice.
        kept = None
        self._make_room()
        make = partial(self._run, pairs, chunk, forced)
        if self._store is None:
            self._kept[key] = make(new_tokens, wanted)
        else:
            before = self.runs
            told = [*self._told(pairs, chunk, forced), *like]
            self._kept[key] = self._store.get(told, new_tokens, wanted, make)
            self.reused += 2 * len(chunk.pairs) if self.runs == before else 0
        self._let_go(key)
        return self._kept[key].runs

    def lend(
        self, pairs: Pairs, number: int, new_tokens: int, components: Collection[Component], *, forced: bool
    ) -> Recorded:
        """The runs of a chunk with all that was recorded, for another process. As `get`."""
        self.get(pairs, number, new_tokens, components, forced=forced)
        return self._kept[next(reversed(self._kept))]

    def borrow(self, pairs: Pairs, number: int, recorded: Recorded, *, forced: bool) -> None:
        """Takes the runs of a chunk from a process that has computed them."""
        forced = forced and recorded.new_tokens > 1
        key = (pairs.digest, number, forced, *rounding(recorded.new_tokens, recorded.recorded, forced))
        self._kept.pop(key, None)
        self._kept[key] = recorded
        self._let_go(key)

    def _run(
        self, pairs: Pairs, chunk: Chunk, forced: bool, new_tokens: int, wanted: Collection[Component]
    ) -> Recorded:
        """Runs both sides of a chunk."""
        both = run(
            self._model,
            torch.cat([chunk.clean, chunk.corrupt]),
            new_tokens=new_tokens,
            forced=chunk.answers(new_tokens - 1).repeat(2, 1) if forced else None,
            record=wanted,
            columns=self.columns(pairs),
            keep_keys=self.shortcuts.forks,
            shortcuts=self.shortcuts,
        )
        self.forwards += both.forwards
        self.runs += 2 * len(chunk.pairs)
        runs = halves(both.in_one_piece())
        read_alike(runs, chunk, causal=self.shortcuts.forks)
        return Recorded(new_tokens, frozenset(wanted), runs, size_of(both))

    def _told(self, pairs: Pairs, chunk: Chunk, forced: bool) -> list[object]:
        """What tells a chunk's runs from all others of this model, as plain data."""
        shortcuts = self.shortcuts
        answers = chunk.answers(max(len(p.answer) for p in chunk.pairs)) if forced else None
        return [
            *(hashed(ids) for ids in (chunk.clean, chunk.corrupt, answers, self.columns(pairs).ids)),
            [shortcuts.forks, shortcuts.trims, len(shortcuts.fused)],
        ]

    @property
    def _left(self) -> Budget:
        """The budget beside what is known of all pairs."""
        return self.budget.beside(sum(len(chunk.pairs) for chunks in self._chunks.values() for chunk in chunks))

    def _make_room(self) -> None:
        """Lets go of what would not be kept beside the runs of one chunk more, before they are there."""
        self._drop(max((kept.bytes for kept in self._kept.values()), default=0))
        give_back()

    def _let_go(self, newest: Key) -> None:
        """Drops what was used longest ago until the rest is within its share of the budget."""
        self._drop(0, newest)

    def _drop(self, coming: int, newest: object = None) -> None:
        total = coming + sum(kept.bytes for kept in self._kept.values())
        most = self._left.for_references - self.room.held
        for key in list(self._kept):
            if total <= most or key == newest:
                return
            total -= self._kept.pop(key).bytes


def rounding(new_tokens: int, wanted: Collection[Component], forced: bool) -> tuple[int, tuple[str, ...]]:
    """What a run's last bits depend on besides its tokens: only runs that are alike in it stand in for each other.

    Else numbers would depend on who has asked for more before, and a run that was interrupted has another before.
    """
    # Given answers lengthen the forward itself; generated ones come behind it.
    return new_tokens if forced else 0, tuple(sorted(ROUNDS_OTHERWISE & set(wanted)))


@torch.inference_mode()
def read_alike(runs: ChunkRuns, chunk: Chunk, *, causal: bool) -> None:
    """Writes over the corrupt runs what they share with the clean ones: what comes of the same tokens is the same.

    A run's last bits depend on the row that it stands in. Left as they are, they would be a difference between two
    runs where there is none, and a patch of nothing would have a distance.
    """
    same = (chunk.clean == chunk.corrupt).cumprod(dim=1).bool()
    whole = same.all(dim=1)
    if bool(whole.any()):
        pairs = [(runs.clean.activations[place], there) for place, there in runs.corrupt.activations.items()]
        pairs += [(getattr(runs.clean, name), getattr(runs.corrupt, name)) for name in ("tokens", "logits", "finite")]
        if runs.clean.total is not None and runs.corrupt.total is not None:
            pairs.append((runs.clean.total, runs.corrupt.total))
        pairs += [*zip(sum(runs.clean.keys, ()), sum(runs.corrupt.keys, ()), strict=True)]
        for source, target in pairs:
            target[whole] = source[whole]
    rest = same & ~whole[:, None]
    if causal and bool(rest.any()):
        rows, positions = rest.nonzero(as_tuple=True)
        for place, target in runs.corrupt.activations.items():
            target[rows, positions] = runs.clean.activations[place][rows, positions]


def hashed(ids: Tensor | None) -> str | None:
    """The shape and the SHA-256 of tokens: what is known of a chunk takes no more room than this."""
    if ids is None:
        return None
    there = ids.cpu().contiguous()
    return f"{list(there.shape)} {hashlib.sha256(there.numpy().tobytes()).hexdigest()}"


def size_of(run: Run) -> int:
    """Bytes of a run, each storage once."""
    tensors = [run.logits, *run.activations.values(), *(t for layer in run.keys for t in layer)]
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())
