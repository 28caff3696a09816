"""Sources and zones are kept apart, as far as only a session can tell: whose files a catalog's table or a view reads.

`spec.apart` compares how locations are written. A table of a catalog may have its files in a zone, a zone may be a
schema whose files a request names by path, and a view may read a table of the site. Metadata are asked only; no row is
read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synthward.conditions import kind_of
from synthward.config.places import CATALOG, place_of, relation
from synthward.errors import SourceError
from synthward.sources.protocol import Pinned
from synthward.sources.reading import PinnedSource
from synthward.spec.apart import in_zone, met_zones
from synthward.spec.site import ZONES, Site
from synthward.store.delta import Identity, exists, identity
from synthward.store.places import Zone

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_TABLES = {"ledger": ("charges",), "protected": ("journal", "approvals", "runs"), "releases": ("releases", "artifacts")}
"""The site's own tables, by zone."""


@dataclass(frozen=True)
class _Known:
    """A table of the site: its zone and its identity."""

    zone: str
    table: Identity


def refuse_zones(spark: SparkSession, site: Site, pinned: PinnedSource) -> None:
    """Refuse a source that is a table of the site, or whose files lie in a zone.

    Args:
        spark: The session.
        site: The site.
        pinned: The source.

    Raises:
        SourceError: With every table of the source that meets a zone.
    """
    known: list[_Known] | None = None
    problems: list[str] = []
    for table in pinned.tables:
        met = set(met_zones(table.source.location, site))
        if not met and _needs_a_session(table, site):
            known = _own_tables(spark, site) if known is None else known
            met = _zones_of(spark, table, site, known)
        problems += [f"source {in_zone(table.source.location, zone)}" for zone in ZONES if zone in met]
    if problems:
        raise SourceError("\n".join(problems))


def _needs_a_session(table: Pinned, site: Site) -> bool:
    """False where source and zones are all folders of one kind of file system: how they are written says all."""
    schemes = {place_of(getattr(site, zone)).scheme for zone in ZONES}
    return table.source.path is None or CATALOG in schemes


def _own_tables(spark: SparkSession, site: Site) -> list[_Known]:
    tables = [(zone, Zone(getattr(site, zone)).table(name)) for zone, names in _TABLES.items() for name in names]
    return [_Known(zone, identity(spark, ref)) for zone, ref in tables if exists(spark, ref)]


def _zones_of(spark: SparkSession, table: Pinned, site: Site, known: Sequence[_Known]) -> set[str]:
    if table.table_id is not None:
        found = identity(spark, table.ref)
        return {entry.zone for entry in known if found.id == entry.table.id} | _met([found.location], site, known)
    if table.source.path is not None:
        return _met([table.source.path], site, known)
    return _met({file.rpartition("/")[0] for file in _files(spark, table)}, site, known)


def _met(folders: Iterable[str], site: Site, known: Sequence[_Known]) -> set[str]:
    """Zones that folders meet: the zone's own folder, or that of a table of the site where the zone is a schema."""
    zones: set[str] = set()
    for folder in folders:
        zones.update(met_zones(folder, site))
        zones.update(entry.zone for entry in known if relation(folder, entry.table.location) is not None)
    return zones


def _is_of_a_cell(error: Exception) -> bool:
    """Return True for a data exception (SQLSTATE class 22): rows written in the view itself cannot be computed.

    Over Connect such rows are computed when the view is planned. The same plan is made for the copy, so a view that
    ends here ends there as well: nothing of it is ever read.
    """
    state = getattr(error, "getSqlState", None)
    return callable(state) and str(state() or "").startswith("22")


def _files(spark: SparkSession, table: Pinned) -> list[str]:
    """Files that a view, or a table without versions, reads as it stands."""
    try:
        source = table.source
        reader = spark.read.format(source.format)
        frame = reader.load(source.path) if source.path is not None else spark.read.table(str(source.table))
        return list(frame.inputFiles())
    except Exception as error:  # noqa: BLE001  a classic session passes some errors on as py4j's own
        if _is_of_a_cell(error):
            return []
        raise SourceError(
            f"source '{table.source.location}' cannot be asked which files it reads ({kind_of(error)}), so that it "
            "cannot be told from the site's own tables; check that the view is readable"
        ) from None
