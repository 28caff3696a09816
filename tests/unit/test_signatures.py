"""Signed decisions: each way of making one that is none is refused with its code, before anything is read or spent."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import re
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from people import SITE_KEY, demo_key, demo_roster, roster_text, write_roster
from synthward.cli.main import main
from synthward.config.canonical import canonical_json
from synthward.config.loader import bind
from synthward.errors import ConfigError, EnvironmentProblem, UsageError
from synthward.governance import keys, signatures
from synthward.governance.approvals import Approval, Digests, Verdict, covering
from synthward.governance.assess import Assessment
from synthward.governance.dsse import Envelope, NotAnEnvelope, pre_authentication
from synthward.governance.identity import looks, name_fault
from synthward.governance.reasons import Reason
from synthward.governance.roster import PAYLOAD_TYPE, Roster, signature_path, trusted_roster
from synthward.governance.signatures import Signatures
from synthward.spec.request import Requester
from trial import TestSite

A, B, C, SITE, GENESIS, OTHER = ("a" * 64, "b" * 64, "c" * 64, "d" * 64, "e" * 64, "0" * 64)
TODAY = dt.date(2026, 6, 2)
ADA = Requester(name="ada", role="data_engineer")
NEEDED = ("data_steward", "privacy_officer")
PASSPHRASE = "correct horse battery"


def roster(**changes: Any) -> Roster:
    return bind(roster_text(demo_roster(**changes)), Roster)


def judge(people: Roster | None = None, **changes: Any) -> Signatures:
    made = Signatures(
        roster=roster() if people is None else people, site=SITE, ledger=GENESIS, requester=ADA, required=True
    )
    return dataclasses.replace(made, **changes)


def decision(by: str, role: str, what: str = "approve", **changes: Any) -> Approval:
    made = Approval(
        by=by, role=role, decision=what, request_digest=A, assessment_digest=B, policy_digest=C, scope="clinic",  # type: ignore[arg-type]
        output="visits", at="2026-06-01T10:00:00Z",
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def signed(
    by: str, role: str, what: str = "approve", *, key: str = "", on: Signatures | None = None, **changes: Any
) -> Approval:
    return (on or judge()).signed(decision(by, role, what, **changes), demo_key(key or by))


STEWARD, OFFICER = signed("kim", "data_steward"), signed("lee", "privacy_officer")


def verdict(*approvals: Approval, on: Signatures | None = None, today: dt.date = TODAY) -> Verdict:
    found = on or judge()
    assessment = Assessment(
        tier="T2", title="", raised_by=(), controls=(), approvals_needed=NEEDED, max_epsilon=1, max_delta=0,  # type: ignore[arg-type]
        max_epsilon_per_scope=1, max_delta_per_scope=0, min_declared_patients=0, reasons=(), refusals=(),  # type: ignore[arg-type]
    )  # fmt: skip
    digests = Digests(request=A, assessment=B, policy=C)
    return covering(
        approvals, requester=found.requester, assessment=assessment, digests=digests, today=today, judge=found
    )


def codes(found: Verdict) -> list[str]:
    return [reason.code for reason in found.reasons if isinstance(reason, Reason)]


def why(found: Verdict) -> str:
    """All reasons: those of approvals that lapsed stand in a longer sentence."""
    return "\n".join(found.reasons)


def test_two_signed_decisions_cover_the_run_and_keep_their_signatures() -> None:
    found = verdict(STEWARD, OFFICER)
    assert found.ok
    assert found.reasons == ()
    assert [entry.key_id for entry in found.counted] == [STEWARD.key_id, OFFICER.key_id]


def test_an_account_is_recorded_as_its_person() -> None:
    assert signed("acct-lee", "privacy_officer", key="lee").by == "lee"


def altered(**fields: Any) -> Callable[[Approval], Approval]:
    return lambda entry: dataclasses.replace(entry, **fields)


def resealed(**fields: Any) -> Callable[[Approval], Approval]:
    """The record with its statement changed, and the old signature over it."""

    def change(entry: Approval) -> Approval:
        envelope = Envelope.parse(entry.envelope)
        payload = canonical_json({**json.loads(envelope.payload), **fields}).encode()
        return dataclasses.replace(entry, envelope=dataclasses.replace(envelope, payload=payload).text)

    return change


def in_another_form(entry: Approval) -> Approval:
    """Signed by the right person, in a text that names its role twice: readers can disagree on which one it is."""
    payload = Envelope.parse(entry.envelope).payload.replace(b'"role":', b'"role":"security_officer","role":')
    return dataclasses.replace(entry, envelope=keys.seal(demo_key("lee"), signatures.PAYLOAD_TYPE, payload).text)


def as_another_purpose(entry: Approval) -> Approval:
    envelope = Envelope.parse(entry.envelope)
    sealed = keys.seal(demo_key("lee"), PAYLOAD_TYPE, envelope.payload)
    return dataclasses.replace(entry, envelope=sealed.text)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (altered(envelope=""), "unsigned"),
        (altered(envelope="{}"), "no_envelope"),
        (altered(envelope="[" * 5000), "no_envelope"),
        (in_another_form, "altered_record"),
        (altered(runs=99), "altered_record"),
        (altered(expires=dt.date(2027, 1, 1)), "altered_record"),
        (altered(note="yes"), "altered_record"),
        (altered(decision="revoke"), "altered_record"),
        (altered(at="2026-06-01T11:00:00Z"), "altered_record"),
        (altered(role="security_officer"), "altered_record"),
        (altered(by="kim"), "altered_record"),
        (altered(assessment_digest=OTHER), "altered_record"),
        (altered(policy_digest=OTHER), "altered_record"),
        (altered(scope="clinic2"), "other_scope"),
        (resealed(runs=99), "forged_signature"),
        (as_another_purpose, "other_purpose"),
    ],
)
def test_a_record_that_is_not_what_was_signed(make: Callable[[Approval], Approval], code: str) -> None:
    found = verdict(STEWARD, make(OFFICER))
    assert (found.ok, codes(found)) == (False, [code])
    assert found.counted == (STEWARD,)


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (signed("lee", "privacy_officer", on=judge(site=OTHER)), "other_site"),
        (signed("lee", "privacy_officer", on=judge(ledger=OTHER)), "other_ledger"),
        (
            dataclasses.replace(signed("lee", "privacy_officer", request_digest=OTHER), request_digest=A),
            "other_request",
        ),
        (signed("lee", "privacy_officer", key="kim"), "key_of_another"),
        (signed("lee", "privacy_officer", key="stranger"), "unknown_key"),
        (signed("lee", "data_steward"), "role_not_held"),
        (signed("lee", "privacy_officer", at="2026-06-03T00:00:00Z"), "dated_ahead"),
        (signed("lee", "privacy_officer", at="2025-12-31T00:00:00Z"), "key_not_yet_valid"),
        (signed("lee", "privacy_officer", on=judge(roster(edition=4))), "roster_rolled_back"),
    ],
)
def test_a_signature_for_something_else_or_by_somebody_else(entry: Approval, code: str) -> None:
    found = verdict(STEWARD, entry)
    assert (found.ok, codes(found)) == (False, [code])


def own_key(name: str, first: str = "2026-01-01", last: str = "2026-12-31", **more: Any) -> dict[str, Any]:
    """The keys of a person as a roster lists them."""
    return {"keys": [{"public": demo_key(name).public, "first": first, "last": last, **more}]}


@pytest.mark.parametrize(
    ("change", "today", "code"),
    [
        (own_key("lee", last="2026-06-01"), TODAY, "key_expired"),
        ({"last": dt.date(2026, 6, 1)}, TODAY, "role_not_held"),
        ({"roles": [{"role": "privacy_officer", "last": dt.date(2026, 6, 1)}]}, TODAY, "role_not_held"),
    ],
)  # fmt: skip
def test_what_was_valid_yesterday_is_not_counted_today(change: dict[str, Any], today: dt.date, code: str) -> None:
    people = judge(roster(persons={"lee": change}))
    assert verdict(STEWARD, OFFICER, on=people, today=dt.date(2026, 6, 1)).ok
    found = verdict(STEWARD, OFFICER, on=people, today=today)
    assert not found.ok
    assert f"[{code}]" in why(found)
    assert "does not count any more, from: privacy_officer" in why(found)


def revoked_key(day: dt.date) -> Signatures:
    return judge(roster(persons={"lee": own_key("lee", revoked=day)}))


@pytest.mark.parametrize("day", [dt.date(2026, 5, 1), dt.date(2026, 6, 1), dt.date(2026, 7, 1)])
def test_a_revoked_key_approves_nothing_whenever_it_is_said_to_have_signed(day: dt.date) -> None:
    found = verdict(STEWARD, OFFICER, on=revoked_key(day))
    assert not found.ok
    assert "[key_revoked]" in why(found)


def test_a_rejection_stands_when_its_key_has_been_revoked_since() -> None:
    rejection = signed("lee", "privacy_officer", "reject")
    found = verdict(STEWARD, rejection, on=revoked_key(dt.date(2026, 6, 2)))
    assert "rejected; only the same person can withdraw it" in why(found)


def test_a_signed_statement_counts_once() -> None:
    """Whoever can write to the table can copy an approval behind the revocation that took it back."""
    back = signed("lee", "privacy_officer", "revoke", at="2026-06-01T12:00:00Z")
    assert "it was revoked" in why(verdict(STEWARD, OFFICER, back))
    found = verdict(STEWARD, OFFICER, back, OFFICER)
    assert (found.ok, codes(found)) == (False, ["replayed"])
    # Whatever the times are: both may be of one second.
    at_once = signed("lee", "privacy_officer", "revoke")
    assert codes(verdict(STEWARD, OFFICER, at_once, OFFICER)) == ["replayed"]
    # Also one that was kept back and never shown before.
    kept = signed("lee", "privacy_officer", at="2026-06-01T11:00:00Z")
    found = verdict(STEWARD, OFFICER, back, kept)
    assert (found.ok, codes(found)) == (False, ["replayed"])
    assert verdict(STEWARD, OFFICER, back, signed("lee", "privacy_officer", at="2026-06-01T13:00:00Z")).ok


@pytest.mark.parametrize("what", ["reject", "revoke"])
def test_nobody_decides_against_a_request_in_the_name_of_another(what: str) -> None:
    for required in (True, False):
        found = verdict(STEWARD, OFFICER, decision("lee", "privacy_officer", what), on=judge(required=required))
        assert (found.ok, codes(found)) == (True, ["unsigned"])


def test_separation_of_duties_is_over_persons() -> None:
    """Neither a second account nor a second key makes a second person."""
    both = {"roles": [{"role": "data_steward"}, {"role": "privacy_officer"}, {"role": "data_engineer"}]}
    people = judge(roster(persons={"kim": both, "ada": both}))
    found = verdict(
        people.signed(decision("kim", "data_steward"), demo_key("kim")),
        people.signed(decision("acct-kim", "privacy_officer"), demo_key("kim")),
        on=people,
    )
    assert found.missing_roles == NEEDED
    assert "one person holds one role" in why(found)
    other = dataclasses.replace(people, requester=Requester(name="acct-ada", role="data_engineer"))
    found = verdict(STEWARD, other.signed(decision("ada", "privacy_officer"), demo_key("ada")), on=other)
    assert not found.ok
    assert "ada made the request and cannot approve it" in why(found)


def test_the_requester_is_of_the_roster() -> None:
    stranger = judge(requester=Requester(name="eve", role="data_engineer"))
    assert codes(verdict(STEWARD, OFFICER, on=stranger)) == ["unknown_requester"]
    steward = judge(requester=Requester(name="ada", role="janitor"))
    found = verdict(STEWARD, OFFICER, on=steward)
    assert (found.ok, codes(found)) == (False, ["requester_role"])
    assert verdict(STEWARD, OFFICER, on=dataclasses.replace(stranger, required=False)).ok


MARCH = {"first": "2026-03-01", "last": "2026-03-31"}
LENT = {"giver": "lee", "receiver": "mo", "role": "privacy_officer", "reason": "leave"}


def test_a_role_is_lent_for_some_days_and_never_by_the_requester() -> None:
    days = {"first": dt.date(2026, 6, 1), "last": dt.date(2026, 6, 5)}
    people = judge(roster(delegations=[{**LENT, **days}]))
    entry = people.signed(decision("mo", "privacy_officer"), demo_key("mo"))
    assert verdict(STEWARD, entry, on=people).ok
    assert not verdict(STEWARD, entry, on=people, today=dt.date(2026, 6, 6)).ok
    assert codes(verdict(STEWARD, entry)) == ["role_not_held"]
    officer = dataclasses.replace(people, requester=Requester(name="lee", role="privacy_officer"))
    found = verdict(STEWARD, entry, on=officer)
    assert not found.ok
    early = people.signed(decision("mo", "privacy_officer", at="2026-05-31T10:00:00Z"), demo_key("mo"))
    assert codes(verdict(STEWARD, early, on=people)) == ["role_not_held"]


def test_who_lends_a_role_after_asking_for_the_release_approves_it_by_another_hand() -> None:
    days = {"first": dt.date(2026, 6, 1), "last": dt.date(2026, 6, 5)}
    both = {"roles": [{"role": "privacy_officer"}, {"role": "data_engineer"}]}
    people = judge(roster(persons={"lee": both}, delegations=[{**LENT, **days}]))
    people = dataclasses.replace(people, requester=Requester(name="acct-lee", role="data_engineer"))
    found = verdict(STEWARD, people.signed(decision("mo", "privacy_officer"), demo_key("mo")), on=people)
    assert not found.ok
    assert "[self_approval]" in why(found)


@given(st.data())
def test_one_flipped_bit_of_an_envelope_is_never_counted(data: st.DataObject) -> None:
    envelope = Envelope.parse(OFFICER.envelope)
    part = data.draw(st.sampled_from(["payload", "signature"]))
    content = bytearray(getattr(envelope, part))
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    forged = dataclasses.replace(OFFICER, envelope=dataclasses.replace(envelope, **{part: bytes(content)}).text)
    assert codes(verdict(STEWARD, forged)) == ["forged_signature"]


@pytest.mark.parametrize(
    "name",
    ["\u0430da", "ada\u200b", "ad\u00ada", "ada\u202e", "a\u0301da", "ad\u03b1", "ada\n", "ada\x00", "\u0410\u043bx"],
)
def test_names_that_look_like_others_are_refused(name: str) -> None:
    assert name_fault(name) is not None
    assert "lookalike_name" in codes(verdict(decision(name, "privacy_officer"), on=judge(required=False)))


@pytest.mark.parametrize(
    "name", ["ada", "Ada L.", "\u00d8yvind", "\u0410\u043b\u0435\u043a\u0441\u0435\u0439", "j.doe-2"]
)
def test_names_of_one_script_are_taken(name: str) -> None:
    assert name_fault(name) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"persons": {"\u0430da": {"name": "Ada Two"}}}, "found the id"),
        ({"persons": {"1ee": {"name": "Lee Two"}}}, "looks like an id or account"),
        ({"persons": {"l.ee": {"name": "Lee Two"}}}, "looks like an id or account"),
        ({"persons": {"zoe": {"name": "Zoe", "accounts": ["acct-lee"]}}}, "looks like an id or account"),
        ({"persons": {"zoe": {"name": "Lee  demo"}}}, "has the same name as"),
        ({"persons": {"zoe": {"name": "Z\u043ee"}}}, "mixes letters of several scripts"),
        (
            {"persons": {"zoe": {"name": "Zoe", **own_key("lee")}}},
            "has a key",
        ),
        ({"delegations": [{**LENT, "role": "janitor", **MARCH}]}, "does not hold"),
        ({"delegations": [{**LENT, "receiver": "lee", **MARCH}]}, "is the giver"),
    ],
)  # fmt: skip
def test_a_roster_has_each_person_once(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        roster(**changes)


def test_twins() -> None:
    assert looks("modern") == looks("modem")
    assert looks("kim") != looks("lee")


def test_a_roster_counts_with_the_signature_of_the_sites_key_only(tmp_path: Path) -> None:
    write_roster(tmp_path, demo_roster())
    path = tmp_path / "roster.yaml"
    assert trusted_roster(path, SITE_KEY.public).edition == 3
    path.write_text(path.read_text().replace("data_steward", "privacy_officer"))
    with pytest.raises(ConfigError, match="not one of the site's key"):
        trusted_roster(path, SITE_KEY.public)
    write_roster(tmp_path, demo_roster(), by=demo_key("eve"))
    with pytest.raises(ConfigError, match="not one of the site's key"):
        trusted_roster(path, SITE_KEY.public)
    # A signature of the site's key under another kind of statement is none under a roster.
    sealed = keys.seal(SITE_KEY, "text/plain", path.read_bytes())
    signature_path(path).write_text(sealed.text)
    with pytest.raises(ConfigError, match="not one of the site's key"):
        trusted_roster(path, SITE_KEY.public)
    signature_path(path).unlink()
    with pytest.raises(ConfigError, match="only with its signature"):
        trusted_roster(path, SITE_KEY.public)


def test_a_check_of_the_site_looks_at_its_roster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = TestSite(tmp_path, site=write_roster(tmp_path, demo_roster()))
    assert main(["check", str(site.file)]) == 0
    write_roster(tmp_path, demo_roster(), by=demo_key("eve"))
    assert main(["check", str(site.file)]) == 2
    # Also where a session would be needed afterwards.
    capsys.readouterr()
    assert main(["assess", str(site.request()), "--simulate", "--site", str(site.file)]) == 2
    assert "not one of the site's key" in capsys.readouterr().err


def test_the_pre_authentication_encoding_is_the_one_of_dsse() -> None:
    """The example of the specification; lengths keep type and payload apart."""
    expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pre_authentication("http://example.com/HelloWorld", b"hello world") == expected
    assert pre_authentication("a", b"b c") != pre_authentication("a b", b"c")
    with pytest.raises(NotAnEnvelope):
        Envelope.parse('{"payloadType": "a", "payload": "", "signatures": []}')


def test_a_key_file_is_new_private_and_under_a_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "lee.key"
    made = keys.generate(path, PASSPHRASE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made.key.private_bytes_raw().hex() not in path.read_text()
    assert keys.load(path, PASSPHRASE).public == made.public
    with pytest.raises(UsageError, match="passphrase is wrong"):
        keys.load(path, PASSPHRASE + "!")
    with pytest.raises(UsageError, match="never replaced"):
        keys.generate(path, PASSPHRASE)
    with pytest.raises(UsageError, match="12 or more"):
        keys.generate(tmp_path / "other.key", "short")
    swapped = json.loads(path.read_text()) | {"public": demo_key("eve").public}
    path.write_text(json.dumps(swapped))
    with pytest.raises(UsageError, match="wrong, or the file was changed"):
        keys.load(path, PASSPHRASE)
    path.chmod(0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        keys.load(path, PASSPHRASE)


def test_a_command_can_hold_the_key(tmp_path: Path) -> None:
    script = tmp_path / "agent.py"
    script.write_text(
        "import sys\n"
        "from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey as Key\n"
        "key = Key.from_private_bytes(b'lee'.ljust(32, b'-'))\n"
        "print(key.sign(sys.stdin.buffer.read()).hex())\n"
    )
    public = demo_key("lee").public
    entry = judge().signed(
        decision("lee", "privacy_officer"), keys.CommandSigner(public, [sys.executable, str(script)])
    )
    assert verdict(STEWARD, entry).ok
    for command, words in (
        ([sys.executable, "-c", "print('ab')"], "expected 0 and a signature"),
        ([sys.executable, "-c", "print('00' * 64)"], "is not one of key"),
        ([str(tmp_path / "none")], "did not sign"),
    ):
        with pytest.raises(EnvironmentProblem, match=words):
            judge().signed(decision("lee", "privacy_officer"), keys.CommandSigner(public, command))


def test_keygen_and_roster_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = tmp_path / "secret"
    secret.write_text(PASSPHRASE + "\n")
    secret.chmod(0o600)
    key = tmp_path / "site.key"
    words = ["--passphrase-file", str(secret)]
    assert main(["keygen", "--out", str(key), *words]) == 0
    public = capsys.readouterr().out.splitlines()[1].removeprefix("public ")
    write_roster(tmp_path, demo_roster())
    path = tmp_path / "roster.yaml"
    path.write_text(path.read_text().replace("edition: 3", "edition: 4"))
    path.chmod(0o644)
    assert main(["roster", "sign", str(path), "--key", str(key), *words]) == 0
    assert "edition 4, signed with key" in capsys.readouterr().out
    assert trusted_roster(path, public).edition == 4
    assert stat.S_IMODE(signature_path(path).stat().st_mode) == 0o644
    assert main(["check", str(path)]) == 0
    assert main(["roster", "sign", str(path)]) == 2
    zones = "".join(f"{name}: ./zones/{name}\n" for name in ("ledger", "protected", "releases"))
    site = tmp_path / "site.yaml"
    site.write_text(f"version: 1\nname: S\npolicy: p.yaml\n{zones}roster: roster.yaml\nroster_key: {public}\n")
    capsys.readouterr()
    assert main(["roster", "show", "--site", str(site)]) == 0
    assert "lee  Lee Demo: privacy_officer" in capsys.readouterr().out
    secret.chmod(0o644)
    assert main(["roster", "sign", str(path), "--key", str(key), *words]) == 2
    site.write_text(site.read_text().replace("roster: roster.yaml\n", ""))
    assert main(["roster", "show", "--site", str(site)]) == 2
    assert "give `roster` and `roster_key`" in capsys.readouterr().err
    assert os.path.exists(key)  # noqa: PTH110


def test_every_code_is_explained(root: Path) -> None:
    code = re.compile(r'Reason\.of\(\s*"([a-z_]+)"|\("(other_[a-z]+)", "for')
    sources = (root / "lib/synthward").rglob("*.py")
    found = {one for path in sources for pair in code.findall(path.read_text("utf-8")) for one in pair if one}
    assert len(found) > 15
    page = (root / "docs" / "governance.md").read_text("utf-8")
    assert [one for one in sorted(found) if f"`{one}`" not in page] == []
