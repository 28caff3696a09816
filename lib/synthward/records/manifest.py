"""What a manifest says, as records; docs/manifest.md explains every key.

A field with a default came later than the format, or is left out where there is nothing to say (`later`): manifests of
earlier versions do not have it. Exact decimals are texts, as the ledger's terms were written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from synthward.config.fields import key
from synthward.records.ledger import Receipt


@dataclass(frozen=True)
class SiteEntry:
    """The site that made the release."""

    name: str
    digest: str


@dataclass(frozen=True)
class RequestEntry:
    """The request, as far as it is published."""

    title: str
    digest: str
    requester: str
    purpose: str
    purpose_text: str
    ticket: str
    audience: str
    expires: str
    readable_until: str | None = key(None, later=True, doc="Last day on which the release may be read.")


@dataclass(frozen=True)
class EvidenceEntry:
    """A control of the tier, and the gates that show it."""

    control: str
    gates: tuple[str, ...]


@dataclass(frozen=True)
class PolicyEntry:
    """The policy in force, and how it assessed the request. `evidence` came later."""

    name: str
    digest: str
    tier: str
    tier_title: str
    controls: tuple[str, ...]
    reasons: tuple[str, ...]
    evidence: tuple[EvidenceEntry, ...] = ()


@dataclass(frozen=True)
class ApprovalEntry:
    """A decision that counts towards the run. `expires` and `signed` came later."""

    by: str
    role: str
    decision: str
    at: str
    expires: str | None = None
    signed: bool = False
    key_id: str | None = key(None, later=True, doc="Short name of the public key that signed.")


@dataclass(frozen=True)
class Guarantee:
    """What is promised. `key`, `path`, `statements`, `promises` and `membership` came later.

    Where the first four were not written, `path` is None. `membership` says in words what a membership test can do.
    """

    unit: str
    claim: str
    neighbours: str
    max_rows_per_unit: int
    mechanism: str
    epsilon: str
    delta: str
    requested_epsilon: str
    accounting: str
    nano_epsilon: int | None
    nano_rho: int
    atto_delta: int
    key: str | None = None
    path: tuple[str, ...] | None = None
    statements: tuple[str, ...] = ()
    promises: tuple[str, ...] = ()
    membership: str | None = None

    @property
    def unit_by(self) -> str | None:
        """The unit with its key and path; None in a manifest that does not name them."""
        return None if self.path is None else self.claim.removeprefix("unit: ")


@dataclass(frozen=True)
class BudgetEntry:
    """The account of the scope, this release included. `charges` and `alone_epsilon` came later."""

    scope: str
    declared_patients: int
    cap_epsilon: str
    cap_delta: str
    spent_epsilon: str
    remaining_epsilon: str
    ledger: Receipt
    charges: int = 1
    alone_epsilon: str | None = None
    more_like_this: int | None = key(None, later=True, doc="Further runs like this one that the budget has room for.")


@dataclass(frozen=True)
class MeasurementEntry:
    """A noisy answer and its part of the charge. `learns` and `threshold` came later."""

    query: str
    kind: str
    columns: tuple[str, ...]
    cells: int
    mechanism: str
    scale: float
    deviation: float | None
    sensitivity: int
    nano_epsilon: int | None
    nano_rho: int
    atto_delta: int
    learns: str | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class AttributeEntry:
    """A column of the domain: `bounds` and `outside` of numbers and dates, `values` and `other` of categories.

    Of a date that is derived from another one, `bounds` are those of the days between the two.
    """

    column: str
    type: str
    required: bool
    learned: str | None = None
    bounds: tuple[str, str] | None = key(None, later=True, doc="Lowest and highest value.")
    outside: str | None = key(None, later=True, doc="What became of values beyond the bounds.")
    values: int | None = key(None, later=True, doc="Number of declared values.")
    other: str | None = key(None, later=True, doc="Label of undeclared values.")
    after: str | None = key(None, later=True, doc="Column of the date from which this one is derived.")


@dataclass(frozen=True)
class DomainEntry:
    """The domain that rows are of."""

    digest: str
    attributes: tuple[AttributeEntry, ...]


@dataclass(frozen=True)
class EdgeEntry:
    """Two columns that depend on each other in the release."""

    parent: str
    child: str
    strength: float


@dataclass(frozen=True)
class GraphEntry:
    """Along which relations rows were drawn. `kind` came later."""

    order: tuple[str, ...]
    edges: tuple[EdgeEntry, ...]
    kind: str = "tree"


@dataclass(frozen=True)
class MisfitEntry:
    """How far the model is from one noisy table, beyond what noise explains."""

    columns: tuple[str, ...]
    distance: float


@dataclass(frozen=True)
class ConvergenceEntry:
    """How a fit ended."""

    kind: str
    steps: int
    at_most: int
    reached: bool
    tables: int
    distance: float
    worst: MisfitEntry


@dataclass(frozen=True)
class ModelEntry:
    """The model that rows were drawn from. `convergence` came later; it is None if nothing was fitted by steps."""

    synthesizer: str
    digest: str
    graph: GraphEntry
    convergence: ConvergenceEntry | None = None


@dataclass(frozen=True)
class SamplingEntry:
    """How rows were drawn."""

    seed: int
    keys: str
    where: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class GateEntry:
    """A gate and its result."""

    gate: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class ColumnEntry:
    """A column against its sealed marginal."""

    column: str
    kind: str
    cells: int
    tvd: float
    noise_tvd: float
    share_error: float
    out_of_domain: float
    out_of_domain_error: float
    labels: tuple[str, ...]
    noisy: tuple[float, ...]
    synthetic: tuple[float, ...]
    below: float = key(0.0, later=True, doc="Noisy share of values below the bounds.")
    above: float = key(0.0, later=True, doc="Noisy share of values above the bounds.")

    @property
    def clipped(self) -> float:
        """Noisy share of values beyond the bounds; 0 in manifests of versions that did not measure it."""
        return self.below + self.above


@dataclass(frozen=True)
class CliqueEntry:
    """Two or more columns against what was measured of them."""

    columns: tuple[str, ...]
    cells: int
    tvd: float
    noise_tvd: float
    noise_tvd_error: float
    measured: int


@dataclass(frozen=True)
class ExpectedEntry:
    """How far one column or pair is expected to be from the real rows; without distance, nothing is known of it."""

    columns: tuple[str, ...]
    basis: str
    distance: float | None
    low: float | None
    high: float | None
    verdict: str
    unclear: bool


@dataclass(frozen=True)
class VerdictSummary:
    """Mean and largest expected distance, and how many columns and pairs have each verdict."""

    expected_column_mean: float | None
    expected_column_max: float | None
    columns_rely_on: int
    columns_with_care: int
    columns_do_not_use: int
    columns_unknown: int
    expected_pair_mean: float | None
    expected_pair_max: float | None
    pairs_rely_on: int
    pairs_with_care: int
    pairs_do_not_use: int
    pairs_unknown: int


@dataclass(frozen=True)
class ExpectedQuality:
    """What is expected of the distance to the real rows, from simulated releases, and the limits of the verdicts."""

    replicates: int
    limits: Mapping[str, str]
    summary: VerdictSummary
    entries: tuple[ExpectedEntry, ...]


@dataclass(frozen=True)
class CountErrorsEntry:
    """The error model of counts; its distances are those of `ExpectedQuality`."""

    rows: float
    rows_error: float
    factors: tuple[float, ...]


@dataclass(frozen=True)
class QualityEntry:
    """How far synthetic rows are from the noisy answers, and, where releases were simulated, from the real rows."""

    summary: Mapping[str, float | None]
    columns: tuple[ColumnEntry, ...]
    cliques: tuple[CliqueEntry, ...]
    expected: ExpectedQuality | None = key(None, later=True, doc="Expected distances to the real rows.")
    counts: CountErrorsEntry | None = key(None, later=True, doc="The error model of counts.")


@dataclass(frozen=True)
class RepairApprovalEntry:
    """A decision that counts towards a repair."""

    by: str
    role: str
    decision: str
    at: str
    signed: bool = key(False, later=True, doc="Whether a signature was checked against the site's roster.")
    key_id: str | None = key(None, later=True, doc="Short name of the public key that signed.")


@dataclass(frozen=True)
class RepairEntry:
    """Another output section than the approved one, under which a sealed run was finished.

    `output` is the digest of run, reason and section; `of` is the release id that the run was charged for.
    """

    output: str
    of: str
    reason: str
    approvals: tuple[RepairApprovalEntry, ...]


@dataclass(frozen=True)
class ReleaseRecord:
    """A manifest."""

    format: int
    synthward: str
    release_id: str
    run_id: str
    run_key: str
    table: str
    rows: int
    content: str
    generated_at: str
    site: SiteEntry
    source_ref: str
    request: RequestEntry
    policy: PolicyEntry
    approvals: tuple[ApprovalEntry, ...]
    guarantee: Guarantee
    budget: BudgetEntry
    measurements: tuple[MeasurementEntry, ...]
    domain: DomainEntry
    model: ModelEntry
    sampling: SamplingEntry
    gates: tuple[GateEntry, ...]
    quality: QualityEntry
    forecast: Mapping[str, float]
    warnings: tuple[str, ...]
    limits: tuple[str, ...] = ()
    repair: RepairEntry | None = key(None, later=True, doc="The repair that the rows were drawn under.")

    @property
    def failed_gates(self) -> tuple[GateEntry, ...]:
        """The gates that did not pass."""
        return tuple(gate for gate in self.gates if not gate.passed)

    @property
    def passed(self) -> bool:
        """Whether all gates passed."""
        return not self.failed_gates
