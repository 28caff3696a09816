"""The risk statement of a request: who gets the release, what the columns are, and what is left to fear.

Its words for motives, capacities, knowledge and tags are the policy's, which says what each of them counts for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from synthward.config.fields import Findings, key
from synthward.config.loader import load
from synthward.config.text import LINE, PARAGRAPH
from synthward.spec.request import NOT_BLANK

_CODE = r"[a-z][a-z0-9_]{0,63}"


@dataclass(frozen=True)
class Recipient:
    """A group of people who will hold the release."""

    group: str = key(doc="Who they are.", pattern=NOT_BLANK, max_length=LINE, example="analysts of the heart study")
    motive: str = key(pattern=_CODE, doc="Their motive to find people in it, a word of the policy.", example="none")
    capacity: str = key(pattern=_CODE, doc="Their means and skills, a word of the policy.", example="moderate")
    auxiliary: str = key(
        pattern=_CODE, doc="What else they know about the people, a word of the policy.", example="public"
    )


@dataclass(frozen=True)
class Override:
    """A wish for a lower tier than the points give."""

    tier: str = key(pattern=r"T[0-9]", doc="The tier wanted; at most one lower than reached.", example="T2")
    reason: str = key(
        pattern=NOT_BLANK, max_length=PARAGRAPH, lines=True, doc="Why.", example="recipients work in the enclave only"
    )


@dataclass(frozen=True)
class Risk:
    """A risk statement."""

    version: Literal[1] = key(doc="Format version of this file.")
    context: str = key(
        doc="Where and how the release will be held.",
        pattern=NOT_BLANK,
        max_length=PARAGRAPH,
        lines=True,
        example="a project folder that the study team can read",
    )
    recipients: tuple[Recipient, ...] = key(doc="Everybody who will hold the release.", example="[]")
    columns: dict[str, tuple[str, ...]] = key(
        pattern=_CODE,
        doc="What each column of the request is, by tags of the policy; [] for nothing special.",
        example="{age: [quasi_identifier], visits: []}",
    )
    attacks: tuple[
        Literal["singling_out", "linkage", "membership", "attribute_inference", "reconstruction", "model_inversion"],
        ...,
    ] = key(doc="Attacks that were thought about.", example="[singling_out, membership]")
    residual: str = key(
        doc="The risk that is left, in words for the approvers.",
        pattern=NOT_BLANK,
        max_length=PARAGRAPH,
        lines=True,
        example="membership of one person stays hard to tell, see the plan",
    )
    override: Override | None = key(None, doc="A wish for a lower tier.", example="null")

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if not self.recipients:
            yield "recipients", "name at least one group"


def load_risk(path: Path) -> Risk:
    """Read a risk statement.

    Raises:
        ConfigError: With every problem found.
    """
    return load(path, Risk)
