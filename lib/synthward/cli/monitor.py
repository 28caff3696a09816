"""`synthward monitor`: budgets, releases, runs and sources between runs, for a scheduler."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from synthward.config.text import shown

logger = logging.getLogger(__name__)


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    monitor = commands.add_parser(
        "monitor",
        parents=[common],
        help="look at budgets, releases, runs and sources; exit code 6 for warnings, 7 for alarms",
    )
    monitor.add_argument("--out", type=Path, default=None, metavar="FILE", help="JSON file with the findings")
    monitor.add_argument("--webhook", default=None, metavar="URL", help="address that gets the same JSON by POST")
    monitor.add_argument("--no-schemas", action="store_true", help="do not look at the schemas of sources")
    monitor.set_defaults(command=watch)


def watch(options: argparse.Namespace) -> int:
    """Look at the site once. Findings go to stdout, to the log, to MLflow, and where the options say."""
    from synthward.cli.sessions import known_zones, ward
    from synthward.config.instants import now
    from synthward.ledger.forecast import forecast
    from synthward.run.monitoring import EXIT_CODES
    from synthward.run.notices import is_notice, notice, post, require_webhook
    from synthward.store.outputs import require_writable, write_output
    from synthward.tracking.watching import log_watched

    if options.out is not None:
        require_writable(options.out, known_zones(options), "--out", is_notice)
    if options.webhook is not None:
        require_webhook(options.webhook)
    with ward(options, "synthward monitor") as opened:
        watched = opened.monitor(schemas=not options.no_schemas)
        shares = {state.scope: float(forecast(state, now().date()).share) for state in opened.ledger.sound_scopes()[0]}
        log_watched(opened.site.tracking, watched, shares)
        content = notice(watched, opened.site.name)
    for one in watched.findings:
        print(shown(f"{one.severity:<8} {one.kind:<13} {one.subject}: {one.message}"))
        level = {"note": logging.INFO, "warning": logging.WARNING, "alarm": logging.ERROR}[one.severity]
        facts = {"event": "finding", "severity": one.severity, "kind": one.kind, "subject": one.subject}
        logger.log(level, "%s: %s", shown(one.subject), shown(one.message), extra={"facts": facts})
    if not watched.findings:
        print("nothing to report")
    if options.out is not None:
        write_output(options.out, content, is_notice)
    if options.webhook is not None:
        post(options.webhook, content)
    return EXIT_CODES[watched.worst]
