"""Complete temporary sites for tests of the whole job: site, policy, domain, request, budget, approvals, tiny sources.

One `TestSite` is one folder. Budgets are large, populations small and noise weak, so that a run is quick and no gate
fails by chance; what a test is about it writes into `request(...)`.
"""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import yaml

from synthward.api import Release, Ward
from synthward.config.canonical import canonical_json
from synthward.domain.codes import codebooks
from synthward.governance.policy import load_policy
from synthward.ledger.ledger import Ledger
from synthward.ledger.scopes import ScopeState
from synthward.measure.curator import Curator, RunStep
from synthward.privacy.accounting import Charge
from synthward.privacy.noise import Integers, NoiseCall, SecureNoise
from synthward.run.committed import CommittedJournal
from synthward.run.journal import Journal
from synthward.run.plan import ATTEMPT, Plan, make_plan
from synthward.sources import reading as source
from synthward.sources.patient import source_rows
from synthward.sources.reading import PinnedSource
from synthward.spec.population import people_of
from synthward.spec.request_file import RequestFile, load_request
from synthward.spec.site import load_site
from synthward.store.link_table import LinkStore
from synthward.store.places import Zone

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

T = TypeVar("T")
START = dt.datetime(2026, 1, 15, 9, 0, tzinfo=dt.UTC)
EXPIRES = dt.date(2026, 3, 31)
SCOPE = "clinic"
ZONES = ("ledger", "protected", "releases")
DECLARED_PATIENTS = 50

POLICY: dict[str, Any] = {
    "version": 1,
    "name": "Policy of the tests",
    "purposes": ["prototyping"],
    "roles": ["data_engineer", "privacy_officer", "data_steward"],
    "max_request_days": 400,
    "allow_other_unit": False,
    # Most tests are not about whose budget it is; `open_population` binds the scope to the request's tables.
    "allow_unbound_scopes": True,
    "tiers": {
        "T0": {
            "title": "Inside",
            "audiences": ["enclave"],
            "max_epsilon_per_release": 100,
            "max_delta": 1e-6,
            "max_epsilon_per_scope": 10000,
            "max_delta_per_scope": 1e-5,
            "min_declared_patients": 2,
            "approvals": ["privacy_officer"],
            "repair": ["data_steward"],
            "controls": ["structure_gate"],
        },
        "T1": {
            "title": "Outside",
            "audiences": ["team", "organisation", "partner", "public"],
            "max_epsilon_per_release": 4,
            "max_delta": 1e-6,
            "max_epsilon_per_scope": 20,
            "max_delta_per_scope": 1e-5,
            "min_declared_patients": 1000,
            "approvals": ["privacy_officer", "data_steward"],
            "controls": ["structure_gate"],
        },
    },
}

DOMAIN: dict[str, Any] = {
    "version": 1,
    "attributes": {
        "sex": {"type": "categorical", "values": ["F", "M"], "missing": ["?"]},
        "age": {"type": "numeric", "integer": True, "bounds": [0, 100], "bins": 4},
    },
}

REQUEST: dict[str, Any] = {
    "version": 1,
    "title": "Trial",
    "requester": {"name": "ada", "role": "data_engineer"},
    "purpose": {"code": "prototyping", "text": "a trial", "ticket": "T-1"},
    "audience": "enclave",
    "expires": EXPIRES,
    "source": {"format": "delta", "path": "data/visits"},
    "patient": {"key": "pid", "max_rows_per_patient": 2},
    "population": {"scope": SCOPE, "declared_patients": DECLARED_PATIENTS, "declared_rows": 100},
    "domain": "domain.yaml",
    "columns": ["sex", "age"],
    "privacy": {"mechanism": "laplace", "epsilon": 60},
    "output": {"name": "visits", "rows": 200},
    "utility": {"max_out_of_domain_share": 1, "max_clipped_share": 1},
}

CSV: dict[str, Any] = {"format": "csv", "csv": {"records": "one_per_line"}}
"""A source of CSV files; what a test is about is laid over it."""

VISITS = "pid BIGINT, sex STRING, age INT"


def visits(patients: int = 12) -> list[tuple[Any, ...]]:
    """Clean rows of `VISITS`: patient k has 1, 2 or 3 of them."""
    return [
        (1000 + k, "F" if k % 2 else "M", (7 * k + visit) % 100)
        for k in range(1, patients + 1)
        for visit in range(1 + k % 3)
    ]


class Clock:
    """A clock that advances one second each time it is read, so that two equal runs tell equal times."""

    def __init__(self, now: dt.datetime = START) -> None:
        self.now = now

    def __call__(self) -> dt.datetime:
        self.now += dt.timedelta(seconds=1)
        return self.now


@dataclass
class CountingNoise:
    """Real noise that remembers for which labels it was drawn."""

    drawn: list[str] = field(default_factory=list)

    def draw(self, label: str, exact: Integers, call: NoiseCall) -> Integers:
        """See `NoiseSource.draw`."""
        self.drawn.append(label)
        return SecureNoise().draw(label, exact, call)


class NoNoise:
    """The exact integers as they are, for tests of what is measured; it shows what a sealed answer stands for."""

    def draw(self, label: str, exact: Integers, call: NoiseCall) -> Integers:
        """See `NoiseSource.draw`."""
        return np.array([exact.argmax()]) if call.mechanism == "exponential" else np.array(exact)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A deep copy of `base` with `changes` laid over it; None removes a key."""
    result = copy.deepcopy(dict(base))
    for name, value in changes.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(result.get(name), Mapping) and not value.get("_whole"):
            result[name] = merged(result[name], value)
        else:
            result[name] = {k: v for k, v in value.items() if k != "_whole"} if isinstance(value, Mapping) else value
    return result


class _Plain(yaml.SafeDumper):
    """Writes equal values out each time; the loader takes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002, RUF100 - the method of the dumper
        return True


def write_yaml(path: Path, content: Mapping[str, Any]) -> Path:
    """Writes a configuration file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.dump(dict(content), Dumper=_Plain, sort_keys=False), encoding="utf-8")
    return path


class TestSite:
    """A site in a folder of its own."""

    __test__ = False

    def __init__(
        self, root: Path, *, site: Mapping[str, Any] | None = None, policy: Mapping[str, Any] | None = None
    ) -> None:
        """Writes site and policy.

        Args:
            root: The folder; made if absent.
            site: Changes of the site file.
            policy: Changes of `POLICY`.
        """
        self.root = root
        write_yaml(root / "policy.yaml", merged(POLICY, policy or {}))
        zones = {zone: f"./zones/{zone}" for zone in ZONES}
        # MLflow takes seconds for a new database; tests that are about it switch it on.
        base = {"version": 1, "name": "Test site", "policy": "policy.yaml", **zones, "tracking": {"enabled": False}}
        self.file = write_yaml(root / "site.yaml", merged(base, site or {}))
        self.domain()

    def domain(self, attributes: Mapping[str, Any] | None = None, name: str = "domain.yaml") -> Path:
        """Writes a domain; without attributes that of `VISITS`."""
        content = DOMAIN if attributes is None else {"version": 1, "attributes": attributes}
        return write_yaml(self.root / name, content)

    def request(self, name: str = "request", /, **changes: Any) -> Path:
        """Writes a request: `REQUEST` with changes laid over it (None removes a key)."""
        return write_yaml(self.root / f"{name}.yaml", merged(REQUEST, changes))

    def open(self, spark: SparkSession, **seams: Any) -> Ward:
        """Opens the site; noise, clock and step callback may be injected."""
        return Ward(spark, load_site(self.file), **{"clock": Clock(), **seams})

    def data(self, name: str = "visits") -> Path:
        """Where a source lies."""
        return self.root / "data" / name

    def write(
        self,
        spark: SparkSession,
        rows: Sequence[tuple[Any, ...]] | None = None,
        schema: str = VISITS,
        *,
        name: str = "visits",
        format: str = "delta",  # noqa: A002 - Spark's own word
        mode: str = "error",
        **options: Any,
    ) -> Path:
        """Writes a source in one file."""
        frame = spark.createDataFrame(visits() if rows is None else list(rows), schema).coalesce(1)
        frame.write.format(format).mode(mode).options(**options).save(str(self.data(name)))
        return self.data(name)


def open_budget(ward: Ward, *, epsilon: str = "1000", scope: str = SCOPE, **terms: Any) -> None:
    """Opens the scope of the tests."""
    given = {"max_delta": Decimal("1e-6"), "declared_patients": DECLARED_PATIENTS, "by": "sam", **terms}
    ward.open_scope(scope, max_epsilon=Decimal(epsilon), **given)


def population(request: RequestFile, *, epsilon: str = "1000", delta: str = "1e-6", **changes: Any) -> Path:
    """Writes a population file beside a request, about the people that it speaks of; None removes a key."""
    people = people_of(request)
    written = json.loads(canonical_json(people))
    base = {"version": 1, "scope": request.request.population.scope, "title": "People of the tests", **written}
    base |= {"declared_patients": request.request.population.declared_patients}
    base |= {"budget": {"epsilon": epsilon, "delta": delta}}
    return write_yaml(request.path.with_name(f"{base['scope']}.population.yaml"), merged(base, changes))


def open_population(ward: Ward, request: RequestFile, **changes: Any) -> ScopeState:
    """Opens a scope that is bound to the tables, key, path and ids of a request."""
    return ward.open_population(ward.population(population(request, **changes)), by="sam")


def approve(ward: Ward, request: RequestFile, runs: int = 1) -> None:
    """Has every role approve that the request's tier asks for."""
    people = {"privacy_officer": "lee", "data_steward": "kim"}
    for role in ward.plan(request).assessment.approvals_needed:
        ward.approve(request, by=people[role], role=role, runs=runs)


def ready(ward: Ward, path: Path, *, runs: int = 1) -> RequestFile:
    """Reads a request, opens the budget and collects the approvals."""
    request = ward.request(path)
    open_budget(ward)
    approve(ward, request, runs)
    return request


def run(ward: Ward, path: Path, *, run_key: str = "") -> Release:
    """All of it: budget, approvals, run."""
    return ward.run(ready(ward, path), run_key=run_key)


class Stopped(RuntimeError):
    """Raised by a step callback to end a run where a crash would."""


def stop_after(step: str) -> Callable[[str], None]:
    """A step callback that ends the run right after a step."""

    def on_step(name: str) -> None:
        if name == step:
            raise Stopped(step)

    return on_step


def paid_journal(journal: Journal, store: LinkStore) -> CommittedJournal:
    """The journal of a run that begins with its opening; the run is charged in a ledger that is kept in `store`."""
    ledger = Ledger(None, Zone("memory/ledger"), store=store, clock=Clock())
    terms = {"max_epsilon": Decimal(10), "max_delta": Decimal("1e-6"), "declared_patients": 50, "unit": "patient"}
    ledger.open_scope(SCOPE, **terms, by="lee", policy_digest="p", site_digest="s")  # type: ignore[arg-type]
    opened = journal.find("opened")
    assert opened is not None
    receipt = ledger.charge(
        SCOPE,
        run_id=journal.run_id,
        attempt=ATTEMPT,
        request_digest="r",
        policy_digest="p",
        site_digest="s",
        journal_id=opened.facts["journal_id"],
        cost=Charge.pure(Decimal(1)),
        release_id="release",
        delta_report=Decimal("1e-6"),
        opened=opened.hash,
    )
    return CommittedJournal(journal, ledger, SCOPE, receipt)


def committed_journal(ward: Ward, run_id: str) -> CommittedJournal:
    """A finished run's journal as far as the ledger vouches for it: it opens seals."""
    [state] = [state for state in ward.ledger.scopes() if any(charge.run_id == run_id for charge in state.charges)]
    [charge] = [charge for charge in state.charges if charge.run_id == run_id]
    receipt = charge.receipt(state.genesis_hash, is_new=False)
    return CommittedJournal(Journal(ward._journal, run_id), ward.ledger, state.scope, receipt)


def charges(ward: Ward, scope: str = SCOPE) -> int:
    """Number of charges of a scope."""
    return len(ward.budget(scope).charges)


def stepping(on_step: Callable[[str], None] = lambda _: None) -> RunStep:
    """What runs the parts of a round, for a curator without a run; the callback comes after each."""

    def run(name: str, action: Callable[[], T], /) -> T:
        result = action()
        on_step(name)
        return result

    return run


class MemorySeals:
    """Seals in a dictionary, for a curator without a run."""

    def __init__(self) -> None:
        self._sealed: dict[str, tuple[dict[str, Any], bytes]] = {}

    def find(self, step: str) -> tuple[dict[str, Any], bytes] | None:
        """See `SealStore.find`."""
        return self._sealed.get(step)

    def put(self, step: str, body: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """See `SealStore.put`."""
        return self._sealed.setdefault(step, (body, payload))


def exact_answers(spark: SparkSession, plan: Plan, pinned: PinnedSource | None = None) -> dict[str, list[int]]:
    """What the curator would add noise to, by query label: the plan's first round over its source, without noise."""
    state = source.pin(spark, plan.file) if pinned is None else pinned
    curator = Curator(
        rows=lambda: source_rows(spark, state, plan.file, codebooks(plan.domain)),
        domain=plan.domain,
        unit=plan.task.unit,
        charge=plan.charge,
        seals=MemorySeals(),
        noise=NoNoise(),
        tasks=plan.tasks,
        check_source=lambda failure: source.check_unchanged(spark, state, failure),
        step=stepping(),
    )
    asked = next(plan.synthesizer.rounds(plan.task))
    return {answer.asked.query.label: answer.values.tolist() for answer in curator.answer(asked)}


def plan_of(site: TestSite, path: Path) -> Plan:
    """The plan of a request, without a session."""
    return make_plan(load_request(path), load_policy(site.root / "policy.yaml"), "", START.date())


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    """Every message of Synthward's loggers down to DEBUG, with tracebacks, whatever the command line sets up."""
    messages: list[str] = []
    loggers = [
        logging.getLogger(name) for name in list(logging.root.manager.loggerDict) if name.startswith("synthward")
    ]
    before = [(logger, logger.level) for logger in loggers]
    main = logging.getLogger("synthward")
    handlers, propagate = list(main.handlers), main.propagate
    formatter = logging.Formatter("%(name)s %(levelname)s %(message)s")
    original = logging.Logger.callHandlers

    def listen(logger: logging.Logger, record: logging.LogRecord) -> None:
        if record.name.startswith("synthward"):
            messages.append(formatter.format(record))
        original(logger, record)

    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    logging.Logger.callHandlers = listen  # type: ignore[method-assign, assignment]
    try:
        yield messages
    finally:
        logging.Logger.callHandlers = original  # type: ignore[method-assign]
        for logger, level in before:
            logger.setLevel(level)
        main.handlers, main.propagate = handlers, propagate
