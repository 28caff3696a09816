"""Geometry of the report's plots: numbers and SVG path data that the template draws.

These are pure functions of the manifest, without a plotting library. So the drawings follow the page's colours (light,
dark, print), have a few kilobytes each, and equal manifests give equal bytes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from synthward.records.manifest import AttributeEntry, ColumnEntry

WHISKER = 2.0
"""Length of error bars to each side, in standard errors: about 95 in 100 noisy shares lie within the bar."""

MAX_LISTED = 7
"""Number of values of a categorical column that have their own line. All other values share one line."""

MAX_BARS = 48
"""Largest number of bars of a histogram. If there are more bins, neighbouring bins are drawn as one."""

WIDTH, HEIGHT = 320.0, 120.0
"""Drawing area of a histogram, in the units of its view box."""

_SPECIAL_ROOM = 54.0
_SPECIAL_WIDTH = 20.0
_LABEL_CELLS = 26


@dataclass(frozen=True)
class Share:
    """The shares of one value, one bin, or a group of them.

    Attributes:
        label: The shortened text that is shown.
        full: The whole text.
        noisy: Share in the sealed measurement, 0 to 1.
        synthetic: Share in the release.
        error: Standard error of the noisy share.
        special: True for other, missing, and the rest of a long list. These are not declared values.
    """

    label: str
    full: str
    noisy: float
    synthetic: float
    error: float
    special: bool = False

    @property
    def low(self) -> float:
        """Lower end of the error bar."""
        return max(self.noisy - WHISKER * self.error, 0.0)

    @property
    def high(self) -> float:
        """Upper end of the error bar."""
        return self.noisy + WHISKER * self.error


@dataclass(frozen=True)
class BarList:
    """A list with a horizontal bar for each value.

    Attributes:
        shares: The shares, in the order of the list.
        top: The share whose bar is as long as the plot is wide.
    """

    shares: tuple[Share, ...]
    top: float

    def along(self, share: float) -> float:
        """Return the position of a share, 0 to 100."""
        return round(100 * min(share / self.top, 1.0), 2)


@dataclass(frozen=True)
class Histogram:
    """A vertical bar for each bin, and one at the right for rows without a value.

    Attributes:
        shares: Bins as drawn, then the special shares.
        bars: Path of the noisy shares.
        whiskers: Path of their error bars.
        steps: Path of the synthetic shares.
        ticks: Position, anchor and text of the labels below the axis.
        top: The share whose bar is as high as the plot.
        peak: The declared bin with the largest synthetic share.
        merged: Number of bins that are drawn as one; 1 if none are merged.
    """

    shares: tuple[Share, ...]
    bars: str
    whiskers: str
    steps: str
    ticks: tuple[tuple[float, str, str], ...]
    top: float
    peak: Share
    merged: int


def bar_list(column: ColumnEntry, attribute: AttributeEntry) -> BarList:
    """Return the plot of a column of categories or truth values.

    Args:
        column: Its entry in the manifest's quality.
        attribute: Its entry in the manifest's domain.
    """
    shares = _shares(column, specials=2 if attribute.other is not None else 1)
    declared = [share for share in shares if not share.special]
    special = [share for share in shares if share.special]
    if len(declared) > MAX_LISTED + 1:
        ranked = sorted(declared, key=lambda share: -max(share.noisy, share.synthetic))
        rest = ranked[MAX_LISTED:]
        declared = [*ranked[:MAX_LISTED], _together(f"{len(rest)} further values", rest, special=True)]
    shown = (*declared, *special)
    return BarList(shown, _top(shown))


def histogram(column: ColumnEntry, highest: str) -> Histogram:
    """Return the plot of a numeric or date column. Bins are equally wide and in their order.

    Args:
        column: Its entry in the manifest's quality.
        highest: The upper bound of the column.
    """
    shares = _shares(column, specials=1)
    bins, special = shares[:-1], shares[-1:]
    merged = -(-len(bins) // MAX_BARS)
    if merged > 1:
        groups = [bins[start : start + merged] for start in range(0, len(bins), merged)]
        bins = [_together(group[0].full, group) for group in groups]
    shown = (*bins, *special)
    top = _top(shown)
    spots = _spots(len(bins))
    return Histogram(
        shares=shown,
        bars="".join(_bar(spot, share.noisy / top) for spot, share in zip(spots, shown, strict=True)),
        whiskers="".join(_whisker(spot, share, top) for spot, share in zip(spots, shown, strict=True)),
        steps=_steps(spots[: len(bins)], bins, top) + _steps(spots[len(bins) :], special, top),
        ticks=_ticks(bins, highest),
        top=top,
        peak=max(bins, key=lambda share: share.synthetic),
        merged=merged,
    )


def _shares(column: ColumnEntry, specials: int) -> list[Share]:
    """Return the shares of the cells in their order. The last ones are special: `other` (if labelled) and `missing`."""
    labels = column.labels
    error, declared = column.share_error, len(labels) - specials
    shares = [
        Share(shorten(label), label, noisy, drawn, error)
        for label, noisy, drawn in zip(labels, column.noisy, column.synthetic, strict=True)
    ]
    names = [("other", "other: present, but undeclared"), ("missing", "missing")]
    if specials == 1:
        names = [("missing", "missing, or present but undeclared")]
    special = [
        Share(label, full, share.noisy, share.synthetic, error, special=True)
        for (label, full), share in zip(names, shares[declared:], strict=True)
    ]
    return [*shares[:declared], *special]


def _together(label: str, shares: Sequence[Share], *, special: bool = False) -> Share:
    """Return the sum of cells. Their noise is independent, so the variances add up."""
    return Share(
        label,
        label,
        sum(share.noisy for share in shares),
        sum(share.synthetic for share in shares),
        sum(share.error**2 for share in shares) ** 0.5,
        special,
    )


def _top(shares: Sequence[Share]) -> float:
    # A share is never above 1. If there is only noise, its error bars are cut at 1.
    return max(min(max(max(share.high, share.synthetic) for share in shares), 1.0), 1e-6)


def _spots(bins: int) -> list[tuple[float, float]]:
    """Return left edge and width of each bin's bar, then of the bar for rows without a value."""
    room = WIDTH - _SPECIAL_ROOM
    step = room / bins
    return [
        *((index * step, step) for index in range(bins)),
        (WIDTH - (_SPECIAL_ROOM + _SPECIAL_WIDTH) / 2 + 4, _SPECIAL_WIDTH),
    ]


def _bar(spot: tuple[float, float], part: float) -> str:
    left, width = spot
    inset = min(width * 0.12, 1.0)
    height = HEIGHT * min(part, 1.0)
    return f"M{_n(left + inset)} {_n(HEIGHT)}V{_n(HEIGHT - height)}H{_n(left + width - inset)}V{_n(HEIGHT)}Z"


def _whisker(spot: tuple[float, float], share: Share, top: float) -> str:
    middle = spot[0] + spot[1] / 2
    low, high = (HEIGHT * (1 - min(end / top, 1.0)) for end in (share.low, share.high))
    return f"M{_n(middle)} {_n(low)}V{_n(high)}"


def _steps(spots: Sequence[tuple[float, float]], shares: Sequence[Share], top: float) -> str:
    path = []
    for index, ((left, width), share) in enumerate(zip(spots, shares, strict=True)):
        level = _n(HEIGHT * (1 - min(share.synthetic / top, 1.0)))
        path.append(f"V{level}H{_n(left + width)}" if index else f"M{_n(left)} {level}H{_n(left + width)}")
    return "".join(path)


def _ticks(bins: Sequence[Share], last: str) -> tuple[tuple[float, str, str], ...]:
    room, middle = WIDTH - _SPECIAL_ROOM, len(bins) // 2
    ticks = [(0.0, "start", bins[0].label)]
    if len(bins) > 3:
        # The label names the start of a bin, so it is at the bin's left edge.
        ticks.append((round(room * middle / len(bins), 1), "middle", bins[middle].label))
    return (*ticks, (room, "end", shorten(last)), (WIDTH - _SPECIAL_ROOM / 2 + 4, "middle", "missing"))


def shorten(text: str) -> str:
    """Shorten a text so that it fits into the label column. Wide characters count twice."""
    room = _LABEL_CELLS
    for index, character in enumerate(text):
        room -= 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if room < 0:
            return text[: max(index - 1, 1)].rstrip() + "…"
    return text


def _n(number: float) -> str:
    """Return a coordinate with one decimal, without a trailing zero."""
    text = f"{number:.1f}"
    return text.removesuffix(".0")
