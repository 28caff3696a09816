"""Envelopes: bytes that nobody can read before their key is made public. Pure: no Spark.

A seal is written in two steps that may lie a crash apart: its bytes go to the journal, its key to the ledger. Until the
key is written the bytes tell nothing to anybody, whatever happens to the driver that held the key (PROOFS.md, 5.6).
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from synthward.errors import IntegrityError

METHOD = "AES-256-GCM"
"""How payloads are enclosed."""

_NONCE = bytes(12)
"""Constant, because each key encloses one payload only."""


def enclose(payload: bytes) -> tuple[str, bytes]:
    """Enclose bytes under a fresh key from the operating system.

    Returns:
        The key, 64 hexadecimal digits, and the enclosed bytes, 16 more than the payload.
    """
    key = AESGCM.generate_key(256)
    return key.hex(), AESGCM(key).encrypt(_NONCE, payload, None)


def disclose(key: str, enclosed: bytes) -> bytes:
    """The bytes in an envelope.

    Raises:
        IntegrityError: The key does not belong to the bytes, or one of them was changed.
    """
    try:
        return AESGCM(bytes.fromhex(key)).decrypt(_NONCE, enclosed, None)
    except (InvalidTag, ValueError) as error:
        raise IntegrityError("a seal does not open with the key that its scope's ledger holds for it") from error
