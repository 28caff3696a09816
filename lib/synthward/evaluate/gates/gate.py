"""What a gate is: a test of a staged release that must pass before the release becomes visible.

A gate reads synthetic rows, sealed measurements and public declarations only. So its result says nothing that has not
been paid for. It compares noisy numbers with three standard errors of slack: noise alone does not fail a sound release.

Each gate has a module of its own in this package, with one constant `GATE`. The registry finds it there. A gate
declares its inputs by the names of its function's arguments; they are fields of `GateInputs`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from functools import cached_property
from typing import Any

from synthward.evaluate.inspect import Inspection
from synthward.evaluate.metrics import ColumnQuality
from synthward.evaluate.quality.verdicts import Judged
from synthward.evaluate.relations import CliqueQuality
from synthward.privacy.measurement import Measurement
from synthward.spec.request import MaxExpected
from synthward.spec.rules import Rule

SLACK = 3.0
"""Standard errors that a noisy number may lie beyond its limit."""

Judgement = tuple[bool, str]
"""Whether a gate passed, and what was found and what is allowed, without exact numbers about the source."""


@dataclass(frozen=True)
class GateResult:
    """Outcome of one gate.

    Attributes:
        name: Gate.
        passed: Whether it passed.
        detail: What was found and what is allowed, without exact numbers about the source.
    """

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Thresholds:
    """What the request and the policy allow.

    Attributes:
        rows: Requested rows.
        min_patients: The tier's smallest population.
        max_out_of_domain_share: Largest share of undeclared values in any column.
        max_clipped_share: Largest share of values beyond the bounds in any column.
        max_mean_tvd: Largest mean distance to the noisy marginals, None for no such gate.
        max_mean_pair_tvd: Largest mean distance of the measured pairs, None for no such gate.
        max_expected: Largest expected distances to the real rows, None for no such gate.
        rules: Clinical rules, None for no such gate.
    """

    rows: int
    min_patients: int
    max_out_of_domain_share: Decimal
    max_clipped_share: Decimal
    max_mean_tvd: Decimal | None
    max_mean_pair_tvd: Decimal | None
    max_expected: MaxExpected | None = None
    rules: Sequence[Rule] | None = None


@dataclass(frozen=True, eq=False)
class GateInputs:
    """Everything that gates may read.

    Attributes:
        staged: What the staged table holds: synthetic rows.
        expected_types: Spark type of every requested column, by name.
        quality: Each column compared with its noisy answer, by name.
        relations: Each measured table compared with its noisy answer.
        population: Sealed noisy number of units.
        thresholds: What the request and the policy allow.
        expected: Every column and pair with its expected distance to the real rows; empty if nothing was simulated.
    """

    staged: Inspection
    expected_types: Mapping[str, str]
    quality: Mapping[str, ColumnQuality]
    relations: Sequence[CliqueQuality]
    population: Measurement
    thresholds: Thresholds
    expected: Sequence[Judged] = ()


@dataclass(frozen=True)
class Gate:
    """One gate.

    Attributes:
        name: Its name in reports.
        control: The policy's control that it is evidence for.
        judge: Decides; its arguments are the inputs that the gate declares.
        setting: Key of the request's `utility` that switches the gate on; None for a gate that always runs.
        remedy: What to change in the request where it failed, which is a new run; None for a gate that looks at how
            rows were drawn and written, which another output section changes without a new charge.
    """

    name: str
    control: str
    judge: Callable[..., Judgement]
    setting: str | None = None
    remedy: str | None = None

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of the declared inputs.

        Raises:
            TypeError: The function has an argument that is no field of `GateInputs`.
        """
        names = tuple(inspect.signature(self.judge).parameters)
        unknown = set(names) - {field.name for field in fields(GateInputs)}
        if unknown:
            raise TypeError(f"gate '{self.name}' declares unknown inputs: {', '.join(sorted(unknown))}")
        return names

    def is_on(self, utility: object) -> bool:
        """Whether the gate runs under a request's `utility`, or under the `Thresholds` made from it."""
        return self.setting is None or getattr(utility, self.setting) is not None

    def result(self, inputs: GateInputs) -> GateResult:
        """Runs the gate on the inputs that it declares, and on no others."""
        declared: dict[str, Any] = {name: getattr(inputs, name) for name in self.inputs}
        passed, detail = self.judge(**declared)
        return GateResult(self.name, passed, detail)
