"""`synthward budget open|show|history|verify`: the accounts of populations."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from synthward.cli.options import decimal
from synthward.config.text import shown


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the commands."""
    budget = commands.add_parser("budget", help="open, show and verify privacy budgets")
    actions = budget.add_subparsers(title="actions", required=True, metavar="ACTION")

    opening = actions.add_parser("open", parents=[common], help="open the budget of a population, once")
    opening.add_argument("scope", help="name of the population")
    opening.add_argument("--epsilon", type=decimal, required=True, help="cap of the scope's epsilon")
    opening.add_argument("--delta", type=decimal, required=True, help="delta at which the cap is stated")
    opening.add_argument("--patients", type=int, required=True, help="declared number of patients, public")
    opening.add_argument("--by", required=True, help="who opens it")
    opening.add_argument("--unit", choices=("patient", "row"), default="patient", help="privacy unit (row: benchmarks)")
    opening.add_argument("--note", default="")
    opening.set_defaults(command=open_scope)

    show = actions.add_parser("show", parents=[common], help="accounts of one scope or of all")
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


def open_scope(options: argparse.Namespace) -> int:
    """Opens a scope; the same terms again change nothing."""
    from synthward.cli.sessions import ward

    with ward(options, "synthward budget open") as opened:
        state = opened.open_scope(
            options.scope,
            max_epsilon=options.epsilon,
            max_delta=options.delta,
            declared_patients=options.patients,
            unit=options.unit,
            by=options.by,
            note=options.note,
        )
    print(f"scope {state.scope}: {'opened' if state.is_new else 'was open already'}, epsilon left {state.remaining}")
    return 0


def show_scopes(options: argparse.Namespace) -> int:
    """Prints the accounts."""
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
    return 0


def show_history(options: argparse.Namespace) -> int:
    """Prints every charge with the running account."""
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
    """Checks chains and receipts; every problem is printed."""
    from synthward.cli.sessions import ward
    from synthward.errors import LedgerCorrupt

    with ward(options, "synthward budget verify") as opened:
        found = {options.scope: opened.verify(options.scope)} if options.scope else opened.verify_all()
    problems = [(scope, problem) for scope, wrong in found.items() for problem in wrong]
    for scope, problem in problems:
        print(shown(f"{scope}: {problem}"), file=sys.stderr)
    if problems:
        return LedgerCorrupt.exit_code
    print(f"{len(found)} scope(s) verified: chains whole, every seal and release is paid for")
    return 0
