"""The officer's site: a pure function of facts, readable from a file share, and no danger to what lies there."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import posixpath
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from releases import LEE, LISTED, RELEASE, WISH, House, manifest_of
from store_doubles import MemoryLinks
from synthward.errors import UsageError
from synthward.governance.approvals import Verdict
from synthward.governance.policy import load_policy
from synthward.ledger.ledger import Ledger
from synthward.privacy.accounting import Charge
from synthward.records.findings import Drilled, Finding, Watched
from synthward.report.site import WIDTH, burn_down, pages, todo
from synthward.report.site_facts import SiteFacts
from synthward.report.site_files import INDEX, is_index, is_page, write_site
from synthward.run.officer import Asked, Published, Records, facts_of
from synthward.run.plan import make_plan
from synthward.spec.request_file import load_request
from synthward.spec.site import load_site
from synthward.store.places import Zone
from trial import SCOPE, START, Clock, TestSite

EVIL = "<script>alert(1)</script>\"'&{{ 7*7 }}"
NOW = START + dt.timedelta(days=40)


def account(clock: Clock) -> Any:
    ledger = Ledger(None, Zone("memory/ledger"), store=MemoryLinks(), clock=clock)
    ledger.open_scope(
        SCOPE,
        max_epsilon=Decimal(1000),
        max_delta=Decimal("1e-6"),
        declared_patients=50,
        unit="patient",
        by="lee",
        policy_digest="p",
        site_digest="s",
    )
    for number in range(3):
        clock.now = START + dt.timedelta(days=10 * number)
        ledger.charge(
            SCOPE,
            run_id=f"run{number}",
            attempt=1,
            request_digest="r",
            policy_digest="p",
            site_digest="s",
            journal_id=f"j{number}",
            cost=Charge.pure(Decimal(120)),
            release_id=RELEASE if number == 0 else f"r{number}",
            delta_report=Decimal("1e-6"),
            opened="0" * 64,
        )
    return ledger.state(SCOPE)


@pytest.fixture
def records(tmp_path: Path) -> Records:
    """A site with a request that waits, a recalled release, an open incident, findings and a drill."""
    site = TestSite(tmp_path)
    policy = load_policy(tmp_path / "policy.yaml")
    house = House(policy, (replace(LISTED, title=f"Trial {EVIL}"), replace(LISTED, release_id="r1", ledger_seq=2)))
    house.open().grant(RELEASE, replace(WISH, recipient=f"analysts {EVIL}".replace("`", "")), LEE)
    house.open().open_incident([RELEASE], "INC-1", "high", LEE)
    house.open().recall(RELEASE, LEE, incident="INC-1")
    report = '<!DOCTYPE html>\n<html><head><meta name="generator" content="synthward 0"></head></html>'
    published = [Published(one, manifest_of().record, report, ()) for one in house.open().all()]
    plan = make_plan(load_request(site.request(title=f"Request {EVIL}")), policy, "", START.date())
    verdict = Verdict(False, ("approval is missing from: privacy_officer",), ("privacy_officer",), ())
    findings = (
        Finding("budget", "warning", SCOPE, "mostly spent"),
        Finding("schema", "warning", "/secret/ehr", "gone: x"),
    )
    return Records(
        site=load_site(site.file),
        policy=policy,
        asked=[Asked(plan, verdict, (), account(Clock()))],
        scopes=[account(Clock())],
        problems={SCOPE: [], "lost": ["it is gone"]},
        published=published,
        last=(
            Watched("2026-02-20T06:00:00Z", policy.digest, findings),
            Drilled("2026-02-01T06:00:00Z", RELEASE, "high", 72, 3.0, ()),
        ),
    )


@pytest.fixture
def facts(records: Records) -> SiteFacts:
    return facts_of(records, NOW)


class Seen(HTMLParser):
    """Tags, addresses and ids of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = dict(attrs)
        self.links += [given[name] or "" for name in ("href", "src", "action") if name in given]
        self.ids |= {given["id"] or ""} if "id" in given else set()
        assert not [name for name in given if name.startswith("on")]


def test_equal_records_give_equal_bytes(records: Records) -> None:
    assert pages(facts_of(records, NOW)) == pages(facts_of(records, NOW.replace(hour=NOW.hour + 1)))


def test_pages_have_no_script_load_nothing_and_lead_to_each_other(facts: SiteFacts) -> None:
    found = pages(facts)
    seen = {name: Seen(text) for name, text in found.items()}
    assert {"index.html", "register.html", f"releases/{RELEASE}.html", f"populations/{SCOPE}.html"} <= found.keys()
    for name, page in seen.items():
        assert not page.tags & {"script", "iframe", "img", "link", "form", "object", "embed"}, name
        assert "default-src 'none'" in found[name] or name.endswith(".report.html")
        for link in page.links:
            target, _, anchor = link.partition("#")
            assert ":" not in link, link
            goal = posixpath.normpath(posixpath.join(posixpath.dirname(name), target)) if target else name
            assert goal in found, (name, link)
            assert not anchor or anchor in seen[goal].ids, (name, link)


def test_texts_of_people_stay_texts(facts: SiteFacts) -> None:
    for name, text in pages(facts).items():
        assert "<script" not in text, name
        assert "49" not in text or "{{ 7*7 }}" in text, name


def test_no_location_of_a_source_is_shown(facts: SiteFacts) -> None:
    whole = "".join(pages(facts).values())
    assert "/secret/ehr" not in whole
    assert "data/visits" not in whole
    assert facts.findings_left_out == 1


def test_what_waits_names_who_and_where(facts: SiteFacts) -> None:
    found = [(one.who, one.urgent) for one in todo(facts)]
    assert found[0] == ("whoever keeps the records", True)
    assert ("privacy officer", False) in found
    assert ("privacy or security officer", False) in found
    assert ("whoever watches", False) in found


def test_a_decision_sheet_says_risk_cost_and_rest(facts: SiteFacts) -> None:
    [request] = facts.requests
    text = pages(facts)[request.page]
    assert "membership advantage" in text
    assert request.cost is not None
    assert (request.cost.before, request.cost.after, request.cost.fits) == ("360", "420", True)
    assert "synthward approve request.yaml --by YOUR-ID --role privacy_officer" in text
    assert "0 to 100" in text
    assert "2 listed values: F, M" in text


def test_a_request_that_does_not_fit_says_so(records: Records) -> None:
    [asked] = records.asked
    poor = replace(asked.account, terms=replace(asked.account.terms, max_epsilon=Decimal(400)))  # type: ignore[type-var]
    facts = facts_of(replace(records, asked=[replace(asked, account=poor)]), NOW)
    assert "beyond the cap" in pages(facts)[facts.requests[0].page]
    none = facts_of(replace(records, asked=[replace(asked, account="scope 'clinic' is not open")]), NOW)
    assert "is not open" in pages(none)[none.requests[0].page]


def test_a_recalled_release_is_shown_as_such_everywhere(facts: SiteFacts) -> None:
    found = pages(facts)
    for name in ("index.html", "register.html", f"releases/{RELEASE}.html"):
        assert "recalled" in found[name], name
    assert "do not use this release, nor copies of it" in found[f"releases/{RELEASE}.html"]
    assert "accepted by" in found[f"releases/{RELEASE}.html"].lower()


def test_the_register_names_no_person(facts: SiteFacts) -> None:
    text = pages(facts)["register.html"]
    assert "lee" not in text
    assert "ada" not in text


def test_a_budget_is_drawn_from_full_to_what_is_left(facts: SiteFacts) -> None:
    [scope] = facts.scopes
    drawing = burn_down(scope, facts.as_of)
    points = [tuple(map(float, point.split(","))) for point in drawing.left.split()]
    assert points[0] == (0.0, 0.0)
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted(y for _, y in points)
    assert points[-1][1] == pytest.approx(150 * 0.36)
    ahead = [tuple(map(float, point.split(","))) for point in drawing.ahead.split()]
    assert ahead[0] == points[-1]
    assert ahead[-1] == (WIDTH, 150.0)
    untouched = replace(scope, charges=(), until=None, opened=facts.as_of)
    assert burn_down(untouched, facts.as_of).ahead == ""


def test_an_empty_site_is_a_page(records: Records) -> None:
    empty = replace(records, asked=[], scopes=[], problems={}, published=[], last=(None, None))
    found = pages(facts_of(empty, NOW))
    assert set(found) == {"index.html", "register.html"}
    assert "Nothing waits for anybody" in found["index.html"]
    assert "never practised" in found["index.html"]


# Files


def test_a_second_build_replaces_its_own_pages_and_removes_what_is_gone(facts: SiteFacts, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    assert write_site(pages(facts), folder, {}) == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert write_site(pages(facts), folder, {}) == 0
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    decided = dataclasses.replace(facts, requests=())
    assert write_site(pages(decided), folder, {}) == 1
    assert not list((folder / "requests").glob("*.html"))
    assert set(json.loads((folder / INDEX).read_bytes())["pages"]) == set(pages(decided))


def test_files_of_others_are_neither_replaced_nor_removed(facts: SiteFacts, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    write_site(pages(facts), folder, {})
    [request] = (folder / "requests").glob("*.html")
    request.write_text("notes of a meeting", encoding="utf-8")
    stranger = folder / "notes.txt"
    stranger.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="never replaces another file"):
        write_site(pages(facts), folder, {})
    assert write_site(pages(dataclasses.replace(facts, requests=())), folder, {}) == 0
    assert (request.read_text("utf-8"), stranger.read_text("utf-8")) == ("notes of a meeting", "mine")


def test_a_list_that_somebody_wrote_removes_nothing_elsewhere(facts: SiteFacts, tmp_path: Path) -> None:
    folder, outside = tmp_path / "site", tmp_path / "outside.html"
    outside.write_text(pages(facts)["index.html"], encoding="utf-8")
    folder.mkdir()
    import hashlib

    digest = hashlib.sha256(outside.read_bytes()).hexdigest()
    forged = {"synthward": "officers_site", "pages": {"../outside.html": digest, str(outside): digest, "a/b/c": digest}}
    (folder / INDEX).write_text(json.dumps(forged), encoding="utf-8")
    assert write_site(pages(facts), folder, {}) == 0
    assert outside.exists()


@pytest.mark.parametrize("inside", ["zones/protected", "zones/releases/site", "."])
def test_the_site_is_outside_of_all_zones(facts: SiteFacts, tmp_path: Path, inside: str) -> None:
    zones = {name: str(tmp_path / "zones" / name) for name in ("ledger", "protected", "releases")}
    with pytest.raises(UsageError, match="zone"):
        write_site(pages(facts), tmp_path / inside, zones)


def test_a_link_is_not_followed(facts: SiteFacts, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "releases").symlink_to(tmp_path / "real")
    with pytest.raises(UsageError, match="is a link"):
        write_site(pages(facts), folder, {})
    assert list((tmp_path / "real").iterdir()) == []


def test_marks_are_told_from_other_files(facts: SiteFacts) -> None:
    assert all(is_page(text.encode()) for text in pages(facts).values())
    assert not is_page(b"<!DOCTYPE html><title>other</title>")
    assert not is_index(b"[]")
    assert not is_index(b"not json")
