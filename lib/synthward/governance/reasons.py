"""Reasons with a code: a sentence for people, and a word that a program can compare.

Codes are listed in docs/governance.md. A code keeps its meaning; its sentence may change.
"""

from __future__ import annotations


class Reason(str):
    """Why something is refused or not counted: a sentence that ends with its code in brackets."""

    __slots__ = ("code",)

    code: str

    @classmethod
    def of(cls, code: str, message: str) -> Reason:
        """A reason.

        Args:
            code: One word, for instance `key_expired`.
            message: What was found, what is allowed, how to fix it.

        >>> Reason.of("key_expired", "the key expired on 2026-11-01")
        'the key expired on 2026-11-01 [key_expired]'
        """
        made = cls(f"{message} [{code}]")
        made.code = code
        return made

    def about(self, subject: str) -> Reason:
        """The same reason, with what it is about in front."""
        made = Reason(f"{subject}: not counted, {self}")
        made.code = self.code
        return made
