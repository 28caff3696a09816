"""`synthward run`, `validate`, `publish`, `plan`, `approve`, `check`: from a request to a release."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthward.cli.options import day, given_site, site_path
from synthward.cli.signing import signer, signer_arguments
from synthward.config.text import shown
from synthward.errors import PolicyRefused, UsageError

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from collections.abc import Callable

    from synthward.api import Release, Ward
    from synthward.release.manifest import Manifest
    from synthward.run.plan import Plan
    from synthward.spec.repair import Repair
    from synthward.spec.request_file import RequestFile

    Act = Callable[[Ward, RequestFile, Repair | None], dict[str, Any]]
    """One act of a run; returns the JSON line."""


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands."""
    run = commands.add_parser("run", parents=[common], help="run an approved request to a published release")
    _request_arguments(run)
    _key_argument(run)
    _repair_argument(run, "finish a sealed run with the output section of this file, without a new charge")
    run.add_argument("--dry-run", action="store_true", help="the same as `synthward plan`")
    _ending_arguments(run)
    run.set_defaults(command=run_request)
    halves = {
        "validate": (validate_request, "run an approved request to a release that passed its gates, and stop there"),
        "publish": (publish_request, "publish the validated release of a run; reads no patient and charges nothing"),
    }
    for verb, (command, words) in halves.items():
        parser = commands.add_parser(verb, parents=[common], help=words)
        _request_arguments(parser)
        _key_argument(parser)
        _ending_arguments(parser)
        parser.set_defaults(command=command, repair=None)

    plan = commands.add_parser("plan", parents=[common], help="print plan, cost and targets of a run; reads no data")
    _request_arguments(plan)
    _key_argument(plan)
    plan.set_defaults(command=plan_request)

    approve = commands.add_parser("approve", parents=[common], help="record a decision on a request")
    _decision_arguments(approve)
    approve.add_argument("--runs", type=int, default=1, help="how many runs the approval covers (default 1)")
    approve.add_argument(
        "--expires",
        type=day,
        default=None,
        metavar="DATE",
        help="last day on which it is valid (default: as long as policy allows)",
    )
    approve.add_argument("--decision", choices=("approve", "reject", "revoke"), default="approve")
    approve.set_defaults(command=approve_request)
    against = {"reject": "say no to a request", "revoke": "take one's own decision back"}
    for verb, words in against.items():
        parser = commands.add_parser(verb, parents=[common], help=words)
        _decision_arguments(parser)
        parser.set_defaults(command=approve_request, decision=verb, runs=1, expires=None)

    check = commands.add_parser(
        "check", parents=[common], help="check configuration files, and with --site the policy; starts no Spark"
    )
    kinds = "site, request, population, policy or domain files"
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help=kinds)
    check.set_defaults(command=check_files)


def _request_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("request", type=Path, nargs="?", default=None, help="request file")
    parser.add_argument(
        "--submitted", metavar="ID[@VERSION]", default=None, help="a submitted request, read from the records"
    )
    parser.add_argument("--source", default=None, help="replaces the source's location; the approval covers it")


def _ending_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--report-dir", type=Path, default=None, help="folder for report and manifest")
    parser.add_argument("--result", metavar="URI", default=None, help="JSON file that says how the run ended")
    parser.add_argument(
        "--junit", metavar="FILE", default=None, help="JUnit XML of gates and controls, on this machine"
    )


def _repair_argument(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--repair", type=Path, metavar="FILE", default=None, help=text)


def _repair(options: argparse.Namespace) -> Repair | None:
    from synthward.spec.repair import load_repair

    return None if options.repair is None else load_repair(options.repair)


def _decision_arguments(parser: argparse.ArgumentParser) -> None:
    _request_arguments(parser)
    parser.add_argument("--by", required=True, help="account name or roster id of the person who decides")
    parser.add_argument("--role", required=True, help="role in which the person decides")
    parser.add_argument("--note", default="", help="the person's remark")
    _repair_argument(parser, "decide on the output section of this file for a sealed run, not on the request")
    signer_arguments(parser)


def _key_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run-key", default="", help="the scheduler's key of this period; a retry uses the same key")


def run_request(options: argparse.Namespace) -> int:
    """Run a request or, with --dry-run, show its plan. Print one JSON line on stdout."""
    if options.dry_run:
        if options.repair is not None:
            raise UsageError("--dry-run shows the plan of a request; a repair has none. Leave one of them out")
        for option in ("result", "junit"):
            if getattr(options, option) is not None:
                raise UsageError(f"--{option} says how a run ended, and --dry-run runs nothing; leave one of them out")
        return plan_request(options)

    def act(opened: Ward, file: RequestFile, repair: Repair | None) -> dict[str, Any]:
        release = opened.run(file, run_key=options.run_key, repair=repair)
        return result_line(release, opened.write_report(release, options.report_dir))

    return _recorded(options, "synthward run", act)


def validate_request(options: argparse.Namespace) -> int:
    """Run a request to a validated release, which is not published. Print one JSON line on stdout."""

    def act(opened: Ward, file: RequestFile, _: Repair | None) -> dict[str, Any]:
        manifest = opened.validate(file, run_key=options.run_key)
        return validated_line(manifest, opened.write_validated_report(manifest, options.report_dir))

    return _recorded(options, "synthward validate", act)


def publish_request(options: argparse.Namespace) -> int:
    """Publish the validated release of a run. Print one JSON line on stdout."""

    def act(opened: Ward, file: RequestFile, _: Repair | None) -> dict[str, Any]:
        release = opened.publish(file, run_key=options.run_key)
        return result_line(release, opened.write_report(release, options.report_dir))

    return _recorded(options, "synthward publish", act)


def _recorded(options: argparse.Namespace, application: str, act: Act) -> int:
    """Do an act of a run, and write where the options say how it ended. Print its JSON line on stdout."""
    from synthward.cli.junit import JunitFile
    from synthward.cli.result import ResultFile
    from synthward.cli.sessions import known_zones, session, ward
    from synthward.store.outputs import require_folder

    zones = known_zones(options)
    if options.report_dir is not None:
        require_folder(options.report_dir, zones, "--report-dir")
    ending = ResultFile(options.result, lambda: session(options, "synthward result"), zones)
    tests = JunitFile(options.junit, zones)
    try:
        given, repair = load(options), _repair(options)
        with ward(options, application) as opened:
            ending.require_new(opened.session)
            file = asked(opened, options, given)
            try:
                line = act(opened, file, repair)
            finally:
                if opened.result is not None:
                    ending.write(opened.result, opened.session)
                    tests.write(opened.result, opened.judged)
            print(json.dumps(line))
    except BaseException as error:
        ending.write_failure(error)
        tests.write_failure(error)
        raise
    return 0


def result_line(release: Release, report: str) -> dict[str, Any]:
    """Return the JSON line of a run."""
    outcome = release.outcome
    guarantee = outcome.manifest.record.guarantee
    return {
        "run_id": outcome.run_id,
        "release_id": outcome.release_id,
        "table": release.table,
        "report": report,
        "mlflow_run": outcome.mlflow_run,
        "epsilon": float(guarantee.epsilon),
        "delta": float(guarantee.delta),
        "remaining": float(outcome.scope.remaining),
        "is_new": outcome.is_new,
    }


def validated_line(manifest: Manifest, report: str) -> dict[str, Any]:
    """Return the JSON line of a release that waits for its publication."""
    record = manifest.record
    return {
        "run_id": record.run_id,
        "release_id": record.release_id,
        "report": report,
        "epsilon": float(record.guarantee.epsilon),
        "delta": float(record.guarantee.delta),
        "published": False,
    }


def plan_request(options: argparse.Namespace) -> int:
    """Show plan, cost and targets on stderr, and one JSON line on stdout. Read no data and write nothing."""
    from synthward.cli.sessions import ward

    given = load(options)
    with ward(options, "synthward plan") as opened:
        file = asked(opened, options, given)
        plan = opened.plan(file, run_key=options.run_key)
        print("\n".join(map(shown, opened.describe(plan).split("\n"))), file=sys.stderr)
        plan.require_policy()
        opened.require_people(plan)
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


def approve_request(options: argparse.Namespace) -> int:
    """Record a decision."""
    from synthward.cli.sessions import ward

    given, repair, key = load(options), _repair(options), signer(options)
    decided = {
        "by": options.by,
        "role": options.role,
        "expires": options.expires,
        "decision": options.decision,
        "note": options.note,
        "signer": key,
    }
    with ward(options, "synthward approve") as opened:
        file = asked(opened, options, given)
        if repair is None:
            recorded = opened.approve(file, runs=options.runs, **decided)
            verdict = opened.verdict(opened.plan(file))
        else:
            if options.runs != 1:
                raise UsageError("--runs: a repair is of one run; leave it out")
            recorded = opened.approve_repair(file, repair, **decided)
            verdict = opened.repair_verdict(file, repair)
    missing = f"; still missing: {', '.join(verdict.missing_roles)}" if verdict.missing_roles else ""
    signed = "as entered, not signed" if recorded.key_id is None else f"signed with key {recorded.key_id}"
    print(shown(f"recorded: {recorded.decision} by {recorded.by} as {recorded.role}, {signed}{missing}"))
    return 0


def check_files(options: argparse.Namespace) -> int:
    """Check each file by its kind, and requests also against the site's policy. Show all problems of all files."""
    from synthward.run.check import check_files as checked

    found = checked(options.files, given_site(options))
    for one in found:
        for problem in one.problems:
            print(problem, file=sys.stderr)
        for refusal in one.refusals:
            print(f"REFUSED {refusal}", file=sys.stderr)
        if one.ok:
            print(f"ok    {one.path}: {one.kind}")
            for note in one.notes:
                print(f"      {note}")
    if any(one.problems for one in found):
        return UsageError.exit_code
    return PolicyRefused.exit_code if any(one.refusals for one in found) else 0


def asked(ward: Ward, options: argparse.Namespace, given: RequestFile | None) -> RequestFile:
    """Return the request of a command: the one that was read from a file, or the submitted one.

    Args:
        ward: The site.
        options: The command's options.
        given: What `load` returned.
    """
    return ward.submitted(options.submitted) if given is None else given


def load(options: argparse.Namespace) -> RequestFile | None:
    """Load the request of a command from its file. A relative --source is relative to the current folder.

    Returns:
        The request; None if the command names a submitted one, which is read from the records (`asked`).

    Raises:
        UsageError: Neither a file nor a submitted request is named, or both.
    """
    from synthward.spec.request_file import load_request

    if (options.request is None) == (options.submitted is None):
        raise UsageError("name one request: a file, or --submitted ID for a submitted one")
    site_path(options)
    if options.submitted is not None:
        if options.source is not None:
            raise UsageError("--source: the source of a submitted request was given on submission; leave it out")
        return None
    return load_request(options.request, source_override=absolute_source(options.source))


def absolute_source(source: str | None) -> str | None:
    """Make a path of this machine absolute. Catalog names and URIs stay as they are."""
    if source is None or "://" in source or not ("/" in source or Path(source).exists()):
        return source
    return str(Path(source).absolute())
