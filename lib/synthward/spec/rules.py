"""Clinical rules: public statements about what no sound row, or only a small share of rows, may say.

A rule has conditions (`when`, `when_between`) and one statement about the rows that meet all of them: `never` (with
`never_between`), `always` (with `always_between`), or `not_before`. A missing value meets no condition and breaks no
statement. A rule is about one row.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from synthward.config.fields import Findings, key
from synthward.config.text import LINE

NOT_BLANK = r".*\S.*"


@dataclass(frozen=True)
class Rule:
    """One clinical rule."""

    name: str = key(doc="Name of the rule, for reports.", pattern=NOT_BLANK, max_length=LINE, example="no pregnant men")
    when: dict[str, tuple[str, ...]] = key(
        {}, doc="The rule is about rows with one of these values in every column named.", example="{sex: [M]}"
    )
    when_between: dict[str, tuple[Decimal, Decimal]] = key(
        {}, doc="Likewise for numbers: lowest and highest value.", example="{age: [0, 11]}"
    )
    never: dict[str, tuple[str, ...]] = key(
        {}, doc="No such row has one of these values in every column named.", example='{pregnant: ["true"]}'
    )
    never_between: dict[str, tuple[Decimal, Decimal]] = key(
        {}, doc="Likewise for numbers.", example="{births: [1, 20]}"
    )
    always: dict[str, tuple[str, ...]] = key(
        {}, doc="Every such row has one of these values in each column named, or none.", example="{ward: [children]}"
    )
    always_between: dict[str, tuple[Decimal, Decimal]] = key(
        {}, doc="Likewise for numbers.", example="{weight: [0.3, 90]}"
    )
    not_before: dict[str, str] = key(
        {}, doc="The first date is not before the second one.", example="{discharged: admitted}"
    )
    at_most: Decimal = key(Decimal(0), minimum=0, maximum=1, doc="Share of all rows that may break the rule.")
    severity: Literal["error", "warn"] = key(
        "error", doc="error: a release that breaks the rule is quarantined; warn: the gate only names the rule."
    )

    @property
    def statements(self) -> tuple[str, ...]:
        """Which kinds of statement the rule makes."""
        made = {
            "never": self.never or self.never_between,
            "always": self.always or self.always_between,
            "not_before": self.not_before,
        }
        return tuple(kind for kind, content in made.items() if content)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the rule, once."""
        parts = (self.when, self.when_between, self.never, self.never_between, self.always, self.always_between)
        names = [name for part in parts for name in part]
        return tuple(dict.fromkeys([*names, *self.not_before.keys(), *self.not_before.values()]))

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if len(self.statements) != 1:
            found = " and ".join(self.statements) or "none"
            yield "", f"make one statement in a rule, never, always or not_before; found {found}"
        for part in ("when", "never", "always"):
            for name, values in getattr(self, part).items():
                if not values:
                    yield f"{part}.{name}", "name at least one value"
            for name, (low, high) in getattr(self, f"{part}_between").items():
                if low > high:
                    yield f"{part}_between.{name}", f"found [{low}, {high}]; the lowest value comes first"
                if name in getattr(self, part):
                    yield f"{part}_between.{name}", f"{name!r} is in {part} too; keep one"
        for late, early in self.not_before.items():
            if late == early:
                yield f"not_before.{late}", "names the same column twice; name two dates"
