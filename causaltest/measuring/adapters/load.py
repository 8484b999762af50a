"""Models by name: an organism, a checkpoint folder, or a repository of the hub."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig, PreTrainedModel

from causaltest.asking.settings import Settings
from causaltest.errors import CausaltestError, ModelError
from causaltest.measuring.adapters.commits import commit_of, pinned
from causaltest.measuring.adapters.decoder import count_heads, resolve_blocks
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.adapters.placement import placement, quantized
from causaltest.measuring.adapters.proof import proven
from causaltest.measuring.adapters.reasoners import LOADERS, layout_of
from causaltest.measuring.adapters.refusals import refusal, refuse_kernels
from causaltest.store.altered import own_functions
from causaltest.weights import weights_of

ORGANISM = "organism:"
ORGANISM_GROUP = "causaltest.organisms"


def load_model(name: str, settings: Settings | None = None) -> LoadedModel:
    """The model of a name. Raises ModelError that says what was tried."""
    settings = settings or Settings()
    if name.startswith(ORGANISM):
        return load_organism(name)
    folder = Path(name)
    if folder.is_dir():
        layout = layout_of(folder)
        if layout is not None:
            return LOADERS[layout](folder, name, weights_of(folder))
        return load_decoder(name, None, settings)
    if name.startswith((".", "/", "~")):
        raise ModelError(f"There is no folder {name}. A model is a folder, organism:NAME, or org/name@revision.")
    repository, _, revision = name.partition("@")
    return load_decoder(repository, revision or None, settings)


def load_organism(name: str) -> LoadedModel:
    found = {point.name: point for point in entry_points(group=ORGANISM_GROUP)}
    wanted = name.removeprefix(ORGANISM)
    if wanted not in found:
        raise ModelError(
            f"There is no organism {wanted!r}; there are {sorted(found) or 'none (is causaltest installed?)'}. "
            "Other models are given as a folder or as org/name@revision."
        )
    loaded: LoadedModel = found[wanted].load()()
    return loaded


def load_decoder(name: str, revision: str | None, settings: Settings) -> LoadedModel:
    commit = pinned(name, revision)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=commit, trust_remote_code=settings.trust_remote_code)
        if not settings.trust_remote_code:
            refuse_kernels(config_of(name, commit), name)
        given: Any = AutoModelForCausalLM.from_pretrained(
            name,
            revision=commit,
            trust_remote_code=settings.trust_remote_code,
            output_loading_info=True,
            # Without this, transformers prints which weights have another shape and raises without their names.
            ignore_mismatched_sizes=True,
            **placement(settings),
        )
        model, loading = given
    except CausaltestError:
        raise
    except Exception as error:
        # A checkpoint's files can be wrong in any way, and every library that reads them has errors of its own.
        raise ModelError(refusal(error, name, revision)) from error
    refuse_random(loading, name)
    left = named(loading.get("unexpected_keys", ()))
    if uncapped(model):
        model.set_attn_implementation("eager")
    provenance = weights_of(Path(name))
    if left:
        # A config that says fewer layers than there are makes another model, without a word.
        provenance["not loaded"] = f"{len(left)} arrays of the checkpoint, such as {left[-1]}"
    if revision is not None:
        provenance["revision"] = revision
    if (loaded := commit_of(commit, model.config)) is not None:
        provenance["commit"] = loaded
    if settings.quantize is not None:
        provenance["quantized"] = quantized(settings.quantize)
    own = (getattr(model.config, "auto_map", None) or {}).get("AutoModelForCausalLM")
    if (foreign := made_elsewhere(model, model.config, tokenizer) or attends_by(model)) is not None:
        provenance["own class"] = foreign
    if runs_own_code(model):
        provenance["remote code"] = f"{type(model).__module__}.{type(model).__name__} was run, as the user allowed"
    elif own is not None:
        # transformers knows a class for this model_type, and takes it unasked; the two may compute something else.
        provenance["remote code"] = f"{own} was not run; transformers' own {type(model).__name__} was"
    return wrap(model.eval(), tokenizer, name, provenance)


def config_of(name: str, commit: str | None) -> Mapping[str, Any]:
    """The config as it stands in the file; empty where there is none, as beside an adapter's weights alone."""
    try:
        plain, _ = PreTrainedConfig.get_config_dict(name, revision=commit)
    except OSError:
        return {}  # whatever is missing, from_pretrained says it better
    return dict(plain)


def refuse_random(loading: Mapping[str, Any], name: str) -> None:
    """Raises ModelError when the checkpoint lacks some weight, or has it in another shape: transformers would fill it
    with random numbers."""
    lacks = named(loading.get("missing_keys", ()))
    bent = named(loading.get("mismatched_keys", ()))
    if not lacks and not bent:
        return
    found = []
    if lacks:
        found.append(f"no tensor for {weights(lacks)}")
    if bent:
        found.append(f"a tensor of another shape than config.json says for {weights(bent)}")
    left = named(loading.get("unexpected_keys", ()))
    more = f" Left over are {len(left)}, such as {left[0]}." if left else ""
    hint = ""
    if any(key.startswith(("codi.", "base_causallm.")) for key in left):
        hint = (
            f" Latent reasoners are read from a folder: run `hf download {name}`, and give the folder that it prints."
        )
    raise ModelError(f"No model {name!r}: its checkpoint has {' and '.join(found)}, which would be random.{more}{hint}")


def named(keys: Iterable[Any]) -> list[str]:
    """The names among what transformers reports; a mismatched weight comes with its two shapes."""
    return sorted(str(key if isinstance(key, str) else key[0]) for key in keys)


def weights(names: Sequence[str]) -> str:
    """`the weight a`, or `3 weights, such as a`."""
    return f"the weight {names[0]}" if len(names) == 1 else f"{len(names)} weights, such as {names[0]}"


def runs_own_code(model: PreTrainedModel) -> bool:
    """Whether a model's class came with its checkpoint; transformers keeps such classes in a package of their own."""
    return type(model).__module__.startswith("transformers_modules")


def made_elsewhere(*made: Any) -> str | None:
    """The class that is neither transformers' nor came with a checkpoint: a process has registered it."""
    classes = (f"{type(one).__module__}.{type(one).__qualname__}" for one in made)
    return next((name for name in classes if not name.startswith(("transformers.", "transformers_modules."))), None)


def attends_by(model: PreTrainedModel) -> str | None:
    """The function by which a model attends or masks, where a process has registered it."""
    used = {getattr(getattr(part, "config", None), "_attn_implementation", None) for part in model.modules()}
    return next((function for name, function in own_functions().items() if name.partition(" ")[2] in used), None)


def wrap(model: PreTrainedModel, tokenizer: Any, name: str, provenance: dict[str, str] | None = None) -> LoadedModel:
    """A LoadedModel from a decoder and its tokenizer.

    Raises ModelError for unknown shapes, train mode, and attention that leaves the model's soft cap out.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"{type(tokenizer).__name__} gives no character offsets, which positions by text need; "
            "load the fast tokenizer of this model."
        )
    if uncapped(model):
        raise ModelError(
            f"{name} caps its attention scores, and its attention implementation, sdpa, leaves the cap out, so it is "
            'another model than was trained. Load it with attn_implementation="eager".'
        )
    return proven(
        LoadedModel(
            name=name,
            model=model,
            tokenizer=tokenizer,
            blocks=resolve_blocks(model),
            heads=count_heads(model),
            provenance=provenance or {},
        )
    )


def uncapped(model: PreTrainedModel) -> bool:
    """Whether attention scores should be soft-capped and are not."""
    config = model.config.get_text_config(decoder=True)
    return bool(getattr(config, "attn_logit_softcapping", None)) and config._attn_implementation == "sdpa"
