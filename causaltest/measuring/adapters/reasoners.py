"""Latent reasoners by their layout, which config.json declares or the weights' names give away.

What has slots is a model that computes between prompt and answer without writing text:

- CODI and Coconut feed a hidden state back as the next input; pause tokens give positions without feedback.
  Their slots are `thought(k)`.
- A model that writes its thoughts as text, `<think> ... </think>`, has no latent slots and needs no layout: it is
  a decoder. A thinking text that is known stands in the prompt, where `first("<think>")`, `last("</think>")` and
  `span("thoughts")` name its tokens; clean and corrupt texts must be equally long. A thinking text that is
  generated is reached by `step(k)` from the prompt's end. What is not there: a slot per sentence of a
  generated text, whose number and length differ from run to run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from causaltest.measuring.adapters.checkpoint import read_config, weight_names
from causaltest.measuring.adapters.coconut import load_coconut
from causaltest.measuring.adapters.codi import load_codi
from causaltest.measuring.adapters.declared import declared
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.adapters.pause import load_pause

LOADERS: Mapping[str, Callable[[Path, str, Mapping[str, str]], LoadedModel]] = {
    "codi": load_codi,
    "coconut": load_coconut,
    "pause": load_pause,
}
PREFIXES = {"codi.": "codi", "base_causallm.": "coconut"}


def layout_of(folder: Path) -> str | None:
    """The layout of a folder's latent reasoner, None where it holds a decoder.

    Raises ModelError when the "reasoning" block is not understood, or a weights file cannot be read.
    """
    said = declared(read_config(folder), folder) if (folder / "config.json").is_file() else None
    if said is not None:
        return said.layout
    # Without this, transformers would find no weight that it knows, and go on with random ones.
    names = weight_names(folder)
    return next((layout for prefix, layout in PREFIXES.items() if any(n.startswith(prefix) for n in names)), None)
