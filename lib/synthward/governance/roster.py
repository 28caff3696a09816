"""The roster: the people of a site, their roles and their keys. It counts only with the signature of the site's key.

A person is a human being, with one id, however many accounts and keys. Whatever compares people compares persons.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from synthward.config.fields import Findings, key
from synthward.config.files import DOCUMENT_BYTES, FileRefused, read_limited
from synthward.config.loader import bind, load
from synthward.config.text import LINE, PARAGRAPH, quoted
from synthward.errors import ConfigError, Problem
from synthward.governance.dsse import PUBLIC_KEY, Envelope, NotAnEnvelope, key_id
from synthward.governance.identity import ID, is_id, looks, name_fault
from synthward.spec.request import NOT_BLANK
from synthward.spec.site import Site

PAYLOAD_TYPE = "application/vnd.synthward.roster.v1+yaml"
"""What the site's key signs a roster as."""

_CODE = r"[a-z][a-z0-9_]{0,63}"


@dataclass(frozen=True)
class PublicKey:
    """A public key of a person, and the days on which it may sign."""

    public: str = key(pattern=PUBLIC_KEY, doc="The public key as `synthward keygen` prints it.", example="3d40...17aa")
    first: dt.date = key(doc="First day on which it may sign.", example="2026-12-01")
    last: dt.date = key(doc="Last day on which it may sign, and on which its approvals count.", example="2027-11-30")
    revoked: dt.date | None = key(
        None,
        doc="Day from which it may not sign. No approval by a revoked key counts any more.",
        example="2027-02-01",
    )

    @property
    def id(self) -> str:
        """Short name of the key."""
        return key_id(self.public)

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if self.last < self.first:
            yield "last", f"found {self.last}, before `first` ({self.first})"


@dataclass(frozen=True)
class Post:
    """A role that a person holds."""

    role: str = key(pattern=_CODE, doc="The role, one of the policy's.", example="privacy_officer")
    first: dt.date | None = key(None, doc="First day; none: always.", example="2026-12-01")
    last: dt.date | None = key(None, doc="Last day; none: until it is taken out.", example="2027-11-30")

    def holds(self, day: dt.date) -> bool:
        """Whether the role is held on a day."""
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)


@dataclass(frozen=True)
class Person:
    """One human being."""

    name: str = key(doc="Name, for people.", pattern=NOT_BLANK, max_length=LINE, example="Lee Okafor")
    accounts: tuple[str, ...] = key(
        (), pattern=ID, doc="Accounts of the person beside the id; requests may name them.", example="[lokafor]"
    )
    roles: tuple[Post, ...] = key((), doc="Roles of the person.", example="[{role: privacy_officer}]")
    keys: tuple[PublicKey, ...] = key(
        (), doc="Public keys of the person.", example="[{public: 3d40...17aa, first: 2026-12-01, last: 2027-11-30}]"
    )
    last: dt.date | None = key(None, doc="Last day on which the person decides; none: no end.", example="2027-06-30")

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        fault = name_fault(self.name)
        if fault is not None:
            yield "name", fault


@dataclass(frozen=True)
class Delegation:
    """A role that one person lends to another for some days."""

    giver: str = key(pattern=ID, doc="Who lends it; must hold the role.", example="kim")
    receiver: str = key(pattern=ID, doc="Who decides in the role meanwhile.", example="mo")
    role: str = key(pattern=_CODE, doc="The role.", example="privacy_officer")
    first: dt.date = key(doc="First day.", example="2026-12-20")
    last: dt.date = key(doc="Last day.", example="2027-01-06")
    reason: str = key(pattern=NOT_BLANK, max_length=PARAGRAPH, lines=True, doc="Why.", example="annual leave")

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if self.last < self.first:
            yield "last", f"found {self.last}, before `first` ({self.first})"
        if self.giver == self.receiver:
            yield "receiver", "is the giver; name another person"


@dataclass(frozen=True)
class Roster:
    """The people of a site."""

    version: Literal[1] = key(doc="Format version of this file.")
    name: str = key(
        doc="Name of the roster, shown in messages.", pattern=NOT_BLANK, max_length=LINE, example="Example roster"
    )
    edition: int = key(
        minimum=1,
        doc="Number of this edition. It grows with every change; an older one than signed decisions name is refused.",
        example="3",
    )
    persons: dict[str, Person] = key(
        doc="The people, by id: a-z, 0-9, '.', '_' and '-', none that looks like another.",
        example="{lee: {name: Lee Okafor, roles: [{role: data_steward}]}}",
    )
    delegations: tuple[Delegation, ...] = key((), doc="Roles that are lent.", example="[]")

    def resolve(self, account: str) -> str | None:
        """Id of the person behind an id or an account; None for nobody."""
        wanted = account.strip().lower()
        return next((name for name, person in self.persons.items() if wanted in (name, *person.accounts)), None)

    def find_key(self, identifier: str) -> tuple[str, PublicKey] | None:
        """Id of the person and the key that has a short name; None where no person has it."""
        return next(((name, one) for name, one in self._keys() if one.id == identifier), None)

    def holds(self, person: str, role: str, day: dt.date) -> bool:
        """Whether a person may decide in a role on a day, in their own right or for somebody else."""
        return self._holds_self(person, role, day) or self.giver(person, role, day) is not None

    def giver(self, person: str, role: str, day: dt.date) -> str | None:
        """Who lends a person the role on a day; None where it is the person's own, or nobody lends it."""
        if self._holds_self(person, role, day) or not self._is_there(person, day):
            return None
        lent = (one for one in self.delegations if (one.receiver, one.role) == (person, role))
        found = (one for one in lent if one.first <= day <= one.last and self._holds_self(one.giver, role, day))
        return next((one.giver for one in found), None)

    def _holds_self(self, person: str, role: str, day: dt.date) -> bool:
        found = self.persons.get(person)
        if found is None or not self._is_there(person, day):
            return False
        return any(post.role == role and post.holds(day) for post in found.roles)

    def _is_there(self, person: str, day: dt.date) -> bool:
        found = self.persons.get(person)
        return found is not None and (found.last is None or day <= found.last)

    def _keys(self) -> Iterator[tuple[str, PublicKey]]:
        for name, person in self.persons.items():
            for one in person.keys:
                yield name, one

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        for name in self.persons:
            if not is_id(name):
                yield "persons", f"found the id {quoted(name)}, allowed are a-z, 0-9, '.', '_' and '-', 64 at most"
        yield from self._twins()
        for index, one in enumerate(self.delegations):
            for end in ("giver", "receiver"):
                if getattr(one, end) not in self.persons:
                    yield f"delegations[{index}].{end}", "is no id of a person of this roster"
            giver = self.persons.get(one.giver)
            if giver is not None and one.role not in {post.role for post in giver.roles}:
                yield (
                    f"delegations[{index}].role",
                    f"found {one.role}, which {one.giver} does not hold; only that is lent",
                )

    def _twins(self) -> Findings:
        """Ids, accounts, names and keys that two persons share, or that look as if they did."""
        yield from _shared("looks like an id or account", self._accounts(), looks)
        names = ((name, person.name) for name, person in self.persons.items())
        yield from _shared("has the same name as", names, lambda name: re.sub(r"\s+", " ", name.strip()).casefold())
        yield from _shared("has a key", ((name, one.public) for name, one in self._keys()), str)
        yield from _shared("has a key whose short name is one", ((name, one.id) for name, one in self._keys()), str)

    def _accounts(self) -> Iterator[tuple[str, str]]:
        for name, person in self.persons.items():
            yield from ((name, account) for account in (name, *person.accounts))


def _shared(what: str, texts: Iterable[tuple[str, str]], form: Callable[[str], str]) -> Findings:
    first: dict[str, str] = {}
    for person, text in texts:
        owner = first.setdefault(form(text), person)
        if owner != person:
            yield "persons", f"{quoted(person)} {what} of {quoted(owner)}; one person has one entry, two have their own"


def read_roster(path: Path) -> Roster:
    """Read a roster without asking for its signature, to check what is written.

    Raises:
        ConfigError: With every problem found.
    """
    return load(path, Roster)


def signature_path(path: Path) -> Path:
    """Where the signature of a roster lies: beside it."""
    return path.with_name(path.name + ".sig")


def roster_of(site: Site) -> Roster | None:
    """The roster that a site names, signed by its key; None where it names none.

    Raises:
        ConfigError: See `trusted_roster`.
    """
    return None if site.roster is None else trusted_roster(Path(site.roster), site.roster_key or "")


def trusted_roster(path: Path, site_key: str) -> Roster:
    """Read a roster that the site's key has signed, from exactly the bytes that it has signed.

    Args:
        path: The roster.
        site_key: The site's public key.

    Raises:
        ConfigError: It cannot be read, has problems, or the signature beside it is not one of the site's key.
    """
    beside = signature_path(path)
    try:
        content = read_limited(path, DOCUMENT_BYTES)
        envelope = Envelope.parse(read_limited(beside, DOCUMENT_BYTES).decode("ascii", "replace"))
    except (FileRefused, NotAnEnvelope) as error:
        message = f"the roster counts only with its signature {beside.name} beside it, and one of the two {error}"
        raise ConfigError([Problem("", f"{message}; sign it: synthward roster sign", path, 1)]) from None
    if (envelope.payload_type, envelope.payload) != (PAYLOAD_TYPE, content) or not envelope.is_signed_by(site_key):
        message = (
            f"the signature {beside.name} is not one of the site's key {key_id(site_key)} over this file; who changed "
            "it has it signed again: synthward roster sign"
        )
        raise ConfigError([Problem("", message, path, 1)])
    try:
        return bind(content.decode("utf-8-sig"), Roster, path)
    except UnicodeDecodeError as error:
        raise ConfigError([Problem("", f"not UTF-8 (byte {error.start}); save it as UTF-8", path, 1)]) from None


def person_of(roster: Roster | None, name: str) -> str:
    """Id of the person behind an id or an account; the name itself where no roster knows it."""
    return (None if roster is None else roster.resolve(name)) or name
