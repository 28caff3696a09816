"""Tables of a population asked for their Delta ids: when the population is opened, and when a run opens its source.

A table that was dropped and made again in the same place has another id: it may hold other people.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from synthward.conditions import kind_of
from synthward.errors import SourceError
from synthward.sources.reading import PinnedSource
from synthward.spec.population import OptOuts, People, Route, Step, Table, route_of
from synthward.spec.request_file import RequestFile
from synthward.store.delta import table_id
from synthward.store.places import TableRef

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def with_ids(spark: SparkSession, people: People) -> People:
    """The people with the ids of all their Delta tables; metadata only.

    Raises:
        SourceError: A Delta table is not there, or has another id than the population file says.
    """
    excluded = people.excluded
    return dataclasses.replace(
        people,
        sources=tuple(route_with_ids(spark, route) for route in people.sources),
        excluded=None if excluded is None else list_with_id(spark, excluded),
    )


def route_with_ids(spark: SparkSession, route: Route) -> Route:
    """A route with the ids of its Delta tables; raises as `with_ids`."""
    steps = tuple(Step(source=_identified(spark, step.source), on=step.on) for step in route.path)
    return dataclasses.replace(route, source=_identified(spark, route.source), path=steps)


def list_with_id(spark: SparkSession, excluded: OptOuts) -> OptOuts:
    """A list of opt-outs with the id of its Delta table; raises as `with_ids`."""
    return dataclasses.replace(excluded, source=_identified(spark, excluded.source))


def _identified(spark: SparkSession, table: Table) -> Table:
    if table.format != "delta":
        return table
    found = _id_of(spark, table)
    if table.table_id not in (None, found):
        raise SourceError(
            f"table '{table.location}' has another id than the population file says; it is another table. Look who "
            "made it, and write its id (DESCRIBE DETAIL) if it is about the same people"
        )
    return dataclasses.replace(table, table_id=found)


def _id_of(spark: SparkSession, table: Table) -> str | None:
    """Delta's id of a table; None for a view, which has none."""
    ref = TableRef(path=table.path) if table.path is not None else TableRef(parts=tuple(str(table.table).split(".")))
    try:
        return table_id(spark, ref)
    except Exception as error:  # noqa: BLE001  a classic session passes some errors on as py4j's own
        failure = kind_of(error)
    if table.table is not None and _is_view(spark, table.table):
        return None
    raise SourceError(
        f"table '{table.location}' cannot be looked up as a Delta table ({failure}); a population is opened for tables "
        "that are there: check location and format"
    )


def _is_view(spark: SparkSession, name: str) -> bool:
    try:
        _ = spark.table(name).schema
    except Exception:  # noqa: BLE001  see above
        return False
    return True


def require_same_tables(
    spark: SparkSession, scope: str, people: People | None, file: RequestFile, pinned: PinnedSource
) -> None:
    """Refuse tables that are others than those for which the scope was opened, by their Delta ids.

    Args:
        spark: Session.
        scope: Name of the scope.
        people: Its people; None for a scope that is bound to no source, which has nothing to compare.
        file: The request, of which the plan has compared locations, key and path.
        pinned: Its tables as they are now.

    Raises:
        SourceError: A table was made again since.
    """
    if people is None:
        return
    route = route_of(people, file)
    if route is None:
        raise SourceError(f"source '{pinned.tables[0].source.location}' is no source of scope '{scope}'")
    lists = [] if people.excluded is None else [people.excluded.source]
    for owned, table in zip([*route.tables, *lists], pinned.tables, strict=True):
        if owned.table_id is None:
            continue
        found = table.table_id if table.table_id is not None else table_id(spark, table.ref)
        if found != owned.table_id:
            raise SourceError(
                f"source '{table.source.location}' is another table than the one for which scope '{scope}' was opened: "
                "it was dropped and made again. Nothing was read or spent. Restore it; or, if it is about the same "
                "people, write it in a place of its own and have that added to the scope (synthward budget add)"
            )
