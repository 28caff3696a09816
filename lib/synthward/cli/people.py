"""`synthward keygen`, `roster`: keys of people, and the list of who they are. Neither starts Spark."""

from __future__ import annotations

import argparse
import datetime as dt
import stat
from pathlib import Path
from typing import Any

from synthward.cli.options import given_site
from synthward.cli.signing import passphrase, passphrase_argument, signer, signer_arguments
from synthward.config.text import shown
from synthward.errors import UsageError


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the commands."""
    keygen = commands.add_parser("keygen", parents=[common], help="make a key pair; the private half is a new file")
    keygen.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new key file")
    passphrase_argument(keygen)
    keygen.set_defaults(command=make_key)

    roster = commands.add_parser("roster", parents=[common], help="the site's people, roles and keys")
    verbs = roster.add_subparsers(title="commands", required=True, metavar="COMMAND")
    sign = verbs.add_parser("sign", parents=[common], help="sign a roster with the site's key, which makes it count")
    sign.add_argument("roster", type=Path, help="roster file")
    signer_arguments(sign)
    sign.set_defaults(command=sign_roster)
    show = verbs.add_parser("show", parents=[common], help="the people of a site's signed roster, as they are today")
    show.set_defaults(command=show_roster)


def make_key(options: argparse.Namespace) -> int:
    """Makes a key file and prints the public half, as a roster and a site file name it."""
    from synthward.governance.dsse import key_id
    from synthward.governance.keys import generate

    made = generate(options.out, passphrase(options, twice=True))
    print(f"key    {key_id(made.public)}\npublic {made.public}")
    return 0


def sign_roster(options: argparse.Namespace) -> int:
    """Signs the bytes of a roster, which is checked before; the signature lies beside it."""
    from synthward.config.files import DOCUMENT_BYTES, FileRefused, read_limited
    from synthward.governance.dsse import Envelope, NotAnEnvelope, key_id
    from synthward.governance.keys import seal
    from synthward.governance.roster import PAYLOAD_TYPE, read_roster, signature_path
    from synthward.store.outputs import write_output

    by = signer(options)
    if by is None:
        raise UsageError("name the site's key: --key FILE, or --signer COMMAND with --public HEX")
    roster = read_roster(options.roster)
    try:
        content = read_limited(options.roster, DOCUMENT_BYTES)
    except FileRefused as refused:
        raise UsageError(f"{options.roster}: {refused}") from None

    def is_signature(found: bytes) -> bool:
        try:
            return Envelope.parse(found.decode("ascii", "replace")).payload_type == PAYLOAD_TYPE
        except NotAnEnvelope:
            return False

    beside = signature_path(options.roster)
    write_output(beside, seal(by, PAYLOAD_TYPE, content).text.encode() + b"\n", is_signature)
    beside.chmod(stat.S_IMODE(options.roster.stat().st_mode))  # whoever may read the roster may check it
    print(shown(f"{beside}: edition {roster.edition}, signed with key {key_id(by.public)}"))
    return 0


def show_roster(options: argparse.Namespace) -> int:
    """Prints who may decide what today, with which keys."""
    from synthward.config.instants import now
    from synthward.governance.roster import roster_of
    from synthward.spec.site import load_site

    path = given_site(options)
    site = None if path is None else load_site(path)
    roster, today = None if site is None else roster_of(site), now().date()
    if roster is None:
        raise UsageError("no roster: give --site FILE of a site whose file names a `roster`")
    print(shown(f"{roster.name}, edition {roster.edition}, signed with the site's key"))
    for name, person in roster.persons.items():
        lent = {one.role for one in roster.delegations if one.receiver == name}
        held = sorted(role for role in lent | {post.role for post in person.roles} if roster.holds(name, role, today))
        givers = {role: roster.giver(name, role, today) for role in held}
        words = [role if (giver := givers[role]) is None else f"{role} (lent by {giver})" for role in held]
        print(shown(f"{name}  {person.name}: {', '.join(words) or 'no role today'}"))
        for one in person.keys:
            print(f"  key {one.id}  {_days(one.first, one.last, one.revoked, today)}")
    return 0


def _days(first: dt.date, last: dt.date, revoked: dt.date | None, today: dt.date) -> str:
    state = "valid" if first <= today <= last else "not valid today"
    return f"{first} to {last}, {state if revoked is None else f'REVOKED on {revoked}'}"
