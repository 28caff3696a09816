"""The order of the main job, without Spark: charge before the pass, gates before publication, nothing twice."""

from __future__ import annotations

import datetime as dt
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from golden_records import GOLDEN, SOURCE, store_of
from people import demo_key, demo_roster, write_roster
from store_doubles import MemoryLinks
from synthward import api
from synthward.domain.codes import codebooks
from synthward.errors import (
    BudgetExceeded,
    ConfigError,
    GateFailed,
    IntegrityError,
    LedgerCorrupt,
    PolicyRefused,
    UsageError,
    Withdrawn,
)
from synthward.evaluate.gates.gate import GateResult
from synthward.evaluate.metrics import column_quality
from synthward.evaluate.relations import Edge
from synthward.evaluate.tables import noisy_tables
from synthward.fit.base import Rounds, Synthesizer, Task
from synthward.fit.model import Model
from synthward.fit.program import Fit
from synthward.governance.policy import load_policy
from synthward.ledger.ledger import Ledger
from synthward.privacy.accounting import epsilon_of, rho_for
from synthward.privacy.noise import NoiseCall
from synthward.records.canonical import parse_canonical
from synthward.records.codec import encode
from synthward.records.journal import Opened
from synthward.records.manifest import GateEntry
from synthward.release.manifest import Manifest
from synthward.release.table import Fingerprint, Lineage
from synthward.report.render import render
from synthward.run.environment import Environment
from synthward.run.evidence import evidence_of
from synthward.run.journal import OPENED, Journal, entry
from synthward.run.main_job import MainJob, Outcome
from synthward.run.plan import RunIdentity
from synthward.run.records import Facts, approval_entry, manifest_of, registry_row
from synthward.run.rehearsal import Script
from synthward.run.repair import ApprovedRepair, RepairJob
from synthward.run.staging import Checked, Origin
from synthward.run.suppliers import Suppliers
from synthward.sources.reading import Pinned, PinnedSource
from synthward.spec.repair import Repair, load_repair
from synthward.spec.request import Source
from synthward.spec.site import load_site
from synthward.store.chain import Chain
from synthward.store.links import Link, next_link, verify_chain
from synthward.store.places import TableRef, Zone
from trial import (
    SCOPE,
    Clock,
    CountingNoise,
    Stopped,
    TestSite,
    approve,
    merged,
    open_budget,
    plan_of,
    stop_after,
    write_yaml,
)

EXAMPLE = Path(__file__).with_name("manifest_example.json")

STEPS = (
    "preflight",
    "open",
    "charge",
    "aggregate",
    "draw",
    "seal",
    "measure moments",
    "fitted",
    "drop copies",
    "validate",
    "register",
    "publish",
)


@dataclass
class World:
    """Everything that outlives a driver, and what the drivers did to it.

    Attributes:
        events: What happened, in order.
        gate: Whether the gate passes.
        published: Releases at their targets.
        models: What was staged.
        registry: Rows of releases.
        broken: Why the pass fails, if it does.
        pinned: The source as it is pinned.
        exact: What the pass finds, by number of cells.
        origins: Where what was staged comes from.
        staging: Called when something is staged.
        rehearsed: What was rehearsed for repairs.
        tried: Zones that preflight tried, by name.
        require_standing: Refuses a release that was taken back.
        require_approved: Refuses a release whose publication waits for approval.
    """

    root: Path
    ledger: MemoryLinks = field(default_factory=MemoryLinks)
    journal: MemoryLinks = field(default_factory=MemoryLinks)
    approvals: MemoryLinks = field(default_factory=MemoryLinks)
    requests: MemoryLinks = field(default_factory=MemoryLinks)
    noise: CountingNoise = field(default_factory=CountingNoise)
    clock: Clock = field(default_factory=Clock)
    events: list[str] = field(default_factory=list)
    gate: bool = True
    published: list[str] = field(default_factory=list)
    models: list[Model] = field(default_factory=list)
    registry: dict[str, dict[str, Any]] = field(default_factory=dict)
    broken: str = ""
    pinned: PinnedSource = field(default_factory=lambda: PinnedSource(()))
    exact: Callable[[int], np.ndarray] = lambda cells: np.ones(cells, dtype=np.int64)
    origins: list[Origin] = field(default_factory=list)
    staging: Callable[[], None] = lambda: None
    rehearsed: list[Script] = field(default_factory=list)
    tried: dict[str, str] = field(default_factory=dict)
    require_standing: Callable[[str, str, str], None] = lambda *_: None
    require_approved: Callable[[str, str], None] = lambda *_: None

    def __post_init__(self) -> None:
        self.suppliers = self.supplied()
        self.site = TestSite(self.root)
        self.ask()
        open_budget(_Opener(self.accounts(), self))  # type: ignore[arg-type]

    def supplied(self) -> Suppliers:
        """What the stages of a run call, without Spark."""

        def nothing(*_: Any, **__: Any) -> None:
            return None

        return Suppliers(
            chain=self.chain,
            ledger=lambda *_, **__: self.accounts(),
            registry=lambda *_: _Registry(self),  # type: ignore[arg-type, return-value]
            runs=lambda *_: _Runs(),  # type: ignore[arg-type, return-value]
            check_executors=nothing,
            warn_of_interpretation=nothing,
            check_zones=lambda _, zones, __: self.tried.update({k: v.location for k, v in zones.items()}),
            check_targets=nothing,
            reachable=lambda _: "",
            open_source=self.open,
            copy_source=self.copy,
            source_rows=nothing,
            exact_vector=self.aggregate,
            check_unchanged=nothing,
            rehearse=lambda _, script, *__: self.rehearsed.append(script),
            stage_and_check=self.stage,
            drop=lambda _, ref: self.events.append(f"drop {ref} with {self.kinds()[-1]}"),
            render=lambda _: "<html></html>",
            registry_row=lambda manifest: {"manifest_digest": manifest.digest},
            table_properties=lambda _: {},
            publishable_metrics=lambda _: {},
            tracked_parameters=lambda _: {},
            publish=self.publish,
            recognise=nothing,
            log_release=nothing,
        )

    def ask(self, **changes: Any) -> None:
        """Plans another request."""
        self.plan = plan_of(self.site, self.site.request(**changes))

    def accounts(self) -> Ledger:
        """The ledger as a new driver sees it."""
        return Ledger(None, Zone("memory/ledger"), store=self.ledger, clock=self.clock)

    def charges(self) -> int:
        """Number of charges."""
        return len(self.accounts().state(SCOPE).charges)

    def kinds(self) -> list[str]:
        """What the journal holds."""
        return [link.kind for link in self.journal.links]

    def drive(self, on_step: Callable[[str], None] = lambda _: None, run_key: str = "") -> Outcome:
        """One driver."""
        plan = replace(self.plan, identity=RunIdentity.of(self.plan.file.digest, run_key))
        return MainJob(self.environment(on_step), plan, (), 1, self.suppliers).execute()

    def environment(self, on_step: Callable[[str], None] = lambda _: None) -> Environment:
        """What a driver is given."""
        chain = Chain(None, TableRef(parts=("journal",)), store=self.journal, clock=self.clock)
        return Environment(
            spark=None,  # type: ignore[arg-type]
            site=load_site(self.site.file),
            policy=load_policy(self.root / "policy.yaml"),
            ledger=self.accounts(),
            journal=chain,
            noise=self.noise,
            clock=self.clock,
            on_step=on_step,
            require_standing=self.require_standing,
            require_approved=self.require_approved,
        )

    def ward(self, on_step: Callable[[str], None] = lambda _: None, runs: int = 1) -> api.Ward:
        """What a notebook or a job opens, with the request approved."""
        seams = {"noise": self.noise, "clock": self.clock, "on_step": on_step, "suppliers": self.suppliers}
        opened = api.Ward(None, load_site(self.site.file), **seams)  # type: ignore[arg-type]
        approve(opened, self.plan.file, runs)
        return opened

    def chain(self, _: Any, ref: TableRef, **__: Any) -> Chain:
        """Stands for a chain of the protected zone."""
        stores = {"journal": self.journal, "approvals": self.approvals, "requests": self.requests}
        stores["release_events"] = MemoryLinks()
        return Chain(None, ref, store=stores[str(ref).rsplit("/", 1)[-1]], clock=self.clock)

    def open(self, _: Any, plan: Any, __: Any, journal: Journal) -> PinnedSource:
        """Stands for `open_source`."""
        types = {"type": "struct", "fields": [_field("visit", "short"), _field("sex", "string"), _field("age", "byte")]}
        opened = Opened(
            source=self.pinned.record(),
            copies=("memory/copy",),
            types=types,
            source_ref="r",
            journal_id=secrets.token_hex(16),
            table="memory/target",
            request_digest=plan.file.digest,
            run_key=plan.identity.run_key,
            scope=SCOPE,
            release_id=plan.identity.release_id,
        )
        journal.once(OPENED, lambda: (encode(opened), None))
        return self.pinned

    def copy(self, *rest: Any) -> PinnedSource:
        """Stands for `copy_source`."""
        self.events.append(f"copy after {self.charges()} charge(s)")
        copied: PinnedSource = rest[-1]
        return copied

    def aggregate(self, *rest: Any) -> np.ndarray:
        """Stands for the pass over the source."""
        self.events.append(f"pass after {self.charges()} charge(s)")
        if self.broken:
            raise Stopped(self.broken)
        return self.exact(rest[2].cells)

    def stage(self, _: Any, plan: Any, places: Any, fit: Fit, *rest: Any) -> Checked:
        """Stands for sampling and gates."""
        self.events.append("stage")
        model = fit.model
        self.models.append(model)
        self.origins.append(rest[0])
        self.staging()
        assert model.domain_digest == fit.domain.digest
        example = Manifest.parse(EXAMPLE.read_text(encoding="utf-8")).record
        record = replace(
            example,
            release_id=plan.identity.release_id,
            run_id=plan.identity.run_id,
            table=str(places.target),
            model=replace(example.model, digest=model.digest),
            gates=(GateEntry("distance", self.gate, "as told"),),
            budget=replace(example.budget, scope=SCOPE),
            repair=rest[0].repair,
        )
        return Checked(Manifest.of(record), 0)

    def publish(self, *_: Any) -> bool:
        """Stands for the commit at the target."""
        self.events.append("publish")
        self.published.append("release")
        return len(self.published) == 1


def _field(name: str, data_type: str) -> dict[str, Any]:
    return {"name": name, "type": data_type, "nullable": True, "metadata": {}}


class _Opener:
    """The one method of a ward that opening a budget needs."""

    def __init__(self, ledger: Ledger, world: World) -> None:
        self._ledger, self._world = ledger, world

    def open_scope(self, scope: str, **terms: Any) -> None:
        self._ledger.open_scope(scope, unit="patient", policy_digest="p", site_digest="s", **terms)


class _Runs:
    """A table of runs that takes everything."""

    def add(self, _: Any) -> bool:
        """Stands for adding a row."""
        return True


class _Registry:
    """A registry that takes everything and remembers manifests."""

    def __init__(self, world: World) -> None:
        self._world = world

    def keep(self, *_: Any) -> None:
        """Stands for storing an artifact."""

    def record(self, release_id: str, row: dict[str, Any]) -> None:
        """Stands for adding the release's row."""
        self._world.registry.setdefault(release_id, row)

    def create_view(self, *_: Any) -> None:
        """Stands for the ready view."""

    def artifact(self, *_: Any) -> bytes:
        """Stands for a stored report."""
        return b""

    def listed(self, *_: Any) -> tuple[()]:
        """Stands for the list of releases."""
        return ()

    def row(self, release_id: str) -> dict[str, Any] | None:
        """Stands for looking at the release's row."""
        return self._world.registry.get(release_id)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_order_of_a_run(world: World) -> None:
    steps: list[str] = []
    outcome = world.drive(steps.append)
    assert outcome.is_new
    assert tuple(steps) == (*STEPS, "track")
    assert world.events == ["pass after 1 charge(s)", "drop memory/copy with fitted", "stage", "publish"]
    assert world.kinds() == ["opened", "sealed", "fitted", "validated", "published"]


def test_a_validated_release_waits_until_it_is_published(world: World) -> None:
    """Publication is a step of its own, by another driver; it measures, draws and charges nothing."""
    steps: list[str] = []
    ward = world.ward(steps.append)
    for _ in range(2):
        manifest = ward.validate(world.plan.file)
        assert ward.result is not None
        assert (ward.result.status, ward.result.code, ward.result.table) == ("validated", 0, None)
    assert world.published == []
    assert world.kinds() == ["opened", "sealed", "fitted", "validated"]
    assert not {"publish", "track"} & set(steps)
    before, drawn = len(world.events), len(world.noise.drawn)
    steps.clear()
    release = world.ward(steps.append).publish(world.plan.file)
    assert steps == ["publish", "track"]
    assert (release.outcome.is_new, release.manifest.digest) == (True, manifest.digest)
    assert world.events[before:] == ["publish"]
    assert (len(world.noise.drawn), world.charges()) == (drawn, 1)
    assert world.kinds()[-1] == "published"
    for again in (world.ward().publish, world.ward().run):
        assert again(world.plan.file).outcome.is_new is False
    assert world.ward().validate(world.plan.file).digest == manifest.digest
    assert len(world.published) == 1


@pytest.mark.parametrize("last", ["", "open", "charge", "fitted", "validate"])
def test_what_is_not_validated_and_registered_is_not_published(world: World, last: str) -> None:
    if last:
        with pytest.raises(Stopped):
            world.drive(stop_after(last))
    with pytest.raises(UsageError, match="no validated release"):
        world.ward().publish(world.plan.file)
    assert world.published == []


def test_a_quarantined_release_is_not_published_by_itself(world: World) -> None:
    world.gate = False
    with pytest.raises(GateFailed):
        world.drive()
    [validated] = [link for link in world.journal.links if link.kind == "validated"]
    manifest = Manifest.parse((validated.payload or b"").decode())
    # Whoever can write to the release zone puts it into the registry.
    world.registry[manifest.record.release_id] = {"manifest_digest": manifest.digest}
    with pytest.raises(UsageError, match="no validated release"):
        world.ward().publish(world.plan.file)
    assert world.published == []


def test_what_has_no_versions_is_copied_after_the_charge(world: World) -> None:
    world.pinned = PinnedSource((Pinned(Source(format="delta", table="a.view", snapshot="materialize")),))
    steps: list[str] = []
    world.drive(steps.append)
    assert steps[1:5] == ["open", "charge", "copy", "aggregate"]
    assert world.events[:2] == ["copy after 1 charge(s)", "pass after 1 charge(s)"]


def test_a_second_run_does_nothing_and_says_so(world: World) -> None:
    world.drive()
    before = len(world.events), len(world.noise.drawn), len(world.journal.links), len(world.ledger.links)
    assert world.drive().is_new is False
    assert (len(world.events), len(world.noise.drawn), len(world.journal.links), len(world.ledger.links)) == before


@pytest.mark.parametrize("step", STEPS)
def test_a_run_that_dies_after_a_step_is_finished_by_the_next(world: World, step: str) -> None:
    with pytest.raises(Stopped):
        world.drive(stop_after(step))
    drawn = len(world.noise.drawn)
    seals = [link for link in world.journal.links if link.kind == "sealed"]
    world.drive()
    queries = len(set(world.noise.drawn))
    assert len(world.noise.drawn) - drawn == (0 if seals else queries)
    assert [link for link in world.journal.links if link.kind == "sealed"][: len(seals)] == seals
    assert world.kinds() == ["opened", "sealed", "fitted", "validated", "published"]
    assert world.charges() == 1


def test_a_pass_that_fails_is_paid_for_and_costs_nothing_again(world: World) -> None:
    world.broken = "no such file"
    for _ in range(2):
        with pytest.raises(Stopped):
            world.drive()
        assert world.charges() == 1
        assert world.accounts().state(SCOPE).spent == world.plan.charge
    world.broken = ""
    world.drive()
    assert world.charges() == 1
    assert world.events[0] == "pass after 1 charge(s)"


def test_a_failed_gate_stops_before_registry_and_target(world: World) -> None:
    world.gate = False
    steps: list[str] = []
    for _ in range(2):
        with pytest.raises(GateFailed, match="gate 'distance' failed: as told"):
            world.drive(steps.append)
    assert world.published == []
    assert not {"register", "publish", "track"} & set(steps)
    assert world.events.count("stage") == 1
    assert world.kinds() == ["opened", "sealed", "fitted", "validated"]
    assert world.charges() == 1


def test_a_job_keeps_the_results_of_its_gates_however_it_ends(world: World) -> None:
    job = MainJob(world.environment(), world.plan, (), 1, world.suppliers)
    assert job.judged is None
    world.gate = False
    with pytest.raises(GateFailed):
        job.execute()
    assert job.judged is not None
    assert [(gate.gate, gate.passed) for gate in job.judged.record.gates] == [("distance", False)]


def test_the_tiers_cap_holds_against_a_charge_made_after_the_plan(world: World) -> None:
    TestSite(world.root, policy={"tiers": {"T0": {"max_epsilon_per_scope": 100}}})
    world.ask()

    def overtake(step: str) -> None:
        if step == "open":
            facts = {"policy_digest": "p", "site_digest": "s", "journal_id": "j", "opened": "0" * 64}
            world.accounts().charge(
                SCOPE,
                run_id="rival",
                attempt=1,
                request_digest="r",
                release_id="r",
                cost=world.plan.charge,
                delta_report=Decimal("1e-6"),
                **facts,
            )

    with pytest.raises(BudgetExceeded, match="tier T0 allows epsilon 100 "):
        world.drive(overtake)
    assert world.charges() == 1
    assert world.events == []


@pytest.mark.parametrize("step", ["charge", "seal", "validate"])
def test_a_charge_pays_for_the_seals_of_one_journal(world: World, step: str) -> None:
    """With the journal gone, every step would be drawn again under the same charge, and the noise averaged away."""
    with pytest.raises(Stopped):
        world.drive(stop_after(step))
    drawn, passes = len(world.noise.drawn), len(world.events)
    kept, world.journal = world.journal, MemoryLinks()
    with pytest.raises(IntegrityError, match="was charged under another journal"):
        world.drive()
    assert (len(world.noise.drawn), len(world.events)) == (drawn, passes)
    world.journal = kept
    world.drive()
    assert world.charges() == 1


def test_another_run_key_needs_an_approval_for_another_run(world: World) -> None:
    world.drive()
    with pytest.raises(PolicyRefused, match=r"cover 1 run\(s\), and 1 are charged"):
        world.drive(run_key="next")
    assert world.charges() == 1
    assert world.events.count("pass after 1 charge(s)") == 1


def test_an_extra_run_is_refused_before_anything_is_read(world: World) -> None:
    steps: list[str] = []
    ward = world.ward(steps.append)
    assert ward.run(world.plan.file).outcome.is_new
    links = list(world.journal.links)
    steps.clear()
    with pytest.raises(PolicyRefused, match=r"cover 1 run\(s\), and 1 are charged"):
        ward.run(world.plan.file, run_key="next")
    assert steps == []
    assert world.journal.links == links
    assert not ward.run(world.plan.file).outcome.is_new


def test_a_charge_beyond_the_tiers_cap_is_refused_before_anything_is_read(world: World) -> None:
    TestSite(world.root, policy={"tiers": {"T0": {"max_epsilon_per_scope": 100}}})
    world.ask()
    steps: list[str] = []
    ward = world.ward(steps.append, runs=2)
    ward.run(world.plan.file)
    links = list(world.journal.links)
    steps.clear()
    with pytest.raises(BudgetExceeded, match="tier T0 allows epsilon 100 "):
        ward.run(world.plan.file, run_key="next")
    assert steps == []
    assert world.journal.links == links


ROW = {"unit": "row", "key": None, "max_rows_per_patient": 1}


@pytest.mark.parametrize(
    ("unit", "changes", "told"),
    [
        (
            "patient",
            {"patient": {"unit": "row", "key": None, "max_rows_per_patient": 1}},
            "protects unit patient, the request row",
        ),
        ("row", {}, "protects unit row, the request patient"),
        (
            "patient",
            {"population": {"declared_patients": 51}},
            "opened for 50 declared patients, .* declares 51",
        ),
    ],
    ids=["row request", "row scope", "declared otherwise"],
)
def test_a_scope_of_another_unit_or_size_pays_for_nothing(
    tmp_path: Path, world: World, unit: str, changes: dict[str, Any], told: str
) -> None:
    wide = {"max_epsilon_per_release": 100, "max_epsilon_per_scope": 1000, "min_declared_patients": 2}
    TestSite(tmp_path, policy={"allow_other_unit": True, "tiers": {"T1": wide}})
    world.ledger.links.clear()
    terms = {"max_delta": Decimal("1e-6"), "declared_patients": 50, "by": "sam", "policy_digest": "p"}
    world.accounts().open_scope(SCOPE, max_epsilon=Decimal(1000), unit=unit, site_digest="s", **terms)
    world.ask(**changes)
    steps: list[str] = []
    with pytest.raises(PolicyRefused, match=told):
        world.ward(steps.append).run(world.plan.file)
    assert (steps, world.charges(), world.journal.links) == ([], 0, [])


def test_preflight_tries_every_zone(world: World) -> None:
    """A charge comes after it, so that a ledger that cannot be written is known before the source is opened."""
    world.drive()
    site = load_site(world.site.file)
    assert world.tried == {"release": site.releases, "protected": site.protected, "ledger": site.ledger}


def plant(world: World, kind: str, facts: dict[str, Any], payload: bytes | None = None) -> Link:
    """Writes a well-formed link at the end of the journal, as anybody can who may write to the protected zone."""
    head = world.journal.links[-1]
    link = next_link(head, key=head.key, kind=kind, body=facts, payload=payload, at=world.clock())
    world.journal.links.append(link)
    return link


@pytest.mark.parametrize("step", ["seal", "fitted", "validate", "publish"])
def test_a_journal_cut_back_under_its_charge_is_forfeit(world: World, step: str) -> None:
    """Each new draw under one charge would take away some of the noise of the first."""
    with pytest.raises(Stopped):
        world.drive(stop_after(step))
    drawn, events = len(world.noise.drawn), list(world.events)
    whole, world.journal = world.journal, MemoryLinks()
    world.journal.links = whole.links[:1]
    for _ in range(2):
        with pytest.raises(IntegrityError, match=r"step 'sealed\.moments': .* was cut back") as refused:
            world.drive()
        assert not refused.value.retryable
    assert (len(world.noise.drawn), world.events) == (drawn, events)
    assert world.charges() == 1
    world.journal = whole
    world.drive()
    assert len(world.noise.drawn) == drawn


@pytest.mark.parametrize("left", [2, 3, 4])
def test_a_run_does_not_go_on_with_a_ledger_that_was_cut(world: World, left: int) -> None:
    """Restored to before the charge, or to before a commitment, it would let the same steps be drawn again."""
    with pytest.raises(Stopped):
        world.drive(stop_after("validate"))
    drawn, whole = len(world.noise.drawn), list(world.ledger.links)
    del world.ledger.links[left:]
    with pytest.raises(LedgerCorrupt, match=r"mentions link \d+ of the ledger, which is not there any more"):
        world.drive()
    assert (len(world.noise.drawn), world.charges()) == (drawn, int(left > 2))
    world.ledger.links = whole
    world.drive()
    assert len(world.noise.drawn) == drawn


def test_planted_links_change_nothing(world: World) -> None:
    with pytest.raises(Stopped):
        world.drive(stop_after("charge"))
    plant(world, "sealed", {"step": "moments", "attempt": 1, "asked": [], "cells": []}, b"theirs")
    plant(world, "fitted", {"model": "0" * 64}, b"{}")
    plant(world, "validated", {"passed": True, "version": 0, "manifest": "0" * 64}, b"{}")
    plant(world, "published", {"table": "elsewhere", "manifest": "0" * 64})
    outcome = world.drive()
    assert outcome.is_new
    assert world.published == ["release"]
    assert world.noise.drawn
    assert world.kinds()[5:] == ["sealed", "fitted", "validated", "published"]
    assert world.drive().is_new is False


def test_a_planted_word_of_publication_does_not_skip_the_registry(world: World) -> None:
    with pytest.raises(Stopped):
        world.drive(stop_after("validate"))
    [validated] = [link for link in world.journal.links if link.kind == "validated"]
    plant(world, "published", {"table": "t", "manifest": validated.facts["manifest"]})
    assert world.drive().is_new
    assert world.registry


def test_a_planted_word_of_publication_does_not_pass_a_failed_gate(world: World) -> None:
    world.gate = False
    with pytest.raises(GateFailed):
        world.drive()
    [validated] = [link for link in world.journal.links if link.kind == "validated"]
    manifest = validated.facts["manifest"]
    plant(world, "published", {"table": "t", "manifest": manifest})
    world.registry[world.plan.identity.release_id] = {"manifest_digest": manifest}
    with pytest.raises(GateFailed):
        world.drive()
    assert world.published == []


def test_what_is_used_is_committed_before(world: World) -> None:
    """One commitment for the round, the model and the manifest each, every one before the step that uses it."""
    seen: dict[str, int] = {}

    def count(step: str) -> None:
        seen.setdefault(step, sum(link.kind == "commit" for link in world.ledger.links))

    world.drive(count)
    assert [seen[step] for step in ("draw", "seal", "fitted", "validate", "register", "track")] == [0, 1, 2, 3, 3, 3]


ADAPTIVE = {
    "privacy": {"mechanism": "gaussian", "epsilon": 50, "delta": 1e-7},
    "synthesizer": {"name": "tree", "max_iterations": 10},
}


def skewed(cells: int) -> np.ndarray:
    """Counts in which a pair of columns is far from independent, so that its table is worth measuring."""
    return np.arange(cells, dtype=np.int64) ** 3 % 11 << 26


def test_a_run_of_several_rounds_makes_one_pass(world: World) -> None:
    world.ask(**ADAPTIVE)
    world.exact = skewed
    steps: list[str] = []
    world.drive(steps.append)
    assert [step for step in steps if step in {"aggregate", "draw", "seal"} or step.startswith("measure")] == [
        *("aggregate", "draw", "seal", "measure one_way"),
        *("draw", "seal", "measure scores"),
        *("draw", "seal", "measure tables"),
    ]
    assert world.kinds() == ["opened", "sealed", "sealed", "sealed", "fitted", "validated", "published"]
    assert len(set(world.noise.drawn)) == len(world.noise.drawn)


@pytest.mark.parametrize("step", ["measure one_way", "measure scores", "measure tables"])
def test_a_run_that_dies_between_rounds_is_finished_by_one_more_pass(world: World, step: str) -> None:
    """No sealed answer is drawn again, nothing is charged again, and the next driver aggregates at most once."""
    world.ask(**ADAPTIVE)
    world.exact = skewed
    with pytest.raises(Stopped):
        world.drive(stop_after(step))
    passes = world.events.count("pass after 1 charge(s)")
    world.drive()
    assert len(set(world.noise.drawn)) == len(world.noise.drawn)
    assert world.events.count("pass after 1 charge(s)") - passes == (0 if step == "measure tables" else 1)
    assert world.kinds() == ["opened", "sealed", "sealed", "sealed", "fitted", "validated", "published"]
    assert world.charges() == 1


class Elsewhere:
    """A synthesizer that comes to another model of the same answers."""

    def __init__(self, synthesizer: Synthesizer) -> None:
        self._synthesizer = synthesizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._synthesizer, name)

    def rounds(self, task: Task) -> Rounds:
        """See `Synthesizer`."""
        model = yield from self._synthesizer.rounds(task)
        return replace(model, synthesizer="elsewhere")


@pytest.mark.parametrize("step", ["measure tables", "fitted"])
def test_a_run_that_goes_on_elsewhere_draws_from_the_first_model(world: World, step: str) -> None:
    """Floats differ from one kind of processor to the next; a driver elsewhere may come to another model."""
    world.ask(**ADAPTIVE)
    world.exact = skewed
    with pytest.raises(Stopped):
        world.drive(stop_after(step))
    kept = [link for link in world.journal.links if link.kind == "fitted"]
    world.plan = replace(world.plan, synthesizer=Elsewhere(world.plan.synthesizer))
    world.drive()
    [fitted] = [link for link in world.journal.links if link.kind == "fitted"]
    assert kept in ([], [fitted])
    assert {model.digest for model in world.models} == {fitted.facts["model"]}
    world.drive()
    assert world.events.count("stage") == 1


LEARNING = {**ADAPTIVE, "learn": {"share": 0.2, "quantiles": {"age": 3}}}


def test_what_is_learned_is_asked_first_and_in_a_pass_of_its_own(world: World) -> None:
    world.ask(**LEARNING)
    world.exact = skewed
    steps: list[str] = []
    world.drive(steps.append)
    assert [step for step in steps if step in {"aggregate", "draw", "seal"} or step.startswith("measure")] == [
        *("aggregate", "draw", "seal", "measure learn_bins"),
        *("aggregate", "draw", "seal", "measure one_way"),
        *("draw", "seal", "measure scores"),
        *("draw", "seal", "measure tables"),
    ]
    assert world.accounts().state(SCOPE).spent == world.plan.charge
    assert world.charges() == 1


@pytest.mark.parametrize("step", ["draw", "seal", "measure learn_bins", "measure one_way", "measure scores"])
def test_a_run_that_dies_while_learning_comes_to_the_same_domain(world: World, step: str) -> None:
    world.ask(**LEARNING)
    world.exact = skewed
    with pytest.raises(Stopped):
        world.drive(stop_after(step))
    sealed = [link for link in world.journal.links if link.kind == "sealed"]
    drawn = len(world.noise.drawn)
    world.drive()
    assert [link for link in world.journal.links if link.kind == "sealed"][: len(sealed)] == sealed
    again = world.noise.drawn[drawn:]
    assert ("marginal(age)" in again[:1]) == (step == "draw")
    assert world.kinds() == ["opened", *["sealed"] * 4, "fitted", "validated", "published"]
    assert world.charges() == 1
    [domain] = {model.domain_digest for model in world.models}
    assert domain != world.plan.domain.digest


def test_a_plan_states_the_curve_only_where_every_call_is_gaussian(world: World) -> None:
    """And what it states is within what was asked, while the charge is larger than zCDP would have allowed."""
    stated = {}
    for name in ("few_round", "tree", "independent", "aim"):
        privacy = {"mechanism": "gaussian", "epsilon": 4, "delta": 1e-7}
        world.ask(privacy=privacy, synthesizer={"name": name}, population={"declared_rows": 10**6})
        stated[name] = world.plan
    by_curve = {name: plan.accounting == "exact Gaussian curve" for name, plan in stated.items()}
    assert by_curve == {"few_round": True, "tree": True, "independent": True, "aim": False}
    allowed = rho_for(Decimal(4), Decimal("1e-7"))
    for name, plan in stated.items():
        assert Decimal("3.99") < plan.epsilon <= 4, name
        assert (plan.charge.nano_rho > allowed) == (name != "aim"), name
        assert (plan.task.curve_cells is None) == (name == "aim"), name
        # What a scope counts is more than what is stated, never less.
        assert (epsilon_of(plan.charge, plan.delta) > 4) == (name != "aim"), name
    world.ask()
    assert world.plan.task.curve_cells is None


def test_an_edited_request_is_told_that_its_approval_is_void(world: World) -> None:
    ward = world.ward()
    edited = ward.request(world.site.request(title="Edited after approval"))
    verdict = ward.verdict(ward.plan(edited))
    assert verdict.missing_roles == ("privacy_officer",)
    edit, again = verdict.reasons
    assert edit.endswith("(privacy_officer): not counted, the request or its domain was edited after approval")
    assert again == "approval was given, and does not count any more, from: privacy_officer; approve again"
    # Another output is another request: nothing was ever approved for it.
    other = ward.request(world.site.request(output={"name": "others"}))
    assert ward.verdict(ward.plan(other)).reasons == ("approval is missing from: privacy_officer",)


def test_everything_against_a_run_is_told_at_once(world: World) -> None:
    ward = world.ward()
    request = ward.request(
        world.site.request(
            purpose={"code": "curiosity"}, population={"declared_patients": 60}, privacy={"epsilon": 101}
        )
    )
    with pytest.raises(PolicyRefused) as refused:
        ward.run(request)
    told = [reason.split(" ")[0] for reason in refused.value.reasons]
    assert told == ["purpose.code:", "privacy.epsilon:", *[told[2]], "approval", "scope"]
    assert "was edited after approval" in refused.value.reasons[2]
    assert "opened for 50 declared patients" in refused.value.reasons[4]


def test_an_approval_counts_up_to_its_last_day(world: World) -> None:
    TestSite(world.root, policy={"max_approval_days": 30, "max_runs": 2})
    world.ask()
    ward = world.ward()
    [given] = ward.approvals(world.plan.file)
    assert given.expires is None
    assert ward.verdict(world.plan).ok
    world.clock.now += dt.timedelta(days=31)
    assert "the approval expired on 2026-02-14" in ward.verdict(world.plan).reasons[0]
    day = dt.date(2026, 2, 20)
    ward.approve(world.plan.file, by="kim", role="privacy_officer", expires=day)
    assert ward.verdict(world.plan).ok
    world.clock.now = dt.datetime(2026, 2, 20, 23, 59, tzinfo=dt.UTC)
    assert ward.verdict(world.plan).ok
    world.clock.now += dt.timedelta(hours=1)
    assert not ward.verdict(world.plan).ok


def test_what_policy_does_not_let_an_approval_grant_is_not_recorded(world: World) -> None:
    TestSite(world.root, policy={"max_approval_days": 30, "max_runs": 2})
    world.ask()
    ward = world.ward()
    before = len(world.approvals.links)
    for wrong in ({"runs": 3}, {"expires": dt.date(2026, 3, 1)}, {"expires": dt.date(2026, 1, 14)}):
        with pytest.raises(PolicyRefused, match=r"policy allows|allowed is today"):
            ward.approve(world.plan.file, by="mo", role="privacy_officer", **wrong)
    assert len(world.approvals.links) == before


def test_a_decision_that_no_longer_counts_can_be_given_again(world: World) -> None:
    """By the same person, in the same words; and only a decision that still counts is not repeated."""
    TestSite(world.root, policy={"max_approval_days": 30})
    world.ask()
    ward = world.ward()
    lee = {"by": "lee", "role": "privacy_officer"}
    ward.approve(world.plan.file, **lee)
    assert len(ward.approvals(world.plan.file)) == 1
    world.clock.now += dt.timedelta(days=31)
    assert not ward.verdict(world.plan).ok
    ward.approve(world.plan.file, **lee)
    assert ward.verdict(world.plan).ok
    ward.approve(world.plan.file, **lee, decision="revoke")
    assert not ward.verdict(world.plan).ok
    ward.approve(world.plan.file, **lee)
    assert ward.verdict(world.plan).ok
    assert [one.decision for one in ward.approvals(world.plan.file)] == ["approve", "approve", "revoke", "approve"]


KEYED = {"output": {"keys": "fresh", "key_columns": ["visit"]}}


def repair_of(world: World, run: str = "", **changes: Any) -> Repair:
    """A repair as read from its file: the request's output section with changes laid over it."""
    output = merged({"name": "visits", "rows": 200}, changes)
    ids = {"version": 1, "run": run or world.plan.identity.run_id, "reason": "the table could not be written"}
    return load_repair(write_yaml(world.root / "output.yaml", {**ids, "output": output}))


def broken_staging(world: World) -> list[str]:
    """Lets staging fail in a way that repeats; returns what the tries ended with."""
    ended: list[str] = []

    def fail() -> None:
        raise ValueError("CHECK constraint domain_0 is violated by 30.1")

    world.staging = fail
    return ended


def test_a_sealed_run_is_finished_with_another_output_section_and_not_charged_again(world: World) -> None:
    world.ask(**KEYED)
    broken_staging(world)
    ward = world.ward()
    with pytest.raises(ValueError, match="CHECK"):
        ward.run(world.plan.file)
    assert ward.result is not None
    assert (ward.result.status, ward.result.code, ward.result.retryable) == ("failed", 1, False)
    assert "domain_0 is violated by 30.1" in str(ward.result.message)
    spent, drawn, passes = world.accounts().state(SCOPE).spent, len(world.noise.drawn), world.events.count("stage")
    world.staging = lambda: None
    repair = repair_of(world, name="mended", rows=50, types="declared")
    ward.approve_repair(world.plan.file, repair, by="kim", role="data_steward")
    release = ward.run(world.plan.file, repair=repair)
    assert release.outcome.is_new
    assert (world.charges(), world.accounts().state(SCOPE).spent) == (1, spent)
    assert len(world.noise.drawn) == drawn
    assert [event for event in world.events if event.startswith("pass")] == ["pass after 1 charge(s)"]
    assert world.events.count("stage") == passes + 1
    assert world.kinds() == ["opened", "sealed", "fitted", "repaired", "validated", "published"]
    assert len({model.digest for model in world.models}) == 1
    body = release.manifest.body
    assert "mended" in body["table"]
    assert body["run_id"] == world.plan.identity.run_id
    assert body["release_id"] != world.plan.identity.release_id
    assert release.table.endswith(f"/mended__{release.release_id}")
    assert (body["repair"]["output"], body["repair"]["of"]) == (repair.digest, world.plan.identity.release_id)
    assert [entry["by"] for entry in body["repair"]["approvals"]] == ["kim"]
    [script] = world.rehearsed
    assert {name: found.simpleString() for name, found in script.types.items()} == {"sex": "string", "age": "bigint"}
    fields = world.origins[-1].opened.types["fields"]
    assert {entry["name"]: entry["type"] for entry in fields} == {"sex": "string", "age": "long"}


def test_both_commands_recognise_a_repaired_release(world: World) -> None:
    world.gate = False
    ward = world.ward()
    with pytest.raises(GateFailed):
        ward.run(world.plan.file)
    world.gate = True
    repair = repair_of(world, rows=50)
    ward.approve_repair(world.plan.file, repair, by="kim", role="data_steward")
    with pytest.raises(Stopped):
        world.ward(stop_after("validate")).run(world.plan.file, repair=repair)
    with pytest.raises(UsageError, match="being finished with another output section"):
        ward.run(world.plan.file)
    release = ward.run(world.plan.file, repair=repair)
    links = list(world.journal.links)
    again, plain = ward.run(world.plan.file, repair=repair), ward.run(world.plan.file)
    assert (again.outcome.is_new, plain.outcome.is_new) == (False, False)
    assert again.table == plain.table == release.table
    assert world.journal.links == links
    other = repair_of(world, rows=51)
    ward.approve_repair(world.plan.file, other, by="kim", role="data_steward")
    with pytest.raises(UsageError, match="is published, and a published release is not drawn anew"):
        ward.run(world.plan.file, repair=other)
    assert world.journal.links == links


def test_a_repair_that_fails_too_is_replaced_by_the_next(world: World) -> None:
    broken_staging(world)
    ward = world.ward()
    with pytest.raises(ValueError, match="CHECK"):
        ward.run(world.plan.file)
    for rows in (50, 60):
        repair = repair_of(world, rows=rows)
        ward.approve_repair(world.plan.file, repair, by="kim", role="data_steward")
        with pytest.raises(ValueError, match="CHECK"):
            ward.run(world.plan.file, repair=repair)
    world.staging = lambda: None
    assert ward.run(world.plan.file, repair=repair).outcome.is_new
    assert world.kinds() == ["opened", "sealed", "fitted", "repaired", "repaired", "validated", "published"]
    assert world.charges() == 1


def test_a_repair_needs_its_own_decision(world: World) -> None:
    broken_staging(world)
    ward = world.ward()
    with pytest.raises(ValueError, match="CHECK"):
        ward.run(world.plan.file)
    world.staging = lambda: None
    links = list(world.journal.links)
    repair = repair_of(world, rows=50)
    with pytest.raises(PolicyRefused, match="repair: approval is missing from: data_steward"):
        ward.run(world.plan.file, repair=repair)
    with pytest.raises(PolicyRefused, match="Ada made the request and cannot approve it"):
        ward.approve_repair(world.plan.file, repair, by="Ada", role="data_steward")
    with pytest.raises(PolicyRefused, match="the roles needed are data_steward"):
        ward.approve_repair(world.plan.file, repair, by="lee", role="privacy_officer")
    ward.approve_repair(world.plan.file, repair, by="kim", role="data_steward")
    with pytest.raises(PolicyRefused, match="repair: approval is missing"):
        ward.run(world.plan.file, repair=repair_of(world, rows=51))
    assert world.journal.links == links


def test_no_repair_without_roles_that_policy_names(world: World) -> None:
    policy = {"tiers": {"T0": {"repair": []}}}
    TestSite(world.root, policy=policy)
    world.ask()
    broken_staging(world)
    ward = world.ward()
    with pytest.raises(ValueError, match="CHECK"):
        ward.run(world.plan.file)
    for act in (
        lambda repair: ward.approve_repair(world.plan.file, repair, by="kim", role="data_steward"),
        lambda repair: ward.run(world.plan.file, repair=repair),
    ):
        with pytest.raises(PolicyRefused, match="policy names no roles"):
            act(repair_of(world, rows=50))


@pytest.mark.parametrize("step", ["open", "charge", "draw", "seal"])
def test_what_is_not_sealed_is_not_repaired(world: World, step: str) -> None:
    """A repair never measures: neither what was not sealed, nor what somebody took out of the journal."""
    with pytest.raises(Stopped):
        world.ward(stop_after(step)).run(world.plan.file)
    repair = repair_of(world, rows=50)
    ward = world.ward()
    ward.approve_repair(world.plan.file, repair, by="kim", role="data_steward")
    passes, drawn, charges = len(world.events), len(world.noise.drawn), world.charges()
    with pytest.raises(UsageError, match="there is nothing to repair"):
        ward.run(world.plan.file, repair=repair)
    assert (len(world.events), len(world.noise.drawn), world.charges()) == (passes, drawn, charges)


def test_a_repair_fits_its_run_and_its_request(world: World) -> None:
    world.ask(**KEYED)
    ward = world.ward()
    for repair, words in (
        (repair_of(world, run="0" * 32, rows=50), "the repair is of run 0000"),
        (repair_of(world, keys="fresh", key_columns=["visit"]), "is the request's own"),
        (repair_of(world, keys="fresh", key_columns=["visit", "age"]), "'age' is not one of the request's"),
        (repair_of(world, where={"sex": {"X": 1}}), "output.where.sex"),
    ):
        with pytest.raises((UsageError, ConfigError), match=words):
            ward.run(world.plan.file, repair=repair)
    assert world.kinds() == []


def test_everything_that_refuses_a_run_is_said_at_once(world: World) -> None:
    world.ask(purpose={"code": "fun"}, privacy={"epsilon": 99})
    ward = api.Ward(None, load_site(world.site.file), noise=world.noise, clock=world.clock, suppliers=world.suppliers)  # type: ignore[arg-type]
    TestSite(world.root, policy={"tiers": {"T0": {"max_epsilon_per_scope": 100}}})
    with pytest.raises(PolicyRefused) as refused:
        ward.run(world.plan.file)
    for words in ("purpose.code", "approval is missing from: privacy_officer"):
        assert words in str(refused.value)
    world.ask(population={"scope": "other"})
    with pytest.raises(PolicyRefused) as refused:
        ward.run(world.plan.file)
    for words in ("approval is missing from: privacy_officer", "scope 'other': is not open"):
        assert words in str(refused.value)


def test_a_pass_that_fails_quotes_nothing(world: World) -> None:
    """Before the last seal the text of an error may be a cell's; the result is read outside of the protected zone."""
    world.broken = "Jane Doe"
    ward = world.ward()
    with pytest.raises(Stopped):
        ward.run(world.plan.file)
    assert ward.result is not None
    assert "the text is not shown" in str(ward.result.message)
    assert "Jane" not in ward.result.text


def _first_call(world: World) -> NoiseCall:
    [asked, *_] = next(world.plan.synthesizer.rounds(world.plan.task)).asked
    return asked.call


def test_a_repair_draws_nothing_whatever_the_journal_lacks(world: World) -> None:
    """A journal whose seals were taken out is not measured again under the old charge."""
    broken_staging(world)
    ward = world.ward()
    with pytest.raises(ValueError, match="CHECK"):
        ward.run(world.plan.file)
    repair = repair_of(world, rows=50)
    approved = ApprovedRepair(repair, world.plan, (), world.plan.identity.release_id)
    job = RepairJob(replace(world.environment(), noise=world.noise), approved, (), world.suppliers)
    drawn = len(world.noise.drawn)
    with pytest.raises(IntegrityError, match="a repair draws no noise"):
        job._run.env.noise.draw("marginal(sex)", np.zeros(3, dtype=np.int64), _first_call(world))
    assert len(world.noise.drawn) == drawn


def test_of_two_repairs_at_once_each_driver_keeps_to_its_own(world: World) -> None:
    """While one driver stages, another one begins a repair of its own: gates of the one never publish the other."""
    broken_staging(world)
    ward = world.ward()
    with pytest.raises(ValueError, match="CHECK"):
        ward.run(world.plan.file)
    first, second = repair_of(world, rows=50), repair_of(world, rows=60)
    for repair in (first, second):
        ward.approve_repair(world.plan.file, repair, by="kim", role="data_steward")

    def overtaken() -> None:
        world.staging = stop
        with pytest.raises(Stopped):
            ward.run(world.plan.file, repair=second)

    def stop() -> None:
        raise Stopped("second")

    world.staging = overtaken
    world.published.clear()
    with pytest.raises(UsageError, match="being repaired in another way"):
        ward.run(world.plan.file, repair=first)
    assert not world.published
    world.staging = lambda: None
    assert ward.run(world.plan.file, repair=second).manifest.body["repair"]["output"] == second.digest
    published = list(world.published)
    with pytest.raises(UsageError, match="is published, and a published release is not drawn anew"):
        ward.run(world.plan.file, repair=first)
    assert world.published == published


def test_a_planted_repair_changes_nothing(world: World) -> None:
    """A link that the ledger does not name is not obeyed: the run goes on as it was approved."""
    broken_staging(world)
    ward = world.ward()
    with pytest.raises(ValueError, match="CHECK"):
        ward.run(world.plan.file)
    plant(world, "repaired", {"output": "0" * 64})
    plant(world, "validated", {"passed": True, "version": 0, "manifest": "0" * 64}, b"{}")
    world.staging = lambda: None
    release = ward.run(world.plan.file)
    assert release.outcome.is_new
    assert release.manifest.record.repair is None
    assert not ward.run(world.plan.file).outcome.is_new


def test_a_repair_that_was_cut_out_of_the_journal_is_forfeit(world: World) -> None:
    broken_staging(world)
    ward = world.ward()
    with pytest.raises(ValueError, match="CHECK"):
        ward.run(world.plan.file)
    before = list(world.journal.links)
    repair = repair_of(world, rows=50)
    ward.approve_repair(world.plan.file, repair, by="kim", role="data_steward")
    with pytest.raises(ValueError, match="CHECK"):
        ward.run(world.plan.file, repair=repair)
    assert world.kinds()[-1] == "repaired"
    world.journal.links[:] = before
    world.staging = lambda: None
    for again in (repair, None):
        with pytest.raises(IntegrityError, match=r"step 'repaired\.0'"):
            ward.run(world.plan.file, repair=again)
    assert world.published == []


def test_a_decision_on_a_repair_is_none_on_the_request(world: World) -> None:
    """Neither does it approve the request, nor is it named as an approval of an earlier version."""
    ward = world.ward()
    repair = repair_of(world, rows=50)
    ward.approve_repair(world.plan.file, repair, by="kim", role="data_steward")
    edited = ward.plan(ward.request(world.site.request(title="Edited after approval")))
    assert not [reason for reason in ward.verdict(edited).reasons if "kim" in reason]
    assert all(one.by != "kim" for one in ward.approvals(world.plan.file))


@pytest.mark.parametrize("step", ["seal", "fitted", "validate", "publish"])
def test_a_run_goes_on_where_an_earlier_version_left_it(world: World, step: str) -> None:
    """Nothing is drawn or charged again, and what is written now follows in the same chains.

    Not of columns of numbers: their marginals have cells for clipped values since, so that such seals are refused.
    """
    path = GOLDEN / "b2db15f" / f"{step}.json"
    world.ask(source=SOURCE, columns=["sex"], utility={"max_clipped_share": None, "replicates": None})
    assert world.plan.file.digest == json.loads(path.read_text(encoding="utf-8"))["request"]
    world.journal, world.ledger = store_of(path, "journal"), store_of(path, "ledger")
    before = [*world.journal.links]
    outcome = world.drive()
    assert outcome.manifest.record.release_id == entry(before[0], Opened).release_id
    assert world.noise.drawn == []
    assert world.charges() == 1
    assert world.kinds() == ["opened", "sealed", "fitted", "validated", "published"]
    assert world.journal.links[: len(before)] == before
    assert {json.loads(link.body)["format"] for link in world.journal.links[len(before) :]} <= {2}
    kept = evidence_of({before[0].key: world.journal.links}, ())
    assert world.accounts().verify(SCOPE, kept.receipts[SCOPE], kept.journals) == []
    assert verify_chain(world.journal.links) == []


def test_the_manifest_of_a_run_is_its_record_in_format_2(world: World) -> None:
    """Built from the plan, the ledger and the sealed answers of a run; only the counts of its rows are made up."""
    made: list[Manifest] = []

    def stage(env: Any, plan: Any, places: Any, fit: Fit, origin: Any, _: Any) -> Checked:
        books = codebooks(fit.domain)
        noisy = noisy_tables(fit.sealed, books)
        drawn = {name: np.full_like(noisy[name,].counts, 5, dtype=np.int64) for name in books}
        facts = Facts(
            plan=plan,
            site_name=env.site.name,
            site_digest=env.site.digest,
            policy_name=env.policy.name,
            policy_digest=env.policy.digest,
            approvals=origin.approvals,
            scope=env.ledger.state(SCOPE),
            receipt=origin.receipt,
            source_ref=origin.opened.source_ref,
            fit=fit,
            lineage=Lineage(plan.identity.release_id, fit.model.digest, origin.sealed_at),
            table=str(places.target),
            fingerprint=Fingerprint(200, "0"),
            gates=(GateResult("structure", True, "as declared"),),
            quality={name: column_quality(book, noisy[name,], drawn[name]) for name, book in books.items()},
            relations=(),
            graph=(Edge("sex", "age", 0.25),),
        )
        made.append(manifest_of(facts))
        return Checked(made[0], 0)

    world.suppliers = replace(world.suppliers, stage_and_check=stage)
    outcome = world.drive()
    [manifest] = made
    assert outcome.manifest.digest == manifest.digest
    assert Manifest.parse(manifest.text).record == manifest.record
    assert parse_canonical(manifest.text.encode())["format"] == 2
    [charge] = world.accounts().state(SCOPE).charges
    record = manifest.record
    assert (record.budget.ledger.seq, record.budget.ledger.head) == (charge.seq, charge.hash)
    assert sum(entry.nano_rho for entry in record.measurements) <= record.guarantee.nano_rho == charge.cost.nano_rho
    assert [attribute.column for attribute in record.domain.attributes] == ["sex", "age"]
    age = encode(record.domain.attributes[1])
    assert age == {
        "column": "age",
        "type": "numeric",
        "required": False,
        "learned": None,
        "bounds": ["0", "100"],
        "outside": "clip",
    }
    assert registry_row(manifest)["bounds"] == '{"age":["0","100"]}'
    assert manifest.digest in render(manifest)


ALL_SIGNED = {"tiers": {"T0": {"signed": True}, "T1": {"signed": True}}}


def with_roster(world: World, **changes: Any) -> None:
    """Gives the site of a world a roster, and a policy that counts signed approvals only."""
    world.site = TestSite(world.root, site=write_roster(world.root, demo_roster(**changes)), policy=ALL_SIGNED)
    world.ask()


def unapproved(world: World) -> api.Ward:
    """The opened site; nobody has decided yet."""
    return api.Ward(None, load_site(world.site.file), noise=world.noise, clock=world.clock, suppliers=world.suppliers)  # type: ignore[arg-type]


LEE = {"by": "lee", "role": "privacy_officer"}


def test_a_run_needs_signatures_where_policy_asks_for_them_and_shows_who_signed(world: World) -> None:
    with_roster(world)
    ward = unapproved(world)
    with pytest.raises(PolicyRefused, match=r"\[unsigned\]"):
        ward.approve(world.plan.file, **LEE)
    # Whoever can write to the table enters an approval without the command.
    typed = AS_TYPED | {"request_digest": world.plan.file.digest, "at": "2026-01-15T09:00:00Z"}
    ward._approvals.append(world.plan.file.digest, "decision", typed, None, None)
    with pytest.raises(PolicyRefused, match=r"\[unsigned\]"):
        ward.run(world.plan.file)
    assert (world.events, world.journal.links, world.charges()) == ([], [], 0)
    given = ward.approve(world.plan.file, **LEE, signer=demo_key("lee"))
    assert ward.approve(world.plan.file, **LEE, signer=demo_key("lee")).key_id == given.key_id
    assert len(ward.approvals(world.plan.file)) == 2
    release = ward.run(world.plan.file)
    assert release.outcome.is_new
    [written] = map(approval_entry, ward.verdict(world.plan).counted)
    assert (written.by, written.signed, written.key_id) == ("lee", True, given.key_id)
    assert f"lee as privacy_officer (signed with key {given.key_id})" in ward.describe(world.plan)


AS_TYPED = {
    "by": "lee", "role": "privacy_officer", "decision": "approve", "request_digest": "", "assessment_digest": "a" * 64,
    "policy_digest": "b" * 64, "runs": 1, "expires": None, "note": "", "scope": SCOPE, "output": "visits",
}  # fmt: skip


def test_a_signed_approval_is_void_on_another_site_and_under_an_older_roster(world: World) -> None:
    with_roster(world)
    unapproved(world).approve(world.plan.file, **LEE, signer=demo_key("lee"))
    assert unapproved(world).verdict(world.plan).ok
    for changes, code in (({"edition": 2}, "roster_rolled_back"), ({"persons": {"lee": {"keys": []}}}, "unknown_key")):
        with_roster(world, **changes)
        with pytest.raises(PolicyRefused, match=rf"\[{code}\]"):
            unapproved(world).run(world.plan.file)
    roster = write_roster(world.root, demo_roster())
    world.site = TestSite(world.root, site={**roster, "name": "Another site"}, policy=ALL_SIGNED)
    with pytest.raises(PolicyRefused, match=r"\[other_site\]"):
        unapproved(world).run(world.plan.file)
    assert (world.events, world.charges()) == ([], 0)


def test_signing_needs_a_roster_and_a_ledger(world: World) -> None:
    with pytest.raises(PolicyRefused, match=r"\[no_roster\]"):
        unapproved(world).approve(world.plan.file, **LEE, signer=demo_key("lee"))
    with_roster(world)
    world.ledger.links.clear()
    with pytest.raises(PolicyRefused, match=r"\[no_ledger\]"):
        unapproved(world).approve(world.plan.file, **LEE, signer=demo_key("lee"))
    assert world.approvals.links == []


def test_a_site_without_a_roster_counts_what_was_entered_and_says_so(world: World) -> None:
    world.site = TestSite(world.root, policy=ALL_SIGNED)
    world.ask()
    ward = unapproved(world)
    ward.approve(world.plan.file, **LEE)
    assert "lee as privacy_officer (as entered, not signed)" in ward.describe(world.plan)
    ward.run(world.plan.file)
    [written] = map(approval_entry, ward.verdict(world.plan).counted)
    assert written.signed is False
    assert "key_id" not in encode(written)


KIM = {"by": "kim", "role": "data_steward"}


def unreleased_with_roster(world: World) -> api.Ward:
    """A signed and sealed run that cannot be released as it was asked; its site counts signed decisions only."""
    with_roster(world)
    broken_staging(world)
    ward = unapproved(world)
    ward.approve(world.plan.file, **LEE, signer=demo_key("lee"))
    with pytest.raises(ValueError, match="CHECK"):
        ward.run(world.plan.file)
    world.staging = lambda: None
    return ward


def test_a_repair_needs_signatures_where_a_request_does(world: World) -> None:
    ward = unreleased_with_roster(world)
    repair = repair_of(world, rows=50)
    with pytest.raises(PolicyRefused, match=r"\[unsigned\]"):
        ward.approve_repair(world.plan.file, repair, **KIM)
    with pytest.raises(PolicyRefused, match=r"\[key_of_another\]"):
        ward.approve_repair(world.plan.file, repair, **KIM, signer=demo_key("lee"))
    typed = AS_TYPED | KIM | {"request_digest": repair.digest, "at": "2026-01-15T09:00:00Z", "scope": "", "output": ""}
    ward._approvals.append(repair.digest, "decision", typed, None, None)
    with pytest.raises(PolicyRefused, match=r"\[unsigned\]"):
        ward.run(world.plan.file, repair=repair)
    given = ward.approve_repair(world.plan.file, repair, **KIM, signer=demo_key("kim"))
    release = ward.run(world.plan.file, repair=repair)
    assert release.outcome.is_new
    assert world.charges() == 1
    [written] = release.manifest.body["repair"]["approvals"]
    assert (written["by"], written["signed"], written["key_id"]) == ("kim", True, given.key_id)


def test_a_signature_on_one_repair_is_none_on_another_or_on_the_request(world: World) -> None:
    """Whoever can write to the table copies a signed decision to where it was not given."""
    ward = unreleased_with_roster(world)
    first, second = repair_of(world, rows=50), repair_of(world, rows=60)
    given = ward.approve_repair(world.plan.file, first, **KIM, signer=demo_key("kim"))
    request = world.plan.file.digest
    for subject in (second.digest, request):
        head = next(reversed(ward._approvals.read(subject)), None)
        ward._approvals.append(subject, "decision", encode(replace(given, request_digest=subject)), None, head)
    for verdict in (ward.repair_verdict(world.plan.file, second), ward.verdict(world.plan)):
        assert any("[other_request]" in reason for reason in verdict.reasons)
        assert all(one.by != "kim" for one in verdict.counted)
    with pytest.raises(PolicyRefused, match=r"\[other_request\]"):
        ward.run(world.plan.file, repair=second)


def test_a_roster_that_the_site_did_not_sign_opens_nothing(world: World) -> None:
    with_roster(world)
    write_roster(world.root, demo_roster(), by=demo_key("eve"))
    with pytest.raises(ConfigError, match="not one of the site's key"):
        unapproved(world)


def test_a_release_that_waits_for_approval_is_validated_and_published_later(world: World) -> None:
    asked: list[tuple[str, str]] = []

    def waits(*names: str) -> None:
        asked.append(names)  # type: ignore[arg-type]
        raise PolicyRefused(["waits for approvals"])

    world.require_approved = waits
    for _ in range(2):
        with pytest.raises(PolicyRefused, match="waits for approvals"):
            world.drive()
    assert world.published == []
    assert world.kinds() == ["opened", "sealed", "fitted", "validated"]
    world.require_approved = lambda *_: None
    done = world.drive()
    assert done.is_new
    assert (world.published, world.charges()) == (["release"], 1)
    assert asked == [(done.release_id, "T0")] * 2


def test_a_release_that_was_taken_back_is_neither_recognised_nor_published(world: World) -> None:
    asked: list[tuple[str, str, str]] = []

    def taken_back(*names: str) -> None:
        asked.append(names)  # type: ignore[arg-type]
        raise Withdrawn(["was recalled"])

    world.require_standing = taken_back
    with pytest.raises(Withdrawn, match="was recalled"):
        world.drive()
    assert world.published == []
    world.require_standing = lambda *_: None
    done = world.drive()
    assert world.published == ["release"]
    world.require_standing = taken_back
    with pytest.raises(Withdrawn, match="was recalled"):
        world.drive()
    assert world.charges() == 1
    assert asked == [(SCOPE, done.run_id, done.release_id)] * 2
