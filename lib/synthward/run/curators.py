"""Curators of a run's program of rounds: one for each table that the rounds are about, and never two at a time.

Guarantee: see `measure.curator`. Exact numbers of one table are forgotten before the next table is read.
"""

from __future__ import annotations

import functools
from typing import Self

from synthward.domain.codes import codebooks
from synthward.fit.program import Answers, CodedTable
from synthward.measure.curator import Curator
from synthward.privacy.measurement import Round
from synthward.run.committed import CommittedJournal, CommittedSeals
from synthward.run.environment import Environment
from synthward.run.plan import Plan
from synthward.run.steps import Steps
from synthward.run.suppliers import Suppliers
from synthward.sources.reading import PinnedSource


class Curators:
    """Answers the rounds of one run. A context manager, which forgets every exact number at its end."""

    def __init__(
        self,
        env: Environment,
        plan: Plan,
        pinned: PinnedSource,
        committed: CommittedJournal,
        steps: Steps,
        suppliers: Suppliers,
    ) -> None:
        """Reads nothing yet.

        Args:
            env: Session and noise source.
            plan: The run's plan.
            pinned: The pinned source.
            committed: The run's journal, as far as the ledger vouches for it.
            steps: Runs and logs the parts of a round.
            suppliers: Functions that read the source.
        """
        self._env = env
        self._plan = plan
        self._pinned = pinned
        self._committed = committed
        self._steps = steps
        self._suppliers = suppliers
        self._table: CodedTable | None = None
        self._curator: Curator | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._forget()

    def answer(self, asked: tuple[CodedTable, Round]) -> Answers:
        """The sealed answers of a round, in its order. See `Curator.answer` for errors."""
        table, questions = asked
        curator = self._of(table)
        return self._steps.run(f"measure {questions.step}", lambda: curator.answer(questions))

    def _forget(self) -> None:
        if self._curator is not None:
            self._curator.close()
        self._table = self._curator = None

    def _of(self, table: CodedTable) -> Curator:
        """The table's curator; that of the table before is closed."""
        if self._curator is not None and self._table is table:
            return self._curator
        self._forget()
        spark, plan, pinned = self._env.spark, self._plan, self._pinned
        books, suppliers = codebooks(table.domain), self._suppliers
        self._table = table
        self._curator = Curator(
            rows=lambda: suppliers.source_rows(spark, pinned, plan.file, books),
            domain=table.domain,
            unit=plan.task.unit,
            charge=table.charge,
            seals=CommittedSeals(self._committed),
            noise=self._env.noise,
            tasks=plan.tasks,
            check_source=functools.partial(suppliers.check_unchanged, spark, pinned),
            step=self._steps.run,
            cliques=table.cliques,
            curve_cells=plan.task.curve_cells,
            exact_vector=suppliers.exact_vector,
        )
        return self._curator
