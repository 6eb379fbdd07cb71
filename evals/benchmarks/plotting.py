"""Points on two logarithmic axes, as an SVG file: all the plots that the benchmarks need, without a library."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

Series = Mapping[str, Sequence[tuple[float, float]]]

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _RIGHT = 640, 360, 64, 40, 48, 150
_COLOURS = ("#0b63ce", "#c2410c", "#15803d", "#7e22ce", "#525252")


def plot(path: Path, title: str, x_label: str, y_label: str, series: Series) -> None:
    """Writes the points of each series, in its own colour, to `path`."""
    points = [point for each in series.values() for point in each]
    x_axis, y_axis = _powers(x for x, _ in points), _powers(y for _, y in points)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, 20, title, size=14),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, x_label, anchor="middle"),
        _text(_LEFT - 48, _TOP - 8, y_label),
    ]
    for power in x_axis:
        at = _x(10.0**power, x_axis)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" stroke="#ddd"/>')
        parts.append(_text(at, _HEIGHT - _BOTTOM + 16, f"{10.0**power:,g}", anchor="middle"))
    for power in y_axis:
        at = _y(10.0**power, y_axis)
        parts.append(f'<line y1="{at:.1f}" y2="{at:.1f}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 6, at + 4, f"{10.0**power:,g}", anchor="end"))
    for at, (name, each) in enumerate(series.items()):
        colour = _COLOURS[at % len(_COLOURS)]
        parts += [
            f'<circle cx="{_x(x, x_axis):.1f}" cy="{_y(y, y_axis):.1f}" r="3" fill="{colour}" fill-opacity=".7"/>'
            for x, y in each
        ]
        parts.append(_text(_WIDTH - _RIGHT + 10, _TOP + 18 * at + 12, f"● {name}", colour=colour))
    path.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


def _powers(values: Iterable[float]) -> range:
    known = [math.log10(value) for value in values if value > 0]
    return range(math.floor(min(known)), math.ceil(max(known) + 1e-9) + 1)


def _x(value: float, axis: range) -> float:
    return _LEFT + _share(value, axis) * (_WIDTH - _RIGHT - _LEFT)


def _y(value: float, axis: range) -> float:
    return _HEIGHT - _BOTTOM - _share(value, axis) * (_HEIGHT - _BOTTOM - _TOP)


def _share(value: float, axis: range) -> float:
    return (math.log10(max(value, 10.0 ** axis[0])) - axis[0]) / max(axis[-1] - axis[0], 1)


def _text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 12, colour: str = "#222") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} font-size="{size}" fill="{colour}">{escape(words)}</text>'
