"""What happens to a published release: who may do it, what it does to readers, and that it cannot be undone quietly."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from people import FIRST, LAST, demo_key, demo_roster, roster_text
from releases import LEE, LISTED, OPENED, RELEASE, RUN, WISH, House, manifest_of
from store_doubles import MemoryLinks
from synthward.config.canonical import digest
from synthward.config.loader import bind
from synthward.errors import ConfigError, LedgerCorrupt, PolicyRefused, UsageError, Withdrawn
from synthward.governance.policy import Policy, load_policy
from synthward.governance.roster import Roster
from synthward.records import releases as records
from synthward.records.codec import decode, encode
from synthward.records.releases import Act, Entry, fold, kind_of
from synthward.run.evidence import evidence_of
from synthward.run.records import registry_row
from synthward.run.releases import Actor, Done, Releases
from synthward.store.chain import Chain
from synthward.store.links import Link
from synthward.store.places import TableRef
from trial import POLICY, SCOPE, TestSite, merged, write_yaml


def policy(root: Path, **changes: Any) -> Policy:
    return load_policy(write_yaml(root / "policy.yaml", merged(POLICY, changes)))


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(policy(tmp_path))


def events(house: House) -> list[str]:
    return [link.kind for link in house.links.links]


def test_a_release_without_events_is_published_and_readable(house: House) -> None:
    standing = house.open().require_readable(RELEASE)
    assert standing.state.stage == "published"
    assert [one.listed.release_id for one in house.open().all()] == [RELEASE]
    with pytest.raises(UsageError, match="is unknown"):
        house.open().require_readable("r9")


def test_a_grant_keeps_the_terms_and_is_given_once(house: House) -> None:
    done = house.open().grant(RELEASE, WISH, LEE)
    assert done.is_new
    assert house.effects.done == ["grant analysts"]
    [link, _] = house.links.links
    assert link.payload == WISH.terms
    assert link.payload_sha256 == done.standing.state.grants["analysts"].terms
    assert not house.open().grant(RELEASE, WISH, LEE).is_new
    assert events(house) == ["grant", "applied"]
    later = house.open().grant(RELEASE, replace(WISH, terms=b"New terms."), LEE)
    assert later.is_new
    assert later.standing.state.grants["analysts"].terms != link.payload_sha256


def test_a_tier_may_ask_for_approvals_before_a_release_is_published(tmp_path: Path) -> None:
    """Each role by a different person, none the requester; until then it is neither published nor granted."""
    roles = ["privacy_officer", "data_steward"]
    house = House(policy(tmp_path, tiers={"T0": {"release_approval": roles}}))
    steward = Actor("kim", "data_steward", "the quality serves the purpose")
    with pytest.raises(PolicyRefused, match=r"publication: privacy_officer, data_steward\. .*\[release_not_approved\]"):
        house.open().require_approved(RELEASE, "T0")
    assert house.open().approve(RELEASE, LEE).is_new
    for actor, code in (
        (LEE, "already"),
        (replace(steward, role="researcher"), "role_not_allowed"),
        (replace(steward, by="ada"), "self_approval"),
    ):
        with pytest.raises(PolicyRefused, match=code):
            house.open().approve(RELEASE, actor)
    house.open().approve(RELEASE, replace(LEE, role="data_steward"))
    with pytest.raises(PolicyRefused, match="publication: data_steward"):  # one person fills one role
        house.open().grant(RELEASE, WISH, LEE)
    house.open().approve(RELEASE, steward)
    house.open().require_approved(RELEASE, "T0")
    assert house.open().verify(house.open().of(RELEASE)) == []
    assert house.open().grant(RELEASE, WISH, LEE).is_new


def test_where_no_approval_is_asked_for_nobody_can_give_one(house: House) -> None:
    house.open().require_approved(RELEASE, "T0")
    with pytest.raises(PolicyRefused, match="policy allows no role"):
        house.open().approve(RELEASE, LEE)


def test_a_planted_approval_of_a_publication_does_not_count(tmp_path: Path) -> None:
    house = House(policy(tmp_path, tiers={"T0": {"release_approval": ["privacy_officer"]}}))
    planted = records.Cleared(Act("kim", "researcher", "2026-01-15T08:00:00Z", "planted"))
    Chain(None, TableRef(parts=("events",)), store=house.links, clock=house.clock).append(
        RELEASE, records.CLEAR, encode(planted), None, None
    )
    with pytest.raises(PolicyRefused, match="release_not_approved"):
        house.open().require_approved(RELEASE, "T0")
    assert house.open().verify(house.open().of(RELEASE))


def test_a_recall_stops_readers_before_anything_is_carried_out(house: House) -> None:
    """The record comes first: whatever fails afterwards, nobody reads."""

    class Dying(RuntimeError):
        pass

    def dies(*_: Any) -> list[Any]:
        raise Dying

    house.open().grant(RELEASE, WISH, LEE)
    house.effects.withdrawn = dies  # type: ignore[method-assign]
    with pytest.raises(Dying):
        house.open().recall(RELEASE, LEE)
    with pytest.raises(Withdrawn, match=r"recalled on 2026-01-15: rows do not follow"):
        house.open().require_readable(RELEASE)
    del house.effects.withdrawn  # type: ignore[attr-defined]
    finished = house.open().recall(RELEASE, LEE)
    assert not finished.is_new
    assert finished.is_complete
    assert house.effects.done[-2:] == ["revoke analysts", "table recalled"]


def test_a_step_that_fails_is_tried_again_by_the_same_command(house: House) -> None:
    house.effects.broken = {"table recalled"}
    first = house.open().recall(RELEASE, LEE)
    assert first.is_new
    assert not first.is_complete
    assert house.open().of(RELEASE).state.pending
    house.effects.broken = set()
    second = house.open().recall(RELEASE, LEE)
    assert second.is_complete
    assert not house.open().of(RELEASE).state.pending
    assert events(house) == ["recall", "applied", "applied"]
    before = list(house.effects.done)
    third = house.open().recall(RELEASE, LEE)
    assert (third.is_new, third.is_complete) == (False, True)
    assert house.effects.done == [*before, "table recalled"], "what has come back is removed again"
    assert events(house) == ["recall", "applied", "applied"]


def test_a_recall_names_everybody_who_ever_had_access(house: House) -> None:
    releases = house.open()
    releases.grant(RELEASE, WISH, LEE)
    releases.grant(RELEASE, replace(WISH, recipient="partner"), LEE)
    releases.revoke(RELEASE, "analysts", LEE)
    done = releases.recall(RELEASE, LEE)
    assert done.standing.state.recalled is not None
    assert done.standing.state.recalled.recipients == ("analysts", "partner")
    assert house.effects.done[-3:] == ["revoke analysts", "revoke partner", "table recalled"]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda one: one.grant(RELEASE, WISH, LEE), "was recalled"),
        (lambda one: one.expire(RELEASE, LEE), "the release is recalled already"),
        (lambda one: one.revoke(RELEASE, "analysts", LEE), "'analysts' has no grant"),
    ],
)
def test_nothing_brings_a_recalled_release_back(house: House, act: Any, message: str) -> None:
    house.open().recall(RELEASE, LEE)
    with pytest.raises(PolicyRefused, match=message):
        act(house.open())


def test_the_end_of_retention_stops_readers_without_any_event(house: House) -> None:
    house.rows = (replace(LISTED, readable_until="2026-01-14"),)
    with pytest.raises(Withdrawn, match="could be read until 2026-01-14"):
        house.open().require_readable(RELEASE)
    house.rows = (replace(LISTED, readable_until="2026-01-15"),)
    house.open().require_readable(RELEASE)


def test_what_is_due_is_carried_out_without_a_person(house: House) -> None:
    house.open().grant(RELEASE, replace(WISH, until=dt.date(2026, 1, 20)), LEE)
    assert house.open().expire_due() == ()
    house.clock.now += dt.timedelta(days=10)
    assert [kind_of(done.event) for done in house.open().expire_due()] == ["revoke"]
    house.rows = (replace(LISTED, readable_until="2026-01-22"),)
    [done] = house.open().expire_due()
    assert kind_of(done.event) == "expire"
    assert house.effects.done[-1] == "table expired"
    assert house.open().expire_due() == ()
    assert house.open().verify(done.standing) == []


def test_an_end_that_failed_is_finished_by_the_schedule(house: House) -> None:
    house.rows = (replace(LISTED, readable_until="2026-01-14"),)
    house.effects.broken = {"table expired"}
    assert not house.open().expire_due()[0].is_complete
    house.effects.broken = set()
    [done] = house.open().expire_due()
    assert (done.is_new, done.is_complete) == (False, True)


def test_an_end_that_is_not_due_needs_a_role(house: House) -> None:
    forged = records.Expired(Act("synthward", "synthward", "2026-01-15T09:00:00Z", "early"))
    house.links.insert(link_of(house, forged))
    [problem] = house.open().verify(house.open().of(RELEASE))
    assert "role_not_allowed" in problem


def test_an_incident_freezes_until_it_is_closed(house: House) -> None:
    [done] = house.open().open_incident([RELEASE], "INC-7", "high", LEE)
    with pytest.raises(Withdrawn, match="frozen by incident INC-7"):
        house.open().require_readable(RELEASE)
    with pytest.raises(PolicyRefused, match="was opened before"):
        house.open().open_incident([RELEASE], "INC-7", "high", LEE)
    house.open().close_incident("INC-7", LEE)
    house.open().require_readable(RELEASE)
    with pytest.raises(UsageError, match="open for no release"):
        house.open().close_incident("INC-7", LEE)
    assert done.applied is None


def test_a_grant_counts_on_a_published_release_only(house: House) -> None:
    """Also one that somebody writes into the chain."""
    releases = house.open()
    releases.open_incident([RELEASE], "INC-7", "high", LEE)
    with pytest.raises(Withdrawn):
        releases.grant(RELEASE, WISH, LEE)
    house.links.insert(link_of(house, GRANTED))
    standing = house.open().of(RELEASE)
    assert standing.state.grants == {}
    assert "the release is frozen" in " ".join(house.open().verify(standing))


def test_a_grant_that_a_recall_overtakes_is_refused(house: House) -> None:
    """Two people act at once: whoever comes second is judged by what is there then."""

    def overtaken(_: Link) -> None:
        house.effects.done.append("overtaken")
        house.links.links.append(link_of(house, records.Recalled(replace(ACT, at="2026-01-15T09:00:05Z"), ())))

    house.links.faults = [overtaken]
    with pytest.raises(PolicyRefused, match="the release is recalled, and only a published one is granted"):
        house.open().grant(RELEASE, WISH, LEE)
    assert house.effects.done == ["overtaken"]
    assert events(house) == ["recall"]


def test_two_recalls_at_once_are_one(house: House) -> None:
    house.links.faults = [
        lambda _: house.links.links.append(link_of(house, records.Recalled(replace(ACT, by="kim"), ())))
    ]
    with pytest.raises(PolicyRefused, match="recalled already"):
        house.open().recall(RELEASE, LEE)
    assert events(house) == ["recall"]
    assert house.open().recall(RELEASE, LEE).is_complete


def test_an_incident_has_the_clock_that_policy_declares(tmp_path: Path) -> None:
    house = House(policy(tmp_path, incident_hours={"minor": 100, "breach": 72}))
    with pytest.raises(UsageError, match="policy has minor, breach"):
        house.open().open_incident([RELEASE], "INC-7", "high", LEE)
    [done] = house.open().open_incident([RELEASE], "INC-7", "breach", LEE, freeze=False)
    [incident] = done.standing.state.open_incidents
    assert incident.opened.due is not None
    assert incident.opened.due.startswith("2026-01-18T09:00")
    assert not incident.is_late("2026-01-18T08:59:00Z")
    assert incident.is_late("2026-01-18T09:10:00Z")
    house.open().require_readable(RELEASE)


def test_an_incident_of_two_releases_is_opened_for_both_or_none(tmp_path: Path) -> None:
    other = replace(LISTED, release_id="r2", tier="T1")
    people = bind(roster_text(demo_roster()), Roster, Path("roster.yaml"))
    house = House(policy(tmp_path, tiers={"T1": {"signed": True}}), (LISTED, other), people)
    with pytest.raises(PolicyRefused, match=r"release 'r2': tier T1 counts signed acts only.*unsigned"):
        house.open().open_incident([RELEASE, "r2"], "INC-7", "high", LEE)
    assert house.links.links == []


def test_roles_are_those_of_policy(tmp_path: Path) -> None:
    roles = {
        "grant": ["data_steward"],
        "expire": ["data_steward"],
        "recall": ["privacy_officer"],
        "incident": ["privacy_officer"],
    }
    house = House(policy(tmp_path, release_roles=roles))
    with pytest.raises(PolicyRefused, match=r"grant: found the role privacy_officer, policy allows data_steward"):
        house.open().grant(RELEASE, WISH, LEE)
    house.open().recall(RELEASE, LEE)
    with pytest.raises(PolicyRefused, match="role_not_allowed"):
        house.open().expire(RELEASE, Actor("kim", "data_engineer", "over"))


def test_the_requester_does_not_grant_the_own_release(house: House) -> None:
    with pytest.raises(PolicyRefused, match="self_approval"):
        house.open().grant(RELEASE, WISH, replace(LEE, by="Ada"))


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"recipient": "a`b"}, "--to"),
        ({"terms": b" \n"}, "--terms"),
        ({"accepted_by": " "}, "--accepted-by"),
        ({"accepted_on": dt.date(2026, 1, 16)}, "--accepted-on"),
        ({"until": dt.date(2026, 1, 14)}, "--until"),
    ],
)
def test_a_grant_that_makes_no_sense_is_refused(house: House, changes: dict[str, Any], option: str) -> None:
    with pytest.raises(UsageError, match=option):
        house.open().grant(RELEASE, replace(WISH, **changes), LEE)
    assert house.links.links == []


def test_a_run_of_a_recalled_release_is_refused_and_says_why(house: House) -> None:
    releases = house.open()
    house.charge()
    releases.require_standing(SCOPE, RUN, RELEASE)
    releases.recall(RELEASE, LEE)
    with pytest.raises(Withdrawn, match=r"was recalled.*not published again under this run key"):
        house.open().require_standing(SCOPE, RUN, RELEASE)


def journals(house: House) -> dict[str, frozenset[str]]:
    """Hashes of the run's opening and of the release's events, as `budget verify` gathers them."""
    found = evidence_of({}, [], house.open().events_of_runs(house.open().all())).journals
    return {RUN: frozenset({OPENED, *found.get(RUN, ())})}


def test_events_that_were_cut_back_are_found_and_do_not_bring_the_release_back(house: House) -> None:
    house.charge()
    house.open().recall(RELEASE, LEE)
    ledger = house.ledger
    whole = journals(house)
    assert ledger.verify(SCOPE, (), whole) == []
    house.links.links.clear()
    with pytest.raises(Withdrawn, match="its events do not say so"):
        house.open().require_standing(SCOPE, RUN, RELEASE)
    [problem] = ledger.verify(SCOPE, (), journals(house))
    assert f"release {RELEASE} was recalled, and the event is missing" in problem


# Signatures


@pytest.fixture
def signed(tmp_path: Path) -> House:
    people = bind(roster_text(demo_roster()), Roster, Path("roster.yaml"))
    return House(policy(tmp_path, tiers={"T0": {"signed": True}, "T1": {"signed": True}}), roster=people)


SIGNED = replace(LEE, signer=demo_key("lee"))


def test_a_signed_recall_counts_and_names_the_key(signed: House) -> None:
    with pytest.raises(PolicyRefused, match="unsigned"):
        signed.open().recall(RELEASE, LEE)
    done = signed.open().recall(RELEASE, replace(SIGNED, by="acct-lee"))
    assert done.key_id is not None
    assert done.standing.state.recalled is not None
    assert done.standing.state.recalled.act.by == "lee"
    assert signed.open().verify(done.standing) == []


def test_a_key_that_was_revoked_lets_nobody_read_whatever_day_it_names(signed: House) -> None:
    """Whoever stole a key can date a grant before the revocation; what stops readers counts all the same."""
    assert signed.open().grant(RELEASE, WISH, SIGNED).is_new
    keys = [{"public": demo_key("lee").public, "first": FIRST, "last": LAST, "revoked": dt.date(2026, 6, 1)}]
    revoked = bind(roster_text(demo_roster(persons={"lee": {"keys": keys}})), Roster, Path("roster.yaml"))
    later = replace(signed, roster=revoked).open()
    assert later.of(RELEASE).state.grants == {}
    assert any("key_revoked" in fault for fault in later.verify(later.of(RELEASE)))
    with pytest.raises(PolicyRefused, match="key_revoked"):
        later.grant(RELEASE, replace(WISH, recipient="others"), SIGNED)
    assert later.recall(RELEASE, replace(SIGNED, signer=demo_key("lee"))).standing.state.recalled is not None


@pytest.mark.parametrize(
    ("actor", "code"),
    [
        (replace(SIGNED, signer=demo_key("kim")), "key_of_another"),
        (replace(SIGNED, signer=demo_key("nobody")), "unknown_key"),
        (replace(SIGNED, role="data_steward"), "role_not_held"),
    ],
)
def test_a_key_signs_for_its_person_only(signed: House, actor: Actor, code: str) -> None:
    with pytest.raises(PolicyRefused, match=code):
        signed.open().recall(RELEASE, actor)
    assert signed.links.links == []


def test_without_a_roster_a_key_is_refused(house: House) -> None:
    with pytest.raises(PolicyRefused, match="no_roster"):
        house.open().recall(RELEASE, SIGNED)


def link_of(house: House, event: Any, release: str = RELEASE) -> Link:
    """An event at the head of a chain, as somebody who can write there would put it."""
    from synthward.store.links import next_link

    links = [link for link in house.links.links if link.key == release]
    head = links[-1] if links else None
    return next_link(head, key=release, kind=kind_of(event), body=encode(event), payload=None, at=house.clock())


def moved(done: Done, **act: str) -> Any:
    event: Any = done.event
    return replace(event, act=replace(event.act, **act))


@pytest.mark.parametrize(
    ("change", "code"),
    [({"reason": "all is well"}, "altered_record"), ({"role": "data_steward"}, "altered_record")],
)
def test_an_act_that_differs_from_what_was_signed_is_found(signed: House, change: dict[str, str], code: str) -> None:
    done = signed.open().recall(RELEASE, SIGNED)
    signed.links.links.clear()
    signed.links.insert(link_of(signed, moved(done, **change)))
    assert code in " ".join(signed.open().verify(signed.open().of(RELEASE)))


def test_an_unsigned_close_does_not_open_a_frozen_release(signed: House) -> None:
    """What lets somebody read counts only if the act does; what stops readers counts at once."""
    signed.open().open_incident([RELEASE], "INC-1", "high", SIGNED)
    signed.links.insert(link_of(signed, records.IncidentClosed(replace(ACT, by="eve"), "INC-1")))
    with pytest.raises(Withdrawn, match="frozen by incident INC-1"):
        signed.open().require_readable(RELEASE)
    [problem] = signed.open().verify(signed.open().of(RELEASE))
    assert "unsigned" in problem
    signed.open().close_incident("INC-1", SIGNED)
    signed.open().require_readable(RELEASE)
    signed.links.insert(link_of(signed, records.Recalled(replace(ACT, by="eve"), ())))
    with pytest.raises(Withdrawn, match="was recalled"):
        signed.open().require_readable(RELEASE)


def test_a_broken_chain_hides_no_other_release_and_opens_none(house: House) -> None:
    house.rows = (LISTED, replace(LISTED, release_id="r2"))
    house.open().open_incident([RELEASE], "INC-1", "high", LEE)
    house.links.links[0] = replace(house.links.links[0], body=house.links.links[0].body.replace("true", "false"))
    first, second = house.open().all()
    today = dt.date(2026, 1, 16)
    assert "cannot be trusted" in (first.refusal(today) or "")
    assert (first.stage_on(today), second.stage_on(today)) == ("frozen", "published")
    [problem] = house.open().verify(first)
    assert "frozen, because its record is broken" in problem
    with pytest.raises(LedgerCorrupt):
        house.open().require_readable(RELEASE)


def test_an_act_on_one_release_is_none_on_another(signed: House) -> None:
    done = signed.open().recall(RELEASE, SIGNED)
    signed.rows = (LISTED, replace(LISTED, release_id="r2", manifest_digest="f" * 64))
    signed.links.insert(link_of(signed, done.event, "r2"))
    assert "other_release" in " ".join(signed.open().verify(signed.open().of("r2")))


def test_an_act_is_signed_once(signed: House) -> None:
    """A grant that was taken back is not given again by showing its signature again."""
    releases = signed.open()
    granted = releases.grant(RELEASE, WISH, SIGNED)
    releases.revoke(RELEASE, "analysts", SIGNED)
    signed.links.insert(link_of(signed, granted.event))
    standing = signed.open().of(RELEASE)
    assert standing.state.grants == {}
    assert "its signature stands in an earlier link" in " ".join(standing.state.faults)


# The fold

ACT = Act("lee", "privacy_officer", "2026-01-15T09:00:00Z", "why")
GRANTED = records.Granted(ACT, "analysts", "0" * 64, "terms.txt", "Bo", "2026-01-14")
EVENTS: tuple[records.Event, ...] = (
    GRANTED,
    replace(GRANTED, recipient="partner"),
    records.Revoked(ACT, "analysts"),
    records.Expired(ACT),
    records.Recalled(ACT, ()),
    records.Recalled(ACT, ("analysts",)),
    records.IncidentOpened(ACT, "INC-1", "high", None, True),
    records.IncidentClosed(ACT, "INC-1"),
    records.Applied("h0", "2026-01-15T09:00:00Z", (records.Step("table", True, "done"),)),
    records.Applied("h0", "2026-01-15T09:00:00Z", (records.Step("table", False, "failed"),)),
)


def entries(chosen: list[records.Event]) -> list[Entry]:
    return [Entry(place, kind_of(one), f"h{place}", encode(one)) for place, one in enumerate(chosen)]


@given(st.lists(st.sampled_from(EVENTS), max_size=12))
def test_no_order_of_events_opens_a_recalled_release(chosen: list[records.Event]) -> None:
    """The stage only gets stronger, faults change nothing, and nobody can read after a recall."""
    states = [fold(entries(chosen)[:place]) for place in range(len(chosen) + 1)]
    for before, after in itertools.pairwise(states):
        if before.recalled is not None:
            assert after.recalled == before.recalled
            assert after.grants == {}
        if before.expired is not None:
            assert after.expired == before.expired
        if len(after.faults) > len(before.faults):
            assert replace(after, faults=before.faults) == before
        assert set(before.recipients) <= set(after.recipients)
        assert set(after.grants) <= set(after.recipients)
    if states[-1].recalled is None and any(isinstance(one, records.Recalled) for one in chosen):
        assert states[-1].faults


@pytest.mark.parametrize("event", EVENTS, ids=kind_of)
def test_an_event_is_read_back_as_it_was_written(event: records.Event) -> None:
    assert decode(type(event), json.loads(json.dumps(encode(event)))) == event


def test_what_cannot_be_read_is_a_fault_and_no_event() -> None:
    state = fold([Entry(0, "recall", "h0", {"act": {}}), Entry(1, "parade", "h1", {})])
    assert state.stage == "published"
    assert len(state.faults) == 2
    assert "a later version" in state.faults[1]


# What came later: older documents, manifests and rows


def test_new_keys_of_policy_leave_old_digests_alone(tmp_path: Path) -> None:
    old = policy(tmp_path)
    names = {
        "release_roles",
        "incident_hours",
        "monitoring",
        "stop_roles",
        "risk",
        "quality",
        "max_approval_days",
        "max_runs",
    }
    kept = {field.name: getattr(old, field.name) for field in dataclasses.fields(old) if field.name not in names}
    assert old.digest == digest(kept)
    assert policy(tmp_path, incident_hours={"low": 24}).digest != old.digest
    assert old.severities == {"low": None, "high": None}
    assert old.roles_for("recall") == old.roles


ROLES = {duty: ["privacy_officer"] for duty in ("grant", "expire", "recall", "incident")}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"release_roles": {**ROLES, "recall": []}}, "or nobody could do it"),
        ({"release_roles": {**ROLES, "grant": ["boss"]}}, "'boss' is not one of the roles"),
        ({"incident_hours": {}}, "at least one severity"),
        ({"incident_hours": {"high": 0}}, "incident_hours"),
        ({"tiers": {"T0": {"max_retention_days": 90}}}, "allows more than T0's"),
        ({"tiers": {"T0": {"max_retention_days": 90}, "T1": {"max_retention_days": 91}}}, "allows more than T0's"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        policy(tmp_path, **changes)


def test_policy_says_how_long_a_release_may_be_read(tmp_path: Path) -> None:
    from trial import plan_of

    site = TestSite(tmp_path, policy={"tiers": {"T0": {"max_retention_days": 90}, "T1": {"max_retention_days": 60}}})
    assert any("retention_days: found none" in text for text in plan_of(site, site.request()).assessment.refusals)
    assert plan_of(site, site.request(retention_days=91)).assessment.refusals
    assert not plan_of(site, site.request(retention_days=90)).assessment.refusals


def test_the_last_day_is_in_manifest_and_registry() -> None:
    manifest = manifest_of()
    assert registry_row(manifest)["readable_until"] is None
    record = manifest.record
    kept = type(manifest).of(replace(record, request=replace(record.request, readable_until="2027-01-01")))
    assert registry_row(kept)["readable_until"] == "2027-01-01"
    assert "readable_until" not in manifest.text


def test_memory_links_do_not_share_a_head_between_releases(house: House) -> None:
    house.rows = (LISTED, replace(LISTED, release_id="r2"))
    releases: Releases = house.open()
    releases.recall("r2", LEE)
    releases.require_readable(RELEASE)
    assert isinstance(house.links, MemoryLinks)
