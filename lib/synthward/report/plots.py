"""Geometry of the report's plots: plain numbers and SVG path data that the template draws.

Pure functions of the manifest, written without a plotting library: the drawings follow the page's colours (light, dark,
print), weigh a few kilobytes each, and equal manifests give equal bytes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from synthward.records.manifest import AttributeEntry, ColumnEntry

WHISKER = 2.0
"""Error bars reach this many standard errors to either side: about 95 in 100 noisy shares lie within."""

MAX_LISTED = 7
"""Values of a categorical column that are listed on their own; the rest is one line."""

MAX_BARS = 48
"""Bars of a histogram; neighbouring bins are drawn together beyond that."""

WIDTH, HEIGHT = 320.0, 120.0
"""A histogram's drawing area, in the units of its view box."""

_SPECIAL_ROOM = 54.0
_SPECIAL_WIDTH = 20.0
_LABEL_CELLS = 26


@dataclass(frozen=True)
class Share:
    """One value, bin or group of them.

    Attributes:
        label: What is shown, shortened.
        full: The whole text.
        noisy: Share by the sealed measurement, 0 to 1.
        synthetic: Share in the release.
        error: Standard error of the noisy share.
        special: Whether it is no declared value: other, missing, or the rest of a long list.
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
    """A horizontal bar for each value.

    Attributes:
        shares: In the order to be listed.
        top: The share that is as long as the plot is wide.
    """

    shares: tuple[Share, ...]
    top: float

    def along(self, share: float) -> float:
        """Position of a share, 0 to 100."""
        return round(100 * min(share / self.top, 1.0), 2)


@dataclass(frozen=True)
class Histogram:
    """A vertical bar for each bin, and at the right one for what has no value.

    Attributes:
        shares: Bins as drawn, then the special ones.
        bars: Path of the noisy shares.
        whiskers: Path of their error bars.
        steps: Path of the synthetic shares.
        ticks: Position, anchor and text of the labels below the axis.
        top: The share that is as high as the plot.
        peak: The declared bin with the largest synthetic share.
        merged: How many bins were drawn as one, 1 for none.
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
    """Plot of a column of categories or truth values.

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
    """Plot of a numeric or date column, bins drawn equally wide in their order.

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
    """Cells in their order; the last ones, `other` if it has a label and `missing`, are special."""
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
    """Sum of cells; their noises are independent, so the variances add up."""
    return Share(
        label,
        label,
        sum(share.noisy for share in shares),
        sum(share.synthetic for share in shares),
        sum(share.error**2 for share in shares) ** 0.5,
        special,
    )


def _top(shares: Sequence[Share]) -> float:
    # A share is never above 1; where noise is all there is, its error bars are cut off there.
    return max(min(max(max(share.high, share.synthetic) for share in shares), 1.0), 1e-6)


def _spots(bins: int) -> list[tuple[float, float]]:
    """Left edge and width of each bin's bar, then of the bar of what has no value."""
    room = WIDTH - _SPECIAL_ROOM
    step = room / bins
    return [
        *((place * step, step) for place in range(bins)),
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
    for place, ((left, width), share) in enumerate(zip(spots, shares, strict=True)):
        level = _n(HEIGHT * (1 - min(share.synthetic / top, 1.0)))
        path.append(f"V{level}H{_n(left + width)}" if place else f"M{_n(left)} {level}H{_n(left + width)}")
    return "".join(path)


def _ticks(bins: Sequence[Share], last: str) -> tuple[tuple[float, str, str], ...]:
    room, middle = WIDTH - _SPECIAL_ROOM, len(bins) // 2
    ticks = [(0.0, "start", bins[0].label)]
    if len(bins) > 3:
        # The label names the start of a bin, so it stands at the bin's left edge.
        ticks.append((round(room * middle / len(bins), 1), "middle", bins[middle].label))
    return (*ticks, (room, "end", shorten(last)), (WIDTH - _SPECIAL_ROOM / 2 + 4, "middle", "missing"))


def shorten(text: str) -> str:
    """A text that fits into the label column; wide characters count twice."""
    room = _LABEL_CELLS
    for place, character in enumerate(text):
        room -= 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if room < 0:
            return text[: max(place - 1, 1)].rstrip() + "…"
    return text


def _n(number: float) -> str:
    """A coordinate with one decimal, without a trailing zero."""
    text = f"{number:.1f}"
    return text.removesuffix(".0")
