"""Controls: what policy demands beside approvals, and the evidence that shows it was done (DESIGN 4.22).

Policy names controls. A control counts only if something that runs shows it: today that is a gate. A control that
nothing shows is refused when a request is planned, before anything is read, so that no report can print it as done.
What only a person can attest (a data use agreement, an expert's determination) has no evidence in this version. Policy
may name it; then the tier refuses every request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from synthward.governance.assess import Refusal
from synthward.spec.request import Request


@dataclass(frozen=True)
class Control:
    """A control for which there is evidence.

    Attributes:
        name: Its name in policies.
        gates: Gates that run for every request.
        options: (key of the request's `utility`, gate that it switches on); where a control has any, one must be on.
    """

    name: str
    gates: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()

    def evidence(self, request: Request) -> tuple[str, ...]:
        """Names of the gates that will show the control for this request."""
        return (*self.gates, *(gate for key, gate in self.options if getattr(request.utility, key) is not None))


def evidence_for(names: Sequence[str], request: Request, known: Mapping[str, Control]) -> dict[str, tuple[str, ...]]:
    """The gates that will show each control of a tier, by control; controls without evidence are left out."""
    return {name: known[name].evidence(request) for name in names if name in known}


def control_refusals(
    tier: str, names: Sequence[str], request: Request, known: Mapping[str, Control]
) -> Iterator[Refusal]:
    """Controls of a tier that nothing would show.

    Args:
        tier: Name of the tier, for the message.
        names: The tier's controls.
        request: The request.
        known: Controls for which there is evidence, by name.
    """
    for name in names:
        if name not in known:
            yield Refusal.at(
                "audience",
                f"tier {tier} demands the control '{name}', and nothing in this version shows that it was done; known "
                f"are {', '.join(known)}. Narrow the audience, or ask the policy's owner",
            )
            continue
        options = known[name].options
        if options and not any(getattr(request.utility, key) is not None for key, _ in options):
            keys = " or ".join(f"utility.{key}" for key, _ in options)
            yield Refusal.at(
                "utility",
                f"tier {tier} demands the control '{name}', which needs a limit that the release must keep; set {keys}",
            )
