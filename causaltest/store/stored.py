"""Stored: a backend that answers from the store, and opens the model only for what is not there.

measure -> what this process knows -> the store -> alone with the plan: the store again -> the model -> the store
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from causaltest.asking.company import company
from causaltest.asking.costs import Cost
from causaltest.asking.experiment import Experiment, Patching, canonical_metric, canonical_site
from causaltest.asking.metrics import Metric, accuracy
from causaltest.asking.pairs import Pairs
from causaltest.asking.positions import Position
from causaltest.asking.settings import Settings
from causaltest.asking.sites import Site
from causaltest.clean_runs import CleanRuns
from causaltest.effect import Effect, SelfPatch
from causaltest.errors import CausaltestError, ModelError, RecordError
from causaltest.store.answers import (
    ANSWERS,
    clean_of,
    effect_of,
    map_of,
    plain_clean,
    plain_effect,
    plain_error,
    plain_map,
    read,
    written,
)
from causaltest.store.folder import Store
from causaltest.store.journal import PLAN, Journal
from causaltest.store.kept import Kept
from causaltest.store.place import Place
from causaltest.store.remote import Remote
from causaltest.store.surroundings import surroundings_of
from causaltest.sweep import SweepMap
from causaltest.writing.canonical import digest_of
from causaltest.writing.plain_effects import number, whole
from causaltest.writing.raw_tensors import Damaged

if TYPE_CHECKING:
    from causaltest.asking.lab import Backend, Measuring

T = TypeVar("T")
EFFECT, ANSWER = "effects", "answers"
MOST_HELD = 256
"""Effects that are held and can be read again."""
MOST_TOKENS = 1 << 24
"""Of a prompt that an answer tells of."""
RUN = "run"
"""In what is said of an answer: the run that has measured it."""


class Stored:
    """The backend of a model by name. Raises ModelError, from whatever is asked first, when it cannot be opened."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        store: Store,
        opened: Callable[[Kept | None], Measuring],
        *,
        shared: Place | None = None,
    ) -> None:
        """`opened` makes the backend that measures, which may keep what is only on the way to an answer. `shared` is
        the place of the settings, as all labs of the process know it."""
        self.store = store
        self._name, self._settings, self._open = name, settings, opened
        place = settings.store
        self._place = shared or (None if place is None else Place(place))
        link = None if self._place is None else self._place.link
        self._shared = None if link is None else Remote(link, store.tell)
        self._run = "" if place is None else place.run
        self._inner: Measuring | None = None
        self._refused: ModelError | None = None
        self._expected: dict[str, Experiment] = {}
        self._answers: dict[str, Effect | CausaltestError] = {}
        self._unfetched: list[str] = []
        """What was expected, and not looked for at the address yet."""
        self._held: dict[str, None] = {}
        """Those of them that the store has, by the digest of what was asked; the one that came last stands last."""
        self._measured: set[str] = set()
        """What was measured in this run, and not in an earlier one."""
        self._has_read = False
        self._given = {"stored": 0, "anew": 0}

    @property
    def model(self) -> str:
        return self._name

    @cached_property
    def kept(self) -> Kept | None:
        """The store under this model's keys; None where its files do not say which model it is."""
        return self._kept_now()

    @property
    def inner(self) -> Measuring:
        """The backend that measures; the model is opened here. Raises ModelError, the same each time."""
        if self._refused is not None:
            raise self._refused
        if self._inner is None:
            try:
                self._inner = self._opened()
            except ModelError as error:
                # Not tried again for every claim.
                self._refused = error
                raise
        return self._inner

    def _opened(self) -> Measuring:
        """Opens the model. Raises ModelError where an answer was read that its files now say nothing of any more."""
        before = self.kept
        opened, now = self._open(before), self._kept_now()
        if (now and now.model) == (before and before.model):
            return opened
        if self._has_read:
            raise ModelError(
                f"The files of {self._name} changed while it was being opened, and what was read from the store was "
                "measured before that. Run again."
            )
        # Opening it has downloaded them, or a newer commit of its branch: what is kept has another key.
        self.kept = now
        return self._open(now)

    def _open_under(self, kept: Kept) -> bool:
        """Opens the model; whether its keys are still these."""
        _ = self.inner
        return self.kept == kept

    def _keeping(self) -> Kept | None:
        """Where to keep what is measured. A model without files is opened to see: it may be downloaded by that."""
        if self.kept is None:
            _ = self.inner
        return self.kept

    def _kept_now(self) -> Kept | None:
        try:
            return Kept(self.store, surroundings_of(self._name, self._settings), shared=self._shared)
        except RecordError:
            return None

    def expect(self, experiments: Iterable[Experiment]) -> None:
        """Announces experiments; those that are not in the store are measured together."""
        new = {e.digest: e for e in experiments if e.digest not in self._expected}
        self._expected.update(new)
        if self._shared is not None:
            self._unfetched += new

    def measure(self, experiment: Experiment) -> Effect:
        """The effect of an experiment, with its controls."""
        self._fetch()
        if self._look_up(experiment) is None:
            self._measure(experiment)
        answer = self._answers[experiment.digest]
        self._count(experiment.digest)
        self._let_go()
        if isinstance(answer, CausaltestError):
            raise answer
        return answer

    def _fetch(self) -> None:
        """Has what was expected since the last time brought from the address, where there is one."""
        if self._unfetched and self.kept is not None:
            new, self._unfetched = self._unfetched, []
            self.kept.fetch(EFFECT, new)

    def _look_up(self, experiment: Experiment) -> Effect | CausaltestError | None:
        """What is known of an experiment, here or in the store."""
        digest = experiment.digest
        if digest not in self._answers:
            found = self._read(EFFECT, digest, lambda plain: effect_of(plain, experiment))
            if found is None:
                return None
            self._answers[digest] = found
            self._hold(digest)
        return self._answers[digest]

    def _hold(self, digest: str) -> None:
        """Notes that an answer can be read again."""
        self._held.pop(digest, None)
        self._held[digest] = None

    def _let_go(self) -> None:
        """Forgets answers that can be read again: of thousands of claims few are asked about twice."""
        for digest in list(self._held)[: max(0, len(self._held) - MOST_HELD)]:
            del self._held[digest], self._answers[digest]

    def _measure(self, experiment: Experiment) -> None:
        """Measures an experiment, and with it all expected ones like it that the store lacks."""
        kept = self._keeping()
        if kept is None:
            self.inner.expect(self._expected.values())
            self._answers[experiment.digest] = answered(partial(self.inner.measure, experiment))
            self._measured.add(experiment.digest)
            return
        alike = [e for e in self._expected.values() if company(e) == company(experiment)]
        if experiment.digest not in self._expected:
            # In their company it would change the shapes of their forwards, and with them the last bits.
            alike = [experiment]
        # One lock for all that are alike: else two processes might measure one of them in two companies.
        journal = Journal(kept, list(map(str, company(experiment))))
        with kept.alone(PLAN, journal.of):
            by_digest = {e.digest: e for e in alike}
            begun = [[by_digest[d] for d in plan] for plan in journal.begun() if all(d in by_digest for d in plan)]
            # Somebody else may have measured them while this process waited. A model that cannot be opened leaves
            # nothing begun behind.
            if all(self._look_up(e) is not None for e in alike) or self._open_under(kept):
                for members in begun:
                    self._finish(journal, members)
                if missing := [e for e in alike if self._look_up(e) is None]:
                    journal.begin([e.digest for e in missing])
                    self._finish(journal, missing)
                return
        # Not within the lock: another plan's may lie in the same file.
        self._measure(experiment)

    def _finish(self, journal: Journal, members: list[Experiment]) -> None:
        """Measures a company that was begun; what is stored of it already stays as it is."""
        missing = [e.digest for e in members if self._look_up(e) is None]
        if missing:
            found = self.inner.together(members)
            answers = {digest: answered(partial(given, found[digest])) for digest in missing}
            # Only now: whoever is interrupted before knows of none, and measures the same together again.
            self._answers.update(answers)
            self._measured.update(answers)
        for digest in missing:
            if self._keep(journal.kept, EFFECT, digest, self._answers[digest]):
                self._hold(digest)
        journal.end([e.digest for e in members])
        journal.kept.let_go()

    def sweep(self, cells: Sequence[Experiment], rows: Sequence[str], columns: Sequence[str]) -> SweepMap:
        """One estimate per cell, without controls."""
        of = ["sweep", [cell.canonical() for cell in cells], list(rows), list(columns)]
        return self._answer(of, lambda b: b.sweep(cells, rows, columns), plain_map, lambda plain: map_of(plain, cells))

    def spread(self, site: Site, pairs: Pairs) -> Site:
        """A sweep's site with `every()` spelled out as indices of the prompts' common length."""
        return self._answer(
            ["spread", canonical_site(site), pairs.digest],
            lambda b: b.spread(site, pairs),
            lambda found: {"tokens": len(found.position.numbers) if found != site else None},
            lambda plain: site if plain["tokens"] is None else spelled_out(site, whole(plain["tokens"])),
            counts=False,
        )

    def moved(self, patching: Patching) -> SelfPatch:
        """How far a patch moves any answer logit, against the same run unpatched."""
        asked = Experiment(patching, "change", accuracy, controls=False, placebo_draws=0).canonical()
        return self._answer(
            ["moved", asked],
            lambda b: b.moved(patching),
            lambda own: {"moved": float(own.moved), "tolerance": float(own.tolerance)},
            lambda plain: SelfPatch(number(plain["moved"]), number(plain["tolerance"])),
        )

    def clean(self, pairs: Pairs, rule: Metric = accuracy, both_right: bool = False) -> CleanRuns:
        """Both unpatched runs of every pair, and which count by a right-or-wrong metric's rule."""
        of = ["clean", pairs.digest, canonical_metric(rule), both_right]
        return self._answer(of, lambda b: b.clean(pairs, rule, both_right), plain_clean, clean_of)

    def patched_runs(self, experiments: Sequence[Experiment]) -> int:
        """How many patched runs experiments on one set of pairs take in one plan; nothing is run."""
        return self._answer(
            ["patched runs", sorted(e.digest for e in experiments)],
            lambda b: b.patched_runs(experiments),
            lambda count: {"runs": count},
            lambda plain: whole(plain["runs"]),
            counts=False,
        )

    def card(self, text: str | None) -> Any:
        """The model as a page to look at."""
        return self.inner.card(text)

    def cost(self) -> Cost:
        """What measuring all expected experiments takes that the store lacks; nothing is opened where it lacks none."""
        missing = [e for e in self._expected.values() if self._look_up(e) is None]
        there = len(self._expected) - len(missing)
        if not missing:
            return Cost(stored=there)
        return replace(self.inner.cost_of(missing), stored=there)

    def counted(self) -> dict[str, int]:
        """What was computed so far, and how many of the answers given came from the store or were measured anew."""
        return {**({} if self._inner is None else self._inner.counted()), **self._given}

    def _count(self, answer: str) -> None:
        """Counts an answer that is given."""
        self._given["anew" if answer in self._measured else "stored"] += 1

    def _answer(
        self,
        of: list[Any],
        ask: Callable[[Backend], T],
        encode: Callable[[T], Mapping[str, Any]],
        decode: Callable[[Mapping[str, Any]], T],
        *,
        counts: bool = True,
    ) -> T:
        """The answer to a question of plain data, from the store or from the model; `counts`: as something measured."""
        question = digest_of(of)
        found = self._read(ANSWER, question, decode)
        if found is None:
            found = self._answer_anew(question, ask, encode, decode)
        if counts:
            self._count(question)
        if isinstance(found, CausaltestError):
            raise found
        return found

    def _answer_anew(
        self,
        question: str,
        ask: Callable[[Backend], T],
        encode: Callable[[T], Mapping[str, Any]],
        decode: Callable[[Mapping[str, Any]], T],
    ) -> T | CausaltestError:
        """The same, where the store had none when this process looked."""
        kept = self._keeping()
        if kept is None:
            self._measured.add(question)
            return answered(partial(ask, self.inner))
        with kept.alone(ANSWER, question):
            found = self._read(ANSWER, question, decode)
            if found is not None:
                return found
            if self._open_under(kept):
                found = answered(partial(ask, self.inner))
                self._measured.add(question)
                self._keep(kept, ANSWER, question, found, encode)
                kept.let_go()
                return found
        return self._answer_anew(question, ask, encode, decode)

    def _read(self, kind: str, of: str, decode: Callable[[Mapping[str, Any]], T]) -> T | CausaltestError | None:
        entry = None if self.kept is None else self.kept.get(kind, of)
        if entry is None or self.kept is None:
            return None
        try:
            found = read(entry, decode)
        except Damaged as damaged:
            self.kept.set_aside(kind, of, entry, str(damaged))
            return None
        self._has_read = True
        if self._run and entry.said.get(RUN) == self._run:
            # Another process of this run has measured it, and a report is that of the run.
            self._measured.add(of)
        return found

    def _keep(
        self, kept: Kept, kind: str, of: str, found: Any, encode: Callable[[Any], Mapping[str, Any]] = plain_effect
    ) -> bool:
        """Keeps an answer, with the run that has measured it; False where it cannot be."""
        entry = written(plain_error(found) if isinstance(found, CausaltestError) else encode(found))
        return kept.put(kind, of, replace(entry, said={**entry.said, RUN: self._run}) if self._run else entry)


def answered(ask: Callable[[], T]) -> T | CausaltestError:
    """What is answered, an error that says something of the question included. Raises every other."""
    try:
        return ask()
    except CausaltestError as error:
        if type(error).__name__ not in ANSWERS:
            raise
        return error


def given(found: Effect | CausaltestError) -> Effect:
    """What was found. Raises it where it is an error."""
    if isinstance(found, CausaltestError):
        raise found
    return found


def spelled_out(site: Site, tokens: int) -> Site:
    """A site at every one of so many tokens. Raises ValueError for more than any prompt has."""
    if tokens > MOST_TOKENS:
        raise ValueError(f"{tokens} tokens are more than a prompt has")
    return replace(site, position=Position("index", tuple(range(tokens))))
