"""The request for a release: who wants what for which purpose, from which source, at which privacy cost.

A request names no policy, ledger or zone: those are the site's, or its author could point at a fresh ledger.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from synthward.config.fields import Findings, key
from synthward.config.names import SCOPE_NAME
from synthward.config.text import LINE, PARAGRAPH
from synthward.spec.learn import Learn
from synthward.spec.patient_id import IdShape
from synthward.spec.rules import Rule

Audience = Literal["enclave", "team", "organisation", "partner", "public"]
AUDIENCES: tuple[Audience, ...] = ("enclave", "team", "organisation", "partner", "public")
"""From the narrowest to the widest; each includes the ones before it."""

MAX_PATIENTS = 2**34
MAX_ROWS = 2**36
MAX_ROWS_PER_PATIENT = 1023
MAX_RELEASE_ROWS = 10**10
MAX_TOGETHER = 8
"""Columns of a workload's table: `aim` considers all of its parts, which are two to the power of this."""

SMALLEST_DELTA = Decimal("1e-18")
"""Delta is charged in these units."""

NOT_BLANK = r"[\s\S]*\S[\s\S]*"
SCOPE = SCOPE_NAME.pattern
_NAME = r"[a-z][a-z0-9_]{0,99}"
TABLE = r"[^.`\s]+(\.[^.`\s]+){0,2}"


@dataclass(frozen=True)
class Requester:
    """The person who asks; never one of the approvers, and no approval is given in the same role."""

    name: str = key(doc="Account name of the requester, as the approvers know it.", pattern=NOT_BLANK, max_length=LINE)
    role: str = key(doc="The requester's role, one of the policy's.")


@dataclass(frozen=True)
class Purpose:
    """What the release is for."""

    code: str = key(doc="One of the policy's purposes.")
    text: str = key(
        doc="The purpose in a sentence, for the approvers.", pattern=NOT_BLANK, max_length=PARAGRAPH, lines=True
    )
    ticket: str = key(doc="Ticket, protocol or research plan the run is tied to.", pattern=NOT_BLANK, max_length=LINE)


@dataclass(frozen=True)
class CsvOptions:
    """How a CSV source is written."""

    delimiter: str = key(",", pattern=r"[\s\S]", doc="The character between columns.")
    quote: str = key('"', pattern=r"[\s\S]?", doc="The character around texts; an empty text for none.")
    escape: str = key('"', pattern=r"[\s\S]?", doc="The character before a quote inside of quotes.")
    encoding: Literal["UTF-8", "US-ASCII", "ISO-8859-1", "UTF-16", "UTF-16LE", "UTF-16BE", "UTF-32"] = key(
        "UTF-8", doc="Character encoding."
    )
    header: bool = key(True, doc="Whether the first line of every file names its columns.")
    names: tuple[str, ...] = key(
        (),
        pattern=NOT_BLANK,
        doc="Names of all columns, in order, of files without a header; their number is checked.",
        example="[patient_id, sex, age]",
    )
    # None stands in ledgers of a time when the promise was no default.
    records: Literal["one_per_line"] | None = key(
        "one_per_line",
        doc="Every line is one record. So the exporter has to promise that no text holds a line break; the promise is "
        "printed with the guarantee. There is no other way to read CSV.",
    )
    multiline: bool = key(False, doc="Always false: a quoted text may hold no line breaks.")

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if self.multiline:
            fix = "write the file to a Delta table first, or replace line breaks in the export, and remove this"
            yield "multiline", f"found true, but a quoted text with line breaks can swallow the records after it; {fix}"
        if len({self.delimiter, self.quote} | {"\n", "\r"}) < 4:
            yield "delimiter", "delimiter and quote must be two characters, neither of them a line break"
        elif self.quote and self.escape in ("\n", "\r", self.delimiter):
            yield "escape", "found the delimiter or a line break; use the quote itself, or a backslash"
        if self.header and self.names:
            yield "names", "applies to `header: false` only; with a header each file's first line names its columns"
        if not self.header and not self.names:
            yield "names", "`header: false` needs the names of all columns, for instance `names: [patient_id, sex]`"
        yield from _repeated("names", self.names)


@dataclass(frozen=True)
class Source:
    """One table to read: files at a path, or a table of the catalog."""

    format: Literal["csv", "parquet", "delta"] = key("delta", doc="Format of the files or of the table.")
    path: str | None = key(None, pattern=NOT_BLANK, doc="Folder or file; relative to the request's folder.")
    table: str | None = key(
        None, pattern=TABLE, doc="Name in the catalog, of one to three parts.", example="main.ehr.encounters"
    )
    snapshot: Literal["pin", "materialize"] = key(
        "pin", doc="pin: read one version; materialize: copy into the protected zone first (views, filtered tables)."
    )
    csv: CsvOptions | None = key(None, doc="For format csv only.")

    @property
    def location(self) -> str:
        """The path or the table name."""
        return self.path if self.path is not None else self.table or ""

    @property
    def csv_options(self) -> CsvOptions:
        """The CSV options, defaults where the request gives none."""
        return self.csv if self.csv is not None else CsvOptions()

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if (self.path is None) == (self.table is None):
            yield "path", "give either `path` or `table`" + ("" if self.path is None else ", not both")
        if self.csv is not None and self.format != "csv":
            yield "csv", f"applies to `format: csv` only, found `format: {self.format}`"
        if self.table is not None and self.path is None and self.format == "csv":
            yield "format", "a table of the catalog is delta or parquet, found csv; give a `path` for CSV files"


@dataclass(frozen=True)
class PathStep:
    """One foreign-key step towards the patient: a plain inner join."""

    source: Source = key(doc="The table to join.")
    on: dict[str, str] = key(doc="Column of what was read so far: column of this table.")

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if not self.on:
            yield "on", "name at least one pair of columns, for instance `on: {hadm_id: hadm_id}`"


@dataclass(frozen=True)
class Patient:
    """The privacy unit, how to find it, and the contribution bound."""

    unit: Literal["patient", "row"] = key(
        "patient", doc="What the guarantee protects; row is for benchmarks and needs the policy's allow_other_unit."
    )
    path: tuple[PathStep, ...] = key((), doc="Foreign-key path to the patient's id: inner joins, in order.")
    max_rows_per_patient: int = key(
        minimum=1,
        maximum=MAX_ROWS_PER_PATIENT,
        doc="Contribution bound K: rows of a patient beyond it are weighed down. A public choice, never from data.",
    )
    id: IdShape | None = key(
        None, doc="What an id looks like and what is none; what does not fit has no patient and is left out."
    )
    # Last, because from here on the name is the field and no longer the function.
    key: str | None = key(
        None,
        pattern=NOT_BLANK,
        doc="Column with the patient's id, after all joins of `path`; required for unit patient.",
    )

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if self.unit == "patient" and self.key is None:
            yield "key", "the key is missing; unit patient needs the column with the patient's id"
        if self.unit == "row":
            if self.key is not None:
                yield "key", "unit row has no key; remove it, or use `unit: patient`"
            if self.path:
                yield "path", "unit row has no path; remove it, or use `unit: patient`"
            if self.id is not None:
                yield "id", "unit row has no ids; remove it, or use `unit: patient`"
            if self.max_rows_per_patient != 1:
                yield "max_rows_per_patient", f"found {self.max_rows_per_patient}, but unit row allows 1 only"


@dataclass(frozen=True)
class Excluded:
    """The site's list of people who opted out: they are removed before anything is counted."""

    source: Source = key(doc="The table with the ids.")
    # Last, because from here on the name is the field and no longer the function.
    key: str = key(
        pattern=NOT_BLANK,
        doc="Column of that table with the patient's id, the same id as `patient.key`.",
        example="patient_id",
    )


@dataclass(frozen=True)
class Population:
    """Public statements about the people in the source; they own the budget."""

    scope: str = key(pattern=SCOPE, doc="Name of the population whose budget is charged.")
    declared_patients: int = key(
        minimum=1, maximum=MAX_PATIENTS, doc="Number of patients, as publicly known; round it, do not count."
    )
    declared_rows: int = key(
        minimum=1, maximum=MAX_ROWS, doc="Number of rows, as publicly known; round it, do not count."
    )
    excluded: Excluded | None = key(
        None, doc="People who opted out, by their ids; must be the list of the scope's population."
    )

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if self.declared_rows < self.declared_patients:
            yield "declared_rows", f"found {self.declared_rows}, below declared_patients {self.declared_patients}"


@dataclass(frozen=True)
class Detection:
    """A risk: how many of those who are in the source a test may find."""

    rate: Decimal = key(
        exclusive_minimum=0,
        maximum=1,
        doc="Largest share of those in the source that a test finds.",
        example="0.05",
    )
    false_alarms: Decimal = key(
        exclusive_minimum=0, maximum=Decimal("0.5"), doc="Its share of false alarms.", example="0.01"
    )

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if self.rate <= self.false_alarms:
            yield "rate", f"found {self.rate}; guessing alone finds false_alarms ({self.false_alarms}), allow more"
        elif self.rate >= 1:
            yield "rate", "found 1, which is no limit; use less"


@dataclass(frozen=True)
class Privacy:
    """The guarantee asked for: (epsilon, delta)-DP for neighbours that differ in one patient.

    It is stated as epsilon, or as the risk of a membership test, from which epsilon follows.
    """

    mechanism: Literal["laplace", "gaussian"] = key(doc="laplace: pure epsilon; gaussian: zCDP, needs a delta.")
    epsilon: Decimal | None = key(
        None,
        exclusive_minimum=0,
        doc="Epsilon of the whole release. A request may state a risk instead, by one of the next two keys.",
    )
    membership_advantage: Decimal | None = key(
        None,
        exclusive_minimum=0,
        maximum=1,
        doc="Largest excess of detections over false alarms of a test for one person; epsilon follows from it.",
        example="0.1",
        later=True,
    )
    detection: Detection | None = key(
        None,
        doc="Largest share found at a share of false alarms; epsilon follows from it.",
        example="{rate: 0.05, false_alarms: 0.01}",
        later=True,
    )
    delta: Decimal = key(Decimal(0), minimum=0, doc="Delta of the whole release; 0 for laplace.")

    @property
    def settled_epsilon(self) -> Decimal:
        """Epsilon of a request whose risk, if it stated one, was turned into an epsilon (`run.stated.settled`)."""
        assert self.epsilon is not None, "the risk was not turned into an epsilon yet"
        return self.epsilon

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        stated = [name for name in ("epsilon", "membership_advantage", "detection") if getattr(self, name) is not None]
        if len(stated) != 1:
            found = " and ".join(stated) or "none of them"
            yield "epsilon", f"state one of epsilon, membership_advantage and detection; found {found}"
        if self.membership_advantage == 1:
            yield "membership_advantage", "found 1, which is no limit; use less"
        if self.delta >= 1:
            yield "delta", f"found {self.delta}, allowed is less than 1, and far less than 1 / declared_patients"
        elif self.mechanism == "laplace" and self.delta:
            yield "delta", f"found {self.delta}, but laplace is pure: remove delta, or use `mechanism: gaussian`"
        elif self.mechanism == "gaussian" and self.delta < SMALLEST_DELTA:
            yield "delta", f"found {self.delta}, but gaussian needs {SMALLEST_DELTA} or more, for instance 1e-9"


@dataclass(frozen=True)
class WorkloadEntry:
    """Columns whose joint table matters more, or less, than others."""

    columns: tuple[str, ...] = key(
        doc=f"Two to {MAX_TOGETHER} columns; a table of three or more becomes a candidate this way.",
        example="[age, sex, ward]",
    )
    weight: int = key(
        1,
        minimum=1,
        maximum=1000,
        doc="How much an error of this table counts; pairs count 1 unless said, and three times what is said if they "
        "have the target.",
    )

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        yield from _repeated("columns", self.columns)
        if len(self.columns) < 2:
            yield "columns", "name two or more columns; every column by itself is measured anyway"
        if len(self.columns) > MAX_TOGETHER:
            yield (
                "columns",
                f"found {len(self.columns)} columns, allowed are {MAX_TOGETHER} together; name smaller tables",
            )


@dataclass(frozen=True)
class Synthesizer:
    """Which synthesizer fits the model, and its settings; a setting that a synthesizer does not use is refused."""

    name: str = key(
        "moments",
        pattern=_NAME,
        doc="moments, independent (columns by themselves), fixed (the tables named here), few_round (every relation "
        "worth its noise), tree or aim (tables that a junction tree can hold); the last three need gaussian noise.",
    )
    target: str | None = key(
        None,
        doc="Column to predict from the others; its pairs weigh three times as much (few_round, tree, aim).",
    )
    cliques: tuple[tuple[str, ...], ...] = key(
        (), doc="Columns of each joint table to measure (fixed).", example="[[age, sex], [ward, length_of_stay]]"
    )
    workload: tuple[WorkloadEntry, ...] = key((), doc="Weights of joint tables (few_round, tree, aim).")
    zeros: tuple[dict[str, tuple[str, ...]], ...] = key(
        (),
        doc="Impossible combinations, by column: no row of the release has one of the values in every column named.",
        example='[{sex: [M], pregnant: ["true"]}]',
    )
    max_cells: int = key(
        1_500_000,
        minimum=1_000,
        maximum=4_000_000,
        doc="Cells of the junction tree in all: what bounds time and memory of the fit, and the size of the model.",
    )
    max_iterations: int = key(400, minimum=10, maximum=10_000, doc="Steps of the last fit at most.")

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        for index, clique in enumerate(self.cliques):
            if len(clique) < 2 or len(set(clique)) < len(clique):
                yield f"cliques[{index}]", "name two or more different columns; single columns are measured anyway"
        for index, zero in enumerate(self.zeros):
            if not zero or not all(zero.values()):
                yield f"zeros[{index}]", "name at least one column, and at least one value for each column"


@dataclass(frozen=True)
class Output:
    """The release asked for."""

    name: str = key(pattern=_NAME, doc="Name of the published table: lower-case letters, digits, underscores.")
    rows: int = key(minimum=1, maximum=MAX_RELEASE_ROWS, doc="Rows of the release; chosen, never counted.")
    keys: Literal["omit", "fresh"] = key(
        "omit", doc="omit: the release has no key columns; fresh: `key_columns` get new ids, unrelated to the source's."
    )
    key_columns: tuple[str, ...] = key((), pattern=NOT_BLANK, max_length=LINE, doc="Key columns that get fresh ids.")
    types: Literal["source", "declared"] = key(
        "source",
        later=True,
        doc="source: columns have the types of the source; declared: those of the domain (BIGINT, DOUBLE, DATE, "
        "BOOLEAN, STRING), for a source whose types are narrower than the domain.",
        example="declared",
    )
    sampling_seed: int = key(
        1, minimum=0, maximum=2**63 - 1, doc="Public seed of the sampling, which is post-processing; noise has no seed."
    )
    where: dict[str, dict[str, Decimal]] = key(
        {},
        minimum=0,
        maximum=1,
        doc="Wanted shares of values, by column; the rest follows from the model.",
        example="{sex: {F: 1}}",
    )

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        yield from _repeated("key_columns", self.key_columns)
        if self.keys == "fresh" and not self.key_columns:
            yield "key_columns", "`keys: fresh` needs the key columns to fill, for instance [encounter_id]"
        if self.keys == "omit" and self.key_columns:
            yield "key_columns", "`keys: omit` has no key columns; remove them, or use `keys: fresh`"


@dataclass(frozen=True)
class MaxExpected:
    """Largest expected distances to the real rows; each entry is optional."""

    mean_column: Decimal | None = key(
        None, minimum=0, maximum=1, doc="Of the columns, in the mean; null for no limit.", example="0.01"
    )
    mean_pair: Decimal | None = key(
        None,
        minimum=0,
        maximum=1,
        doc="Of the pairs of which something is known, in the mean; null likewise.",
        example="0.03",
    )
    column: Decimal | None = key(
        None, minimum=0, maximum=1, doc="Of every single column; null likewise.", example="0.05"
    )
    pair: Decimal | None = key(
        None,
        minimum=0,
        maximum=1,
        doc="Of every pair; a pair of which nothing is known does not pass; null likewise.",
        example="0.15",
    )


@dataclass(frozen=True)
class Utility:
    """Thresholds the release must keep, declared before anything is measured."""

    max_out_of_domain_share: Decimal = key(
        minimum=0, maximum=1, doc="Largest noisy share of values outside of the declared domain."
    )
    max_clipped_share: Decimal = key(
        Decimal("0.1"),
        later=True,
        minimum=0,
        maximum=1,
        doc="Largest noisy share of values beyond a column's bounds (`outside: clip`).",
    )
    max_mean_tvd: Decimal | None = key(
        None, minimum=0, maximum=1, doc="Largest mean total variation distance to the noisy marginals; null for none."
    )
    max_mean_pair_tvd: Decimal | None = key(
        None,
        minimum=0,
        maximum=1,
        doc="Largest mean total variation distance of the measured pairs; null for none.",
        example="0.05",
    )
    max_expected: MaxExpected | None = key(
        None,
        doc="Largest expected distances to the real rows, by simulation; null for no limits.",
        example="{mean_pair: 0.05, column: 0.1}",
        later=True,
    )
    replicates: int = key(
        2,
        minimum=0,
        maximum=4,
        later=True,
        doc="Simulated releases from which the expected distance to the real rows follows: 2 to 4, or 0 for none. Each "
        "takes about as long as the fit; they read no data and cost no budget.",
    )

    rules: tuple[Rule, ...] | None = key(
        None,
        doc="Clinical rules that the rows of the release must keep; null for none.",
        example="[{name: no pregnant men, when: {sex: [M]}, never: {pregnant: ['true']}}]",
        later=True,
    )

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if self.rules is not None and not self.rules:
            yield "rules", "name at least one rule, or remove the key"
        if self.replicates == 1:
            yield "replicates", "found 1, which shows no spread; use 2 to 4, or 0 for none"
        if self.max_expected is not None and self.replicates == 0:
            yield "max_expected", "needs simulated releases; use replicates: 2 or more"


@dataclass(frozen=True)
class Request:
    """A request for a synthetic release."""

    version: Literal[1] = key(doc="Format version of this file.")
    title: str = key(doc="Title of the request.", pattern=NOT_BLANK, max_length=LINE)
    requester: Requester = key(doc="Who asks.")
    purpose: Purpose = key(doc="What for.")
    audience: Audience = key(doc="Who will get the release; with the policy it decides the tier.")
    expires: dt.date = key(doc="Last day on which the request may run.")
    retention_days: int | None = key(
        None,
        minimum=1,
        maximum=36600,
        doc="Days for which the release may be read, from its generation on; null for no end. Policy may set a limit.",
        example="365",
        later=True,
    )
    source: Source = key(doc="The table with the columns.")
    patient: Patient = key(doc="The privacy unit and its contribution bound.")
    population: Population = key(doc="Public statements about the population.")
    domain: str = key(
        doc="The domain file: a path relative to this file, in its folder or in `domains` beside a folder `requests`.",
        pattern=NOT_BLANK,
        max_length=4 * LINE,
    )
    columns: tuple[str, ...] = key(
        doc="The columns of the release; no other column is read.", pattern=NOT_BLANK, max_length=LINE
    )
    privacy: Privacy = key(doc="The guarantee asked for.")
    risk: str | None = key(
        None,
        doc="The risk statement: a path relative to this file, in its folder or below. Policy says from which tier on "
        "it is needed.",
        pattern=NOT_BLANK,
        max_length=4 * LINE,
        later=True,
    )
    learn: Learn | None = key(None, doc="Parts of the domain to measure first, within the same budget.")
    synthesizer: Synthesizer = key(Synthesizer(), doc="Which synthesizer fits the model.")
    output: Output = key(doc="The release asked for.")
    utility: Utility = key(doc="Thresholds, declared before anything is measured.")

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every table that is read: the one with the columns, those of the path in order, the list of opt-outs."""
        excluded = self.population.excluded
        steps = tuple(step.source for step in self.patient.path)
        return (self.source, *steps, *([excluded.source] if excluded is not None else []))

    @property
    def linking_columns(self) -> frozenset[str]:
        """Lower-case names of every key of the request: they are read or made afresh, never reproduced."""
        names = {*self.output.key_columns, *([self.patient.key] if self.patient.key is not None else [])}
        for step in self.patient.path:
            names |= {*step.on.keys(), *step.on.values()}
        return frozenset(name.lower() for name in names)

    @property
    def promises(self) -> tuple[str, ...]:
        """What exporters of the sources promise and the guarantee depends on, in sentences; part of every claim."""
        return tuple(
            f"CSV source '{one.location}': no text holds a line break, so that every line is one record; a line that "
            "is no well-formed record counts for nobody"
            for one in self.sources
            if one.format == "csv"
        )

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if not self.columns:
            yield "columns", "name at least one column"
        if self.patient.unit == "row" and self.population.excluded is not None:
            yield "population.excluded", "unit row has no ids by which people could be left out; use `unit: patient`"
        yield from _repeated("columns", self.columns)
        for index, column in enumerate(self.columns):
            if column.lower() in self.linking_columns:
                yield (
                    f"columns[{index}]",
                    f"{column!r} is a key of this request; keys are never reproduced (see `output.keys: fresh`)",
                )


def _repeated(path: str, names: tuple[str, ...]) -> Findings:
    """Names listed twice; Spark does not tell upper and lower case of column names apart."""
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if name.lower() in first:
            yield f"{path}[{index}]", f"{name!r} is listed again (case does not matter); keep one"
        first.setdefault(name.lower(), index)
