"""Rounds before the synthesizer's, in which a run learns parts of its domain, and the domain that follows from them.

`Learning` is public: it is planned, priced and approved with the rest. The learned domain is a function of the declared
one and of sealed answers, so that a resumed run comes to the same, and learning it is post-processing of the rounds.

Guarantee: that of the rounds' noise calls and thresholds, which are charged with the run (PROOFS.md, sections 3, 4, 8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

import numpy as np

from synthward.domain.codes import CodeBook
from synthward.domain.quantiles import fine, planned_bins, quantile_bins
from synthward.domain.spec import Attribute, Categorical, Domain, Numeric
from synthward.fit.base import Task, budget_of, whole_budget
from synthward.fit.model import Model
from synthward.fit.within_bin import Histogram, refined
from synthward.privacy.accounting import ATTO, NANO, Charge, total
from synthward.privacy.calibration import calibrated
from synthward.privacy.discovery import AskedCategories, Found
from synthward.privacy.measurement import Asked, Measurement, Round
from synthward.privacy.noise import gaussian_for
from synthward.privacy.queries import Categories, Clique, Marginal
from synthward.privacy.sensitivity import WEIGHT_UNIT, bound
from synthward.privacy.thresholds import threshold_for
from synthward.spec.learn import Learn, threshold_delta

BINS_STEP, CATEGORIES_STEP = "learn_bins", "learn_categories"

RARE = 0.01
"""Part of the declared patients above which a threshold is worth a warning."""


@dataclass(frozen=True)
class Learning:
    """What a run asks before the synthesizer's rounds; public.

    Attributes:
        declared: The requested attributes as declared.
        quantiles: Bins wanted, by column.
        fine: The columns of `quantiles` on their public grids.
        bins: One noisy histogram for each of them; None without any.
        categories: One question for each column whose values are learned; None without any.
    """

    declared: Domain
    quantiles: dict[str, int]
    fine: Domain
    bins: Round | None
    categories: Round | None

    @property
    def charge(self) -> Charge:
        """What the rounds cost."""
        return total(part.charge for part in (self.bins, self.categories) if part is not None)

    @property
    def passes(self) -> int:
        """Passes over the source."""
        return (self.bins is not None) + (self.categories is not None)

    @property
    def columns(self) -> dict[str, str]:
        """What is learned of each column: bins or categories."""
        found = {column: "categories" for item in self.questions for column in item.query.columns}
        return dict.fromkeys(self.quantiles, "bins") | found

    @property
    def questions(self) -> tuple[AskedCategories, ...]:
        """Queries of `categories`; none without it."""
        asked = () if self.categories is None else self.categories.asked
        return tuple(item for item in asked if isinstance(item, AskedCategories))

    def learned(self, sealed: Sequence[Measurement], found: Sequence[Found]) -> Domain:
        """The declared domain with bins cut at the noisy quantiles, and with the values that were found.

        Args:
            sealed: Answers of `bins`.
            found: Answers of `categories`.
        """
        attributes = dict(self.declared.attributes)
        for measurement in sealed:
            [name] = _clique(measurement.asked)
            # Without the counts of what is clipped, undeclared or missing.
            counts = measurement.counts[: self.fine.attributes[name].size]
            attributes[name] = quantile_bins(_numeric(self.fine.attributes[name]), counts, self.quantiles[name])
        for answer in found:
            [name] = answer.asked.query.columns
            attribute = _categorical(attributes[name])
            attributes[name] = replace(attribute, values=(*attribute.values, *answer.texts))
        return replace(self.declared, attributes=attributes)

    def describe(self, whole: int) -> list[str]:
        """Lines for people.

        Args:
            whole: The run's budget in the unit of `fit.base.budget_of`.
        """
        lines = []
        if self.bins is not None:
            wanted = ", ".join(f"{name} ({bins} bins)" for name, bins in self.quantiles.items())
            lines.append(f"learn      cuts of {wanted}; {_spent(self.bins.charge) / whole:.1%} of the budget")
        if self.categories is not None:
            wanted = ", ".join(
                f"{item.query.column} (at most {item.query.at_most}, of about {item.patients:.0f} patients or more)"
                for item in self.questions
            )
            charge = self.categories.charge
            price = f"{_spent(charge) / whole:.1%} of the budget and delta {Decimal(charge.atto_delta) / ATTO:.2E}"
            lines.append(f"learn      further values of {wanted}; {price}")
        return lines

    def warnings(self, declared_rows: int, declared_patients: int) -> list[str]:
        """What to know before approving: bins narrower than what the noise can tell, and high thresholds."""
        found = []
        for item in () if self.bins is None else self.bins.asked:
            [name] = _clique(item)
            # A cut is where a sum of about half the cells reaches its goal.
            cells = self.fine.attributes[name].size / 2
            if item.call.deviation / WEIGHT_UNIT * cells**0.5 > declared_rows / self.quantiles[name] / 2:
                found.append(
                    f"the noise moves cuts between bins of '{name}' by half a bin or more; ask for fewer bins, or give "
                    "`learn` a larger share"
                )
        for question in self.questions:
            part = question.patients / declared_patients
            if part > RARE:
                text = (
                    f"only values of '{question.query.column}' that about {question.patients:.0f} patients have can be "
                    f"found, {part:.1%} of those declared; a larger share or a smaller per_patient lowers that"
                )
                found.append(text)
        return found


@dataclass(frozen=True, eq=False)
class Learned:
    """Sealed answers of a `Learning`.

    Attributes:
        sealed: Histograms.
        found: Further values.
    """

    sealed: Sequence[Measurement]
    found: Sequence[Found]


def with_histograms(model: Model, learning: Learning | None, learned: Learned) -> Model:
    """The fitted model, whose numbers follow the histograms inside of learned bins; as it is where there are none."""
    if learning is None:
        return model
    histograms = []
    for measurement in learned.sealed:
        [name] = _clique(measurement.asked)
        grid = _numeric(learning.fine.attributes[name]).grid
        starts = np.array(grid.starts, dtype=np.int64)
        histograms.append(Histogram(name, starts, measurement.counts[: grid.bins], measurement.deviation))
    return refined(model, histograms)


def _spent(charge: Charge) -> int:
    return charge.nano_rho if charge.nano_epsilon is None else charge.nano_epsilon


def _clique(asked: Asked) -> Clique:
    assert isinstance(asked.query, Marginal)
    return asked.query.clique


def _numeric(attribute: Attribute) -> Numeric:
    assert isinstance(attribute, Numeric)
    return attribute


def _categorical(attribute: Attribute) -> Categorical:
    assert isinstance(attribute, Categorical)
    return attribute


def planned_domain(declared: Domain, learn: Learn) -> Domain:
    """The declared domain with as many bins and values as a learned one can have."""
    wider: dict[str, Attribute] = {}
    for name, bins in learn.quantiles.items():
        wider[name] = planned_bins(_numeric(declared.attributes[name]), bins)
    for name, wanted in learn.categories.items():
        attribute = _categorical(declared.attributes[name])
        # Stand-ins that no pattern matches, so that they are neither declared nor found.
        stand_ins = (f"\0{number}" for number in range(wanted.at_most))
        wider[name] = replace(attribute, values=(*attribute.values, *stand_ins))
    return replace(declared, attributes={**declared.attributes, **wider})


def learning_of(declared: Domain, learn: Learn, task: Task, delta: Decimal) -> Learning:
    """The rounds of a request, each column with an equal part of what the synthesizer leaves.

    Args:
        declared: The requested attributes.
        learn: The request's section.
        task: The synthesizer's task, its part of the budget and the accounting settled.
        delta: Delta of the whole release.

    Raises:
        ValueError: The budget is too small to be shared out.
    """
    grids: dict[str, Attribute] = {name: fine(_numeric(declared.attributes[name])) for name in learn.quantiles}
    fine_domain = replace(declared, attributes=grids)
    share = (whole_budget(task) - budget_of(task)) // len(learn.columns)
    histograms = []
    for name in learn.quantiles:
        query = Marginal((name,))
        histograms.append(Asked(query, calibrated(query, task.unit, fine_domain, task.mechanism, share)))
    questions = []
    for name, wanted in learn.categories.items():
        attribute = _categorical(declared.attributes[name])
        label = () if attribute.other is None else (attribute.other,)
        listed = tuple(dict.fromkeys((*attribute.values, *attribute.missing, *label)))
        texts = Categories(name, wanted.pattern, listed, wanted.at_most, wanted.per_patient)
        call = gaussian_for(share, bound(texts, task.unit, declared, "gaussian"))
        threshold = threshold_for(call, wanted.per_patient, threshold_delta(learn, delta), WEIGHT_UNIT)
        questions.append(AskedCategories(texts, call, threshold.above))
    return Learning(
        declared,
        learn.quantiles,
        fine_domain,
        Round(BINS_STEP, tuple(histograms)) if histograms else None,
        Round(CATEGORIES_STEP, tuple(questions)) if questions else None,
    )


def part_of(learn: Learn) -> Fraction:
    """The synthesizer's part of the budget."""
    return 1 - Fraction(learn.share)


def noise_delta(learn: Learn, delta: Decimal) -> Decimal:
    """What the thresholds leave of delta for the noise of all calls."""
    return delta - Decimal(threshold_delta(learn, delta) * len(learn.categories)) / ATTO


def largest_answer(declared: Domain, learn: Learn) -> int:
    """Numbers that one unit can change in the largest answer of the rounds."""
    grids = [CodeBook(name, fine(_numeric(declared.attributes[name]))).cells for name in learn.quantiles]
    return max([*grids, *(wanted.per_patient for wanted in learn.categories.values())])


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
