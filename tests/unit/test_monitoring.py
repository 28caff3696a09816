"""What monitoring says, and what it says nothing of."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from releases import LEE, LISTED, RELEASE, WISH, House, manifest_of
from store_doubles import MemoryLinks
from synthward.errors import EnvironmentProblem, UsageError
from synthward.governance.policy import Policy, load_policy
from synthward.ledger.forecast import forecast
from synthward.ledger.ledger import Ledger
from synthward.ledger.scopes import ScopeState
from synthward.privacy.accounting import Charge
from synthward.records.findings import Finding, SeenColumn, SeenSchema, Watched
from synthward.run.monitoring import EXIT_CODES, KEY, Seen, findings_of, last_watched, recorded
from synthward.run.notices import is_notice, notice, post, require_webhook
from synthward.run.runs import Tried
from synthward.store.chain import Chain
from synthward.store.places import TableRef, Zone
from trial import POLICY, SCOPE, START, Clock, merged, write_yaml

NOTHING = Seen((), (), {}, {}, (), (), (), frozenset())


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return load_policy(write_yaml(tmp_path / "policy.yaml", POLICY))


def changed(tmp_path: Path, **changes: Any) -> Policy:
    return load_policy(write_yaml(tmp_path / "changed.yaml", merged(POLICY, changes)))


def account(*days: int, epsilon: str = "1", cap: str = "10") -> ScopeState:
    """A scope with one charge on each of these days after the start."""
    clock = Clock()
    ledger = Ledger(None, Zone("memory/ledger"), store=MemoryLinks(), clock=clock)
    terms = {"max_delta": Decimal("1e-6"), "declared_patients": 50, "unit": "patient", "by": "lee"}
    ledger.open_scope(SCOPE, max_epsilon=Decimal(cap), **terms, policy_digest="p", site_digest="s")  # type: ignore[arg-type]
    for number, day in enumerate(days):
        clock.now = START + dt.timedelta(days=day)
        ledger.charge(
            SCOPE,
            run_id=f"run{number}",
            attempt=1,
            request_digest="r",
            policy_digest="p",
            site_digest="s",
            journal_id=f"j{number}",
            cost=Charge.pure(Decimal(epsilon)),
            release_id=f"r{number}",
            delta_report=Decimal("1e-6"),
            opened="0" * 64,
        )
    return ledger.state(SCOPE)


def said(seen: Seen, policy: Policy, *, days: int = 0) -> list[tuple[str, str, str]]:
    found = findings_of(seen, policy, START + dt.timedelta(days=days))
    return [(one.kind, one.severity, one.message) for one in found]


# Budgets


def test_a_budget_is_forecast_by_the_charges_that_still_fit() -> None:
    ahead = forecast(account(0, 30, 60), (START + dt.timedelta(days=61)).date())
    assert (ahead.more, ahead.days) == (7, 30)
    assert ahead.until == (START + dt.timedelta(days=60 + 7 * 30)).date()
    assert ahead.share == Decimal("0.3")


def test_a_budget_that_nothing_was_charged_to_has_no_forecast() -> None:
    ahead = forecast(account(), START.date())
    assert (ahead.share, ahead.more, ahead.until) == (0, None, None)
    assert forecast(account(0), START.date()).until is None


def test_a_budget_that_lasts_is_no_finding(policy: Policy) -> None:
    assert said(replace(NOTHING, scopes=[account(0, 30, 60)]), policy, days=61) == []


def test_a_budget_that_ends_soon_or_is_mostly_spent_is_a_warning(policy: Policy, tmp_path: Path) -> None:
    [(kind, severity, message)] = said(replace(NOTHING, scopes=[account(0, 10, 20, epsilon="3")]), policy, days=20)
    assert (kind, severity) == ("budget", "alarm")
    assert "no further release like the last one fits" in message
    state = account(*range(0, 80, 10), epsilon="1")
    [(_, severity, message)] = said(replace(NOTHING, scopes=[state]), policy, days=80)
    assert severity == "warning"
    assert "80% of epsilon 10 is spent; room for 2 more" in message
    later = changed(tmp_path, monitoring={"budget_share": 0.9, "days_ahead": 1})
    assert said(replace(NOTHING, scopes=[state]), later, days=80) == []


# Releases


def standing(house: House) -> Any:
    return house.open().of(RELEASE)


def test_the_end_of_a_release_is_told_before_and_after(policy: Policy) -> None:
    house = House(policy, (replace(LISTED, readable_until="2026-01-30", policy_digest=policy.digest),))
    seen = replace(NOTHING, releases=[standing(house)])
    assert said(seen, policy) == [("retention", "note", "may be read until 2026-01-30; tell its readers")]
    [(_, severity, message)] = said(seen, policy, days=20)
    assert severity == "alarm"
    assert "its rows are still there" in message


def test_a_grant_that_ended_is_told(policy: Policy) -> None:
    house = House(policy, (replace(LISTED, policy_digest=policy.digest),))
    house.open().grant(RELEASE, replace(WISH, until=dt.date(2026, 1, 20)), LEE)
    seen = replace(NOTHING, releases=[standing(house)])
    assert said(seen, policy)[0][1] == "note"
    assert said(seen, policy, days=10)[0][1] == "warning"


def test_a_recall_that_is_not_carried_out_is_an_alarm(policy: Policy) -> None:
    house = House(policy)
    house.effects.broken = {"table recalled"}
    house.open().recall(RELEASE, LEE)
    [(kind, severity, message)] = said(replace(NOTHING, releases=[standing(house)]), policy)
    assert (kind, severity) == ("recall", "alarm")
    assert "run the same recall again" in message


def test_a_table_that_came_back_is_an_alarm(policy: Policy) -> None:
    house = House(policy)
    house.open().recall(RELEASE, LEE)
    seen = replace(NOTHING, releases=[standing(house)])
    assert said(seen, policy) == []
    [(kind, severity, message)] = said(replace(seen, back=frozenset({RELEASE})), policy)
    assert (kind, severity) == ("recall", "alarm")
    assert "is recalled, and its table is there without the mark" in message


def test_an_incident_is_a_warning_until_its_time_is_over(tmp_path: Path) -> None:
    policy = changed(tmp_path, incident_hours={"high": 72})
    house = House(policy, (replace(LISTED, policy_digest=policy.digest),))
    house.open().open_incident([RELEASE], "INC-1", "high", LEE)
    seen = replace(NOTHING, releases=[standing(house)])
    assert said(seen, policy, days=1)[0][1] == "warning"
    assert said(seen, policy, days=4)[0][1] == "alarm"


def test_events_that_do_not_count_are_an_alarm(policy: Policy) -> None:
    seen = replace(NOTHING, releases=[standing(House(policy))], faults={RELEASE: ["link 0: forged"]})
    assert said(seen, policy)[0] == ("events", "alarm", "an event does not count: link 0: forged")


# Validation again


def test_a_release_of_another_policy_is_looked_at_again(policy: Policy, tmp_path: Path) -> None:
    record = manifest_of().record
    record = replace(record, policy=replace(record.policy, tier="T0"), gates=())
    seen = replace(NOTHING, releases=[standing(House(policy))], manifests={RELEASE: record})
    [(kind, _, message)] = said(seen, policy)
    assert kind == "revalidation"
    assert "needs the approval of" in message or "within the new limits" in message
    strict = changed(tmp_path, tiers={"T0": {"max_epsilon_per_release": 0.1}, "T1": {"max_epsilon_per_release": 0.1}})
    [(_, severity, message)] = said(seen, strict)
    assert severity == "warning"
    assert "T0 allows epsilon 0.1 or less" in message


def test_a_release_of_the_same_policy_is_left_alone(policy: Policy) -> None:
    house = House(policy, (replace(LISTED, policy_digest=policy.digest),))
    seen = replace(NOTHING, releases=[standing(house)], manifests={RELEASE: manifest_of().record})
    assert said(seen, policy) == []


def test_a_gate_that_came_later_is_named(policy: Policy) -> None:
    house = House(policy, (replace(LISTED, policy_digest=policy.digest),))
    seen = replace(
        NOTHING, releases=[standing(house)], manifests={RELEASE: manifest_of().record}, gates=frozenset({"canaries"})
    )
    assert said(seen, policy)[0][2].startswith("was published before the gates canaries")


# Runs


def tried(*endings: tuple[str, bool]) -> list[Tried]:
    return [
        Tried("run1", status, again, f"2026-01-0{place}T00:00:00Z") for place, (status, again) in enumerate(endings)
    ]


@pytest.mark.parametrize(
    ("tries", "severity"),
    [
        (tried(("failed", True)), "warning"),
        (tried(("failed", True), ("failed", False)), "alarm"),
        (tried(("quarantined", False)), "warning"),
        (tried(("failed", False), ("published", False)), None),
        (tried(("refused", False)), None),
        ([Tried(None, "invalid", False, "2026-01-01")], None),
    ],
)
def test_failed_runs_are_told_until_one_succeeds(policy: Policy, tries: list[Tried], severity: str | None) -> None:
    found = said(replace(NOTHING, tries=tries), policy)
    assert [one[1] for one in found] == ([] if severity is None else [severity])


# Schemas


def schema(**columns: str) -> SeenSchema:
    return SeenSchema(SCOPE, "/data/visits", tuple(SeenColumn(name, kind) for name, kind in columns.items()))


@pytest.mark.parametrize(
    ("before", "now", "severity", "words"),
    [
        (schema(a="int", b="string"), schema(b="string", a="int"), None, ""),
        (schema(a="int"), schema(a="bigint"), "warning", "a is bigint, was int"),
        (schema(a="int", b="int"), schema(a="int"), "warning", "gone: b"),
        (schema(a="int"), schema(a="int", c="date"), "note", "new columns: c"),
        (schema(a="int"), schema(), "alarm", "cannot be opened"),
        (schema(), schema(a="int"), None, ""),
    ],
)
def test_a_schema_that_changed_is_told_by_name_and_type(
    policy: Policy, before: SeenSchema, now: SeenSchema, severity: str | None, words: str
) -> None:
    found = said(replace(NOTHING, schemas=[now], before=[before]), policy)
    assert [one[1] for one in found] == ([] if severity is None else [severity])
    assert all(words in one[2] for one in found)


def test_the_first_look_at_a_schema_finds_nothing(policy: Policy) -> None:
    assert said(replace(NOTHING, schemas=[schema(a="int")]), policy) == []


# Records and delivery

FOUND = (Finding("runs", "alarm", "run1", "failed"), Finding("grant", "note", "r1", "ends"))
WATCHED = Watched("2026-01-15T09:00:00Z", "p" * 64, FOUND, (schema(a="int"),))


def test_findings_are_recorded_and_read_back() -> None:
    chain = Chain(None, TableRef(parts=("monitoring",)), store=MemoryLinks(), clock=Clock())
    assert last_watched(chain) is None
    recorded(chain, WATCHED)
    recorded(chain, replace(WATCHED, findings=()))
    assert last_watched(chain) == replace(WATCHED, findings=())
    assert len(chain.read(KEY)) == 2


def test_the_exit_code_is_that_of_the_worst() -> None:
    assert EXIT_CODES[WATCHED.worst] == 7
    assert EXIT_CODES[replace(WATCHED, findings=FOUND[1:]).worst] == 0
    assert EXIT_CODES[replace(WATCHED, findings=()).worst] == 0


def test_schemas_stay_in_the_protected_zone() -> None:
    body = json.loads(notice(WATCHED, "Clinic"))
    assert body["schemas"] == []
    assert (body["worst"], len(body["findings"])) == ("alarm", 2)
    assert is_notice(notice(WATCHED, "Clinic"))
    assert not is_notice(b'{"findings": []}')


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """A webhook on this machine that answers by its path, and keeps what it gets."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.got.append((self.path, content))  # type: ignore[attr-defined]
            answer = int(self.path.strip("/").partition("?")[0])
            self.send_response(answer)
            if answer == 302:
                self.send_header("Location", "/200")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    made = HTTPServer(("127.0.0.1", 0), Handler)
    made.got = []  # type: ignore[attr-defined]
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def test_a_webhook_gets_the_findings(server: HTTPServer) -> None:
    address = f"http://127.0.0.1:{server.server_port}"
    post(f"{address}/200", notice(WATCHED, "Clinic"))
    [(path, content)] = server.got  # type: ignore[attr-defined]
    assert path == "/200"
    assert json.loads(content)["site"] == "Clinic"


@pytest.mark.parametrize("answer", [302, 404, 500])
def test_a_webhook_that_does_not_take_them_is_told_without_its_address(server: HTTPServer, answer: int) -> None:
    with pytest.raises(EnvironmentProblem, match=str(answer)) as caught:
        post(f"http://127.0.0.1:{server.server_port}/{answer}?token=secret", b"{}")
    assert "secret" not in str(caught.value)
    assert len(server.got) == 1  # type: ignore[attr-defined]


def test_a_webhook_that_is_not_there_is_told() -> None:
    with pytest.raises(EnvironmentProblem, match="no answer"):
        post("http://127.0.0.1:9/secret", b"{}")


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://host/x", "http://", "nonsense", "http://[::1"])
def test_an_address_that_is_no_webhook_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="--webhook"):
        require_webhook(address)
