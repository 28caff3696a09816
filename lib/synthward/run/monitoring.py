"""Monitoring: what a scheduled job looks at between runs, and what it says about it.

Everything is read from records: ledger, registry, events of releases, results of runs. Of sources only names and types
of columns are read. A check is a pure function of what was read; `watch` gathers, records and returns the findings.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from synthward.config.instants import utc_text
from synthward.evaluate.gates.registry import GATES
from synthward.governance.policy import Policy, Tier
from synthward.ledger.forecast import MOST, Forecast, forecast
from synthward.ledger.ledger import Ledger
from synthward.ledger.scopes import ScopeState
from synthward.records.codec import decode_if, encode
from synthward.records.findings import (
    DRILLED,
    SEVERITIES,
    WATCHED,
    Drilled,
    Finding,
    SeenColumn,
    SeenSchema,
    Watched,
)
from synthward.records.manifest import ReleaseRecord
from synthward.release.manifest import Manifest
from synthward.release.publication import published_state
from synthward.release.withdrawal import STATUS
from synthward.run.releases import Releases
from synthward.run.runs import Runs, Tried
from synthward.run.standing import Standing
from synthward.spec.population import Table
from synthward.store.chain import Chain

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

R = TypeVar("R")

KEY = "site"
"""Key of the chain: one for the site."""

TABLE = "monitoring"
"""The table of the protected zone with the chain."""

EXIT_CODES = {None: 0, "note": 0, "warning": 6, "alarm": 7}
"""Exit code by the worst severity."""


@dataclass(frozen=True)
class Seen:
    """Everything that is looked at.

    Attributes:
        scopes: All scopes.
        releases: All releases.
        manifests: Manifests of the releases that may be read, by release.
        faults: What is wrong with the events of a release, by release.
        tries: Executions of runs, oldest first.
        schemas: Schemas of the sources now.
        before: Schemas at the last execution.
        gates: Names of the gates of this version that run for every request.
        distrusted: Why scopes cannot be trusted, by scope.
        back: Releases that were taken back, whose table is there without its mark.
    """

    scopes: Sequence[ScopeState]
    releases: Sequence[Standing]
    manifests: Mapping[str, ReleaseRecord]
    faults: Mapping[str, Sequence[str]]
    tries: Sequence[Tried]
    schemas: Sequence[SeenSchema]
    before: Sequence[SeenSchema]
    gates: frozenset[str]
    back: frozenset[str] = frozenset()
    distrusted: Mapping[str, str] = field(default_factory=dict)


def findings_of(seen: Seen, policy: Policy, now: dt.datetime) -> tuple[Finding, ...]:
    """All findings, the worst first; equal inputs give equal findings."""
    today = now.astimezone(dt.UTC).date()
    found = [
        *(Finding("records", "alarm", scope, text) for scope, text in seen.distrusted.items()),
        *_budgets(seen.scopes, policy, today),
        *_releases(seen, policy, now),
        *_revalidation(seen, policy),
        *_runs(seen.tries, policy),
        *_schemas(seen.schemas, seen.before),
    ]
    return tuple(sorted(found, key=lambda one: (-SEVERITIES.index(one.severity), one.kind, one.subject, one.message)))


def _budgets(scopes: Sequence[ScopeState], policy: Policy, today: dt.date) -> Iterator[Finding]:
    alarms = policy.alarms
    for state in scopes:
        ahead = forecast(state, today)
        is_soon = ahead.until is not None and (ahead.until - today).days <= alarms.days_ahead
        if ahead.is_used_up:
            fix = "a budget is never reset; ask for a smaller epsilon, or stop the schedule"
            text = f"{_spent(state, ahead)}: no further release like the last one fits; {fix}"
            yield Finding("budget", "alarm", state.scope, text)
        elif ahead.share >= alarms.budget_share or is_soon:
            yield Finding("budget", "warning", state.scope, f"{_spent(state, ahead)}; {ahead_words(ahead)}")


def _spent(state: ScopeState, ahead: Forecast) -> str:
    return f"{float(ahead.share):.0%} of epsilon {state.terms.max_epsilon} is spent"


def ahead_words(ahead: Forecast) -> str:
    """A forecast in words."""
    if ahead.more is None:
        return "nothing was charged yet"
    room = f"{MOST} or more" if ahead.more >= MOST else str(ahead.more or "no")
    words = f"room for {room} more like the last one"
    if ahead.days is None or ahead.until is None:
        return words
    return f"{words}, which lasts until {ahead.until} at one in {ahead.days:.0f} days"


def _releases(seen: Seen, policy: Policy, now: dt.datetime) -> Iterator[Finding]:
    today, moment = now.astimezone(dt.UTC).date(), utc_text(now)
    soon = dt.timedelta(days=policy.alarms.days_ahead)
    for one in seen.releases:
        name, state = one.listed.release_id, one.state
        for fault in seen.faults.get(name, ()):
            yield Finding("events", "alarm", name, f"an event does not count: {fault}")
        if name in seen.back:
            text = f"is {state.stage}, and its table is there without the mark; run the same command again"
            yield Finding("recall", "alarm", name, text)
        for kind in state.pending.values():
            fix = "run `synthward release expire --due`" if kind == "expire" else f"run the same {kind} again"
            yield Finding("recall", "alarm", name, f"{kind} is recorded and not carried out completely; {fix}")
        for each in state.open_incidents:
            late = each.is_late(moment)
            due = f", due {each.opened.due}" if each.opened.due else ""
            yield Finding(
                "incident",
                "alarm" if late else "warning",
                name,
                f"incident {each.opened.incident} ({each.opened.severity}) is open{due}"
                + ("; its time is over" if late else ""),
            )
        if state.stage not in ("published", "frozen"):
            continue
        last = one.listed.readable_until
        if last is not None and one.stage_on(today) == "expired":
            text = f"could be read until {last}, and its rows are still there; run `synthward release expire --due`"
            yield Finding("retention", "alarm", name, text)
        elif last is not None and dt.date.fromisoformat(last) <= today + soon:
            yield Finding("retention", "note", name, f"may be read until {last}; tell its readers")
        for grant in state.grants.values():
            if grant.until is None or dt.date.fromisoformat(grant.until) > today + soon:
                continue
            over = dt.date.fromisoformat(grant.until) < today
            yield Finding(
                "grant",
                "warning" if over else "note",
                name,
                f"the grant of {grant.recipient} ended on {grant.until}; run `synthward release expire --due`"
                if over
                else f"the grant of {grant.recipient} ends on {grant.until}",
            )


def _revalidation(seen: Seen, policy: Policy) -> Iterator[Finding]:
    """Releases that were made under another policy, or before a gate was there."""
    for one in seen.releases:
        record = seen.manifests.get(one.listed.release_id)
        if record is None or one.state.stage not in ("published", "frozen"):
            continue
        lacking = sorted(seen.gates - {gate.gate for gate in record.gates})
        if lacking:
            text = f"was published before the gates {', '.join(lacking)}; make a new release to have them"
            yield Finding("revalidation", "warning", one.listed.release_id, text)
        if one.listed.policy_digest == policy.digest:
            continue
        tier = policy.tiers.get(record.policy.tier)
        against = ["has no such tier"] if tier is None else list(_beyond(record, tier, record.policy.tier))
        if against:
            text = (
                f"policy changed since, and {'; '.join(against)}. Decide whether it may stay: recall, expire or accept"
            )
            yield Finding("revalidation", "warning", one.listed.release_id, text)
        else:
            text = "policy changed since; the release is within the new limits of its tier"
            yield Finding("revalidation", "note", one.listed.release_id, text)


def _beyond(record: ReleaseRecord, tier: Tier, name: str) -> Iterator[str]:
    """Where a release is beyond what its tier allows today."""
    promise, patients = record.guarantee, record.budget.declared_patients
    if Decimal(promise.epsilon) > tier.max_epsilon_per_release:
        yield f"{name} allows epsilon {tier.max_epsilon_per_release} or less, found {promise.epsilon}"
    if Decimal(promise.delta) > tier.delta_cap(patients):
        yield f"{name} allows delta {tier.delta_cap(patients)} or less, found {promise.delta}"
    if patients < tier.min_declared_patients:
        yield f"{name} needs {tier.min_declared_patients} declared patients or more"
    shown = {entry.control for entry in record.policy.evidence} | set(record.policy.controls)
    missing = [control for control in tier.controls if control not in shown]
    if missing:
        yield f"{name} demands {', '.join(missing)}, which the release does not show"
    roles = {entry.role for entry in record.approvals}
    without = [role for role in tier.approvals if role not in roles]
    if without:
        yield f"{name} needs the approval of {', '.join(without)}"


def _runs(tries: Sequence[Tried], policy: Policy) -> Iterator[Finding]:
    """Runs whose newest executions failed, since the last one that did not."""
    newest: dict[str, list[Tried]] = {}
    for one in tries:
        if one.run_id is None:
            continue
        failed = newest.setdefault(one.run_id, [])
        if one.status in ("published", "unchanged"):
            failed.clear()
        elif one.status in ("failed", "quarantined", "stopped"):
            failed.append(one)
    for run_id, failed in newest.items():
        if len(failed) < policy.alarms.failed_runs:
            continue
        last, often = failed[-1], f"{len(failed)} time{'s' if len(failed) > 1 else ''}"
        fix = f"`synthward history {run_id}` says what to do"
        if last.status == "quarantined":
            yield Finding("runs", "warning", run_id, f"a gate failed on {last.ended_at[:10]}; {fix}")
        elif last.retryable:
            yield Finding("runs", "warning", run_id, f"failed {often}, last on {last.ended_at[:10]}; {fix}")
        else:
            text = f"failed {often}, last on {last.ended_at[:10]} in a way that repeats: stop the schedule; {fix}"
            yield Finding("runs", "alarm", run_id, text)


def _schemas(now: Sequence[SeenSchema], before: Sequence[SeenSchema]) -> Iterator[Finding]:
    """Differences in names and types of columns. Order does not matter: columns are read by name."""
    known = {(one.scope, one.location): one for one in before}
    for one in now:
        old = known.get((one.scope, one.location))
        if not one.columns:
            yield Finding(
                "schema", "alarm", one.location, f"the source of scope {one.scope} cannot be opened; check it"
            )
            continue
        if old is None or not old.columns:
            continue
        types, earlier = ({c.name: c.type for c in each.columns} for each in (one, old))
        gone = sorted(earlier.keys() - types.keys())
        other = sorted(name for name in earlier.keys() & types.keys() if earlier[name] != types[name])
        new = sorted(types.keys() - earlier.keys())
        if gone or other:
            changed = [f"{name} is {types[name]}, was {earlier[name]}" for name in other]
            text = "; ".join([*([f"gone: {', '.join(gone)}"] if gone else []), *changed])
            fix = "a request that names these columns fails; adapt requests and domains, and have them approved"
            yield Finding("schema", "warning", one.location, f"columns changed: {text}; {fix}")
        if new:
            yield Finding("schema", "note", one.location, f"new columns: {', '.join(new)}; no request reads them")


def seen_schema(spark: SparkSession, scope: str, table: Table) -> SeenSchema:
    """Names and types of a source's columns now. No row is read; of CSV files Spark reads the first line.

    A CSV file without a header has the names that the population declares.
    """
    options = table.reading
    try:
        if options is not None and not options.header:
            return SeenSchema(scope, table.location, tuple(SeenColumn(name, "string") for name in options.names))
        reader = spark.read
        if options is not None:
            reader = reader.options(header=True, sep=options.delimiter, encoding=options.encoding)
        opened = reader.table(table.location) if table.path is None else reader.format(table.format).load(table.path)
        columns = tuple(SeenColumn(field.name, field.dataType.simpleString()) for field in opened.schema.fields)
    except Exception:  # noqa: BLE001 - a source that cannot be opened is a finding, whatever the reason
        columns = ()
    return SeenSchema(scope, table.location, columns)


def last_watched(chain: Chain) -> Watched | None:
    """What the last execution recorded; None before the first one, or if this version cannot read it."""
    return _last(chain, WATCHED, Watched)


def last_drilled(chain: Chain) -> Drilled | None:
    """The last drill; None before the first one."""
    return _last(chain, DRILLED, Drilled)


def _last(chain: Chain, kind: str, cls: type[R]) -> R | None:
    links = [link for link in chain.read(KEY, payloads=False) if link.kind == kind]
    return decode_if(cls, links[-1].facts) if links else None


def recorded(chain: Chain, record: Watched | Drilled) -> None:
    """Append a record to the chain. Two executions at once are both recorded."""
    body: dict[str, Any] = encode(record)
    kind = WATCHED if isinstance(record, Watched) else DRILLED
    chain.get_or_append(KEY, kind, lambda _: False, lambda: (body, None))


class Monitor:
    """Looks at a site, once for each call of `watch`."""

    def __init__(
        self,
        *,
        spark: SparkSession,
        policy: Policy,
        ledger: Ledger,
        releases: Releases,
        manifest: Callable[[str], Manifest],
        runs: Runs,
        chain: Callable[[], Chain],
        clock: Callable[[], dt.datetime],
    ) -> None:
        """Reads nothing yet.

        Args:
            spark: Session.
            policy: The policy in force.
            ledger: The site's ledger.
            releases: The published releases.
            manifest: Reads the manifest of a release.
            runs: Results of executions.
            chain: Makes the chain table of what was found.
            clock: Time, with a zone.
        """
        self._spark = spark
        self._policy = policy
        self._ledger = ledger
        self._releases = releases
        self._manifest = manifest
        self._runs = runs
        self._chain = chain
        self._clock = clock

    def watch(self, *, schemas: bool = True) -> Watched:
        """Look at everything, record what was found, and return it.

        Args:
            schemas: Whether the schemas of sources are looked at; a job without access to sources leaves them out.

        Raises:
            LedgerCorrupt: A record that monitoring depends on is broken.
        """
        chain, now = self._chain(), self._clock()
        before = last_watched(chain)
        known = () if before is None else before.schemas
        seen = self._seen(known, schemas=schemas)
        kept = seen.schemas if schemas else known
        found = findings_of(seen, self._policy, now)
        watched = Watched(utc_text(now), self._policy.digest, found, tuple(kept))
        recorded(chain, watched)
        return watched

    def note_drill(self, drilled: Drilled) -> None:
        """Record a drill."""
        recorded(self._chain(), drilled)

    def last(self) -> tuple[Watched | None, Drilled | None]:
        """The last execution and the last drill."""
        chain = self._chain()
        return last_watched(chain), last_drilled(chain)

    def _seen(self, before: Sequence[SeenSchema], *, schemas: bool) -> Seen:
        (scopes, distrusted), releases = self._ledger.sound_scopes(), self._releases.all()
        readable = [one.listed.release_id for one in releases if one.state.stage in ("published", "frozen")]
        return Seen(
            scopes=scopes,
            releases=releases,
            manifests={name: self._manifest(name).record for name in readable},
            faults={one.listed.release_id: self._releases.verify(one) for one in releases if one.links or one.broken},
            distrusted=distrusted,
            tries=self._runs.tries(),
            schemas=tuple(self._schemas(scopes)) if schemas else (),
            before=before,
            gates=frozenset(gate.name for gate in GATES if gate.setting is None),
            back=frozenset(one.listed.release_id for one in releases if self._is_back(one)),
        )

    def _is_back(self, one: Standing) -> bool:
        """Whether the table of a release that was taken back is there without its mark."""
        if one.state.stage in ("published", "frozen") or one.state.pending:
            return False
        there = published_state(self._spark, one.listed.table)
        return there is not None and there.get("release_id") == one.listed.release_id and STATUS not in there

    def _schemas(self, scopes: Sequence[ScopeState]) -> Iterator[SeenSchema]:
        for state in scopes:
            routes = () if state.people is None else state.people.sources
            tables = [table for route in routes for table in (route.source, *(step.source for step in route.path))]
            for table in {table.location: table for table in tables}.values():
                yield seen_schema(self._spark, state.scope, table)
