"""Rounds before the synthesizer's, in which a run learns parts of its domain, and the domain that follows from them.

`Learning` is public: it is planned, priced and approved with the rest. The learned domain is a function of the declared
one and of sealed answers, so that a resumed run comes to the same, and learning it is post-processing of the rounds.

Guarantee: that of the rounds' noise calls, which are charged with the run (PROOFS.md, sections 3 and 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from synthward.domain.quantiles import fine, quantile_bins, widest
from synthward.domain.spec import Attribute, Domain, Numeric
from synthward.fit.base import Task, budget_of, whole_budget
from synthward.governance.learn import Learn
from synthward.privacy.accounting import NANO, Charge
from synthward.privacy.calibration import calibrated
from synthward.privacy.measurement import Asked, Measurement, Round
from synthward.privacy.queries import Clique, Marginal
from synthward.privacy.sensitivity import WEIGHT_UNIT

BINS_STEP = "learn_bins"


@dataclass(frozen=True)
class Learning:
    """What a run asks before the synthesizer's rounds; public.

    Attributes:
        declared: The requested attributes as declared.
        quantiles: Bins wanted, by column.
        fine: The columns of `quantiles` on their public grids.
        bins: One noisy histogram for each of them.
    """

    declared: Domain
    quantiles: dict[str, int]
    fine: Domain
    bins: Round

    @property
    def charge(self) -> Charge:
        """What the rounds cost."""
        return self.bins.charge

    @property
    def passes(self) -> int:
        """Passes over the source."""
        return 1

    def learned(self, sealed: Sequence[Measurement]) -> Domain:
        """The declared domain with bins cut at the noisy quantiles.

        Args:
            sealed: Answers of `bins`.
        """
        attributes = dict(self.declared.attributes)
        for measurement in sealed:
            [name] = _clique(measurement.asked)
            # Without the counts of what is undeclared and what is missing.
            counts = measurement.counts[:-2]
            attributes[name] = quantile_bins(_numeric(self.fine.attributes[name]), counts, self.quantiles[name])
        return replace(self.declared, attributes=attributes)

    def describe(self, whole: int) -> list[str]:
        """Lines for people.

        Args:
            whole: The run's budget in the unit of `fit.base.budget_of`.
        """
        spent = self.charge.nano_rho if self.charge.nano_epsilon is None else self.charge.nano_epsilon
        wanted = ", ".join(f"{name} ({bins} bins)" for name, bins in self.quantiles.items())
        return [f"learn      cuts of {wanted}; {spent / whole:.1%} of the budget"]

    def warnings(self, declared_rows: int) -> list[str]:
        """What to know before approving: bins narrower than what the noise can tell."""
        found = []
        for item in self.bins.asked:
            [name] = _clique(item)
            grid = _numeric(self.fine.attributes[name]).grid
            # A cut is where a sum of about half the cells reaches its goal.
            rows = item.call.deviation / WEIGHT_UNIT * (grid.bins / 2) ** 0.5
            if rows > declared_rows / self.quantiles[name] / 2:
                found.append(
                    f"the noise moves cuts between bins of '{name}' by half a bin or more; ask for fewer bins, or give "
                    "`learn` a larger share"
                )
        return found


def _clique(asked: Asked) -> Clique:
    assert isinstance(asked.query, Marginal)
    return asked.query.clique


def _numeric(attribute: Attribute) -> Numeric:
    assert isinstance(attribute, Numeric)
    return attribute


def widest_domain(declared: Domain, learn: Learn) -> Domain:
    """The declared domain with as many bins as a learned one can have."""
    wider = {name: widest(_numeric(declared.attributes[name]), bins) for name, bins in learn.quantiles.items()}
    return replace(declared, attributes={**declared.attributes, **wider})


def fine_domain(declared: Domain, learn: Learn) -> Domain:
    """The columns whose bins are learned, on their public grids."""
    return replace(declared, attributes={name: fine(_numeric(declared.attributes[name])) for name in learn.quantiles})


def learning_of(declared: Domain, learn: Learn, task: Task) -> Learning:
    """The rounds of a request, each column with an equal part of what the synthesizer leaves.

    Args:
        declared: The requested attributes.
        learn: The request's section.
        task: The synthesizer's task, its part of the budget and the accounting settled.

    Raises:
        ValueError: The budget is too small to be shared out.
    """
    grids = fine_domain(declared, learn)
    share = (whole_budget(task) - budget_of(task)) // len(learn.columns)
    asked = []
    for name in learn.quantiles:
        query = Marginal((name,))
        asked.append(Asked(query, calibrated(query, task.unit, grids, task.mechanism, share)))
    return Learning(declared, learn.quantiles, grids, Round(BINS_STEP, tuple(asked)))


def part_of(learn: Learn) -> Fraction:
    """The synthesizer's part of the budget."""
    return 1 - Fraction(learn.share)


def ceiling(task: Task, calls: int) -> Charge:
    """The most that a synthesizer can charge, whatever its domain will be.

    Args:
        task: The synthesizer's task.
        calls: At least its number of noise calls. Each rounds its rho up by less than 1e-9; rho is otherwise largest
            when one call has everything.
    """
    budget = budget_of(task)
    if task.mechanism == "gaussian":
        return Charge(None, budget)
    whole = Charge.pure(Decimal(budget) / NANO)
    return replace(whole, nano_rho=whole.nano_rho + calls)
