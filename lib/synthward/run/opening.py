"""Opening a run: the source is pinned once, before the charge, and the journal remembers it.

What has no versions is copied once, after the charge, and the journal remembers the copy's version.
"""

from __future__ import annotations

import json
import logging
import secrets
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import types as T

from synthward.conditions import kind_of
from synthward.domain.codes import codebooks
from synthward.release.fitting import key_types
from synthward.release.table import release_types
from synthward.run import rehearsal
from synthward.run.environment import Environment, Places
from synthward.run.journal import COPIED, OPENED, SEALED, Journal
from synthward.run.plan import Plan
from synthward.sources import copying
from synthward.sources import reading as source
from synthward.sources.reading import PinnedSource
from synthward.store.places import TableRef

logger = logging.getLogger(__name__)


def open_source(env: Environment, plan: Plan, places: Places, journal: Journal) -> PinnedSource:
    """Pins the source, or returns the state that the run pinned first.

    Columns, types and keys are checked here, on the schema alone, and the release is rehearsed, so that a request that
    does not fit its source is refused before anything is spent. No row is read.

    Raises:
        SourceError: The source does not fit the request, or cannot be pinned.
    """
    link, _ = journal.once(OPENED, lambda: (_opening(env, plan, places), None))
    return PinnedSource.restored(plan.file, link.facts["source"])


def _opening(env: Environment, plan: Plan, places: Places) -> dict[str, Any]:
    pinned = source.pin(env.spark, plan.file)
    copies = [places.copy_of_source(place) for place in pinned.unversioned]
    source.source_rows(env.spark, pinned, plan.file, codebooks(plan.domain))
    types = _types(env.spark, plan, pinned)
    _rehearse(env, plan, places, pinned, types)
    return {
        "source": pinned.record(),
        "copies": [str(ref) for ref in copies],
        "types": json.loads(types.json()),
        "source_ref": secrets.token_hex(16),
        # Its own random number, because a hash of this link would tell of what was pinned.
        "journal_id": secrets.token_hex(16),
        "request_digest": plan.file.digest,
        "run_key": plan.identity.run_key,
        "scope": plan.file.request.population.scope,
        "release_id": plan.identity.release_id,
        "table": str(places.target),
    }


def _rehearse(env: Environment, plan: Plan, places: Places, pinned: PinnedSource, types: T.StructType) -> None:
    """Tries the release with public values, before the link `opened` and so before the charge; see `rehearsal`."""
    first = source.open_table(env.spark, pinned.tables[0])
    read = {name: source.resolve_column(first, name)[1] for name in plan.domain.attributes}
    declared = plan.domain if plan.learning is None else plan.learning.declared
    by_name = {field.name: field.dataType for field in types.fields}
    output = plan.file.request.output
    keys = {name: by_name[name] for name in output.key_columns}
    script = rehearsal.Script.of(declared, by_name, keys, output.rows)
    rehearsal.rehearse(env.spark, script, places.rehearsal, read)


def copy_source(env: Environment, plan: Plan, places: Places, journal: Journal, pinned: PinnedSource) -> PinnedSource:
    """Copies the tables that have no versions, once; or returns the copies that the run measures already.

    Called after the charge, because it reads rows. A copy that is gone is made again as long as nothing is sealed:
    until then it has influenced nothing. Afterwards it stands for the rest of the run, there or not.

    Raises:
        SourceError: A table cannot be copied; none of its copies is left.
    """
    last = journal.newest(COPIED)
    if last is not None:
        copied = PinnedSource.restored(plan.file, last.facts["source"])
        if journal.find(SEALED) is not None or copying.is_whole(env.spark, copied, pinned.unversioned):
            return copied
    copies = {place: places.copy_of_source(place) for place in pinned.unversioned}

    def make() -> tuple[dict[str, Any], None]:
        return {"source": copying.copy_tables(env.spark, pinned, plan.file, copies).record()}, None

    return PinnedSource.restored(plan.file, journal.once_more(COPIED, last, make).facts["source"])


def discard_copies(env: Environment, plan: Plan) -> None:
    """Drops what a refused run has copied, so that it does not wait for a try that may never come.

    Not once something is sealed: the rest of the run needs this very state. It never raises, since what the run was
    refused for is what has to be told.
    """
    sources = (plan.file.request.source, *(step.source for step in plan.file.request.patient.path))
    if all(entry.snapshot != "materialize" for entry in sources):
        return
    journal = Journal(env.journal, plan.identity.run_id)
    try:
        copied, sealed = journal.newest(COPIED), journal.find(SEALED)
        opened = journal.find(OPENED)
    except Exception as error:  # noqa: BLE001  see above
        logger.warning("run %s: copies were not looked for (%s)", plan.identity.run_id, kind_of(error))
        return
    if copied is not None and opened is not None and sealed is None:
        copying.discard(env.spark, [TableRef.parse(copy) for copy in opened.facts["copies"]])


def _types(spark: SparkSession, plan: Plan, pinned: PinnedSource) -> T.StructType:
    """Types of the release: those of the source's schema, or of the attributes where the source is text."""
    first = source.open_table(spark, pinned.tables[0])
    by_domain = pinned.tables[0].source.format == "csv" or plan.file.request.output.types == "declared"
    keys = plan.file.request.output.key_columns
    found: dict[str, T.DataType | None] = {
        name: None if by_domain else source.resolve_column(first, name)[1] for name in plan.domain.attributes
    }
    types = release_types(codebooks(plan.domain), found)
    fresh = key_types({name: source.resolve_column(first, name)[1] for name in keys})
    return T.StructType([T.StructField(name, data_type) for name, data_type in (fresh | types).items()])


def opened_types(facts: dict[str, Any]) -> T.StructType:
    """The release's types as an opening has recorded them."""
    return T.StructType.fromJson(facts["types"])
