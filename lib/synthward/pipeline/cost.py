"""What a run will cost in work, from public numbers alone: passes, shuffles, rows, and a class of time.

Nothing here has seen data. The class of time is a rough one, for a decision whether to wait, to schedule or to ask for
a cluster: rows over the rate of one core, measured on the kernels (DESIGN, section 5), plus what commits take.
"""

from __future__ import annotations

from dataclasses import dataclass

from synthward.pipeline.plan import Plan

ROWS_PER_CORE_SECOND = 250_000
"""Rows that one core reads, encodes, shuffles and counts in a second; joins and wide tables take their share of it."""

DRAWN_PER_CORE_SECOND = 200_000
"""Rows that one core draws, decodes and writes in a second."""

FIXED_SECONDS = 30
"""Preflight, journal, ledger, registry, gates, MLflow: about fifteen commits of one to two seconds."""

_CLASSES = ((120, "a minute or two"), (900, "minutes"), (7200, "up to two hours"), (43200, "half a day"))


@dataclass(frozen=True)
class Cost:
    """Predicted work of a run.

    Attributes:
        declared_rows: Rows of the source, as declared.
        output_rows: Rows of the release.
        passes: Scans of the source, copies of sources without versions and rounds that learn the domain included.
        shuffles: Shuffles of rows: by patient, and two for each join on the way to the patient, in every pass that
            answers.
        tasks: Partitions by patient.
        core_seconds: Work of all cores together.
    """

    declared_rows: int
    output_rows: int
    passes: int
    shuffles: int
    tasks: int
    core_seconds: int

    @classmethod
    def of(cls, plan: Plan) -> Cost:
        """The cost of a plan."""
        request = plan.file.request
        patient = request.patient
        copies = sum(source.snapshot == "materialize" for source in (request.source, *(s.source for s in patient.path)))
        declared, drawn = request.population.declared_rows, request.output.rows
        answering = 1 + (0 if plan.learning is None else plan.learning.passes)
        passes = answering + (copies > 0)
        shuffles = answering * ((patient.unit != "row") + 2 * len(patient.path))
        work = (
            declared * (passes + answering * len(patient.path)) / ROWS_PER_CORE_SECOND + drawn / DRAWN_PER_CORE_SECOND
        )
        return cls(declared, drawn, passes, shuffles, plan.tasks, round(work))

    def time_class(self, cores: int) -> str:
        """How long it will take on so many cores, in words."""
        seconds = FIXED_SECONDS + self.core_seconds / max(1, cores)
        return next((words for limit, words in _CLASSES if seconds <= limit), "longer than half a day")

    def describe(self) -> list[str]:
        """Lines for people."""
        times = ", ".join(f"{self.time_class(cores)} on {cores}" for cores in (2, 16, 128))
        passes, shuffles = _times(self.passes, "pass", "passes"), _times(self.shuffles, "shuffle", "shuffles")
        return [
            f"work       {self.declared_rows:,} declared rows in {passes}, {shuffles} of rows into {self.tasks} tasks",
            f"output     {self.output_rows:,} rows drawn",
            f"time       about {self.core_seconds:,} core-seconds: {times} cores",
        ]


def _times(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
