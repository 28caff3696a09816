"""Envelopes: bytes that nobody can read before their key is published. Pure: no Spark.

A seal is written in two steps, and a crash may come between them. First its bytes go to the journal, then its key goes
to the ledger. Without the key, the bytes reveal nothing, even if the driver that held the key dies (PROOFS.md, 5.6).
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from synthward.errors import IntegrityError

METHOD = "AES-256-GCM"
"""Name of the method that encrypts payloads."""

_NONCE = bytes(12)
"""The nonce is constant, because each key encrypts one payload only."""


def enclose(payload: bytes) -> tuple[str, bytes]:
    """Encrypt bytes with a fresh key from the operating system.

    Returns:
        The key (64 hexadecimal digits), and the encrypted bytes (16 more than the payload).
    """
    key = AESGCM.generate_key(256)
    return key.hex(), AESGCM(key).encrypt(_NONCE, payload, None)


def disclose(key: str, enclosed: bytes) -> bytes:
    """Return the bytes in an envelope.

    Raises:
        IntegrityError: The key does not belong to the bytes, or the key or the bytes were changed.
    """
    try:
        return AESGCM(bytes.fromhex(key)).decrypt(_NONCE, enclosed, None)
    except (InvalidTag, ValueError) as error:
        raise IntegrityError("a seal cannot be opened with its key in the scope's ledger") from error
