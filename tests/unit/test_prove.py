"""The audits of `synthward prove` that need no JVM: sound noise passes, broken noise is named, figures are right."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import oracle
from synthward.domain.codes import codebooks
from synthward.domain.patterns import pattern_fault
from synthward.governance.policy import load_policy
from synthward.privacy.accounting import Charge
from synthward.privacy.gaussian import gaussian_epsilon_of
from synthward.privacy.noise import Integers, NoiseCall, SecureNoise, exponential_for, gaussian_for, laplace_for
from synthward.privacy.sensitivity import bound
from synthward.privacy.thresholds import threshold_for
from synthward.prove import bounds, records, sampler
from synthward.prove.accountant import composed, second_epsilon
from synthward.prove.cells import as_text, every_code, extremes
from synthward.prove.claim import Claim
from synthward.prove.findings import Check
from synthward.prove.neighbours import FILES, Neighbours, cases, id_kinds, identity
from synthward.prove.proof import Proof, not_proven
from synthward.prove.sampler import Effort
from synthward.prove.sensitivity import Attack
from synthward.prove.texts import matching
from synthward.run.plan import Plan, make_plan
from synthward.sources.records import parse
from synthward.spec.request_file import load_request
from trial import CSV, START, TestSite, plan_of

SMALL = Effort(vectors=400, width=65, calls=2)
CALLS = (laplace_for(10**8, 4 * 2**16), gaussian_for(10**6, 4 * 2**16))


@functools.cache
def requests(root: Path) -> list[Plan]:
    """Plans of all example requests."""
    policy = load_policy(root / "conf" / "policy.yaml")
    files = sorted((root / "conf" / "requests").glob("*.yaml"))
    return [make_plan(load_request(file), policy, "", START.date()) for file in files]


# --- statistics ---


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (10, 10), (500, 100_000), (99_000, 100_000)])
@pytest.mark.parametrize("alpha", [1e-3, 1e-9])
def test_bounds_are_those_of_clopper_and_pearson(hits: int, n: int, alpha: float) -> None:
    low = stats.beta.ppf(alpha, hits, n - hits + 1) if hits else 0.0
    high = stats.beta.ppf(1 - alpha, hits + 1, n - hits) if hits < n else 1.0
    assert bounds.lower(hits, n, alpha) == pytest.approx(low, abs=1e-9)
    assert bounds.upper(hits, n, alpha) == pytest.approx(high, abs=1e-9)


@pytest.mark.parametrize("call", [*CALLS, NoiseCall("laplace", 1.5, 1), NoiseCall("gaussian", 2.5, 1)])
def test_distributions_are_those_of_the_noise(call: NoiseCall) -> None:
    """Against scipy's discrete Laplace distribution, and against sums of the density."""
    k = np.unique(np.round(np.linspace(-6, 6, 41) * call.scale)).astype(np.int64)
    found = sampler.cumulative(call)(k)
    if call.mechanism == "laplace":
        known = stats.dlaplace(1 / call.scale).cdf(k)
    else:
        grid = np.arange(-200, 201) if call.scale < 10 else None
        known = stats.norm.cdf(k + 0.5, scale=call.scale)
        if grid is not None:
            chances = np.exp(-(grid**2) / (2 * call.scale**2))
            known = np.array([chances[grid <= each].sum() for each in k]) / chances.sum()
    np.testing.assert_allclose(found, known, atol=1e-9)


# --- the noise ---


def falses(checks: list[Check]) -> list[str]:
    return [f"{check.name}: {check.found}" for check in checks if not check.passed]


def test_the_production_source_is_not_contradicted() -> None:
    threshold = threshold_for(laplace_for(10**8, 3 * 2**16), 3, 10**9, 2**16)
    checks = sampler.audit(CALLS, [threshold], SecureNoise(), SMALL)
    assert not falses(checks)
    assert len(checks) == 2 * (4 + 3) + 1
    for check in checks:
        if "loss" in check.name:
            assert 0 <= check.facts["lower_bound"] < check.facts["detects"] < math.inf
            assert "would have been detected" in check.found


def test_processes_and_forks_draw_noise_of_their_own() -> None:
    check = sampler.processes()
    assert check.passed, check.found
    assert check.facts["draws"] >= 4


class Broken:
    """The production source with a fault."""

    def __init__(self, fault: str) -> None:
        self.fault, self._kept = fault, {}
        self._chance = np.random.default_rng(1)

    def draw(self, label: str, exact: Integers, call: NoiseCall) -> Integers:
        """See `NoiseSource.draw`."""
        if self.fault == "scale":
            call = dataclasses.replace(call, scale=call.scale / 2)
        drawn = SecureNoise().draw(label, exact, call)
        if self.fault == "last":
            drawn[-1] = exact[-1]
        if self.fault == "border" and len(exact) > 64:
            drawn[64] = exact[64]
        if self.fault == "empty cells":
            drawn[exact == 0] = 0
        if self.fault == "repeated":
            return exact + self._kept.setdefault((call, len(exact)), drawn - exact)
        if self.fault == "pairs" and len(exact) > 1:
            drawn[1::2] = exact[1::2] + (drawn - exact)[: len(exact) - 1 : 2]
        if self.fault == "tails":
            drawn = exact + np.clip(drawn - exact, -int(call.scale), int(call.scale))
        return drawn


@pytest.mark.parametrize("fault", ["scale", "last", "border", "empty cells", "repeated", "pairs", "tails"])
def test_broken_noise_is_named(fault: str) -> None:
    checks = sampler.audit(CALLS[:1], [], Broken(fault), SMALL)
    found = " ".join(falses(checks))
    named = {
        "scale": "have the scale",
        "last": "answers of 1",
        "border": "farthest coordinate 64",
        "empty cells": "coordinates has",
        "repeated": "between calls",
        "pairs": "independent",
        "tails": "have the scale",
    }
    assert named[fault] in found


def test_a_tail_that_is_heavier_than_delta_says_is_named() -> None:
    threshold = threshold_for(laplace_for(10**8, 2**16), 1, 10**9, 2**16)

    class Heavy:
        """Noise of twice the scale: for a threshold that is no gift."""

        def draw(self, label: str, exact: Integers, call: NoiseCall) -> Integers:
            """See `NoiseSource.draw`."""
            return SecureNoise().draw(label, exact, dataclasses.replace(call, scale=2 * call.scale))

    found = falses(sampler.audit([], [threshold], Heavy(), SMALL))
    assert len(found) == 1
    assert "tail is not above" in found[0]


@pytest.mark.parametrize("claimed", [0.5, 1.0])
def test_the_loss_of_the_worst_neighbours_is_found(claimed: float) -> None:
    """The bound is below the claim, above .9 of it where the audit has the power; half the noise is contradicted."""
    call, rng = laplace_for(int(claimed * 10**9), 2**12), np.random.default_rng(3)
    noise = np.round(rng.laplace(scale=call.scale, size=400_000)).astype(np.int64)
    sound, halved = (sampler._loss(call, part, "x") for part in (noise, noise // 2))
    assert sound.passed
    assert 0.9 * claimed < sound.facts["lower_bound"] <= claimed < sound.facts["detects"] < 1.1 * claimed
    assert not halved.passed


# --- the second accountant ---


@pytest.mark.parametrize("rho", [10**4, 10**6, 10**8])
@pytest.mark.parametrize("times", [1, 7])
def test_gaussian_calls_together_are_the_gaussian_curve(rho: int, times: int) -> None:
    calls = [gaussian_for(rho, 2**16)] * times
    found = composed(calls).epsilon(1e-9)
    known = float(gaussian_epsilon_of(rho * times, 10**9, 1))
    assert known * 0.995 - 1e-6 <= found <= known * (1 + 1e-6)


def test_losses_of_laplace_noise_are_those_of_the_noise() -> None:
    """Summed over the integers, at some epsilons; pure calls have no delta beyond their epsilon."""
    call = NoiseCall("laplace", 3.0, 4)
    losses = composed([call])
    k = np.arange(-400, 401)
    p = np.exp(-np.abs(k) / 3.0)
    p, q = p / p.sum(), np.exp(-np.abs(k - 4) / 3.0) / p.sum()
    for epsilon in (0.0, 0.3, 1.0, 1.2):
        true = float(np.maximum(p - math.exp(epsilon) * q, 0).sum())
        assert true - 1e-4 <= losses.delta(epsilon) <= true + 1e-9
    assert losses.delta(4 / 3) == 0


def test_a_pure_total_is_the_sum_of_its_losses() -> None:
    calls = [laplace_for(10**8, 3), exponential_for(10**8, 5, "laplace")]
    found = second_epsilon(calls, Decimal(0), more_epsilon=Fraction(1, 10), more_mu_squared=0.0)
    assert found == pytest.approx(0.3, rel=1e-6)
    assert found <= 0.3 + 1e-12
    assert second_epsilon(CALLS, Decimal(0), more_epsilon=Fraction(0), more_mu_squared=0.0) is None


def test_no_example_claims_less_than_the_second_accountant(root: Path) -> None:
    for plan in requests(root):
        claim = Claim.of(plan)
        assert not falses(claim.checks()), plan.file.path
        second = claim.second
        assert second is not None
        assert 0.8 < second / float(plan.epsilon) <= 1 + 1e-6, plan.file.path


def test_a_claim_that_is_too_small_is_named(root: Path) -> None:
    for plan in requests(root):
        less = dataclasses.replace(plan, epsilon=plan.epsilon * Decimal("0.7"))
        assert falses(Claim.of(less).checks()), plan.file.path


def test_a_claim_file_can_be_computed_again(root: Path) -> None:
    """From the file alone: charges from scales and sensitivities, their sum, and what later rounds may add."""
    for plan in requests(root):
        told = json.loads(json.dumps(Claim.of(plan).to_json()))
        spent = 0
        for call in told["calls"]:
            scale = Fraction(call["scale"])
            again = NoiseCall(call["mechanism"], float(scale), call["d_in"]).charge
            assert again.nano_rho == call["charge"]["nano_rho"]
            spent += again.nano_rho
        assert spent + told["later_rounds"]["nano_rho"] == told["charge"]["nano_rho"]
        assert told["unit"]["max_rows"] == plan.task.unit.max_rows


def test_dp_accounting_agrees_with_the_second_accountant(accounting: Any) -> None:
    """Laplace and Gaussian calls together; theirs is rounded up, ours down."""
    calls = [laplace_for(2 * 10**8, 2**12)] * 5 + [gaussian_for(10**7, 2**12)] * 3
    theirs = accounting.identity()
    for call in calls:
        make = getattr(accounting, f"from_{call.mechanism}_mechanism")
        part = make(call.scale, sensitivity=call.sensitivity, value_discretization_interval=1e-4)
        theirs = theirs.compose(part)
    for delta in (1e-4, 1e-6, 1e-9):
        ours, known = composed(calls).epsilon(delta), theirs.get_epsilon_for_delta(delta)
        assert known * 0.99 <= ours <= known * (1 + 1e-6)


# --- neighbours ---


def test_every_code_of_a_column_is_among_its_cells(root: Path) -> None:
    """Of lists that are not too long; extremes of graded columns are as far from the centre as a cell can be."""
    for plan in requests(root):
        for book in codebooks(plan.file.domain.restricted_to(plan.file.request.columns)).values():
            found = {book.code_of(cell) for cell in every_code(book)}
            assert {book.missing, 0, book.attribute.size - 1} <= found, book.name
            if book.attribute.size <= 24:
                assert set(range(book.attribute.size)) <= found, book.name
            if book.name in plan.file.domain.graded:
                scale = plan.file.domain.graded[book.name].fixed_point
                assert min(abs(book.quantum_of(cell)) for cell in extremes(book)) >= scale.limit - 1


@given(
    number=st.integers(0, 10**6), pattern=st.sampled_from(["[0-9]{1,9}", "P[0-9]{7}", "[A-Z]{2}-[0-9a-f]{4}", "a|bc"])
)
def test_made_up_ids_match_their_pattern(number: int, pattern: str) -> None:
    assert pattern_fault(pattern) is None
    assert re.fullmatch(pattern, matching(pattern, number))


def written(folder: Path, **changes: Any) -> tuple[Neighbours, Plan]:
    site = TestSite(folder)
    plan = plan_of(site, site.request(**changes))
    return Neighbours(plan.file, folder / "made up", id_kinds(plan.file)[0]), plan


@pytest.mark.parametrize("csv", [{"delimiter": ";"}, {"quote": ""}, {"encoding": "UTF-16"}, {"escape": "\\"}])
def test_neighbours_differ_in_one_persons_lines(tmp_path: Path, csv: dict[str, Any]) -> None:
    """Line by line: D without her lines is D', every line of it is a record, and she stands in every file."""
    neighbours, plan = written(
        tmp_path, source={**CSV, "csv": {**CSV["csv"], **csv}}, patient={"max_rows_per_patient": 4}
    )
    case = cases(plan.file, quick=False)[1]
    options = plan.file.request.source.csv_options
    hers = str(identity(plan.file, neighbours.kind, 7))
    sides = []
    for name, added in (("e", None), ("d", case)):
        file = neighbours.write(None, name, added)  # type: ignore[arg-type]
        folder = Path(str(file.request.source.path))
        sides.append([f.read_bytes().decode(options.encoding).splitlines() for f in sorted(folder.iterdir())])
    less, more = sides
    assert len(less) == len(more) == FILES
    counted = 0
    for without, whole in zip(less, more, strict=True):
        for line in whole:
            assert len(parse(line, options) or ()) == 3
        mine = [line for line in whole if line.split(options.delimiter)[-1] == hers]
        assert mine
        assert [line for line in whole if line not in mine] == without
        counted += len(mine)
    assert counted == len(case.rows) == 8


def test_neighbours_over_a_key_reach_the_person(tmp_path: Path) -> None:
    """Followed by hand through the files: as many rows as the case says, once more for each second parent."""
    path = [{"source": {"format": "parquet", "path": "data/admissions"}, "on": {"hadm": "hadm_id"}}]
    neighbours, plan = written(
        tmp_path, source={"format": "parquet", "path": "x"}, patient={"path": path, "max_rows_per_patient": 2}
    )
    for case in cases(plan.file, quick=False):
        file = neighbours.write(None, case.name, case)  # type: ignore[arg-type]
        rows, parents = (
            [row for part in sorted(Path(str(source.path)).iterdir()) for row in pq.read_table(part).to_pylist()]
            for source in file.request.sources
        )
        hers = identity(plan.file, neighbours.kind, 7)
        links = [row["hadm_id"] for row in parents if row["pid"] == hers]
        reached = sum(links.count(row["hadm"]) for row in rows)
        assert reached == len(case.rows) * case.parents


# --- the records and the report ---


def facts_of(call: NoiseCall) -> dict[str, Any]:
    return {
        "kind": "marginal",
        "mechanism": call.mechanism,
        "scale": call.scale.hex(),
        "sensitivity": call.sensitivity,
    }


def test_a_charge_is_derived_again_from_a_public_description() -> None:
    for call in CALLS:
        assert records.rederived(facts_of(call)) == call.charge
    threshold = threshold_for(CALLS[0], 4, 10**9, 2**16)
    more = {"kind": "categories", "per_patient": 4, "above": threshold.above, "one": 2**16}
    assert records.rederived(facts_of(CALLS[0]) | more) == threshold.charge
    with pytest.raises(ValueError, match="lacks"):
        records.rederived({"kind": "marginal"})


def test_a_charge_by_the_older_rule_covers_and_is_counted() -> None:
    spent = CALLS[0].charge
    older = Charge.pure(Fraction(spent.nano_epsilon or 0, 10**9))
    assert older.covers(spent)
    assert records._by_the_older_rule(older, spent)
    assert not records._by_the_older_rule(spent, spent)
    assert not records._by_the_older_rule(CALLS[1].charge, CALLS[1].charge)


def test_a_report_names_what_is_false_and_what_was_not_proven(root: Path) -> None:
    plan = requests(root)[1]
    claim = Claim.of(plan)
    checks = (*claim.checks(), Check("sampler", "a | b", False, "too small", {"power": math.inf}))
    proof = Proof(claim, checks, not_proven(claim, 3, ["Nothing else."]))
    assert not proof.passed
    assert "1 statements are FALSE" in proof.markdown
    assert "| **FALSE** | a \\| b | too small |" in proof.markdown
    assert "3 tables of many cells" in proof.markdown
    assert json.loads(proof.json)["checks"][-1]["facts"]["power"] == "inf"


@pytest.mark.parametrize("place", [2, 6])
def test_the_made_up_people_attain_every_bound_and_pass_none(root: Path, place: int) -> None:
    """By the plain reference, which shares no code with the kernels: who attains nothing attacks nothing."""
    plan = requests(root)[place]
    attack, books, best = Attack.of(Claim.of(plan)), codebooks(plan.domain), dict[str, float]()
    for case in cases(plan.file, quick=True):
        rows = [tuple(as_text(cell) for cell in cells) for cells in case.rows * case.parents]
        understood = oracle.understand([("her", row) for row in rows], books)
        for query in attack.questions:
            moved = oracle.distance(oracle.answer(query, understood, books, plan.task.unit.max_rows), {})
            declared = bound(query, plan.task.unit, plan.domain, "laplace")
            assert moved <= declared
            best[query.KIND] = max(best.get(query.KIND, 0), moved / declared)
    assert best.keys() == {"population", "marginal", "presence", "sum", "square_sum"}
    assert min(best.values()) == 1
