"""The config's "reasoning" block: what a latent reasoner does between prompt and answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from causaltest.errors import ModelError

LORA_ALPHA = 32
MOST_THOUGHTS, MOST_ALPHA = 100_000, 1e9
"""Beyond these a block is no description of a model, and to follow it would take all memory."""
IDS = "[token ids]"
NEEDS = {
    "codi": f'"thoughts": how many, "begin": {IDS}, "end": {IDS}, and may give "lora_alpha"',
    "coconut": f'"thoughts": how many, and may give "begin": {IDS} and "end": {IDS}',
    "pause": f'"thoughts": how many, "token": the pause token\'s id, and may give "begin": {IDS} and "end": {IDS}',
}
"""What each layout asks for, as it is told."""
REQUIRED = {"codi": {"thoughts", "begin", "end"}, "coconut": {"thoughts"}, "pause": {"thoughts", "token"}}
OPTIONAL = {"codi": {"lora_alpha"}, "coconut": {"begin", "end"}, "pause": {"begin", "end"}}


@dataclass(frozen=True)
class Declared:
    """The "reasoning" block. None for what it leaves to the layout."""

    layout: str
    thoughts: int
    begin: tuple[int, ...] | None = None
    end: tuple[int, ...] | None = None
    lora_alpha: float = LORA_ALPHA
    token: int | None = None


def declared(plain: dict[str, Any], folder: Path) -> Declared | None:
    """The block of a config, None where there is none. Raises ModelError when it is not understood."""
    if "reasoning" not in plain:
        return None
    block = plain["reasoning"]
    layout = block.get("layout", "codi") if isinstance(block, dict) else "codi"
    try:
        if not isinstance(block, dict):
            raise ValueError(f"it is {block!r}")
        if not isinstance(layout, str) or layout not in NEEDS:
            raise ValueError(f"layout {layout!r} is not known")
        return checked(layout, {key: value for key, value in block.items() if key != "layout"})
    except ValueError as error:
        told = [layout] if isinstance(layout, str) and layout in NEEDS else list(NEEDS)
        needs = "; or ".join(f'"layout": "{one}", {NEEDS[one]}' for one in told)
        raise ModelError(
            f'{folder / "config.json"}: the "reasoning" block is not understood ({error}). It needs {needs}.'
        ) from error


def checked(layout: str, block: dict[str, Any]) -> Declared:
    missing, extra = REQUIRED[layout] - set(block), set(block) - REQUIRED[layout] - OPTIONAL[layout]
    if missing or extra:
        raise ValueError(f"{'missing' if missing else 'unknown'} {sorted(missing or extra)}")
    if type(block["thoughts"]) is not int or not 1 <= block["thoughts"] <= MOST_THOUGHTS:
        raise ValueError(f"thoughts is {block['thoughts']!r}")
    for name in {"begin", "end"} & set(block):
        ids = block[name]
        # Only pause tokens may stand without a mark before and behind them.
        if not isinstance(ids, list) or any(not is_id(i) for i in ids) or not (ids or layout == "pause"):
            raise ValueError(f"{name} is {ids!r}")
    if "token" in block and not is_id(block["token"]):
        raise ValueError(f"token is {block['token']!r}")
    alpha = block.get("lora_alpha", LORA_ALPHA)
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < MOST_ALPHA:
        raise ValueError(f"lora_alpha is {alpha!r}")
    begin, end = (tuple(block[name]) if name in block else None for name in ("begin", "end"))
    return Declared(layout, block["thoughts"], begin, end, alpha, block.get("token"))


def is_id(given: Any) -> bool:
    return type(given) is int and given >= 0


def check_ids(ids: Sequence[int], rows: int, name: str) -> None:
    """Raises ModelError when a token is beyond the model's embeddings."""
    beyond = [i for i in ids if i >= rows]
    if beyond:
        raise ModelError(
            f"{name} has embeddings of {rows} tokens, and its reasoning names token {beyond[0]}. Correct the ids in "
            'the "reasoning" block of config.json, or give the config of the model that was trained.'
        )
