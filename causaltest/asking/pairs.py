"""Pairs: clean and corrupt prompts with their answers, and which of them belong together."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

from causaltest.asking.chats import Chat
from causaltest.asking.draws import Answer, Fillers, draw, sources
from causaltest.asking.pair import Pair as Pair
from causaltest.asking.pairs_files import Columns, read_csv, read_dataset, read_jsonl, read_parquet
from causaltest.errors import PairsError


class Split(NamedTuple):
    """Two halves that share no cluster: one to look for a site, the other to confirm it."""

    discovery: Pairs
    confirmation: Pairs


@dataclass(frozen=True)
class Half:
    """Where pairs come from that were split: which half, of what, and how it was drawn."""

    half: Literal["discovery", "confirmation"]
    share: float
    """Of the clusters, those to look in."""
    seed: int
    whole: str
    """The digest of all pairs."""
    of: Half | None = None
    """Where the whole was a half itself."""

    def as_dict(self) -> dict[str, Any]:
        """All fields as plain data."""
        return asdict(self)


class Pairs(Sequence[Pair]):
    """Pairs to measure on, in a fixed order, with ids that are unique.

    Every pair names its cluster, or `iid=True` says that the pairs have nothing in common: a
    bound on ten paraphrases of one prompt is not a bound on ten prompts.

    Raises PairsError when pairs are missing, ids repeat, or clusters are not said.
    """

    def __init__(self, pairs: Iterable[Pair], *, iid: bool = False) -> None:
        given = tuple(pairs)
        if not given:
            raise PairsError("Pairs needs at least one Pair, and got none.")
        odd = next((p for p in given if not isinstance(p, Pair)), None)
        if odd is not None:
            raise PairsError(f"Pairs takes Pair values, and got {type(odd).__name__}; write Pair(clean=..., ...).")
        self._pairs = tuple(p if p.id is not None else replace(p, id=f"pair {i}") for i, p in enumerate(given))
        self.iid = iid
        self._half: Half | None = None
        ids = [p.id for p in self._pairs]
        if len(set(ids)) != len(ids):
            twice = next(i for i in ids if ids.count(i) > 1)
            raise PairsError(f"Two pairs have the id {twice!r}; ids say which values are paired, so each is used once.")
        check_clusters(self._pairs, iid)

    @classmethod
    def from_jsonl(cls, path: str | Path, *, columns: Columns = None, iid: bool = False) -> Pairs:
        """Pairs from a file with one JSON object per line, in Pair's own field names.

        `columns={"clean": "prompt"}` says which column a field is read from where it is called
        otherwise; columns of no field are then left alone. Raises PairsError that names the line,
        when one is not such an object.
        """
        return cls(read_jsonl(Path(path), columns), iid=iid)

    @classmethod
    def from_csv(cls, path: str | Path, *, columns: Columns = None, delimiter: str = ",", iid: bool = False) -> Pairs:
        """Pairs from a CSV file whose first line names the fields; spans stand in a cell as JSON.

        An empty cell is an absent field. `columns` as in `from_jsonl`. Raises PairsError that names row and column.
        """
        return cls(read_csv(Path(path), columns, delimiter), iid=iid)

    @classmethod
    def from_parquet(cls, path: str | Path, *, columns: Columns = None, iid: bool = False) -> Pairs:
        """Pairs from a Parquet file; pyarrow comes with the extra `data`.

        `columns` as in `from_jsonl`. Raises PairsError that names row and column.
        """
        return cls(read_parquet(Path(path), columns), iid=iid)

    @classmethod
    def from_dataset(cls, dataset: Iterable[Mapping[str, Any]], *, columns: Columns = None, iid: bool = False) -> Pairs:
        """Pairs from rows that are mappings, such as one split of a Hugging Face dataset.

        `columns` as in `from_jsonl`. Raises PairsError that names row and column.
        """
        return cls(read_dataset(dataset, columns), iid=iid)

    @classmethod
    def from_template(
        cls,
        template: str | Sequence[str],
        *,
        fillers: Mapping[str, Iterable[str]],
        answer: Answer,
        n: int,
        seed: int,
        vary: str | None = None,
        corrupt: str | Sequence[str] | None = None,
        corrupt_answer: Answer | None = None,
        cluster: str | Callable[[Fillers], str] | None = None,
        where: Callable[[Fillers], bool] | None = None,
    ) -> Pairs:
        """Draws `n` distinct pairs from one or several templates, whose marked stretches become spans.

        Clean and corrupt differ in the filler of one slot, `vary`, which is the only one where there
        is one. `answer` is a table from that filler, a template such as " {io}", or a function of
        all fillers, and gives the corrupt answer too:

            Pairs.from_template(
                ["The capital of {country} is", "{country}'s capital is called"],
                fillers={"country": CAPITALS},
                answer={country: f" {city}" for country, city in CAPITALS.items()},
                n=40,
                seed=0,
            )

        or they have a template each, and the same fillers:

            Pairs.from_template(
                "When {io} and {s} went to the store, {s2=s} gave a drink to",
                corrupt="When {io} and {s} went to the store, {s2=io} gave a drink to",
                fillers={"io": NAMES, "s": NAMES},
                where=lambda f: f["io"] != f["s"],
                answer=" {io}",
                corrupt_answer=" {s}",
                n=100,
                seed=0,
            )

        `where` says which fillers may meet, in either prompt; it can ask a tokenizer, so that all
        have as many tokens. Pairs whose two prompts or two answers are the same are not drawn. A
        pair's cluster is its template, or the clean filler of the slot that `cluster` names, or what
        `cluster` makes of the fillers. `seed` decides which fillers meet; neither the order in which
        they are given nor `n` changes the first pairs.

        Raises PairsError when the fillers give fewer pairs, and says how many.
        """
        templates = [template] if isinstance(template, str) else list(template)
        corrupts = None if corrupt is None else [corrupt] if isinstance(corrupt, str) else list(corrupt)
        given = sources(templates, corrupts, fillers, answer, corrupt_answer, vary, cluster, where)
        return cls(draw(given, n=n, seed=seed))

    @overload
    def __getitem__(self, at: int) -> Pair: ...
    @overload
    def __getitem__(self, at: slice) -> Pairs: ...
    def __getitem__(self, at: int | slice) -> Pair | Pairs:
        return self._with(self._pairs[at]) if isinstance(at, slice) else self._pairs[at]

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pairs) and self._pairs == other._pairs and self.iid == other.iid

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Pairs({len(self)} pairs, {self.digest[:8]})"

    @property
    def half(self) -> Half | None:
        """Where they come from, if they or what they are a part of was split; the same pairs are equal either way."""
        return self._half

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(str(p.id) for p in self._pairs)

    @property
    def clusters(self) -> tuple[str, ...] | None:
        """One name per pair, or None when the pairs were declared independent."""
        return None if self.iid else tuple(str(p.cluster) for p in self._pairs)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that a measurement could depend on."""
        plain = json.dumps([p.as_dict() for p in self._pairs] + [self.iid], sort_keys=True)
        return hashlib.sha256(plain.encode()).hexdigest()

    @cached_property
    def each(self) -> frozenset[str]:
        """The digest of every pair: which pairs these are, in any order and under any name."""
        return frozenset(p.digest for p in self._pairs)

    def as_chat(
        self,
        *,
        system: str | None = None,
        turns: Sequence[tuple[str, str]] = (),
        prefill: str = "",
        **options: str | bool | int | float,
    ) -> Pairs:
        """The same pairs, put to a chat model: each prompt is what the user says, and the answer the assistant's.

        The tokenizer's chat template is applied when they are measured. `turns` are the (user,
        assistant) exchanges before, `prefill` is text with which the assistant has begun its answer,
        and `options` are those of the template, such as enable_thinking=False. Spans and texts are
        found in the prompt as before; `lab.clean` shows all tokens that the model sees.
        """
        chat = Chat(system, tuple(turns), prefill, options)
        return self._with([replace(p, chat=chat) for p in self._pairs])

    def split(self, *, discovery: float = 0.5, seed: int) -> Split:
        """Two halves by whole clusters, drawn from `seed`.

        Raises PairsError when a half would be empty.
        """
        names = list(dict.fromkeys(self.clusters or self.ids))
        take = round(len(names) * discovery)
        if not 0 < take < len(names):
            if not 0 < discovery < 1:
                raise PairsError(
                    f"discovery={discovery} must lie between 0 and 1: the share of the clusters to look in."
                )
            raise PairsError(
                f"discovery={discovery} of {len(names)} clusters leaves one half empty; "
                "add clusters or change the share."
            )
        chosen = set(random.Random(seed).sample(names, take))
        named = list(zip(self._pairs, self.clusters or self.ids, strict=True))
        first, second = (self._with([p for p, name in named if (name in chosen) is half]) for half in (True, False))
        first._half = Half("discovery", float(discovery), seed, self.digest, self._half)
        second._half = Half("confirmation", float(discovery), seed, self.digest, self._half)
        return Split(first, second)

    def _with(self, pairs: Sequence[Pair]) -> Pairs:
        """Some of them, or all in another form: they come from where these come from."""
        made = Pairs(pairs, iid=self.iid)
        made._half = self._half
        return made


def check_clusters(pairs: Sequence[Pair], iid: bool) -> None:
    """Either every pair names its cluster or none does and iid is said."""
    named = sum(p.cluster is not None for p in pairs)
    if iid and named:
        raise PairsError(f"iid=True says that pairs share nothing, and {named} of {len(pairs)} name a cluster.")
    if not iid and named < len(pairs) and len(pairs) > 1:
        raise PairsError(
            f"{len(pairs) - named} of {len(pairs)} pairs name no cluster. Give each Pair cluster=..., the template "
            "or source that it shares with others, or say Pairs(..., iid=True) if no two have anything in common."
        )
