"""Edges: what one component gives another along the residual stream, and nothing in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from causaltest.asking.sites import Component, Site
from causaltest.errors import SiteError

Logits = Literal["logits"]
SENDERS: tuple[Component, ...] = ("embed", "attn_out", "mlp_out", "head")
"""Components that add to the residual stream."""
RECEIVERS: tuple[Component, ...] = ("attn_out", "mlp_out", "head", "q", "k", "v")
"""Components that a block computes from the residual stream."""


@dataclass(frozen=True)
class Edge:
    """A sender and a receiver, joined by the residual stream alone."""

    sender: Site
    receiver: Site | Logits

    def __str__(self) -> str:
        return f"{self.sender} -> {self.receiver}"

    @property
    def sites(self) -> tuple[Site, ...]:
        return (self.sender,) if isinstance(self.receiver, str) else (self.sender, self.receiver)


def edge(sender: Site, receiver: Site | Logits) -> Edge:
    """The direct path from a sender to a receiver (path patching; Wang et al., arXiv 2211.00593; Goldowsky-Dill et
    al., arXiv 2304.05969), to be given as `at=` to `lab.denoise` and `lab.noise`, alone or with others.

    The receiver is computed once more from its own stream plus what the sender adds in the other run, less what it
    adds in this one, at the sender's positions; all else stays as in the unpatched run. What comes out is patched in
    at the receiver's positions, and the run goes on from there. Several edges into one receiver arrive together; a
    later receiver is fixed by its own patch, and does not hear an earlier one. The sender is `embed`, `attn_out`,
    `mlp_out` or `head`; the receiver `attn_out`, `mlp_out`, `head`, `q`, `k` or `v` of a later place, or "logits".

    Raises SiteError for another component, and for a receiver that does not come after its sender.
    """
    if not isinstance(sender, Site) or sender.component not in SENDERS:
        raise SiteError(
            f"An edge begins at a component that adds to the residual stream, which are {', '.join(SENDERS)}, and "
            f"{sender} was given."
        )
    if receiver != "logits" and (not isinstance(receiver, Site) or receiver.component not in RECEIVERS):
        raise SiteError(
            f"An edge ends at a component that reads the residual stream, which are {', '.join(RECEIVERS)}, or at "
            f"'logits', and {receiver} was given."
        )
    out = Edge(sender, receiver)
    part = next((site for site in out.sites if site.within is not None), None)
    if part is not None:
        raise SiteError(
            f"An edge joins whole components, and {part} is a part of one: give the site's whole(), or patch the part "
            "without an edge."
        )
    if isinstance(receiver, Site) and not comes_before(sender, receiver, parallel=False):
        raise SiteError(not_before(out))
    return out


def comes_before(sender: Site, receiver: Site, *, parallel: bool) -> bool:
    """Whether all that the sender adds is in the stream that the receiver reads.

    `parallel`: a block's attention and MLP read the same stream side by side.
    """
    added = max((2 * layer + (sender.component == "mlp_out") for layer in sender.layers), default=-1)
    late = receiver.component == "mlp_out" and not parallel
    return added < min(2 * layer + late for layer in receiver.layers)


def not_before(edge: Edge) -> str:
    return (
        f"{edge}: nothing arrives, for the receiver reads the stream before the sender adds to it. A receiver stands "
        "in a later layer, or is the MLP behind the sender's attention."
    )
