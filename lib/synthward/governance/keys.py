"""Private keys of people and of the site: files under a passphrase, or a command that holds the key elsewhere.

A key file is JSON: the seed of an Ed25519 key, enclosed by AES-256-GCM under a key that scrypt derives from the
passphrase. (PKCS#8, as common libraries write it, derives with 2048 rounds of a fast hash, which is too few for a
passphrase.) Files are made new, never replaced, and only their owner may read them.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from synthward.config.files import FileRefused, read_limited
from synthward.errors import EnvironmentProblem, UsageError
from synthward.governance.dsse import PUBLIC_KEY, Envelope, key_id, pre_authentication
from synthward.records.codec import decode, encode
from synthward.records.decisions import KeyFile

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KIND = "synthward private key 1"
"""First field of a key file; it is also authenticated with the seed."""

SHORTEST = 12
"""Characters that a passphrase has at least."""

KEY_BYTES = 2**16
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**16, 8, 1
"""64 MiB and about a quarter of a second for each guess."""

COMMAND_SECONDS = 120
"""How long a signing command may take; people may have to touch a token."""


class Signer(Protocol):
    """Whoever can sign with one private key."""

    @property
    def public(self) -> str:
        """The public half, hexadecimal."""

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature of a message, 64 bytes."""


@dataclass(frozen=True)
class KeySigner:
    """A private key in memory.

    Attributes:
        key: The key.
    """

    key: Ed25519PrivateKey

    @property
    def public(self) -> str:
        """The public half, hexadecimal."""
        return self.key.public_key().public_bytes_raw().hex()

    def sign(self, message: bytes) -> bytes:
        """See `Signer.sign`."""
        return self.key.sign(message)


@dataclass(frozen=True)
class CommandSigner:
    """A key that stays where it is: in an agent, a token or a key service, behind a command.

    The command gets the message on its standard input and writes the signature in hexadecimal, 128 digits.

    Attributes:
        public: The public half, hexadecimal.
        command: The command and its arguments; no shell is started.
    """

    public: str
    command: Sequence[str]

    def sign(self, message: bytes) -> bytes:
        """See `Signer.sign`.

        Raises:
            EnvironmentProblem: The command cannot be started, fails, takes too long or writes something else.
        """
        name = Path(self.command[0]).name
        try:
            done = subprocess.run(list(self.command), input=message, capture_output=True, timeout=COMMAND_SECONDS)  # noqa: PLW1510
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EnvironmentProblem(f"--signer: {name} did not sign ({type(error).__name__}); check it") from None
        written = done.stdout.strip()
        if done.returncode or not re.fullmatch(rb"[0-9a-f]{128}", written):
            raise EnvironmentProblem(
                f"--signer: {name} ended with {done.returncode} and {len(written)} bytes, expected 0 and a signature "
                "of 128 hexadecimal digits"
            )
        return bytes.fromhex(written.decode())


def seal(signer: Signer, payload_type: str, payload: bytes) -> Envelope:
    """Signs a payload for a purpose, and checks what the signer gave back.

    Raises:
        EnvironmentProblem: The signer signed with another key.
    """
    signature = signer.sign(pre_authentication(payload_type, payload))
    made = Envelope(payload_type, payload, key_id(signer.public), signature)
    if not made.is_signed_by(signer.public):
        raise EnvironmentProblem(f"the signature is not one of key {made.key}; use the key that the roster names")
    return made


def generate(path: Path, passphrase: str) -> KeySigner:
    """Makes a key and its file.

    Args:
        path: The new file.
        passphrase: What protects it.

    Raises:
        UsageError: The passphrase is too short, or the file is there.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(passphrase) < SHORTEST:
        raise UsageError(f"passphrase: found {len(passphrase)} characters, allowed are {SHORTEST} or more")
    made = KeySigner(Ed25519PrivateKey.generate())
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    sealed = AESGCM(_derived(passphrase, salt)).encrypt(nonce, made.key.private_bytes_raw(), _bound(made.public))
    file = KeyFile(KIND, made.public, salt.hex(), nonce.hex(), sealed.hex())
    _write_new(path, json.dumps(encode(file), indent=1).encode() + b"\n")
    return made


def _write_new(path: Path, content: bytes) -> None:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
    try:
        with os.fdopen(os.open(path, flags, 0o600), "wb") as stream:
            stream.write(content)
    except FileExistsError:
        raise UsageError(f"--out: {path} is there already, and a key is never replaced; name a new file") from None
    except OSError as error:
        raise UsageError(f"--out: {path} cannot be written: {error.strerror}") from None


def load(path: Path, passphrase: str) -> KeySigner:
    """Reads a key file.

    Raises:
        UsageError: It is no key file, others may read it, or the passphrase is wrong.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        content = read_limited(path, KEY_BYTES)
        mode = stat.S_IMODE(path.stat().st_mode)
    except (FileRefused, OSError) as error:
        raise UsageError(f"key {path}: {error}") from None
    if mode & 0o077:
        raise UsageError(f"key {path}: found mode {mode:04o}, allowed is 0600; others can read it: chmod 600 {path}")
    try:
        found = decode(KeyFile, json.loads(content))
        if found.kind != KIND or not re.fullmatch(PUBLIC_KEY, found.public):
            raise ValueError
        salt, nonce, sealed = map(bytes.fromhex, (found.salt, found.nonce, found.sealed))
    except (ValueError, RecursionError):
        raise UsageError(f"key {path}: is no key file of `synthward keygen`") from None
    try:
        seed = AESGCM(_derived(passphrase, salt)).decrypt(nonce, sealed, _bound(found.public))
    except (InvalidTag, ValueError):
        raise UsageError(f"key {path}: the passphrase is wrong, or the file was changed") from None
    made = KeySigner(Ed25519PrivateKey.from_private_bytes(seed))
    if made.public != found.public:
        raise UsageError(f"key {path}: names another public key than it holds")
    return made


def read_passphrase(path: Path) -> str:
    """A passphrase from the first line of a file that only its owner may read.

    Raises:
        UsageError: The file cannot be read, is not UTF-8, or others may read it.
    """
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise UsageError(f"--passphrase-file {path}: others can read it: chmod 600 {path}")
        return read_limited(path, KEY_BYTES).decode().split("\n")[0].rstrip("\r")
    except (FileRefused, OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--passphrase-file {path}: cannot be read ({type(error).__name__})") from None


def _derived(passphrase: str, salt: bytes) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=32, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P).derive(passphrase.encode())


def _bound(public: str) -> bytes:
    return f"{KIND} {public}".encode()
