"""The claim of a request as a file that an expert, or another program, can compute again. Reads no data."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

from synthward.privacy.accounting import ATTO, NANO, Charge, total
from synthward.privacy.measurement import Asked, Round
from synthward.privacy.noise import NoiseCall
from synthward.privacy.thresholds import Threshold
from synthward.prove.accountant import second_epsilon
from synthward.prove.findings import Check
from synthward.run.plan import Plan
from synthward.spec.patient_id import shape_words

NEIGHBOURS = "add or remove one privacy unit with all its rows"
TOLERANCE = Decimal("1e-6")
"""Relative error that the second accountant's doubles are allowed."""


@dataclass(frozen=True)
class Claim:
    """What a plan claims.

    Attributes:
        plan: The plan.
        rounds: Rounds that are known before any answer is.
        thresholds: Questions for categories, with the digest of their round.
    """

    plan: Plan
    rounds: tuple[Round, ...]
    thresholds: tuple[tuple[str, str, Threshold], ...]

    @classmethod
    def of(cls, plan: Plan) -> Claim:
        """The claim of a plan; asks the synthesizer for its first round, which depends on no answer."""
        rounds: list[Round] = []
        thresholds: list[tuple[str, str, Threshold]] = []
        if plan.learning is not None and plan.learning.bins is not None:
            rounds.append(plan.learning.bins)
        if plan.learning is not None and (asked := plan.learning.categories) is not None:
            thresholds = [(asked.digest, item.query.label, item.threshold) for item in plan.learning.questions]
        rounds.append(next(plan.synthesizer.rounds(plan.task)))
        return cls(plan, tuple(rounds), tuple(thresholds))

    @property
    def calls(self) -> tuple[NoiseCall, ...]:
        """Every noise call that is known."""
        asked = [item.call for part in self.rounds for item in part.asked]
        return (*asked, *(threshold.call for _, _, threshold in self.thresholds))

    @cached_property
    def known(self) -> Charge:
        """What the known calls cost together."""
        return total(
            [*(part.charge for part in self.rounds), *(threshold.charge for _, _, threshold in self.thresholds)]
        )

    @cached_property
    def later(self) -> Charge:
        """The most that rounds which depend on answers may cost together; zero where there is none."""
        known, whole = self.known, self.plan.charge
        epsilon = None
        if whole.nano_epsilon is not None and known.nano_epsilon is not None:
            epsilon = max(whole.nano_epsilon - known.nano_epsilon, 0)
        return Charge(epsilon, max(whole.nano_rho - known.nano_rho, 0), max(whole.atto_delta - known.atto_delta, 0))

    @cached_property
    def second(self) -> float | None:
        """Epsilon by the second accountant, at the claim's delta."""
        later, left = self.later, self.plan.delta - Decimal(self.plan.charge.atto_delta) / ATTO
        pure = later.nano_epsilon is not None
        return second_epsilon(
            self.calls,
            max(left, Decimal(0)),
            more_epsilon=Fraction(later.nano_epsilon or 0, NANO),
            more_mu_squared=0.0 if pure else 2 * later.nano_rho / NANO,
        )

    def checks(self) -> list[Check]:
        """The claim against the second accountant and against its own calls."""
        plan, second, known = self.plan, self.second, self.known
        found = "the second accountant cannot tell delta of this size from the rounding of doubles"
        if second is not None:
            found = f"claimed {plan.epsilon}, second accountant {second:.9g}, at delta {plan.delta}"
        holds = second is None or plan.epsilon * (1 + TOLERANCE) >= Decimal(repr(second))
        covered = plan.charge.covers(known)
        return [
            Check("claim", "epsilon is not below that of a second accountant", holds, found, {"second": second}),
            Check(
                "claim",
                "the charge covers every call that is known",
                covered,
                f"nano-rho: known calls {known.nano_rho}, charge {plan.charge.nano_rho}",
                {"known_nano_rho": known.nano_rho, "charge_nano_rho": plan.charge.nano_rho},
            ),
        ]

    def to_json(self) -> dict[str, Any]:
        """The claim file."""
        plan = self.plan
        request = plan.file.request
        calls = [_asked(item, part) for part in self.rounds for item in part.asked]
        for digest, label, threshold in self.thresholds:
            extra = {
                "per_patient": threshold.categories,
                "above": threshold.above,
                "one": threshold.one,
                "delta": _rational(threshold.delta),
            }
            calls.append(_call(label, "categories", digest, threshold.call, threshold.charge) | extra)
        later = self.later
        return {
            "version": 1,
            "request": plan.file.digest,
            "run": plan.identity.run_id,
            "unit": {
                "name": plan.task.unit.name,
                "key": request.patient.key,
                "path": [
                    {"table": step.source.location, "on": dict(step.on)} for step in plan.file.request.patient.path
                ],
                "id": shape_words(request.patient.id),
                "max_rows": plan.task.unit.max_rows,
            },
            "neighbours": NEIGHBOURS,
            "promises": list(request.promises),
            "calls": calls,
            "later_rounds": {
                "nano_epsilon": later.nano_epsilon,
                "nano_rho": later.nano_rho,
                "rule": "calls chosen from sealed answers; admitted while the sum is within the charge (PROOFS 4.7)",
            },
            "composition": "charges add (PROOFS 4.5)",
            "charge": _charge(plan.charge),
            "conversion": plan.accounting,
            "epsilon": str(plan.epsilon),
            "delta": str(plan.delta),
            "second_accountant": {"epsilon": self.second, "method": "privacy loss distributions, rounded down"},
        }


def _asked(item: Asked, part: Round) -> dict[str, Any]:
    return _call(item.query.label, item.query.KIND, part.digest, item.call, item.call.charge)


def _call(label: str, kind: str, digest: str, call: NoiseCall, charge: Charge) -> dict[str, Any]:
    norm = {"laplace": "L1", "gaussian": "L2", "exponential": "largest change of a score"}[call.mechanism]
    return {
        "query": label,
        "kind": kind,
        "round": digest,
        "d_in": call.sensitivity,
        "norm": norm,
        "mechanism": call.mechanism,
        "scale": _rational(Fraction(call.scale)),
        "charge": _charge(charge),
    }


def _charge(charge: Charge) -> dict[str, Any]:
    return {"nano_epsilon": charge.nano_epsilon, "nano_rho": charge.nano_rho, "atto_delta": charge.atto_delta}


def _rational(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"
