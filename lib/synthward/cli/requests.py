"""`synthward request`: submit a request to the site's records, look at its versions, withdraw it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthward.cli.signing import signer, signer_arguments
from synthward.config.text import shown
from synthward.errors import UsageError

if TYPE_CHECKING:
    from synthward.api import Ward
    from synthward.records.requests import Submission


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands."""
    request = commands.add_parser(
        "request", parents=[common], help="submitted requests: submit, show, compare, withdraw"
    )
    verbs = request.add_subparsers(title="commands", required=True, metavar="COMMAND")

    submit = verbs.add_parser(
        "submit", parents=[common], help="pack a request with all its files into the records, as a new version"
    )
    submit.add_argument("request", type=Path, help="request file")
    submit.add_argument("--source", default=None, help="replaces the source's location; part of what is approved")
    _author_arguments(submit)
    submit.set_defaults(command=submit_request)

    show = verbs.add_parser("show", parents=[common], help="versions of a request, and what is on record about it")
    show.add_argument("name", metavar="ID[@VERSION]", help="the request; without a version the newest one")
    show.set_defaults(command=show_request)

    diff = verbs.add_parser("diff", parents=[common], help="what a version changes, values of code books included")
    diff.add_argument("name", metavar="ID[@VERSION]", help="the request; without a version the newest one")
    diff.add_argument("--since", type=int, default=None, metavar="VERSION", help="default: the version before")
    diff.set_defaults(command=compare_versions)

    withdraw = verbs.add_parser("withdraw", parents=[common], help="end a request; no version of it runs any more")
    withdraw.add_argument("name", metavar="ID", help="the request")
    _author_arguments(withdraw)
    withdraw.set_defaults(command=withdraw_request)

    listing = verbs.add_parser("list", parents=[common], help="every submitted request")
    listing.set_defaults(command=list_requests)


def _author_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", default=None, help="account name or roster id of the requester (default: as recorded)")
    parser.add_argument("--note", default="", help="the person's remark")
    signer_arguments(parser)


def submit_request(options: argparse.Namespace) -> int:
    """Record a new version of a request."""
    from synthward.cli.run import absolute_source
    from synthward.cli.sessions import ward

    key, source = signer(options), absolute_source(options.source)
    with ward(options, "synthward request submit") as opened:
        made = opened.submit(options.request, source=source, by=options.by, note=options.note, signer=key)
        print(shown(f"submitted: {made.id}@{made.version}, bundle {made.bundle[:12]}, {_signed(made)}"))
        _print_changes(opened, made.id, made.version, None)
    return 0


def show_request(options: argparse.Namespace) -> int:
    """Print the versions of a request."""
    from synthward.api import version_of
    from synthward.cli.sessions import ward

    identifier, version = version_of(options.name)
    with ward(options, "synthward request show") as opened:
        known = opened.requests.history(identifier)
        file, bundle = opened.requests.load(identifier, version, for_use=False)
        asked = file.request
        print(shown(f"{identifier}: {asked.title}"))
        print(shown(f"  scope    {asked.population.scope}"))
        for one in known.versions:
            wrong = opened.requests.fault(one)
            note = f", {one.note}" if one.note else ""
            print(shown(f"  version  {one.version} of {one.at} by {one.by}, {wrong or _signed(one)}{note}"))
        if known.withdrawn is not None:
            gone = known.withdrawn
            note = f", {gone.note}" if gone.note else ""
            print(shown(f"  ended    withdrawn on {gone.at} by {gone.by}{note}"))
        assert file.submission is not None
        print(shown(f"  request  {file.digest} (version {file.submission.version})"))
        print(shown(f"  bundle   {bundle.digest}"))
        for path, content in sorted(bundle.files.items()):
            print(shown(f"  file     {path}, {len(content)} bytes"))
    return 0


def compare_versions(options: argparse.Namespace) -> int:
    """Print what a version changes."""
    from synthward.api import version_of
    from synthward.cli.sessions import ward

    identifier, version = version_of(options.name)
    with ward(options, "synthward request diff") as opened:
        _print_changes(opened, identifier, version, options.since)
    return 0


def withdraw_request(options: argparse.Namespace) -> int:
    """End a request."""
    from synthward.api import version_of
    from synthward.cli.sessions import ward

    identifier, version = version_of(options.name)
    if version is not None:
        raise UsageError("a request is withdrawn with all its versions; leave @VERSION out")
    key = signer(options)
    with ward(options, "synthward request withdraw") as opened:
        made = opened.withdraw(identifier, by=options.by, note=options.note, signer=key)
    print(shown(f"withdrawn: {made.id} by {made.by}, {'signed' if made.envelope else 'as entered, not signed'}"))
    return 0


def list_requests(options: argparse.Namespace) -> int:
    """Print one line for each submitted request."""
    from synthward.cli.sessions import ward

    with ward(options, "synthward request list") as opened:
        for known in opened.requests.all():
            newest = known.newest
            if newest is not None:
                state = "open" if known.withdrawn is None else f"withdrawn on {known.withdrawn.at[:10]}"
                print(shown(f"{known.id}@{newest.version}  {newest.scope}  {newest.at[:10]}  {newest.by}  {state}"))
    return 0


def _print_changes(ward: Ward, identifier: str, version: int | None, since: int | None) -> None:
    found = ward.requests.changes(identifier, version, since)
    if found is None:
        print("the first version; there is none to compare it with")
        return
    # Each line is escaped already, and once more here: the rule is that every printed text is.
    for line in found or ["no difference"]:
        print(shown(line))


def _signed(made: Submission) -> str:
    return f"signed by {made.by}" if made.envelope else "as entered, not signed"
