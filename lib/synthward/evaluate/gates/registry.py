"""The registered gates, and which of the policy's controls they are evidence for.

A new gate is one module of this package with a constant `GATE`; nothing else has to list it.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Iterator
from importlib import import_module

from synthward.evaluate import gates as package
from synthward.evaluate.gates.gate import Gate, GateInputs, GateResult
from synthward.governance.controls import Control


def _registered() -> Iterator[Gate]:
    """The `GATE` of every module of the package, in the order of the modules' names."""
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda found: found.name):
        if module.name == "registry":
            continue
        gate = getattr(import_module(f"{package.__name__}.{module.name}"), "GATE", None)
        if isinstance(gate, Gate):
            yield gate


def controls_of(gates: Iterable[Gate]) -> dict[str, Control]:
    """The controls that gates are evidence for, by name."""
    listed = tuple(gates)
    return {
        name: Control(
            name=name,
            gates=tuple(gate.name for gate in listed if gate.control == name and gate.setting is None),
            options=tuple((gate.setting, gate.name) for gate in listed if gate.control == name and gate.setting),
        )
        for name in sorted({gate.control for gate in listed})
    }


GATES: tuple[Gate, ...] = tuple(_registered())
"""All gates, in a fixed order."""

CONTROLS: dict[str, Control] = controls_of(GATES)
"""Every control that this version can show evidence for, by name."""


def remedies(failed: Iterable[str], gates: Iterable[Gate] = GATES) -> str:
    """What to change after failed gates, and whether that is charged anew.

    Args:
        failed: Names of the gates.
        gates: The gates that may have failed; one of another name counts as one about drawing and writing.
    """
    by_name = {gate.name: gate.remedy for gate in gates}
    found = [remedy for name in failed if (remedy := by_name.get(name)) is not None]
    if found:
        return f"What to change: {'; '.join(found)}. An edited request is a new run, which is charged anew"
    return (
        "How rows are drawn and written is the reason: another output section finishes the run without a new charge "
        "(`synthward approve REQUEST --repair FILE`, then `synthward run REQUEST --repair FILE`)"
    )


def run_gates(inputs: GateInputs, gates: Iterable[Gate] = GATES) -> tuple[GateResult, ...]:
    """Runs every gate that the request switches on. All are evaluated, so that a report shows all of them."""
    return tuple(gate.result(inputs) for gate in gates if gate.is_on(inputs.thresholds))
