"""What earlier versions wrote still loads, verifies and resumes; `tests/golden` has it byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from golden_records import GOLDEN, links_of, store_of
from synthward.governance.approvals import Approval
from synthward.ledger.ledger import Ledger
from synthward.records.journal import Fitted, Opened, Published, Sealed, Validated, fold, receipt_in
from synthward.release.manifest import FORMAT, Manifest
from synthward.report.render import render
from synthward.run.evidence import evidence_of
from synthward.run.journal import entry
from synthward.run.records import publishable_metrics, registry_row, table_properties, tracked_parameters
from synthward.store.links import verify_chain
from synthward.store.places import Zone
from trial import SCOPE

RUNS = sorted(path for path in GOLDEN.glob("*/*.json") if path.stem in ("seal", "fitted", "validate", "publish"))
KINDS: dict[str, type] = {
    "opened": Opened,
    "sealed": Sealed,
    "fitted": Fitted,
    "validated": Validated,
    "published": Published,
}


def named(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


@pytest.mark.parametrize("path", RUNS, ids=named)
def test_ledger_and_journal_load_and_agree(path: Path) -> None:
    journal = links_of(path, "journal")
    assert verify_chain(journal) == []
    for link in journal:
        assert entry(link, KINDS[link.kind])
    opened = entry(journal[0], Opened)
    ledger = Ledger(None, Zone("memory/ledger"), store=store_of(path, "ledger"))
    state = ledger.state(SCOPE)
    [charge] = state.charges
    assert (charge.run_id, charge.journal_id) == (journal[0].key, opened.journal_id)
    kept = evidence_of({charge.run_id: journal}, ())
    assert ledger.verify(SCOPE, kept.receipts[SCOPE], kept.journals) == []
    assert ledger.verify_ownership() == []
    stages = {"seal": "sealed", "validate": "validated", "publish": "published"}
    assert fold((link.kind, link.facts) for link in journal).stage == stages.get(path.stem, path.stem)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*/publish.json")), ids=named)
def test_a_manifest_keeps_its_digest_and_gives_every_record(path: Path) -> None:
    [validated] = [link for link in links_of(path, "journal") if link.kind == "validated"]
    assert validated.payload is not None
    manifest = Manifest.parse(validated.payload.decode())
    assert manifest.text.encode() == validated.payload
    assert manifest.digest == entry(validated, Validated).manifest
    assert manifest.record.format == 1
    assert registry_row(manifest)["manifest_digest"] == manifest.digest
    assert table_properties(manifest)["manifest_sha256"] == manifest.digest
    assert publishable_metrics(manifest)
    assert tracked_parameters(manifest)
    assert manifest.digest in render(manifest)


def test_a_manifest_says_the_same_in_both_formats() -> None:
    old = Manifest.parse((GOLDEN / "manifest_format_1.json").read_text(encoding="utf-8"))
    new = Manifest({**old.body, "format": FORMAT})
    assert new.digest != old.digest
    assert Manifest.parse(new.text).record == new.record
    assert Manifest.of(new.record).record == new.record
    ids = {"manifest_digest"}
    rows = [{name: value for name, value in registry_row(each).items() if name not in ids} for each in (old, new)]
    assert rows[0] == rows[1]
    assert publishable_metrics(old) == publishable_metrics(new)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*/approvals.json")), ids=named)
def test_decisions_load(path: Path) -> None:
    chain = links_of(path, "approvals")
    assert verify_chain(chain) == []
    [found] = [Approval.from_body(link.text) for link in chain]
    assert (found.by, found.decision) == ("lee", "approve")
    assert found.request_digest == json.loads(path.read_text(encoding="utf-8"))["request"] == chain[0].key


@pytest.mark.parametrize("damage", [{}, {"seq": "2"}, {"seq": 2, "head": 7, "genesis": "g"}])
def test_a_damaged_receipt_is_one_that_no_ledger_has(damage: dict[str, object]) -> None:
    assert receipt_in({"step": "x"}) is None
    assert receipt_in({"ledger": None}) is None
    found = receipt_in({"ledger": damage})
    assert found is not None
    path = GOLDEN / "b2db15f" / "seal.json"
    ledger = Ledger(None, Zone("memory/ledger"), store=store_of(path, "ledger"))
    assert not ledger.holds(SCOPE, found.seq, found.head)
    assert ledger.verify(SCOPE, [(found.seq, found.head, found.genesis)]) != []


def test_a_kind_of_link_that_is_unknown_leaves_the_state_of_a_run() -> None:
    entries = [("opened", {"scope": "clinic"}), ("sealed", {"step": "one"}), ("fitted", {})]
    assert fold([*entries, ("painted", {"passed": True})]) == fold(entries)
    assert fold(entries).sealed == ("one",)
    assert fold([]).stage == "nothing"


def test_a_scope_keeps_the_tables_that_it_owned() -> None:
    """Opened without people, bound to them, with a derived table, a list of opt-outs and a charge."""
    store = store_of(GOLDEN / "b2db15f" / "owners.json", "ledger")
    assert [link.kind for link in store.links] == [
        "genesis",
        "open",
        "claim",
        "bind",
        "claim",
        "own",
        "claim",
        "own",
        "charge",
    ]
    ledger = Ledger(None, Zone("memory/ledger"), store=store)
    people = ledger.state("clinic").people
    assert people is not None
    assert [item.source.location for item in people.sources] == ["/data/visits", "/data/stays"]
    assert people.excluded is not None
    assert people.excluded.source.location == "/data/opt_outs"
    assert ledger.verify("clinic") == []
    assert ledger.verify_ownership() == []
