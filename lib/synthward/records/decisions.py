"""What people sign, as records: the statements, the layout of their envelope, and the file of a key.

A statement is written in the canonical form of records (`canonical.canonical_bytes`). An envelope has the layout of
DSSE, whose names are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Statement:
    """What the signature on a decision is over.

    Attributes:
        site: Digest of the site file.
        ledger: Hash of the ledger's genesis.
        scope: Scope of the request; empty for a repair.
        request: Digest of the request, or of the repair.
        assessment: Digest of the assessment.
        policy: Digest of the policy.
        output: Name of the request's output; empty for a repair.
        person: Id of the person in the roster.
        role: Role in which the person decides.
        decision: approve, reject or revoke.
        runs: Runs that it covers.
        at: When it was decided: UTC, ISO 8601.
        expires: Last day, ISO 8601; None for the request's own.
        note: The person's remark.
        edition: Edition of the roster that the person signed under.
        nonce: Random, 128 bits in hexadecimal digits.
    """

    site: str
    ledger: str
    scope: str
    request: str
    assessment: str
    policy: str
    output: str
    person: str
    role: str
    decision: str
    runs: int
    at: str
    expires: str | None
    note: str
    edition: int
    nonce: str


@dataclass(frozen=True)
class EventStatement:
    """What the signature on an event is over: a submission, an opening, a stop, an attested control.

    Attributes:
        kind: What it is.
        site: Digest of the site file.
        ledger: Hash of the ledger's genesis.
        event: The whole body of the record, without its envelope.
        person: Id of the person in the roster.
        role: Role in which the person acts.
        at: When: UTC, ISO 8601.
        edition: Edition of the roster that the person signed under.
        nonce: Random, 128 bits in hexadecimal digits.
    """

    kind: str
    site: str
    ledger: str
    event: Any
    person: str
    role: str
    at: str
    edition: int
    nonce: str


@dataclass(frozen=True)
class EnvelopeSignature:
    """A signature of an envelope: id of the key, and the signature in base64."""

    keyid: str
    sig: str


@dataclass(frozen=True)
class EnvelopeLayout:
    """An envelope as DSSE writes it; the payload is in base64."""

    payloadType: str  # noqa: N815 - DSSE's name
    payload: str
    signatures: tuple[EnvelopeSignature, ...]


@dataclass(frozen=True)
class KeyFile:
    """A private key under a passphrase.

    Attributes:
        kind: What the file is, with its version.
        public: The public key, 64 hexadecimal digits.
        salt: Salt of the passphrase, in hexadecimal digits like the next two.
        nonce: Nonce of the encryption.
        sealed: The private key, encrypted.
    """

    kind: str
    public: str
    salt: str
    nonce: str
    sealed: str
