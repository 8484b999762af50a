"""Overrides: what a user says a model's modules are called, in pyproject.toml.

```toml
[tool.causaltest.models."MyForCausalLM"]  # the model's class
blocks = "decoder.layers"                 # a path from the model; all others are paths inside of a block
attn_out = "mixer.norm"
```

What is said is proven like everything else: it can be refused, and never makes a site true.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from transformers import PreTrainedModel

from causaltest.errors import ModelError
from causaltest.identity.pyproject import said_of_models


@dataclass(frozen=True)
class Names:
    """Paths of modules; None where it is left to the resolver. `source` is the file that says so."""

    blocks: str | None = None
    attention: str | None = None
    """The module that reads other positions."""
    mlp: str | None = None
    attn_out: str | None = None
    """The module whose output attention adds to the stream."""
    mlp_out: str | None = None
    head: str | None = None
    """The output projection, whose input is z."""
    q: str | None = None
    k: str | None = None
    v: str | None = None
    neuron: str | None = None
    """The projection back to the stream, whose input are the neurons."""
    source: str = ""


KEYS = tuple(field.name for field in fields(Names) if field.name != "source")


def names_for(model: PreTrainedModel, folder: Path | None = None) -> Names:
    """What the nearest pyproject.toml, from the working folder upwards, says of a model's class.

    Raises ModelError for a table that is not understood.
    """
    file, models = said_of_models(folder or Path.cwd())
    name = type(model).__name__
    given = models.get(name, {}) if isinstance(models, dict) else models
    where = f'{file}, [tool.causaltest.models."{name}"]'
    if not isinstance(given, dict):
        raise ModelError(f"{where} is no table; it has the keys {', '.join(KEYS)}.")
    for key, path in given.items():
        if key not in KEYS:
            raise ModelError(f"{where} has no key {key!r}; it has {', '.join(KEYS)}.")
        if not isinstance(path, str) or not path:
            raise ModelError(f"{where}: {key} = {path!r} must be the path of a module, such as 'self_attn.o_proj'.")
    return Names(**given, source=where if given else "")
