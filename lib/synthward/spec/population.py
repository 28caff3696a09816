"""A population: the people of some tables, how their ids are found there, and the budget that they own together.

The privacy officer writes it once, in `conf/populations/*.yaml`, and opens its budget (`synthward budget open FILE`). A
table belongs to exactly one population; a request that reads other tables, or finds people by another key, path or id
shape, is refused before anything is read.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from synthward.config.canonical import canonical_json, digest
from synthward.config.fields import key
from synthward.config.loader import load_document, restore
from synthward.config.locations import resolve
from synthward.spec.patient_id import IdShape, same_shape, shape_words
from synthward.spec.request import MAX_PATIENTS, MAX_ROWS, NOT_BLANK, SCOPE, TABLE, CsvOptions, Source
from synthward.spec.request_file import RequestFile
from synthward.store.addresses import path_address, real_path, table_address

_TABLE_ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

Findings = Iterator[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """A table by its location."""

    format: Literal["csv", "parquet", "delta"] = key("delta", doc="Format of the files or of the table.")
    path: str | None = key(None, pattern=NOT_BLANK, doc="Folder or file; relative to this file's folder.")
    table: str | None = key(
        None, pattern=TABLE, doc="Name in the catalog, of one to three parts.", example="main.ehr.encounters"
    )
    table_id: str | None = key(
        None,
        pattern=_TABLE_ID,
        doc="Delta's id of the table (DESCRIBE DETAIL); without it, the id that a Delta table has when it is opened.",
        example="0f1d2c3b-4a59-4687-9798-a6b5c4d3e2f1",
    )

    csv: CsvOptions | None = key(
        None,
        doc="For format csv only: how the files are written. A request that says otherwise could give any column the "
        "name of the key.",
        example='{delimiter: ";"}',
    )

    @property
    def location(self) -> str:
        """The path or the table name."""
        return self.path if self.path is not None else self.table or ""

    @property
    def reading(self) -> CsvOptions | None:
        """How CSV files are cut into named fields; None for other formats."""
        if self.format != "csv":
            return None
        return dataclasses.replace(self.csv if self.csv is not None else CsvOptions(), records="one_per_line")

    @property
    def address(self) -> str:
        """The location in the one spelling that is compared; for a resolved table."""
        return table_address(self.table or "") if self.path is None else path_address(self.path)

    def resolved(self, folder: Path) -> Table:
        """The table with its path resolved against a folder, symbolic links included.

        What a link points to may change later; what the population owns does not.
        """
        return self if self.path is None else dataclasses.replace(self, path=real_path(resolve(folder, self.path)))

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if (self.path is None) == (self.table is None):
            yield "path", "give either `path` or `table`" + ("" if self.path is None else ", not both")
        if self.table is not None and self.path is None and self.format == "csv":
            yield "format", "a table of the catalog is delta or parquet, found csv; give a `path` for CSV files"
        if self.csv is not None and self.format != "csv":
            yield "csv", f"applies to `format: csv` only, found `format: {self.format}`"
        if self.table_id is not None and self.format != "delta":
            yield "table_id", f"only Delta tables have one, found format {self.format}; remove it"


@dataclass(frozen=True)
class Step:
    """One foreign-key step towards the patient, as in a request."""

    source: Table = key(doc="The table to join.")
    on: dict[str, str] = key(doc="Column of what was read so far: column of this table.")

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if not self.on:
            yield "on", "name at least one pair of columns, for instance `on: {hadm_id: hadm_id}`"


@dataclass(frozen=True)
class Route:
    """A table that requests may read, and the way from its rows to the patient's id."""

    source: Table = key(doc="The table with the columns.")
    path: tuple[Step, ...] = key((), doc="Foreign-key path to the patient's id: inner joins, in order.")
    declared_rows: int | None = key(
        None, minimum=1, maximum=MAX_ROWS, doc="Number of its rows, as publicly known; requests declare the same."
    )
    # Last, because from here on the name is the field and no longer the function.
    key: str | None = key(
        None,
        pattern=NOT_BLANK,
        doc="Column with the id where it has another name than the population's `key`.",
        example="patient_id",
    )

    @property
    def tables(self) -> tuple[Table, ...]:
        """The table and those of its path, in order."""
        return (self.source, *(step.source for step in self.path))


@dataclass(frozen=True)
class OptOuts:
    """The site's list of people who opted out; requests name the same one."""

    source: Table = key(doc="The table with the ids.")
    # Last, because from here on the name is the field and no longer the function.
    key: str = key(pattern=NOT_BLANK, doc="Column of that table with the patient's id.", example="patient_id")


@dataclass(frozen=True)
class Budget:
    """The cap of everything ever released about the population."""

    epsilon: Decimal = key(exclusive_minimum=0, doc="Cap on epsilon, at `delta`.")
    delta: Decimal = key(minimum=0, doc="The delta at which that cap is stated.")

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if self.delta >= 1:
            yield "delta", f"found {self.delta}, allowed is less than 1, and far less than 1 / declared_patients"


@dataclass(frozen=True)
class People:
    """Who the people are and where they are found: what stands in the ledger, with resolved locations."""

    unit: Literal["patient", "row"] = key("patient", doc="The privacy unit; row is for benchmarks.")
    sources: tuple[Route, ...] = key(doc="The tables that the population owns, with their paths to the patient.")
    id: IdShape | None = key(None, doc="What an id looks like and what is none; requests declare the same.")
    excluded: OptOuts | None = key(None, doc="People who opted out, by their ids; requests name the same list.")
    # Last, because from here on the name is the field and no longer the function.
    key: str | None = key(
        None, pattern=NOT_BLANK, doc="Column with the patient's id, after all joins of a path; required for patients."
    )

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if not self.sources:
            yield "sources", "name at least one table"
        if self.unit == "patient" and self.key is None:
            yield "key", "the key is missing; unit patient needs the column with the patient's id"
        if self.unit == "row":
            forbidden = {"key": self.key, "id": self.id, "excluded": self.excluded}
            for name, value in forbidden.items():
                if value is not None:
                    yield name, "unit row has no ids; remove it, or use `unit: patient`"
            for index, route in enumerate(self.sources):
                if route.path or route.key is not None:
                    yield f"sources[{index}]", "unit row has neither path nor key; remove it"

    def key_of(self, route: Route) -> str | None:
        """The column with the id at the end of a route."""
        return route.key if route.key is not None else self.key

    @property
    def owned(self) -> tuple[Table, ...]:
        """Every table on a route, once."""
        found = {table.address: table for route in self.sources for table in route.tables}
        return tuple(found.values())

    @property
    def body(self) -> dict[str, Any]:
        """The form of the ledger."""
        body: dict[str, Any] = json.loads(canonical_json(self))
        return body

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> People:
        """The inverse of `body`.

        Raises:
            ConfigError: It is none.
        """
        return restore(canonical_json(body), People)


@dataclass(frozen=True)
class Population(People):
    """A population file as written."""

    version: Literal[1] = key(doc="Format version of this file.")
    scope: str = key(pattern=SCOPE, doc="Name of the population; requests name it and are charged to it.")
    title: str = key(pattern=NOT_BLANK, doc="Who these people are, in a sentence.")
    declared_patients: int = key(
        minimum=1, maximum=MAX_PATIENTS, doc="Number of patients, as publicly known; round it, do not count."
    )
    budget: Budget = key(doc="The cap of everything ever released about them; it is never changed.")


@dataclass(frozen=True)
class PopulationFile:
    """A population as read from its file.

    Attributes:
        path: The file.
        population: Its content, with resolved locations.
        digest: SHA-256 of the content, resolved locations included.
    """

    path: Path
    population: Population
    digest: str

    @property
    def people(self) -> People:
        """The part that stands in the ledger."""
        return People(**{item.name: getattr(self.population, item.name) for item in dataclasses.fields(People)})


def load_population(path: Path, *, source_override: str | None = None) -> PopulationFile:
    """Read a population file.

    Args:
        path: The file.
        source_override: Replaces the location of the first source, as `--source` of a request does.

    Raises:
        ConfigError: With every problem found.
    """
    document = load_document(path, Population)
    written, folder = document.value, path.parent
    routes = [
        dataclasses.replace(
            route,
            source=route.source.resolved(folder),
            path=tuple(dataclasses.replace(step, source=step.source.resolved(folder)) for step in route.path),
        )
        for route in written.sources
    ]
    if source_override is not None:
        routes[0] = dataclasses.replace(routes[0], source=_moved(routes[0].source, source_override, folder))
    excluded = written.excluded
    if excluded is not None:
        excluded = dataclasses.replace(excluded, source=excluded.source.resolved(folder))
    population = dataclasses.replace(written, sources=tuple(routes), excluded=excluded)
    return PopulationFile(path, population, digest(population))


def _moved(table: Table, location: str, folder: Path) -> Table:
    if table.path is None:
        return dataclasses.replace(table, table=location, table_id=None)
    return dataclasses.replace(table, path=location, table_id=None).resolved(folder)


def table_of(file: RequestFile, source: Source) -> Table:
    """A source of a request as a table, resolved."""
    found = file.resolved(source)
    return Table(format=found.format, path=found.path, table=found.table, csv=found.csv)


def people_of(file: RequestFile) -> People:
    """The people that a request speaks of: one route, its own."""
    request = file.request
    patient, excluded = request.patient, request.population.excluded
    route = Route(
        source=table_of(file, request.source),
        path=tuple(Step(source=table_of(file, step.source), on=dict(step.on)) for step in patient.path),
        declared_rows=request.population.declared_rows,
    )
    return People(
        unit=patient.unit,
        sources=(route,),
        id=patient.id,
        excluded=None if excluded is None else OptOuts(source=table_of(file, excluded.source), key=excluded.key),
        key=patient.key,
    )


def route_of(people: People, file: RequestFile) -> Route | None:
    """The population's route that begins at the request's source, None where it owns no such table."""
    wanted = table_of(file, file.request.source)
    return next((route for route in people.sources if _same_place(route.source, wanted)), None)


def differences(scope: str, people: People, file: RequestFile) -> list[str]:
    """Why a request is not about a scope's people; empty when it is. All reasons at once.

    Args:
        scope: Name of the scope.
        people: The people it was opened for.
        file: The request.
    """
    asked = people_of(file)
    found: list[str] = []
    route = route_of(people, file)
    if route is None:
        listed = ", ".join(f"{item.source.location} ({item.source.format})" for item in people.sources)
        source = asked.sources[0].source
        found.append(
            f"source: {source.location} ({source.format}) is no source of scope '{scope}', which owns {listed}; use "
            f"the scope that owns it, or have it added: synthward budget add {scope} {source.location} --by ..."
        )
    else:
        if route.source.reading != asked.sources[0].source.reading:
            found.append(
                f"source.csv: scope '{scope}' was opened for files that are written in another way; give the options "
                "of its population file"
            )
        found += _route_differences(scope, people, route, asked)
    if not same_shape(people.id, asked.id):
        found.append(
            f"patient.id: scope '{scope}' was opened for {shape_words(people.id)}, the request says "
            f"{shape_words(asked.id)}; declare the same ids"
        )
    if not _same_list(people.excluded, asked.excluded):
        have = "none" if people.excluded is None else f"{people.excluded.source.location}, key {people.excluded.key}"
        found.append(
            f"population.excluded: the list of opt-outs of scope '{scope}' is {have}; name the same one in the request"
        )
    return found


def _route_differences(scope: str, people: People, route: Route, asked: People) -> Iterator[str]:
    wanted = asked.sources[0]
    if asked.key != people.key_of(route):
        yield (
            f"patient.key: scope '{scope}' finds people in {route.source.location} by {people.key_of(route)}, the "
            f"request by {asked.key}; use the same key"
        )
    if not _same_path(route.path, wanted.path):
        yield (
            f"patient.path: scope '{scope}' goes from {route.source.location} to the patient {_way(route.path)}, the "
            f"request {_way(wanted.path)}; use the same path"
        )
    if route.declared_rows is not None and wanted.declared_rows != route.declared_rows:
        yield (
            f"population.declared_rows: scope '{scope}' declares {route.declared_rows} rows of "
            f"{route.source.location}, the request {wanted.declared_rows}; use the same number"
        )


def _way(path: tuple[Step, ...]) -> str:
    steps = [f"{step.source.location} on {', '.join(f'{a} = {b}' for a, b in step.on.items())}" for step in path]
    return f"by way of {'; '.join(steps)}" if steps else "directly"


def _same_place(one: Table, other: Table) -> bool:
    return (one.format, one.address) == (other.format, other.address)


def _same_table(one: Table, other: Table) -> bool:
    """The same table, read in the same way."""
    return _same_place(one, other) and one.reading == other.reading


def _same_path(one: tuple[Step, ...], other: tuple[Step, ...]) -> bool:
    return len(one) == len(other) and all(
        _same_table(a.source, b.source) and a.on == b.on for a, b in zip(one, other, strict=True)
    )


def _same_list(one: OptOuts | None, other: OptOuts | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.key == other.key and _same_table(one.source, other.source)
