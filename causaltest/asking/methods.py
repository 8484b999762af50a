"""Methods: how an effect is found. Patched runs measure it; gradients estimate it, for screening alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from causaltest.errors import ClaimError

MethodName = Literal["patched", "attribution", "integrated_gradients"]
DEFAULT_STEPS = 5


@dataclass(frozen=True)
class Method:
    """How an effect is found.

    patched: a patched run for every pair and site.
    attribution: the first-order estimate (other - own) . gradient of the metric at the site, in the unpatched run
    (attribution patching; Nanda 2023; Syed et al., arXiv 2310.10348). One backward pass serves all sites.
    integrated_gradients: the same with the gradient averaged over `steps` runs whose prompt embeddings lie between
    those of the two runs (EAP-IG; Hanna et al., arXiv 2403.17806). As many backward passes serve all sites.
    """

    name: MethodName
    steps: int | None = None

    @property
    def estimates(self) -> bool:
        """Whether it gives estimates, which screen and are never judged."""
        return self.name != "patched"

    def __str__(self) -> str:
        words = self.name.replace("_", " ")
        return words if self.steps is None else f"{words} in {self.steps} steps"


patched_runs = Method("patched")


def method_of(name: str, steps: int | None) -> Method:
    """The method of a name. Raises ClaimError for one that is not known, and for steps that it does not take."""
    if name not in ("patched", "attribution", "integrated_gradients"):
        raise ClaimError(
            f"method={name!r} is not known; it is 'patched', or, to screen, 'attribution' or 'integrated_gradients'."
        )
    if name != "integrated_gradients":
        if steps is not None:
            raise ClaimError(f"steps={steps!r} was given, and only method='integrated_gradients' goes in steps.")
        return Method(name)  # type: ignore[arg-type]
    steps = DEFAULT_STEPS if steps is None else steps
    if type(steps) is not int or steps < 1:
        raise ClaimError(f"steps={steps!r} must be a whole number from 1.")
    return Method("integrated_gradients", steps)
