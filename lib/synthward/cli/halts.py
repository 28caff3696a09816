"""`synthward stop` and `synthward resume`: the emergency stop of a scope."""

from __future__ import annotations

import argparse
from typing import Any

from synthward.cli.signing import signer, signer_arguments
from synthward.config.text import shown


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands."""
    words = {"stop": "let no run of a scope begin, go on or be charged", "resume": "end the stop of a scope"}
    for kind, text in words.items():
        parser = commands.add_parser(kind, parents=[common], help=text)
        parser.add_argument("scope", help="the scope")
        parser.add_argument("--by", required=True, help="account name or roster id of the person")
        parser.add_argument("--role", required=True, help="role in which the person acts")
        parser.add_argument("--reason", required=True, help="why, in one line; runs that are refused quote it")
        signer_arguments(parser)
        parser.set_defaults(command=halt_scope, kind=kind)


def halt_scope(options: argparse.Namespace) -> int:
    """Stop or resume a scope."""
    from synthward.cli.sessions import ward

    key = signer(options)
    with ward(options, f"synthward {options.kind}") as opened:
        made = opened.halts.record(
            options.kind, options.scope, by=options.by, role=options.role, reason=options.reason, signer=key
        )
    how = "signed" if made.halt.envelope else "as entered, not signed"
    done = "stopped" if made.kind == "stop" else "resumed"
    print(shown(f"{done}: scope {made.halt.scope} by {made.halt.by} as {made.halt.role}, {how}"))
    return 0
