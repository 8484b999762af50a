"""What `causaltest verify` says of time stamps."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from causaltest.errors import RecordError
from causaltest.recording.proofs import stamp_of

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@dataclass(frozen=True)
class Tried:
    """One proof, and what came of it."""

    file: str
    word: str
    """HOLDS, NOT CHECKED or DOES NOT HOLD."""
    says: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return self.word == "HOLDS"

    def lines(self) -> Iterator[str]:
        """What a person reads."""
        yield f"proof {self.file}: {self.word}"
        for line in self.says:
            yield textwrap.fill(line, 110, initial_indent="  ", subsequent_indent="  ", break_long_words=False)

    def as_dict(self) -> dict[str, Any]:
        """What a program reads."""
        return {**asdict(self), "says": list(self.says), "holds": self.holds}


def proof_options(command: Any) -> Any:
    """The options `--proof`, `--roots` and `--merkle-root`, as `proofs`, `roots` and `merkle_roots`."""
    for option in (
        click.option(
            "--merkle-root",
            "merkle_roots",
            metavar="BLOCK:HEX",
            multiple=True,
            callback=blocks_and_roots,
            help="That of a Bitcoin block, as you looked it up.",
        ),
        click.option("--roots", type=FILE, help="PEM certificates of the time-stamping authorities that you trust."),
        click.option("--proof", "proofs", type=FILE, multiple=True, help="A time stamp of the lock (.tsr, .ots)."),
    ):
        command = option(command)
    return command


def tried_proofs(
    proofs: Sequence[Path], lock: Path, *, roots: Path | None = None, merkle_roots: Mapping[int, str] | None = None
) -> list[Tried]:
    """What each proof shows of the lock."""
    if (roots or merkle_roots) and not proofs:
        raise click.UsageError("--roots and --merkle-root are for --proof FILE, and none was given.")
    return [tried(proof, lock, roots, merkle_roots) for proof in proofs]


def tried(proof: Path, lock: Path, roots: Path | None, merkle_roots: Mapping[int, str] | None) -> Tried:
    try:
        state, stamp = stamp_of(proof, lock, roots=roots, merkle_roots=merkle_roots)
    except RecordError as error:
        return Tried(str(proof), "DOES NOT HOLD", (str(error),))
    word = "NOT CHECKED" if stamp.unchecked else "HOLDS"
    return Tried(str(proof), word, (state, *stamp.shows, *stamp.unchecked))


def blocks_and_roots(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[int, str]:
    """The values of `--merkle-root`, as a mapping."""
    return dict(map(block_and_root, given))


def block_and_root(text: str) -> tuple[int, str]:
    height, colon, root = text.partition(":")
    if not (colon and height.isascii() and height.isdigit() and len(height) < 10):
        raise click.UsageError(
            f"--merkle-root takes BLOCK:HEX, such as 800000:91f0..., the block's height and its merkle root, and got "
            f"{text}."
        )
    return int(height), root
