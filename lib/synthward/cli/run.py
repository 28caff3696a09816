"""`synthward run`, `plan`, `approve`, `check`: from a request to a release."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthward.cli.main import site_path
from synthward.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from synthward.api import Release, Ward
    from synthward.run.plan import Plan
    from synthward.spec.repair import Repair
    from synthward.spec.request_file import RequestFile


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the commands."""
    run = commands.add_parser("run", parents=[common], help="run an approved request to a published release")
    _request_arguments(run)
    _key_argument(run)
    _repair_argument(run, "finish a sealed run with the output section of this file, without a new charge")
    run.add_argument("--dry-run", action="store_true", help="the same as `synthward plan`")
    run.add_argument("--report-dir", type=Path, default=None, help="folder for report and manifest")
    run.add_argument("--result", metavar="URI", default=None, help="JSON file that says how the run ended")
    run.set_defaults(command=run_request)

    plan = commands.add_parser("plan", parents=[common], help="print plan, cost and targets of a run; reads no data")
    _request_arguments(plan)
    _key_argument(plan)
    plan.set_defaults(command=plan_request)

    approve = commands.add_parser("approve", parents=[common], help="record a decision on a request")
    _request_arguments(approve)
    _repair_argument(approve, "decide on the output section of this file for a sealed run, not on the request")
    approve.add_argument("--by", required=True, help="account name of the person who decides")
    approve.add_argument("--role", required=True, help="role in which the person decides")
    approve.add_argument("--runs", type=int, default=1, help="how many runs the approval covers (default 1)")
    approve.add_argument("--decision", choices=("approve", "reject", "revoke"), default="approve")
    approve.add_argument("--note", default="", help="the person's remark")
    approve.set_defaults(command=approve_request)

    check = commands.add_parser("check", parents=[common], help="check configuration files; starts no Spark")
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help="site, request, policy or domain files")
    check.set_defaults(command=check_files)


def _request_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("request", type=Path, help="request file")
    parser.add_argument("--source", default=None, help="replaces the source's location; part of what is approved")


def _repair_argument(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--repair", type=Path, metavar="FILE", default=None, help=text)


def _repair(options: argparse.Namespace) -> Repair | None:
    from synthward.spec.repair import load_repair

    return None if options.repair is None else load_repair(options.repair)


def _key_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run-key", default="", help="the scheduler's key of this period; a retry uses the same one")


def run_request(options: argparse.Namespace) -> int:
    """Runs or, with --dry-run, shows the plan; one JSON line on stdout."""
    if options.dry_run:
        if options.repair is not None:
            raise UsageError("--dry-run shows the plan of a request; a repair has none. Leave one of them out")
        if options.result is not None:
            raise UsageError("--result says how a run ended, and --dry-run runs nothing; leave one of them out")
        return plan_request(options)
    from synthward.cli.result import ResultFile
    from synthward.cli.sessions import session, ward

    ending = ResultFile(options.result, lambda: session(options, "synthward result"))
    try:
        file, repair = load(options), _repair(options)
        with ward(options, "synthward run") as opened:
            try:
                release = opened.run(file, run_key=options.run_key, repair=repair)
            finally:
                if opened.result is not None:
                    ending.write(opened.result, opened.session)
            report = write_report(release, options.report_dir, opened.site.releases)
            print(json.dumps(result_line(release, report)))
    except BaseException as error:
        ending.write_failure(error)
        raise
    return 0


def result_line(release: Release, report: str) -> dict[str, Any]:
    """The JSON line of a run."""
    outcome = release.outcome
    guarantee = outcome.manifest.body["guarantee"]
    return {
        "run_id": outcome.run_id,
        "release_id": outcome.release_id,
        "table": release.table,
        "report": report,
        "mlflow_run": outcome.mlflow_run,
        "epsilon": float(guarantee["epsilon"]),
        "delta": float(guarantee["delta"]),
        "remaining": float(outcome.scope.remaining),
        "is_new": outcome.is_new,
    }


def write_report(release: Release, folder: Path | None, releases: str) -> str:
    """Writes report and manifest into a folder: the one asked for, or `reports` in a release zone on this machine.

    Args:
        release: The release.
        folder: Where to write, None for the default.
        releases: Location of the release zone.

    Returns:
        The report's file; where nothing is written, the artifact from which `synthward report` extracts it.
    """
    from synthward.store.places import local_path

    zone = local_path(releases)
    if folder is None and (zone is None or not zone.is_dir()):
        return f"artifacts/{release.release_id}/report.html"
    folder = folder if folder is not None else Path(str(zone)) / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{release.release_id}.html"
    target.write_text(release.report, encoding="utf-8")
    target.with_suffix(".json").write_text(release.manifest.text, encoding="utf-8")
    return str(target)


def plan_request(options: argparse.Namespace) -> int:
    """Shows plan, cost and targets on stderr and one JSON line on stdout; reads no data and writes nothing."""
    from synthward.cli.sessions import ward

    file = load(options)
    with ward(options, "synthward plan") as opened:
        plan = opened.plan(file, run_key=options.run_key)
        print("\n".join(_describe(opened, plan)), file=sys.stderr)
        plan.require_policy()
        print(json.dumps(_plan_line(opened, plan)))
    return 0


def _plan_line(ward: Ward, plan: Plan) -> dict[str, Any]:
    from synthward.run.cost import Cost
    from synthward.run.environment import Places

    places = Places.of(ward.site, plan)
    return {
        "run_id": plan.identity.run_id,
        "release_id": plan.identity.release_id,
        "table": str(places.target),
        "staging": str(places.staged),
        "tier": plan.assessment.tier,
        "epsilon": float(plan.epsilon),
        "delta": float(plan.delta),
        "approved": ward.verdict(plan).ok,
        "work": asdict(Cost.of(plan)),
        "dry_run": True,
    }


def _describe(ward: Ward, plan: Plan) -> list[str]:
    from synthward.errors import BudgetError
    from synthward.fit.base import whole_budget
    from synthward.privacy.accounting import epsilon_of
    from synthward.run.cost import Cost

    request, assessment = plan.file.request, plan.assessment
    verdict = ward.verdict(plan)
    try:
        state = ward.budget(request.population.scope)
        alone = epsilon_of(plan.charge, state.terms.max_delta)
        account = f"{state.remaining} of epsilon left; this run alone counts as {alone}"
    except BudgetError as error:
        account = str(error)
    worst = sorted(plan.forecast.items(), key=lambda item: -item[1])[:5]
    noise = ", ".join(f"{name} {value:.4f}" for name, value in worst)
    return [
        f"request    {request.title} ({plan.file.digest[:12]})",
        f"tier       {assessment.tier} {assessment.title}; approvals: {', '.join(assessment.approvals_needed)}",
        f"approved   {'yes' if verdict.ok else 'no: ' + '; '.join(verdict.reasons)}",
        *(f"REFUSED    {reason}" for reason in assessment.refusals),
        (
            f"guarantee  {plan.task.unit.claim}, epsilon {plan.epsilon} ({plan.accounting}), delta {plan.delta}, "
            f"K {plan.task.unit.max_rows}"
        ),
        *([f"where      {_wanted(request.output.where)}"] if request.output.where else []),
        f"budget     scope {request.population.scope}: {account}",
        *([] if plan.learning is None else plan.learning.describe(whole_budget(plan.task))),
        *Cost.of(plan).describe(),
        f"noise      expected distance that noise alone causes, worst columns: {noise}",
        *([] if plan.joint_forecast is None else [f"tables     expected distance, mean: {plan.joint_forecast:.4f}"]),
        *(f"WARNING    {warning}" for warning in plan.warnings),
    ]


def _wanted(where: Mapping[str, Mapping[str, Decimal]]) -> str:
    """Wanted shares in one line."""
    texts = {name: ", ".join(f"{value} {share}" for value, share in shares.items()) for name, shares in where.items()}
    return "; ".join(f"{name}: {text}" for name, text in texts.items())


def approve_request(options: argparse.Namespace) -> int:
    """Records a decision."""
    from synthward.cli.sessions import ward

    file, repair = load(options), _repair(options)
    decided = {"by": options.by, "role": options.role, "decision": options.decision, "note": options.note}
    with ward(options, "synthward approve") as opened:
        if repair is None:
            opened.approve(file, runs=options.runs, **decided)
            verdict = opened.verdict(opened.plan(file))
        else:
            opened.approve_repair(file, repair, **decided)
            verdict = opened.repair_verdict(file, repair)
    missing = f"; still missing: {', '.join(verdict.missing_roles)}" if verdict.missing_roles else ""
    print(f"recorded: {options.decision} by {options.by} as {options.role}{missing}")
    return 0


def check_files(options: argparse.Namespace) -> int:
    """Checks each file for what it is; all problems of all files are shown."""
    from synthward.cli.check import check_file
    from synthward.errors import ConfigError

    failed = False
    for path in options.files:
        try:
            print(f"ok    {path}: {check_file(path)}")
        except ConfigError as error:
            failed = True
            print(error, file=sys.stderr)
    return 2 if failed else 0


def load(options: argparse.Namespace) -> RequestFile:
    """The request of a command; a relative --source counts from the current folder."""
    from synthward.spec.request_file import load_request

    site_path(options)
    return load_request(options.request, source_override=_absolute(options.source))


def _absolute(source: str | None) -> str | None:
    """A path of this machine made absolute; catalog names and URIs stay as they are."""
    if source is None or "://" in source or not ("/" in source or Path(source).exists()):
        return source
    return str(Path(source).absolute())
