"""What a run will cost in work, from public numbers alone: scans, shuffles, rows, columns, cells, and a class of time.

Nothing here has seen data. The figures are rough ones, for a decision whether to wait, to schedule or to ask for a
cluster: what whole runs took (docs/performance.md), put down to rows, columns, announced cells and the fit.
`unit/test_cost.py` holds the predictions against the measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

from synthward.domain.codes import codebooks
from synthward.measure.layout import Layout
from synthward.privacy.queries import Marginal, needs
from synthward.run.plan import Plan

SCAN_S, SCAN_COLUMN_S = 0.5e-6, 0.08e-6
"""Core-seconds for each row of a scan: to read it and hand it on, and to read, encode and count each of its columns."""

SHUFFLE_S = 0.8e-6
"""Core-seconds for each row that is shuffled by unit, as id and packed words or as id and fixed-point numbers."""

JOIN_S = 4e-6
"""Core-seconds for each row of each join on the way to the patient: two shuffles of whole rows, sorted."""

COUNT_S = 1e-9
"""Core-seconds for each row and each joint table; several are counted at once."""

CELL_S = 0.6e-6
"""Core-seconds for each cell that a task hands on to be summed."""

WRITE_S, WRITE_COLUMN_S = 1.0e-6, 0.25e-6
"""Core-seconds for each row drawn and written: lineage and constraints, and for each column."""

RUN_S, RUN_COLUMN_S = 23.0, 0.5
"""Core-seconds of a run beside rows: preflight, about twenty commits, gates, report; and for each column its noise
calls, expressions and checks."""

FIT_S, FIT_COLUMN_S = 11.0, 0.16
"""Core-seconds on the driver of choosing tables and fitting them, and for each column."""

FITS = {"aim": 4, "few_round": 2}
"""How many times as long a synthesizer takes that fits again after every round, instead of once or twice."""

SERIAL_S, SERIAL_COLUMN_S = 15.0, 0.25
"""Part of `RUN_S` and of `RUN_COLUMN_S` that no further core makes shorter."""

_CLASSES = ((120, "a minute or two"), (900, "minutes"), (7200, "up to two hours"), (43200, "half a day"))


@dataclass(frozen=True)
class Cost:
    """Predicted work of a run.

    Attributes:
        declared_rows: Rows of the source, as declared.
        output_rows: Rows of the release.
        passes: Jobs over the source: copies of sources without versions, rounds that learn the domain, and the one that
            answers the synthesizer.
        scans: Times that the source is read in them: once for a copy, and once for each kernel of a pass.
        shuffles: Shuffles of rows: by patient, and two for each join on the way to the patient, in every scan that
            answers; texts that are learned are shuffled twice by patient.
        tasks: Partitions by patient.
        announced_cells: Numbers that each task of the synthesizer's pass hands on.
        core_seconds: Work of all cores together, the driver's included.
        serial_seconds: The driver's part, which takes as long on any number of cores.
    """

    declared_rows: int
    output_rows: int
    passes: int
    scans: int
    shuffles: int
    tasks: int
    announced_cells: int
    core_seconds: int
    serial_seconds: int

    @classmethod
    def of(cls, plan: Plan) -> Cost:
        """The cost of a plan."""
        request = plan.file.request
        patient, columns = request.patient, len(plan.domain.attributes)
        rows, drawn = request.population.declared_rows, request.output.rows
        copied = any(source.snapshot == "materialize" for source in (request.source, *(s.source for s in patient.path)))
        layout = _layout(plan)
        by_unit = patient.unit != "row"
        bins = plan.learning is not None and plan.learning.bins is not None
        texts = plan.learning is not None and plan.learning.categories is not None
        answering = layout.scans + bins + texts
        by_patient = (layout.scans + bins + 2 * texts) * by_unit
        joins = answering * len(patient.path)
        reading = (answering + copied) * (SCAN_S + columns * SCAN_COLUMN_S) + by_patient * SHUFFLE_S + joins * JOIN_S
        joint = sum(len(table.clique) > 1 for table in layout.tables)
        checking = SCAN_S + columns * SCAN_COLUMN_S  # gates count the release as the source was counted
        writing = WRITE_S + columns * WRITE_COLUMN_S + checking
        # Each simulated release is one more fit.
        fits = 1 + request.utility.replicates
        fitting = fits * fit_seconds(columns, plan.synthesizer.name) if joint else 0.0
        beside = RUN_S + columns * RUN_COLUMN_S + fitting
        work = rows * (reading + joint * COUNT_S) + drawn * writing + plan.tasks * layout.cells * CELL_S + beside
        return cls(
            declared_rows=rows,
            output_rows=drawn,
            passes=copied + 1 + bins + texts,
            scans=copied + answering,
            shuffles=by_patient + 2 * joins,
            tasks=plan.tasks,
            announced_cells=layout.cells,
            core_seconds=round(work),
            serial_seconds=round(SERIAL_S + columns * SERIAL_COLUMN_S + fitting),
        )

    def seconds(self, cores: int) -> float:
        """How long it will take on so many cores."""
        return self.serial_seconds + max(0, self.core_seconds - self.serial_seconds) / max(1, cores)

    def time_class(self, cores: int) -> str:
        """How long it will take on so many cores, in words."""
        seconds = self.seconds(cores)
        return next((words for limit, words in _CLASSES if seconds <= limit), "longer than half a day")

    def describe(self) -> list[str]:
        """Lines for people."""
        times = ", ".join(f"{self.time_class(cores)} on {cores}" for cores in (2, 16, 128))
        passes, scans = _times(self.passes, "pass", "passes"), _times(self.scans, "scan", "scans")
        shuffles = _times(self.shuffles, "shuffle", "shuffles")
        return [
            (
                f"work       {self.declared_rows:,} declared rows in {passes}: {scans}, {shuffles} of rows into "
                f"{self.tasks} tasks, {self.announced_cells:,} cells from each"
            ),
            f"output     {self.output_rows:,} rows drawn",
            f"time       about {self.core_seconds:,} core-seconds: {times} cores",
        ]


def fit_seconds(columns: int, synthesizer: str) -> float:
    """Core-seconds of choosing and fitting joint tables of so many columns."""
    return (FIT_S + columns * FIT_COLUMN_S) * FITS.get(synthesizer, 1)


def _layout(plan: Plan) -> Layout:
    """What the synthesizer's pass counts: the first round's queries, and whatever is announced for later ones."""
    first = next(plan.synthesizer.rounds(plan.task))
    asked = [base for item in first.asked for base in needs(item.query)]
    announced = [Marginal(clique) for clique in plan.synthesizer.cliques(plan.task)]
    return Layout.of(tuple(dict.fromkeys([*asked, *announced])), codebooks(plan.domain))


def _times(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
