"""Signed statements in DSSE envelopes (Dead Simple Signing Envelope, the one that in-toto uses), with Ed25519.

What is signed is the pre-authentication encoding of a payload *with its type*. The type says what a statement is for,
so that a signature under a roster can never be shown as a signature under a decision. The payload is kept as the exact
bytes that were signed: checking a signature needs no canonical form to stay the same for ever.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass

from synthward.records.codec import decode, encode
from synthward.records.decisions import EnvelopeLayout, EnvelopeSignature

PUBLIC_KEY = r"[0-9a-f]{64}"
"""An Ed25519 public key, 32 bytes in hexadecimal."""

MAX_TEXT = 2**20
"""Characters that an envelope has at most."""


class NotAnEnvelope(ValueError):
    """A text is no envelope with one signature."""


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: DSSE's PAE, `DSSEv1 LEN(type) type LEN(payload) payload`.

    >>> pre_authentication("http://example.com/HelloWorld", b"hello world")
    b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def key_id(public: str) -> str:
    """Short name of a public key, for people: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(bytes.fromhex(public)).hexdigest()[:16]


@dataclass(frozen=True)
class Envelope:
    """A payload with one signature.

    Attributes:
        payload_type: What the statement is for.
        payload: The exact bytes of the statement.
        key: Id of the key that is said to have signed; only a hint for finding it.
        signature: 64 bytes.
    """

    payload_type: str
    payload: bytes
    key: str
    signature: bytes

    @property
    def text(self) -> str:
        """The envelope as JSON, in the layout of DSSE."""
        one = EnvelopeSignature(self.key, base64.b64encode(self.signature).decode())
        payload = base64.b64encode(self.payload).decode()
        return json.dumps(encode(EnvelopeLayout(self.payload_type, payload, (one,))), sort_keys=True)

    @classmethod
    def parse(cls, text: str) -> Envelope:
        """The inverse of `text`.

        Raises:
            NotAnEnvelope: The text is none, or has not exactly one signature.
        """
        if len(text) > MAX_TEXT:
            raise NotAnEnvelope(f"is longer than {MAX_TEXT} characters")
        try:
            found = decode(EnvelopeLayout, json.loads(text))
            [one] = found.signatures
            made = cls(
                found.payloadType,
                base64.b64decode(found.payload, validate=True),
                one.keyid,
                base64.b64decode(one.sig, validate=True),
            )
        except (ValueError, RecursionError):
            raise NotAnEnvelope("is no DSSE envelope with one signature") from None
        return made

    def is_signed_by(self, public: str) -> bool:
        """Whether the signature over type and payload is one of a public key."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
            key.verify(self.signature, pre_authentication(self.payload_type, self.payload))
        except (InvalidSignature, ValueError):
            return False
        return True
