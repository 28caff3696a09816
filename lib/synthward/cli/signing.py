"""Options that name a private key, and the signer they stand for."""

from __future__ import annotations

import argparse
import getpass
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from synthward.errors import UsageError

if TYPE_CHECKING:
    from synthward.governance.keys import Signer


def signer_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--key", type=Path, default=None, metavar="FILE", help="sign with this key file")
    passphrase_argument(parser)
    parser.add_argument(
        "--signer",
        default=None,
        metavar="COMMAND",
        help="sign by this command: message on its stdin, signature in hexadecimal on its stdout; needs --public",
    )
    parser.add_argument("--public", default=None, metavar="HEX", help="public key of --signer")


def passphrase_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the option for scripts, which nobody can ask for a passphrase."""
    parser.add_argument(
        "--passphrase-file", type=Path, default=None, metavar="FILE", help="file with the passphrase (default: ask)"
    )


def signer(options: argparse.Namespace) -> Signer | None:
    """The signer of a command, None where no key was named.

    Raises:
        UsageError: The options do not fit together, or the key cannot be opened.
    """
    from synthward.governance import dsse, keys

    if options.key is not None and options.signer is not None:
        raise UsageError("--key and --signer name two keys; give one of them")
    if (options.signer is None) != (options.public is None):
        raise UsageError("--signer needs --public, and --public is for --signer only; give both or none")
    if options.signer is not None:
        command = shlex.split(options.signer)
        if not command or not re.fullmatch(dsse.PUBLIC_KEY, options.public):
            raise UsageError(
                "--signer is a command, and --public 64 hexadecimal digits as `synthward keygen` prints them"
            )
        return keys.CommandSigner(options.public, command)
    return None if options.key is None else keys.load(options.key, passphrase(options))


def passphrase(options: argparse.Namespace, *, twice: bool = False) -> str:
    """The passphrase, from the file or asked for.

    Args:
        options: The command's options.
        twice: Ask again, for a new key.

    Raises:
        UsageError: It cannot be read, nobody can be asked, or the two answers differ.
    """
    from synthward.governance.keys import read_passphrase

    if options.passphrase_file is not None:
        return read_passphrase(options.passphrase_file)
    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked for the passphrase here; give --passphrase-file FILE")
    found = getpass.getpass("Passphrase: ")
    if twice and getpass.getpass("Again: ") != found:
        raise UsageError("the two passphrases differ; nothing was written")
    return found
