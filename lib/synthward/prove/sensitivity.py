"""The attack on the bounds: the product's own pass over neighbours that were written as files, compared exactly.

An answer that moves by more than its declared bound breaks the guarantee; a bound that no neighbours reach would hide a
kernel that counts too little, so that some case has to attain .99 of every kind's bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from synthward.domain.codes import codebooks
from synthward.measure.layout import Layout, collect_vector, exact_vector_frame
from synthward.privacy.queries import Base, Marginal, needs
from synthward.privacy.sensitivity import bound, joint_l2
from synthward.prove.claim import Claim
from synthward.prove.findings import Check
from synthward.prove.neighbours import Case, Neighbours, cases, id_kinds
from synthward.run.plan import Plan
from synthward.sources import reading
from synthward.sources.patient import source_rows
from synthward.spec.request_file import RequestFile

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MOST_CELLS = 2_000_000
"""Cells of all questions of the attack together; larger tables of many columns are left out, and that is printed."""

ATTAINED = 0.99

Answers = Mapping[Base, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Attack:
    """The attack on one plan.

    Attributes:
        plan: The plan.
        questions: What is asked of every data set.
        left_out: Announced tables that are not asked about.
    """

    plan: Plan
    questions: tuple[Base, ...]
    left_out: int

    @classmethod
    def of(cls, claim: Claim) -> Attack:
        """Questions of the rounds that are known, and of the tables that later rounds may ask about."""
        plan = claim.plan
        books = codebooks(plan.domain)
        named = [base for part in claim.rounds for item in part.asked for base in needs(item.query)]
        known = dict.fromkeys(base for base in named if set(base.columns) <= set(books))
        later = [Marginal(clique) for clique in plan.synthesizer.cliques(plan.task)]
        announced = sorted((query for query in dict.fromkeys(later) if query not in known), key=lambda q: len(q.clique))
        sizes = {name: book.cells for name, book in books.items()}
        kept: list[Base] = list(known)
        cells = sum(query.cells(sizes) for query in kept)
        for query in announced:
            cells += query.cells(sizes)
            if cells > MOST_CELLS:
                break
            kept.append(query)
        return cls(plan, tuple(kept), len(known) + len(announced) - len(kept))

    def run(
        self, spark: SparkSession, folder: Path, *, quick: bool, progress: Callable[[str], None] = lambda _: None
    ) -> list[Check]:
        """Writes the neighbours, asks, compares.

        Args:
            spark: Session.
            folder: Empty; driver and executors see it.
            quick: Fewer cases, and one kind of ids.
            progress: Told what is being tried.
        """
        found: list[Check] = []
        best: dict[str, tuple[float, str]] = {}
        kinds = id_kinds(self.plan.file)
        for kind in kinds[:1] if quick else kinds:
            neighbours = Neighbours(self.plan.file, folder / kind, kind)
            base = self._answers(spark, neighbours.write(spark, "others", None))
            for number, case in enumerate(cases(self.plan.file, quick=quick)):
                progress(f"{case.name}, ids: {kind}")
                more = self._answers(spark, neighbours.write(spark, f"case-{number}", case))
                found.append(self._compared(case, kind, base, more, best))
        return [*found, *self._attained(best)]

    def _answers(self, spark: SparkSession, file: RequestFile) -> Answers:
        """The exact answers, by the product's own reading, kernels and collection."""
        plan, books = self.plan, codebooks(self.plan.domain)
        pinned = reading.pin(spark, file)
        layout = Layout.of(self.questions, books)
        rows = source_rows(spark, pinned, file, books)
        vector = collect_vector(exact_vector_frame(rows, books, layout, plan.task.unit, plan.tasks), layout.cells)
        reading.check_unchanged(spark, pinned)
        return {query: vector[layout.part(query)] for query in self.questions}

    def _compared(
        self, case: Case, kind: str, without: Answers, with_her: Answers, best: dict[str, tuple[float, str]]
    ) -> Check:
        """One pair of neighbours, every norm that noise is calibrated to."""
        plan = self.plan
        worst, worst_label, squares, marginals = 0.0, "", 0, 0
        for query in self.questions:
            moved = np.abs(with_her[query] - without[query]).tolist()
            l1 = sum(moved)
            ratio = l1 / bound(query, plan.task.unit, plan.domain, "laplace")
            if ratio > worst:
                worst, worst_label = ratio, query.label
            if ratio > best.get(query.KIND, (0.0, ""))[0]:
                best[query.KIND] = ratio, case.name
            if isinstance(query, Marginal):
                squares += sum(part * part for part in moved)
                marginals += 1
        joint = math.isqrt(squares) / joint_l2(marginals, plan.task.unit) if marginals else 0.0
        return Check(
            "sensitivity",
            f"{case.name} (ids: {kind})",
            worst <= 1 and joint <= 1,
            f"largest change {worst:.5f} of its bound ({worst_label or 'nothing moves'}); tables together {joint:.5f}",
            {"ratio": worst, "query": worst_label, "joint_l2_ratio": joint, "questions": len(self.questions)},
        )

    def _attained(self, best: Mapping[str, tuple[float, str]]) -> list[Check]:
        kinds = sorted({query.KIND for query in self.questions})
        reached = {kind: best.get(kind, (0.0, "no case")) for kind in kinds}
        return [
            Check(
                "sensitivity",
                f"some case attains the bound of {kind}",
                ratio >= ATTAINED,
                f"{ratio:.5f} of the bound, by: {name}",
                {"ratio": ratio, "case": name},
            )
            for kind, (ratio, name) in reached.items()
        ]
