"""What the officer's site shows, as plain values. All of it is publishable: requests, charges, releases, events."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DecisionFact:
    """A recorded decision on a request.

    Attributes:
        by: Who.
        role: In which role.
        decision: approve, reject or revoke.
        at: When, UTC, ISO 8601.
        key_id: Short name of the key that signed; None for a name as entered.
        note: The person's remark.
    """

    by: str
    role: str
    decision: str
    at: str
    key_id: str | None
    note: str = ""


@dataclass(frozen=True)
class ColumnFact:
    """A column that a request asks for.

    Attributes:
        name: Its name.
        kind: Numeric, categorical, boolean or date.
        allowed: The values that a release can have, in words.
        noise: Expected distance that noise alone causes; None if nothing is forecast.
        sensitive: Whether policy's name patterns call it sensitive.
    """

    name: str
    kind: str
    allowed: str
    noise: float | None
    sensitive: bool = False


@dataclass(frozen=True)
class CostFact:
    """What a request would cost its scope.

    Attributes:
        cap: Cap of the scope's epsilon.
        delta: The delta of that statement.
        before: Epsilon spent before.
        alone: Epsilon of this request alone, at the scope's delta.
        after: Epsilon spent with it.
        more_after: Further runs like it that fit afterwards.
        fits: Whether it fits.
    """

    cap: str
    delta: str
    before: str
    alone: str
    after: str
    more_after: int
    fits: bool


@dataclass(frozen=True)
class RequestFact:
    """A request that waits for a decision, or for its run.

    Attributes:
        digest: Digest of the request.
        file: Name of its file.
        title: Its title.
        requester: Who asks.
        requester_role: In which role.
        purpose: Code of the purpose.
        purpose_text: The purpose in words.
        ticket: Ticket or protocol.
        audience: Who will get the release.
        expires: Last day on which it may run.
        retention_days: Days for which the release may be read; None for no end.
        tier: Its tier.
        tier_title: The tier in words.
        reasons: Why it is in that tier.
        refusals: Why policy refuses it.
        controls: Each control with what will show it.
        needed: Roles that must approve.
        missing: Roles that have not approved.
        decisions: Recorded decisions.
        notes: Why decisions do not count.
        scope: The scope that would pay.
        guarantee: Unit, epsilon and delta in words.
        risk: What a membership test can do at most, in words.
        promises: What exporters promise.
        cost: What it costs; None if the scope has no account.
        no_account: Why there is none.
        columns: The columns.
        rows: Rows of the release.
        joint: Expected mean distance of joint tables; None if none is measured.
        warnings: What to know of the expected quality.
        changes: What differs from the last version; None if there is none on record.
    """

    digest: str
    file: str
    title: str
    requester: str
    requester_role: str
    purpose: str
    purpose_text: str
    ticket: str
    audience: str
    expires: str
    retention_days: int | None
    tier: str
    tier_title: str
    reasons: tuple[str, ...]
    refusals: tuple[str, ...]
    controls: tuple[tuple[str, str], ...]
    needed: tuple[str, ...]
    missing: tuple[str, ...]
    decisions: tuple[DecisionFact, ...]
    notes: tuple[str, ...]
    scope: str
    guarantee: str
    risk: str
    promises: tuple[str, ...]
    cost: CostFact | None
    no_account: str
    columns: tuple[ColumnFact, ...]
    rows: int
    joint: float | None
    warnings: tuple[str, ...]
    changes: tuple[str, ...] | None = None

    @property
    def page(self) -> str:
        """Its page in the site."""
        return f"requests/{self.digest[:16]}.html"


@dataclass(frozen=True)
class ChargeFact:
    """A charge of a scope, with the account after it.

    Attributes:
        at: When, UTC, ISO 8601.
        release_id: The release it paid for.
        epsilon: Epsilon so far.
        left: What was left of the cap.
        part: Part of the cap that was left, 0 to 1.
    """

    at: str
    release_id: str
    epsilon: str
    left: str
    part: float


@dataclass(frozen=True)
class ScopeFact:
    """A population's budget.

    Attributes:
        name: The scope.
        unit: Its privacy unit.
        patients: Declared number.
        cap: Cap of its epsilon.
        delta: The delta of that statement.
        spent: Epsilon spent.
        left: What is left.
        share: Part of the cap that is spent, 0 to 1.
        forecast: How long it lasts, in words.
        until: Day on which it is used up at that pace, ISO 8601; None if that cannot be said.
        opened: When it was first charged, UTC, ISO 8601; the day of the statement before the first charge.
        bound: Whether it is bound to sources.
        charges: Its charges in order.
        problems: What is wrong with its records.
    """

    name: str
    unit: str
    patients: int
    cap: str
    delta: str
    spent: str
    left: str
    share: float
    forecast: str
    until: str | None
    opened: str
    bound: bool
    charges: tuple[ChargeFact, ...]
    problems: tuple[str, ...]

    @property
    def page(self) -> str:
        """Its page in the site."""
        return f"populations/{self.name}.html"


@dataclass(frozen=True)
class ReaderFact:
    """Who may read a release, or might once.

    Attributes:
        recipient: Group or account.
        terms: First digits of the digest of the terms.
        terms_name: Name of the file with the terms.
        accepted_by: Who accepted them.
        accepted_on: When.
        until: Last day; None for no end of its own.
        standing: Whether the grant stands.
    """

    recipient: str
    terms: str
    terms_name: str
    accepted_by: str
    accepted_on: str
    until: str | None
    standing: bool


@dataclass(frozen=True)
class IncidentFact:
    """An incident of a release.

    Attributes:
        id: Its id.
        severity: Its severity.
        text: What happened.
        opened: When.
        due: When it has to be closed; None without a clock.
        closed: When it was closed; None while it is open.
        outcome: What came out.
        late: Whether it is open after its time.
    """

    id: str
    severity: str
    text: str
    opened: str
    due: str | None
    closed: str | None
    outcome: str
    late: bool


@dataclass(frozen=True)
class ReleaseFact:
    """A release.

    Attributes:
        id: The release.
        title: Title of its request.
        purpose: Code of the purpose.
        purpose_text: The purpose in words.
        audience: For whom.
        tier: Its tier.
        scope: The scope that paid.
        claim: What is protected, in words.
        epsilon: Its epsilon.
        delta: Its delta.
        rows: Its rows.
        made: When it was made, UTC, ISO 8601.
        until: Last day on which it may be read; None for no end.
        stage: published, frozen, expired or recalled.
        reason: Why it is not published any more; empty if it is.
        table: Its table.
        gates: Gates passed, of all.
        approvals: Who approved, in words.
        readers: Its readers.
        incidents: Its incidents.
        events: One line for each event.
        problems: What is wrong with its events, or is not carried out.
        report: Its report; None if it cannot be read.
    """

    id: str
    title: str
    purpose: str
    purpose_text: str
    audience: str
    tier: str
    scope: str
    claim: str
    epsilon: str
    delta: str
    rows: int
    made: str
    until: str | None
    stage: str
    reason: str
    table: str
    gates: tuple[int, int]
    approvals: tuple[str, ...]
    readers: tuple[ReaderFact, ...]
    incidents: tuple[IncidentFact, ...]
    events: tuple[str, ...]
    problems: tuple[str, ...]
    report: str | None

    @property
    def page(self) -> str:
        """Its page in the site."""
        return f"releases/{self.id}.html"

    @property
    def report_page(self) -> str:
        """Its report in the site."""
        return f"releases/{self.id}.report.html"


@dataclass(frozen=True)
class FindingFact:
    """A finding of monitoring."""

    severity: str
    kind: str
    subject: str
    message: str


@dataclass(frozen=True)
class DrillFact:
    """The last drill.

    Attributes:
        at: When it ended.
        release: The release that was copied.
        seconds: How long it took.
        hours: What policy allows; None without a clock.
        passed: Whether it succeeded in time.
    """

    at: str
    release: str
    seconds: float
    hours: int | None
    passed: bool


@dataclass(frozen=True)
class SiteFacts:
    """Everything that the site shows.

    Attributes:
        name: Name of the site.
        policy: Name of the policy in force.
        policy_digest: Its digest.
        as_of: The day of the statement, ISO 8601.
        version: Version of Synthward.
        signed: Whether the site has a roster, so that decisions can be signed.
        requests: Requests that wait.
        scopes: Populations.
        releases: Releases.
        watched: When monitoring looked last; None if it never did.
        findings: What it found, those about sources left out.
        findings_left_out: How many were left out.
        drill: The last drill; None if there was none.
        problems: What is wrong with records that belong to no scope.
    """

    name: str
    policy: str
    policy_digest: str
    as_of: str
    version: str
    signed: bool
    requests: tuple[RequestFact, ...]
    scopes: tuple[ScopeFact, ...]
    releases: tuple[ReleaseFact, ...]
    watched: str | None = None
    findings: tuple[FindingFact, ...] = ()
    findings_left_out: int = 0
    drill: DrillFact | None = None
    problems: tuple[str, ...] = ()
