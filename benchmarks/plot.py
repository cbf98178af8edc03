"""The ratios of a run as an SVG: a line for each row, on a logarithmic scale, with its goal and spread."""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, LEFT, LINE, TOP = 860, 330, 26, 34
_STYLE = "font: 13px system-ui, sans-serif; fill: #222"


class Bar(NamedTuple):
    """What the plot shows of a row; ratios are such that smaller is better, and 1 is as good as the other."""

    name: str
    median: float
    least: float
    most: float
    goal: float


def plot(bars: Sequence[Bar]) -> str:
    """The SVG."""
    values = [value for bar in bars for value in (bar.least, bar.most, bar.goal)]
    first = math.floor(math.log10(min(values)))
    last = max(1, math.ceil(math.log10(max(values))))

    def x(value: float) -> float:
        return round(LEFT + (math.log10(value) - first) / (last - first) * (WIDTH - LEFT - 60), 1)

    height = TOP + LINE * len(bars) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" style="{_STYLE}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for power in range(first, last + 1):
        at, bold = x(10.0**power), "#555" if power == 0 else "#ddd"
        parts.append(f'<line x1="{at}" x2="{at}" y1="{TOP - 8}" y2="{height - 6}" stroke="{bold}"/>')
        parts.append(f'<text x="{at}" y="{TOP - 14}" text-anchor="middle">{10.0**power:g}</text>')
    for number, bar in enumerate(bars):
        y = TOP + LINE * number + 12
        color = "#2a7d4f" if bar.median <= bar.goal else "#b5482a"
        parts += [
            f'<text x="{LEFT - 14}" y="{y + 4}" text-anchor="end">{escape(bar.name)}</text>',
            f'<path d="M{x(bar.least)} {y}H{x(bar.most)}" stroke="{color}" stroke-width="2"/>',
            f'<circle cx="{x(bar.median)}" cy="{y}" r="5" fill="{color}"/>',
            f'<path d="M{x(bar.goal)} {y - 8}v16" stroke="#222" stroke-width="2"/>',
            f'<text x="{WIDTH - 4}" y="{y + 4}" text-anchor="end">{bar.median:.3g}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
