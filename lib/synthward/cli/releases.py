"""`synthward release`, `grant`, `recall`, `incident`: published releases, their readers, and taking them back."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthward.cli.options import day
from synthward.cli.signing import signer, signer_arguments
from synthward.config.text import shown
from synthward.errors import UsageError

if TYPE_CHECKING:
    import datetime as dt

    from synthward.run.releases import Actor, Done
    from synthward.run.standing import Standing


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands."""
    release = commands.add_parser("release", help="releases: list, show, approve, expire, revoke")
    verbs = release.add_subparsers(title="actions", required=True, metavar="ACTION")
    listing = verbs.add_parser("list", parents=[common], help="every release, and where it is")
    listing.add_argument("--scope", default=None, help="releases of this scope only")
    listing.add_argument("--json", action="store_true", help="one JSON line for each release")
    listing.set_defaults(command=list_releases)
    show = verbs.add_parser("show", parents=[common], help="a release with its readers, incidents and events")
    show.add_argument("release", help="release id")
    show.set_defaults(command=show_release)
    expire = verbs.add_parser("expire", parents=[common], help="end a release, or carry out every end that is due")
    expire.add_argument("release", nargs="?", default=None, help="release id; leave it out with --due")
    expire.add_argument("--due", action="store_true", help="every release and grant whose time is over; for schedulers")
    _actor_arguments(expire, needed=False)
    expire.set_defaults(command=expire_release)
    approve = verbs.add_parser(
        "approve", parents=[common], help="approve that a validated release is published, where its tier asks for that"
    )
    approve.add_argument("release", help="release id")
    _actor_arguments(approve)
    approve.set_defaults(command=approve_publication)
    revoke = verbs.add_parser("revoke", parents=[common], help="take a recipient's access away")
    revoke.add_argument("release", help="release id")
    revoke.add_argument("--from", dest="recipient", required=True, metavar="RECIPIENT", help="who loses access")
    _actor_arguments(revoke)
    revoke.set_defaults(command=revoke_grant)

    grant = commands.add_parser("grant", parents=[common], help="give a recipient access to a release, under terms")
    grant.add_argument("release", help="release id")
    grant.add_argument("--to", required=True, metavar="RECIPIENT", help="group or account, as the catalog names it")
    grant.add_argument("--terms", type=Path, required=True, metavar="FILE", help="text of the terms that were accepted")
    grant.add_argument("--accepted-by", required=True, metavar="NAME", help="who accepted them for the recipient")
    grant.add_argument("--accepted-on", type=day, default=None, metavar="DATE", help="when (default: today)")
    grant.add_argument("--until", type=day, default=None, metavar="DATE", help="last day of the access")
    grant.add_argument(
        "--hide-lineage", action="store_true", help="grant a view without lineage columns; needs a catalog"
    )
    _actor_arguments(grant)
    grant.set_defaults(command=grant_release)

    recall = commands.add_parser("recall", parents=[common], help="take a release back from all of its readers")
    recall.add_argument("release", help="release id")
    recall.add_argument("--incident", default=None, metavar="ID", help="incident that is the cause")
    _actor_arguments(recall)
    recall.set_defaults(command=recall_release)

    _register_incidents(commands, common)


def _register_incidents(commands: Any, common: argparse.ArgumentParser) -> None:
    incident = commands.add_parser("incident", help="open, close and list incidents")
    verbs = incident.add_subparsers(title="actions", required=True, metavar="ACTION")
    opening = verbs.add_parser("open", parents=[common], help="record an incident, and stop the releases' readers")
    opening.add_argument("releases", nargs="+", metavar="RELEASE", help="release ids")
    opening.add_argument("--id", required=True, help="id of the incident, for instance the ticket's")
    opening.add_argument("--severity", required=True, help="one of the policy's words; it sets the clock")
    opening.add_argument("--no-freeze", action="store_true", help="readers may go on while it is open")
    _actor_arguments(opening)
    opening.set_defaults(command=open_incident)
    closing = verbs.add_parser("close", parents=[common], help="close an incident; --reason says what came out")
    closing.add_argument("id", help="id of the incident")
    _actor_arguments(closing)
    closing.set_defaults(command=close_incident)
    showing = verbs.add_parser("list", parents=[common], help="every incident with its releases and its clock")
    showing.set_defaults(command=list_incidents)

    drill = commands.add_parser(
        "drill", parents=[common], help="practise a recall on a copy of a release, and time it by policy's clock"
    )
    drill.add_argument("release", nargs="?", default=None, help="release id (default: the newest that may be read)")
    drill.add_argument(
        "--scratch", type=Path, default=None, metavar="FOLDER", help="folder that driver and executors share"
    )
    drill.set_defaults(command=practise)


def _actor_arguments(parser: argparse.ArgumentParser, *, needed: bool = True) -> None:
    parser.add_argument("--by", required=needed, default=None, help="account name or roster id of the person")
    parser.add_argument("--role", required=needed, default=None, help="role in which the person acts")
    parser.add_argument(
        "--reason", required=needed, default=None, help="why; readers of the release see it, so no word about a patient"
    )
    signer_arguments(parser)


def _actor(options: argparse.Namespace) -> Actor:
    from synthward.run.releases import Actor

    missing = [f"--{name}" for name in ("by", "role", "reason") if getattr(options, name) is None]
    if missing:
        raise UsageError(f"{', '.join(missing)} missing: an act needs a person, a role and a reason")
    return Actor(options.by, options.role, options.reason, signer(options))


def list_releases(options: argparse.Namespace) -> int:
    """Print every release."""
    from synthward.cli.sessions import ward
    from synthward.config.instants import now

    with ward(options, "synthward release list") as opened:
        found = opened.published.all(options.scope)
    today = now().date()
    if options.json:
        for one in found:
            print(json.dumps(_line(one, today), sort_keys=True))
        return 0
    print(f"{'release':<22} {'state':<10} {'tier':<5} {'scope':<20} {'made on':<10} {'until':<10} readers  table")
    for one in found:
        row = one.listed
        print(
            shown(
                f"{row.release_id:<22} {one.stage_on(today):<10} {row.tier:<5} {row.scope:<20} "
                f"{row.generated_at[:10]:<10} {row.readable_until or '-':<10} {len(one.state.grants):<7}  "
                f"{row.release_table}"
            )
        )
    return 0


def _line(one: Standing, today: dt.date) -> dict[str, Any]:
    row = one.listed
    return {
        "release_id": row.release_id,
        "state": one.stage_on(today),
        "tier": row.tier,
        "scope": row.scope,
        "table": row.release_table,
        "generated_at": row.generated_at,
        "readable_until": row.readable_until,
        "readers": sorted(one.state.grants),
        "incidents": sorted(each.opened.incident for each in one.state.open_incidents),
    }


def show_release(options: argparse.Namespace) -> int:
    """Print one release with everything that happened to it. Faults of its events go to stderr, with exit code 1."""
    from synthward.cli.sessions import ward
    from synthward.config.instants import now
    from synthward.run.standing import event_lines

    with ward(options, "synthward release show") as opened:
        one = opened.published.of(options.release)
        faults = opened.published.verify(one)
    row, today = one.listed, now().date()
    lines = [
        f"release   {row.release_id}: {one.stage_on(today)}",
        f"title     {row.title}",
        f"table     {row.release_table}",
        f"privacy   epsilon {row.epsilon} at delta {row.delta}, scope {row.scope}, tier {row.tier}",
        f"until     {row.readable_until or 'no end was requested'}",
    ]
    for recipient, grant in one.state.grants.items():
        until = f", until {grant.until}" if grant.until else ""
        lines.append(
            f"reader    {recipient}: terms {grant.terms_name} ({grant.terms[:12]}) accepted by {grant.accepted_by} on "
            f"{grant.accepted_on}{until}"
        )
    lines += [_incident(each, "open" if each.is_open else "closed") for each in one.state.incidents.values()]
    lines += [f"event     {line}" for line in event_lines(one)]
    _print(lines)
    _print(faults, sys.stderr)
    return 1 if faults else 0


def _incident(each: Any, state: str) -> str:
    opened = each.opened
    due = f", due {opened.due}" if each.is_open and opened.due else ""
    freezes = ", readers are stopped" if each.is_open and opened.freeze else ""
    return f"incident  {opened.incident} ({opened.severity}): {state}{due}{freezes}: {opened.act.reason}"


def approve_publication(options: argparse.Namespace) -> int:
    """Approve the publication of a release."""
    from synthward.cli.sessions import ward

    actor = _actor(options)
    with ward(options, "synthward release approve") as opened:
        done = opened.published.approve(options.release, actor)
    return _say([done], "its publication is approved in this role")


def grant_release(options: argparse.Namespace) -> int:
    """Give a recipient access."""
    from synthward.cli.sessions import ward
    from synthward.config.files import DOCUMENT_BYTES, FileRefused, read_limited
    from synthward.config.instants import now
    from synthward.run.releases import Wish

    actor = _actor(options)
    try:
        terms = read_limited(options.terms, DOCUMENT_BYTES)
    except FileRefused as refused:
        raise UsageError(f"--terms: {options.terms} {refused}") from None
    wish = Wish(
        recipient=options.to,
        terms=terms,
        terms_name=options.terms.name,
        accepted_by=options.accepted_by,
        accepted_on=options.accepted_on or now().date(),
        until=options.until,
        hide_lineage=options.hide_lineage,
    )
    with ward(options, "synthward grant") as opened:
        done = opened.published.grant(options.release, wish, actor)
    return _say([done], f"{options.to} may read it")


def revoke_grant(options: argparse.Namespace) -> int:
    """Take a recipient's access away."""
    from synthward.cli.sessions import ward

    actor = _actor(options)
    with ward(options, "synthward release revoke") as opened:
        done = opened.published.revoke(options.release, options.recipient, actor)
    return _say([done], f"{options.recipient} may not read it any more")


def expire_release(options: argparse.Namespace) -> int:
    """End one release by decision, or all that are due."""
    from synthward.cli.sessions import ward

    if options.due == (options.release is not None):
        raise UsageError("release expire: name one release with --by, --role and --reason, or give --due")
    if options.due:
        with ward(options, "synthward release expire") as opened:
            done = opened.published.expire_due()
        if not done:
            print("nothing is due")
        return _say(done, "its time was over")
    actor = _actor(options)
    with ward(options, "synthward release expire") as opened:
        ended = opened.published.expire(options.release, actor)
    return _say([ended], "expired")


def recall_release(options: argparse.Namespace) -> int:
    """Recall a release, and list whom to tell."""
    from synthward.cli.sessions import ward

    actor = _actor(options)
    with ward(options, "synthward recall") as opened:
        done = opened.published.recall(options.release, actor, incident=options.incident)
    code = _say([done], "recalled")
    granted = done.standing.state.granted
    _print(f"tell      {name}: terms accepted by {grant.accepted_by}" for name, grant in granted.items())
    if not granted:
        print("tell      nobody: no grant was ever recorded")
    return code


def open_incident(options: argparse.Namespace) -> int:
    """Open an incident."""
    from synthward.cli.sessions import ward

    actor = _actor(options)
    with ward(options, "synthward incident open") as opened:
        done = opened.published.open_incident(
            options.releases, options.id, options.severity, actor, freeze=not options.no_freeze
        )
    return _say(done, f"incident {options.id} is open")


def close_incident(options: argparse.Namespace) -> int:
    """Close an incident."""
    from synthward.cli.sessions import ward

    actor = _actor(options)
    with ward(options, "synthward incident close") as opened:
        done = opened.published.close_incident(options.id, actor)
    return _say(done, f"incident {options.id} is closed")


def list_incidents(options: argparse.Namespace) -> int:
    """Print every incident, once for each release."""
    from synthward.cli.sessions import ward
    from synthward.config.instants import now, utc_text

    with ward(options, "synthward incident list") as opened:
        found = opened.published.all()
    moment = utc_text(now())
    for one in found:
        for each in one.state.incidents.values():
            state = "LATE" if each.is_late(moment) else "open" if each.is_open else "closed"
            _print([f"{one.listed.release_id}  {_incident(each, state)}"])
    return 0


def practise(options: argparse.Namespace) -> int:
    """Practise a recall. Return 1 if a step failed or took longer than policy allows."""
    from synthward.cli.sessions import ward
    from synthward.run.standing import carried_out

    with ward(options, "synthward drill") as opened:
        drilled = opened.drill(options.release, scratch=options.scratch)
    clock = "policy declares no clock" if drilled.hours is None else f"policy allows {drilled.hours} hours"
    print(f"drill     recall of a copy of release {drilled.release}, as for an incident of severity {drilled.severity}")
    _print(carried_out(drilled.steps))
    print(f"drill     {'passed' if drilled.passed else 'FAILED'} in {drilled.seconds:.0f} seconds; {clock}")
    print("drill     nothing of the site was changed; MLflow and the catalog got nothing", file=sys.stderr)
    return 0 if drilled.passed else 1


def _say(done: Iterable[Done], words: str) -> int:
    """Print what was recorded and carried out. Return 1 if something is left to do."""
    from synthward.run.standing import carried_out

    complete = True
    for one in done:
        signed = "as entered, not signed" if one.key_id is None else f"signed with key {one.key_id}"
        again = "" if one.is_new else ", as was recorded before"
        _print([f"release   {one.standing.listed.release_id}: {words}{again}; {signed}"])
        _print([] if one.applied is None else carried_out(one.applied.steps))
        complete = complete and one.is_complete
    if not complete:
        print("something is left to do: run the same command again", file=sys.stderr)
    return 0 if complete else 1


def _print(lines: Iterable[str], stream: Any = None) -> None:
    for line in lines:
        print(shown(line), file=stream or sys.stdout)
