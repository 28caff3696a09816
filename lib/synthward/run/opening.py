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
from synthward.errors import IntegrityError
from synthward.records.codec import encode
from synthward.records.journal import Copied, Opened
from synthward.release.fitting import key_types
from synthward.release.table import release_types
from synthward.run import rehearsal
from synthward.run.apart import refuse_zones
from synthward.run.committed import CommittedJournal
from synthward.run.environment import Environment, Places
from synthward.run.journal import COPIED, OPENED, SEALED, Journal, entry
from synthward.run.ownership import require_same_tables
from synthward.run.plan import Plan
from synthward.sources import copying
from synthward.sources import reading as source
from synthward.sources.patient import source_rows
from synthward.sources.reading import PinnedSource
from synthward.store.places import TableRef

logger = logging.getLogger(__name__)


def open_source(env: Environment, plan: Plan, places: Places, journal: Journal) -> PinnedSource:
    """Pins the source, or returns the state that the run pinned first.

    Columns, types and keys are checked here, on the schema alone, and the release is rehearsed, so that a request that
    does not fit its source is refused before anything is spent. No row is read.

    What stands in the journal already must be the opening of this request: somebody else may have written it there.

    Raises:
        SourceError: The source does not fit the request, cannot be pinned, or is the site's own.
        IntegrityError: The journal holds the opening of another source or request.
    """
    link, is_new = journal.once(OPENED, lambda: (encode(_opening(env, plan, places)), None))
    if not is_new:
        _refuse_another_opening(entry(link, Opened), plan, places)
    return PinnedSource.restored(plan.file, entry(link, Opened).source)


def _opening(env: Environment, plan: Plan, places: Places) -> Opened:
    pinned = source.pin(env.spark, plan.file)
    refuse_zones(env.spark, env.site, pinned)
    scope = env.ledger.state(plan.file.request.population.scope)
    require_same_tables(env.spark, scope.scope, scope.people, plan.file, pinned)
    source_rows(env.spark, pinned, plan.file, codebooks(plan.domain))
    types = _types(env.spark, plan, pinned)
    _rehearse(env, plan, places, pinned, types)
    return Opened(
        source=pinned.record(),
        copies=tuple(str(places.copy_of_source(place)) for place in pinned.unversioned),
        types=json.loads(types.json()),
        source_ref=secrets.token_hex(16),
        journal_id=secrets.token_hex(16),
        # The charge names the hash of this link, and a ledger is read by people who may not see the protected zone.
        # This number is never published, so that nobody can try out what was pinned until the hash comes out.
        blind=secrets.token_hex(32),
        table=str(places.target),
        **_approved(plan),
    )


def _approved(plan: Plan) -> dict[str, str]:
    """What an opening says of the request."""
    return {
        "request_digest": plan.file.digest,
        "run_key": plan.identity.run_key,
        "scope": plan.file.request.population.scope,
        "release_id": plan.identity.release_id,
    }


def _refuse_another_opening(opened: Opened, plan: Plan, places: Places) -> None:
    """Refuses a recorded opening that is not about the approved request and its source.

    Raises:
        IntegrityError: It names another location, request, scope or place of copies.
    """
    wrong = [name for name, value in _approved(plan).items() if getattr(opened, name) != value]
    located = [table.location for table in opened.source]
    if located != [entry.location for entry in source.resolved_sources(plan.file)]:
        wrong.append("source")
    versionless = [k for k, table in enumerate(opened.source) if table.version is None and table.fingerprint is None]
    if opened.copies != tuple(str(places.copy_of_source(place)) for place in versionless):
        wrong.append("copies")
    if wrong:
        raise IntegrityError(
            f"run {plan.identity.run_id}: its journal holds an opening that is not of the approved request (it differs "
            f"in {', '.join(wrong)}); the journal was written by somebody else, and nothing in it is obeyed. Find out "
            "who writes to the protected zone, then start a run with a new key"
        )


def _rehearse(env: Environment, plan: Plan, places: Places, pinned: PinnedSource, types: T.StructType) -> None:
    """Tries the release with public values, before the link `opened` and so before the charge; see `rehearsal`."""
    first = source.open_table(env.spark, pinned.tables[0], list(plan.domain.attributes)).schema
    read = {name: first[name].dataType for name in plan.domain.attributes}
    declared = plan.domain if plan.learning is None else plan.learning.declared
    by_name = {field.name: field.dataType for field in types.fields}
    output = plan.file.request.output
    keys = {name: by_name[name] for name in output.key_columns}
    script = rehearsal.Script.of(declared, by_name, keys, output.rows)
    rehearsal.rehearse(env.spark, script, places.rehearsal, read)


def copy_source(
    env: Environment, plan: Plan, places: Places, committed: CommittedJournal, pinned: PinnedSource
) -> PinnedSource:
    """Copies the tables that have no versions, once; or returns the copies that the run measures already.

    Called after the charge, because it reads rows. A copy that is gone is made again as long as nothing is sealed:
    until then it has influenced nothing. Afterwards it stands for the rest of the run, there or not.

    Raises:
        SourceError: A table cannot be copied; none of its copies is left.
        IntegrityError: The record of a copy that was measured is gone.
    """
    done = committed.copies()
    if done:
        copied = PinnedSource.restored(plan.file, entry(done[-1], Copied).source)
        if committed.is_sealed() or copying.is_whole(env.spark, copied, pinned.unversioned):
            return copied
    copies = {place: places.copy_of_source(place) for place in pinned.unversioned}

    def make() -> tuple[dict[str, Any], None]:
        return encode(Copied(copying.copy_tables(env.spark, pinned, plan.file, copies).record())), None

    return PinnedSource.restored(plan.file, entry(committed.copy_again(len(done), make), Copied).source)


def discard_copies(env: Environment, plan: Plan) -> None:
    """Drops what a refused run has copied, so that it does not wait for a try that may never come.

    Not once something is sealed: the rest of the run needs this very state. It never raises, since what the run was
    refused for is what has to be told.
    """
    if all(entry.snapshot != "materialize" for entry in plan.file.request.sources):
        return
    journal = Journal(env.journal, plan.identity.run_id)
    try:
        copied, sealed = journal.newest(COPIED), journal.find(SEALED)
        opened = journal.find(OPENED)
    except Exception as error:  # noqa: BLE001  see above
        logger.warning("run %s: copies were not looked for (%s)", plan.identity.run_id, kind_of(error))
        return
    if copied is not None and opened is not None and sealed is None:
        copying.discard(env.spark, [TableRef.parse(copy) for copy in entry(opened, Opened).copies])


def _types(spark: SparkSession, plan: Plan, pinned: PinnedSource) -> T.StructType:
    """Types of the release: those of the source's schema, or of the attributes where the source is text."""
    keys = plan.file.request.output.key_columns
    first = source.open_table(spark, pinned.tables[0], [*plan.domain.attributes, *keys]).schema
    by_domain = pinned.tables[0].source.format == "csv" or plan.file.request.output.types == "declared"
    found: dict[str, T.DataType | None] = {
        name: None if by_domain else first[name].dataType for name in plan.domain.attributes
    }
    types = release_types(codebooks(plan.domain), found)
    fresh = key_types({name: first[name].dataType for name in keys})
    return T.StructType([T.StructField(name, data_type) for name, data_type in (fresh | types).items()])


def opened_types(opened: Opened) -> T.StructType:
    """The release's types as an opening has recorded them."""
    return T.StructType.fromJson(opened.types)
