"""The plan of a run: everything that is known before any data is read.

A plan is a function of public inputs: request, domain, policy, the ledger's account and the day. It says what would be
charged, whether policy and budget allow it, where the tables will be, and how good the release can be expected to be.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from synthward.config.canonical import canonical_json
from synthward.domain.codes import CodeBook, codebooks
from synthward.domain.spec import Domain
from synthward.domain.wanted import wanted_shares
from synthward.errors import ConfigError, PolicyRefused, Problem
from synthward.evaluate.gates.registry import CONTROLS
from synthward.evaluate.rules import is_by_construction, rule_faults
from synthward.fit.base import Synthesizer, Task
from synthward.fit.catalog import synthesizer
from synthward.fit.learning import (
    Learning,
    ceiling,
    largest_answer,
    learning_of,
    noise_delta,
    part_of,
    planned_domain,
)
from synthward.fit.program import Program
from synthward.fit.zeros import impossible_wishes, read_zeros
from synthward.governance.assess import Assessment, assess
from synthward.governance.controls import control_refusals, evidence_for
from synthward.governance.policy import Policy
from synthward.ledger.scopes import ScopeState, TierCap, refuse_beyond_tier, refuse_extra_run, refuse_overspending
from synthward.measure.answers import cells_of, refuse_too_many_cells
from synthward.measure.curator import public_tasks
from synthward.privacy.accounting import ATTO, NANO, Charge, epsilon_of
from synthward.privacy.gaussian import gaussian_epsilon_of
from synthward.privacy.membership import Membership
from synthward.privacy.queries import Marginal
from synthward.privacy.sensitivity import check_overflow
from synthward.privacy.unit import PrivacyUnit
from synthward.release.names import name_faults
from synthward.run.stated import settled, unkept
from synthward.spec.population import differences
from synthward.spec.request import Request
from synthward.spec.request_file import RequestFile
from synthward.spec.risk import Risk

ATTEMPT = 1
"""Each run has one attempt under one charge; what a lost source forfeits is charged anew under another run key."""


@dataclass(frozen=True)
class RunIdentity:
    """Names that follow from the request and the run key alone, so that a retry finds its run.

    Attributes:
        run_key: The scheduler's key of this period, or the empty text.
        run_id: Digest of request digest and run key.
        release_id: Digest of run and attempt.
    """

    run_key: str
    run_id: str
    release_id: str

    @classmethod
    def of(cls, request_digest: str, run_key: str) -> RunIdentity:
        """Derives the names."""
        run_id = _short({"request": request_digest, "run_key": run_key}, 32)
        return cls(run_key, run_id, "r" + _short({"run": run_id, "attempt": ATTEMPT}, 20))


def _short(facts: dict[str, Any], length: int) -> str:
    return hashlib.sha256(canonical_json(facts).encode()).hexdigest()[:length]


@dataclass(frozen=True)
class Plan:
    """What a run will do; public.

    Attributes:
        file: The request as read.
        identity: Names of run and release.
        task: What the synthesizer is asked; where the domain is learned first, on the largest domain that can come out.
        synthesizer: The synthesizer.
        assessment: What policy says.
        evidence: Gates that will show each of the tier's controls, by control.
        learning: Rounds in which the domain is learned, None without.
        synthesis: The most that the synthesizer's rounds cost.
        charge: What the ledger will be charged.
        epsilon: Epsilon of the release at `delta`.
        delta: Delta at which it is reported.
        accounting: Which of the valid bounds gives epsilon, in words.
        forecast: Expected noise distance by column, from public numbers.
        joint_forecast: Expected mean distance of joint tables, likewise; None where none is measured.
        warnings: What to know of the expected quality before approving, from public numbers.
        tasks: Partitions of the pass over the source.
        unbound_allowed: Whether policy allows a scope that is bound to no source.
    """

    file: RequestFile
    identity: RunIdentity
    task: Task
    synthesizer: Synthesizer
    assessment: Assessment
    evidence: dict[str, tuple[str, ...]]
    learning: Learning | None
    synthesis: Charge
    charge: Charge
    epsilon: Decimal
    delta: Decimal
    accounting: str
    forecast: dict[str, float]
    joint_forecast: float | None
    warnings: tuple[str, ...]
    tasks: int
    unbound_allowed: bool

    @property
    def domain(self) -> Domain:
        """The requested attributes."""
        return self.task.domain

    @property
    def membership(self) -> Membership:
        """What a membership test can do at most, by the charge."""
        return Membership(self.charge, self.task.curve_cells)

    @property
    def tier_cap(self) -> TierCap:
        """What policy allows the scope, all releases together, in the tier of this one."""
        found = self.assessment
        return TierCap(found.tier, found.max_epsilon_per_scope, found.max_delta_per_scope)

    @property
    def program(self) -> Program:
        """All rounds of the run."""
        return Program(self.task, self.synthesizer, self.learning, self.synthesis)

    def require_policy(self) -> None:
        """Refuses what policy does not allow.

        Raises:
            PolicyRefused: With every reason.
        """
        if self.assessment.refusals:
            raise PolicyRefused(list(self.assessment.refusals))

    def require_budget(self, scope: ScopeState, runs_allowed: int | None) -> None:
        """Checks what the ledger will refuse to charge, before anything is read: caps, number of runs.

        What counts is the ledger's own check of them, on the account that the charge is appended to.

        Args:
            scope: The account as it stands.
            runs_allowed: How many runs of the request the approvals cover; None for any number.

        Raises:
            BudgetExceeded: The charge does not fit.
            PolicyRefused: The approvals do not cover one more run, or the scope was opened for other people or another
                unit.
        """
        self.require_people(scope)
        if any(charge.run_id == self.identity.run_id for charge in scope.charges):
            return
        refuse_extra_run(scope, self.file.digest, runs_allowed)
        refuse_overspending(scope, self.charge)
        refuse_beyond_tier(scope, self.charge, self.tier_cap)

    def require_people(self, scope: ScopeState) -> None:
        """Refuses a request about other people than those whose budget it would be charged to.

        Raises:
            PolicyRefused: With every reason of `other_people`.
        """
        reasons = self.other_people(scope)
        if reasons:
            raise PolicyRefused(reasons)

    def other_people(self, scope: ScopeState) -> list[str]:
        """Why the request is not about the people of a scope; empty when it is.

        It compares unit, declared size, sources, key, path, id shape and opt-outs; without people to compare with,
        policy decides.
        """
        declared, request = scope.terms.declared_patients, self.file.request
        reasons = []
        if scope.terms.unit != request.patient.unit:
            reasons.append(
                f"scope '{scope.scope}' protects unit {scope.terms.unit}, the request {request.patient.unit}"
            )
        if declared != request.population.declared_patients:
            reasons.append(
                f"scope '{scope.scope}' was opened for {declared} declared patients, the request declares "
                f"{request.population.declared_patients}; a population is declared once, use the same number"
            )
        if scope.people is not None:
            reasons += differences(scope.scope, scope.people, self.file)
        elif not self.unbound_allowed:
            reasons.append(
                f"scope '{scope.scope}' is bound to no source, and policy does not allow that (allow_unbound_scopes); "
                "the privacy officer binds it with its population file: synthward budget open POPULATION.yaml --by ..."
            )
        return reasons


def assessed(request: Request, policy: Policy, today: dt.date, risk: Risk | None = None) -> Assessment:
    """What policy says of a request; a control of its tier that nothing would show is one more refusal."""
    found = assess(settled(request), policy, today=today, risk=risk)
    unmet = control_refusals(found.tier, found.controls, request, CONTROLS)
    return replace(found, refusals=(*found.refusals, *unmet))


def make_plan(file: RequestFile, policy: Policy, run_key: str, today: dt.date) -> Plan:
    """Plans a run.

    Raises:
        ConfigError: Request, domain and synthesizer do not fit together, or sums could overflow.
    """
    request, learn = _settled(file), file.request.learn
    declared = file.domain.restricted_to(request.columns)
    domain = declared if learn is None else planned_domain(declared, learn)
    unit = PrivacyUnit(request.patient.unit, request.patient.max_rows_per_patient)
    problems: list[Problem] = []
    try:
        check_overflow(unit, domain)
    except ConfigError as error:
        problems += [file.problem(problem.path, problem.message) for problem in error.problems]
    task = Task(
        domain=domain,
        unit=unit,
        mechanism=request.privacy.mechanism,
        epsilon=request.privacy.settled_epsilon,
        delta=request.privacy.delta if learn is None else noise_delta(learn, request.privacy.delta),
        declared_rows=request.population.declared_rows,
        options=request.synthesizer,
        budget_share=Fraction(1) if learn is None else part_of(learn),
    )
    chosen = synthesizer(request.synthesizer.name)
    problems += [file.problem(_setting(text), text) for text in chosen.check(task)]
    names = name_faults([*request.output.key_columns, *request.columns])
    problems += [file.problem("columns", text) for text in names]
    if learn is not None and learn.quantiles and not chosen.uses_bins:
        text = f"{chosen.name} draws numbers by mean and spread and has no use for bins; use another synthesizer"
        problems.append(file.problem("learn.quantiles", text))
    rules = request.utility.rules or ()
    declared_books = codebooks(declared)
    learned = () if learn is None else tuple(learn.categories)
    problems += [file.problem(f"utility.rules{at}", text) for at, text in rule_faults(rules, declared_books, learned)]
    if not problems:
        problems = _where_problems(task, file)
    if problems:
        raise ConfigError(problems)
    try:
        task = with_curve(task, chosen, 1 if learn is None else largest_answer(declared, learn))
    except ConfigError as error:
        raise ConfigError([file.problem(problem.path, problem.message) for problem in error.problems]) from None
    try:
        learning = None if learn is None else learning_of(declared, learn, task, request.privacy.delta)
        synthesis = chosen.charge(task)
        if learn is not None:
            synthesis = ceiling(task, 8 * len(domain.attributes) + len(request.synthesizer.cliques))
    except ValueError as error:
        message = f"too small to share out over {len(domain.attributes)} columns: {error}"
        raise ConfigError([file.problem("privacy.epsilon", message)]) from None
    charge = synthesis if learning is None else learning.charge + synthesis
    broken = unkept(request.privacy, Membership(charge, task.curve_cells))
    if broken is not None:
        raise ConfigError([file.problem("privacy", broken)])
    assessment = assessed(request, policy, today, file.risk)
    epsilon, delta, accounting = reported(charge, request.privacy.delta or assessment.max_delta, task.curve_cells)
    # Patients beyond K rows are weighed down, so that this is the most that counts can add up to.
    weighted = min(task.declared_rows, request.population.declared_patients * unit.max_rows)
    forecast = replace(task, declared_rows=weighted)
    warnings = chosen.warnings(forecast)
    warnings += [
        f"clinical rule '{rule.name}': the model can break it; the gate counts rows that do. `synthesizer.zeros` or "
        "`after` in the domain can build it in"
        for rule in rules
        if not is_by_construction(rule, declared_books, request.synthesizer.zeros)
    ]
    if learning is not None:
        warnings += learning.warnings(task.declared_rows, request.population.declared_patients)
    return Plan(
        file=file,
        identity=RunIdentity.of(file.digest, run_key),
        task=task,
        synthesizer=chosen,
        assessment=assessment,
        evidence=evidence_for(assessment.controls, request, CONTROLS),
        learning=learning,
        synthesis=synthesis,
        charge=charge,
        epsilon=epsilon,
        delta=delta,
        accounting=accounting,
        forecast=chosen.forecast(forecast),
        joint_forecast=chosen.joint_forecast(forecast),
        warnings=tuple(warnings),
        tasks=public_tasks(request.population.declared_rows),
        unbound_allowed=policy.allow_unbound_scopes,
    )


def _settled(file: RequestFile) -> Request:
    """The request of a file with its epsilon."""
    try:
        return settled(file.request)
    except ConfigError as error:
        raise ConfigError([file.problem(problem.path, problem.message) for problem in error.problems]) from None


def _where_problems(task: Task, file: RequestFile) -> list[Problem]:
    """Wishes that the structural zeros exclude."""
    books = codebooks(task.domain)
    zeros, _ = read_zeros(task.options.zeros, books)
    wanted = {name: _shares_by_code(books[name], value) for name, value in file.request.output.where.items()}
    text = "the structural zeros leave no rows that have all wanted shares together"
    return [file.problem(f"output.where.{name}", text) for name in impossible_wishes(zeros, books, wanted)]


_SETTING = re.compile(r"(?:zeros|cliques|workload)\[\d+\]|target|max_cells")


def _setting(text: str) -> str:
    """The key that a synthesizer's complaint begins with, so that it is reported at that key's line."""
    if text.startswith("epsilon "):
        return "privacy.epsilon"
    found = _SETTING.match(text)
    return "synthesizer" if found is None else f"synthesizer.{found[0]}"


def _shares_by_code(book: CodeBook, value: object) -> dict[int, float]:
    return {book.code_of_place(place): share for place, share in wanted_shares(book, value).items()}


def with_curve(task: Task, chosen: Synthesizer, least: int = 1) -> Task:
    """Checks the size of what will be counted; says how large an answer can be where the exact Gaussian curve applies.

    What is counted is what the synthesizer announces, and every column by itself. It is checked here by the rule that
    the pass goes by, because the pass comes after the charge.

    Args:
        task: The task.
        chosen: The synthesizer.
        least: The same of the rounds before (see `learning.largest_answer`).

    Raises:
        ConfigError: The marginals are too large to be counted or held.
    """
    books = codebooks(task.domain)
    while True:
        announced = chosen.cliques(task)
        asked = dict.fromkeys([*announced, *((name,) for name in books)])
        refuse_too_many_cells(asked, books)
        if task.mechanism != "gaussian" or not chosen.exact_curve:
            return task
        largest = max(least, len(announced), *(cells_of(Marginal(clique), books) for clique in asked))
        if task.curve_cells is not None and largest <= task.curve_cells:
            return task
        # By the curve the noise is less, so that larger tables may be announced.
        task = replace(task, curve_cells=largest)


def reported(charge: Charge, delta: Decimal, curve_cells: int | None = None) -> tuple[Decimal, Decimal, str]:
    """(epsilon, delta) as a release states them, and the bound that gives them: the best of those that hold.

    Delta is 0 where that is the sum of pure epsilons.

    Args:
        charge: Of the run.
        delta: The delta at which to report.
        curve_cells: See `fit.base.Task`.
    """
    epsilon = epsilon_of(charge, delta)
    if charge.nano_epsilon is not None and Decimal(charge.nano_epsilon) / NANO <= epsilon:
        return epsilon, Decimal(0), "sum of epsilons"
    if curve_cells is not None:
        by_curve = gaussian_epsilon_of(charge.nano_rho, int(delta * ATTO) - charge.atto_delta, curve_cells)
        if by_curve < epsilon:
            return by_curve, delta, "exact Gaussian curve"
    return epsilon, delta, "conversion from zCDP"
