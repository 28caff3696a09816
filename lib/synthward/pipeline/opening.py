"""Opening a run: the source is pinned once, before the charge, and the journal remembers it."""

from __future__ import annotations

import json
import secrets
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import types as T

from synthward.domain.codes import codebooks
from synthward.measure import source
from synthward.measure.source import PinnedSource
from synthward.pipeline.environment import Environment, Places
from synthward.pipeline.journal import OPENED, Journal
from synthward.pipeline.plan import Plan
from synthward.release.table import release_types


def open_source(env: Environment, plan: Plan, places: Places, journal: Journal) -> PinnedSource:
    """Pins the source, or returns the state that the run pinned first.

    Columns, types and keys are checked here, on the schema alone, so that a request that does not fit its source is
    refused before anything is spent.

    Raises:
        SourceError: The source does not fit the request, or cannot be pinned.
    """
    link, _ = journal.once(OPENED, lambda: (_opening(env, plan, places), None))
    return PinnedSource.restored(plan.file, link.facts["source"])


def _opening(env: Environment, plan: Plan, places: Places) -> dict[str, Any]:
    pinned = source.pin(env.spark, plan.file)
    copies = {
        place: places.copy_of_source(place)
        for place, entry in enumerate(pinned.tables)
        if entry.version is None and entry.fingerprint is None
    }
    pinned = source.materialize(env.spark, pinned, plan.file, copies)
    source.source_rows(env.spark, pinned, plan.file, codebooks(plan.domain))
    return {
        "source": pinned.record(),
        "copies": [str(ref) for ref in copies.values()],
        "types": json.loads(_types(env.spark, plan, pinned).json()),
        "source_ref": secrets.token_hex(16),
        "request_digest": plan.file.digest,
        "run_key": plan.identity.run_key,
        "scope": plan.file.request.population.scope,
        "release_id": plan.identity.release_id,
        "table": str(places.target),
    }


def _types(spark: SparkSession, plan: Plan, pinned: PinnedSource) -> T.StructType:
    """Types of the release: those of the source's schema, or of the attributes where the source is text."""
    first = source.open_table(spark, pinned.tables[0])
    text_only = pinned.tables[0].source.format == "csv"
    keys = plan.file.request.output.key_columns
    found: dict[str, T.DataType | None] = {
        name: None if text_only else source.resolve_column(first, name)[1] for name in plan.domain.attributes
    }
    types = release_types(codebooks(plan.domain), found)
    key_types = {name: source.resolve_column(first, name)[1] for name in keys}
    return T.StructType([T.StructField(name, data_type) for name, data_type in (key_types | types).items()])


def opened_types(facts: dict[str, Any]) -> T.StructType:
    """The release's types as an opening has recorded them."""
    return T.StructType.fromJson(facts["types"])
