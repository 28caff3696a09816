"""The program of rounds of a run: learned bins, learned values, then the rounds of the synthesizer.

The program is a generator. It yields a table and a round about it, receives the sealed answers, and returns the fit.
It sees sealed answers only, so its domain and its model are post-processing of the rounds.

Guarantee: each round is under its part of the run's charge, and the parts add up to the charge (PROOFS.md, section
3.7). The curator of a table refuses rounds that would cost more than the part of that table.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

from synthward.domain.spec import Domain
from synthward.fit.base import Rounds, Synthesizer, Task
from synthward.fit.learning import Learned, Learning, with_histograms
from synthward.fit.model import Model
from synthward.privacy.accounting import Charge
from synthward.privacy.discovery import Found
from synthward.privacy.measurement import Measurement, Round
from synthward.privacy.queries import Clique

Answers = tuple[Measurement, ...]


@dataclass(frozen=True, eq=False)
class CodedTable:
    """The source's table as some rounds code it; public.

    Attributes:
        domain: Attributes of its columns, in the order of the columns.
        charge: What the rounds about it may cost together: a part of the run's charge.
        cliques: Every clique that a round about it may ask about; empty if each round names all it asks about.
    """

    domain: Domain
    charge: Charge
    cliques: tuple[Clique, ...] = ()


@dataclass(frozen=True, eq=False)
class Fit:
    """What all rounds of a run lead to.

    Attributes:
        task: The synthesizer's task, on the learned domain if there is one.
        model: The fitted model.
        sealed: Answers of the synthesizer's rounds.
        learned: Answers of the rounds before them.
    """

    task: Task
    model: Model
    sealed: Answers
    learned: Learned

    @property
    def domain(self) -> Domain:
        """The domain of the release."""
        return self.task.domain


Asking = Generator[tuple[CodedTable, Round], Answers, Fit]


@dataclass(frozen=True)
class Program:
    """All rounds of a run; public.

    Attributes:
        task: The synthesizer's task, on the planned domain.
        synthesizer: The synthesizer.
        learning: The rounds that learn the domain, None if it is declared.
        synthesis: The most that the synthesizer's rounds cost.
    """

    task: Task
    synthesizer: Synthesizer
    learning: Learning | None
    synthesis: Charge

    def rounds(self) -> Asking:
        """Yield tables and rounds, receive the sealed answers of each round, return the fit."""
        task, learned = self.task, Learned((), ())
        if self.learning is not None:
            learned = yield from _learned(self.learning)
            task = learned_task(task, self.learning.learned(learned.sealed, learned.found))
        table = CodedTable(task.domain, self.synthesis, self.synthesizer.cliques(task))
        model, sealed = yield from _about(table, self.synthesizer.rounds(task))
        return Fit(task, with_histograms(model, self.learning, learned), sealed, learned)


def learned_task(task: Task, learned: Domain) -> Task:
    """The task on the learned domain.

    Args:
        task: The task on the planned domain, whose costs hold for every domain that can be learned.
        learned: The learned domain.
    """
    return replace(task, domain=learned, planned_domain=task.domain)


def _learned(learning: Learning) -> Generator[tuple[CodedTable, Round], Answers, Learned]:
    """The rounds that learn bins and values."""
    sealed: Answers = ()
    found: tuple[Found, ...] = ()
    if (bins := learning.bins) is not None:
        sealed = yield CodedTable(learning.fine, bins.charge), bins
    if (categories := learning.categories) is not None:
        columns = tuple(column for item in categories.asked for column in item.query.columns)
        answers = yield CodedTable(learning.declared.restricted_to(columns), categories.charge), categories
        found = tuple(answer for answer in answers if isinstance(answer, Found))
    return Learned(sealed, found)


def _about(table: CodedTable, rounds: Rounds) -> Generator[tuple[CodedTable, Round], Answers, tuple[Model, Answers]]:
    """Rounds of a synthesizer about one table; its model and all answers in order."""
    known: list[Measurement] = []
    asked = next(rounds)
    while True:
        answers = yield table, asked
        known.extend(answers)
        try:
            asked = rounds.send(answers)
        except StopIteration as finished:
            model: Model = finished.value
            return model, tuple(known)
