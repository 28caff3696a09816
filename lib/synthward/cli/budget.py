"""`synthward budget open|add|show|history|verify` and `synthward exposure`: the budgets of populations."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthward.cli.options import decimal, site_path
from synthward.cli.run import absolute_source
from synthward.config.text import shown
from synthward.errors import UsageError

if TYPE_CHECKING:
    from synthward.ledger.scopes import ScopeState
    from synthward.spec.population import Table


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the commands."""
    budget = commands.add_parser("budget", help="open, show and verify privacy budgets")
    actions = budget.add_subparsers(title="actions", required=True, metavar="ACTION")

    opening = actions.add_parser("open", parents=[common], help="open the budget of a population, once")
    opening.add_argument(
        "population",
        help="population file; or, if policy allows it, the name of a scope that is bound to no source, with "
        "--epsilon, --delta and --patients",
    )
    opening.add_argument("--by", required=True, help="who opens it")
    opening.add_argument("--note", default="")
    opening.add_argument("--source", default=None, help="replaces the location of the population's first source")
    opening.add_argument("--epsilon", type=decimal, default=None, help="unbound scope: cap of its epsilon")
    opening.add_argument("--delta", type=decimal, default=None, help="unbound scope: delta at which the cap is stated")
    opening.add_argument("--patients", type=int, default=None, help="unbound scope: declared number of patients")
    opening.add_argument(
        "--unit", choices=("patient", "row"), default=None, help="unbound scope: privacy unit (row: benchmarks)"
    )
    opening.set_defaults(command=open_scope)

    adding = actions.add_parser("add", parents=[common], help="add a derived table or the list of opt-outs to a scope")
    adding.add_argument("scope")
    adding.add_argument("source", help="path or catalog name of the table")
    adding.add_argument("--format", choices=("delta", "parquet", "csv"), default="delta")
    adding.add_argument("--by", required=True, help="who adds it")
    adding.add_argument("--reason", required=True, help="why the table is about the same people")
    adding.add_argument("--like", default=None, help="location of an owned source that has the same key and path")
    adding.add_argument(
        "--opt-outs", metavar="KEY", default=None, help="the table is the list of opt-outs; column KEY has the ids"
    )
    adding.set_defaults(command=add_source)

    show = actions.add_parser("show", parents=[common], help="budget of one scope, with its sources, or of all scopes")
    show.add_argument("scope", nargs="?", default=None)
    show.set_defaults(command=show_scopes)

    history = actions.add_parser("history", parents=[common], help="every charge of a scope")
    history.add_argument("scope")
    history.set_defaults(command=show_history)

    verify = actions.add_parser(
        "verify", parents=[common], help="check the chain of one scope, or of all, against seals and releases"
    )
    verify.add_argument("scope", nargs="?", default=None)
    verify.set_defaults(command=verify_scopes)

    exposure = commands.add_parser(
        "exposure", parents=[common], help="privacy loss of one person over the releases of all scopes together"
    )
    exposure.add_argument(
        "--delta", type=decimal, default=None, help="delta of the total (default: sum of the scopes')"
    )
    exposure.set_defaults(command=show_exposure)


def open_scope(options: argparse.Namespace) -> int:
    """Open a scope. Opening it again with the same terms changes nothing."""
    unbound = {"--epsilon": options.epsilon, "--delta": options.delta, "--patients": options.patients}
    given = [name for name, value in unbound.items() if value is not None]
    if options.unit is not None and not given:
        given = ["--unit"]
    if not given:
        return _report(options, _open_population(options))
    missing = [name for name, value in unbound.items() if value is None]
    if missing or options.source is not None:
        extra = "--source belongs to a population file" if options.source is not None else ""
        lacking = f"{', '.join(missing)} missing" if missing else ""
        raise UsageError(
            f"budget open: {', '.join(filter(None, [lacking, extra]))}; give only a population file; or, for a scope "
            "that is bound to no source, give its name with --epsilon, --delta and --patients"
        )
    return _report(options, _open_unbound(options))


def _open_population(options: argparse.Namespace) -> ScopeState:
    from synthward.cli.sessions import ward
    from synthward.spec.population import load_population

    site_path(options)
    population = load_population(Path(options.population), source_override=absolute_source(options.source))
    with ward(options, "synthward budget open") as opened:
        return opened.open_population(population, by=options.by, note=options.note)


def _open_unbound(options: argparse.Namespace) -> ScopeState:
    from synthward.cli.sessions import ward

    with ward(options, "synthward budget open") as opened:
        return opened.open_scope(
            options.population,
            max_epsilon=options.epsilon,
            max_delta=options.delta,
            declared_patients=options.patients,
            unit=options.unit or "patient",
            by=options.by,
            note=options.note,
        )


def _report(options: argparse.Namespace, state: ScopeState) -> int:
    print(f"scope {state.scope}: {'opened' if state.is_new else 'was open already'}, epsilon left {state.remaining}")
    if state.people is None and not options.quiet:
        print(f"scope {state.scope}: bound to no source; every claim says so", file=sys.stderr)
    return 0


def add_source(options: argparse.Namespace) -> int:
    """Add a table to a scope. Adding the same table again changes nothing."""
    from synthward.cli.sessions import ward

    if options.like is not None and options.opt_outs is not None:
        raise UsageError("budget add: --like is for a source, --opt-outs for a list of opt-outs; give one of them")
    table = _table(options)
    with ward(options, "synthward budget add") as opened:
        if options.opt_outs is not None:
            state = opened.add_opt_outs(
                options.scope, table, key=options.opt_outs, by=options.by, reason=options.reason
            )
        else:
            like = None if options.like is None else _located(options.like, options.format).location
            state = opened.add_source(options.scope, table, by=options.by, reason=options.reason, like=like)
    print(f"scope {state.scope}: {'added' if state.is_new else 'has already'} {table.location}")
    return 0


def _table(options: argparse.Namespace) -> Table:
    return _located(options.source, options.format)


def _located(location: str, form: str) -> Table:
    """Return a table from a typed text. The text is a path if it has a slash or names a file of this machine."""
    from synthward.spec.population import Table

    is_path = "/" in location or Path(location).exists()
    if not is_path and form == "csv":
        raise UsageError(f"source '{location}': CSV files are given by a path; check the folder the command runs in")
    table = Table(format=form, path=location) if is_path else Table(format=form, table=location)  # type: ignore[arg-type]
    return table.resolved(Path.cwd())


def show_scopes(options: argparse.Namespace) -> int:
    """Print the budgets."""
    from synthward.cli.sessions import ward

    with ward(options, "synthward budget show") as opened:
        states = [opened.budget(options.scope)] if options.scope else list(opened.ledger.scopes())
    print(f"{'scope':<24} {'unit':<8} {'cap':>10} {'delta':>8} {'spent':>14} {'left':>14} charges")
    for state in states:
        terms = state.terms
        print(
            f"{state.scope:<24} {terms.unit:<8} {terms.max_epsilon:>10} {terms.max_delta!s:>8} "
            f"{state.epsilon_spent:>14} {state.remaining:>14} {len(state.charges)}"
        )
    if options.scope:
        print("\n".join(_owned(states[0])))
    return 0


def _owned(state: ScopeState) -> list[str]:
    """Return one line for each thing that a scope owns."""
    from synthward.spec.patient_id import shape_words

    people = state.people
    if people is None:
        return ["bound to no source"]
    lines = []
    for route in people.sources:
        way = "".join(
            f" -> {step.source.location} on {', '.join(f'{own} = {their}' for own, their in step.on.items())}"
            for step in route.path
        )
        lines.append(f"source {route.source.location} ({route.source.format}){way}, key {people.key_of(route)}")
    if people.unit == "patient":
        lines.append(f"ids {shape_words(people.id)}")
    if people.excluded is not None:
        lines.append(f"opt-outs {people.excluded.source.location}, key {people.excluded.key}")
    return lines


def show_exposure(options: argparse.Namespace) -> int:
    """Print one person's total over all scopes."""
    from synthward.cli.sessions import ward

    with ward(options, "synthward exposure") as opened:
        total = opened.exposure(delta=options.delta)
    print(f"{'scope':<24} {'unit':<8} {'epsilon':>14} {'delta':>8} {'cap':>10}")
    for scope in total.scopes:
        print(f"{scope.scope:<24} {scope.unit:<8} {scope.epsilon:>14} {scope.delta!s:>8} {scope.cap:>10}")
    print(
        f"one person, all scopes: epsilon {total.epsilon} at delta {total.delta}; at most {total.cap} when all is spent"
    )
    for name in total.left_out:
        print(f"scope {name} is not in the sum: its unit is not the patient", file=sys.stderr)
    for scope in total.scopes:
        if not scope.bound:
            print(f"scope {scope.scope} is bound to no source: other scopes may be about its table", file=sys.stderr)
    return 0


def show_history(options: argparse.Namespace) -> int:
    """Print every charge with the budget after it."""
    from synthward.cli.sessions import ward

    with ward(options, "synthward budget history") as opened:
        lines = opened.budget_history(options.scope)
    print(f"{'seq':>4} {'at':<28} {'run':<32} {'release':<22} {'epsilon so far':>16} {'left':>14}")
    for line in lines:
        charge = line.charge
        print(
            f"{charge.seq:>4} {charge.at:<28} {charge.run_id:<32} {charge.release_id:<22} "
            f"{line.epsilon:>16} {line.remaining:>14}"
        )
    return 0


def verify_scopes(options: argparse.Namespace) -> int:
    """Check chains and receipts. Print every problem."""
    from synthward.cli.sessions import ward
    from synthward.errors import LedgerCorrupt

    with ward(options, "synthward budget verify") as opened:
        found = {options.scope: opened.verify(options.scope)} if options.scope else opened.verify_all()
    problems = [(scope, problem) for scope, wrong in found.items() for problem in wrong]
    for scope, problem in problems:
        print(shown(f"{scope}: {problem}"), file=sys.stderr)
    if problems:
        return LedgerCorrupt.exit_code
    print(f"{len(found)} scope(s) verified: chains unbroken, a charge for every seal and release")
    return 0
