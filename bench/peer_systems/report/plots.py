"""A bar chart as SVG: one panel for each figure, one bar for each system, a line for the range."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Final

from peer_systems.report.figures import Figure, Group
from peer_systems.report.page import NAMES, number
from peer_systems.report.samples import Samples

_COLOURS: Final = {
    "zreg": "#d1495b",
    "etcd": "#4a90c2",
    "zookeeper": "#8a6fb0",
    "redis": "#7a9e57",
}
_WIDTH: Final = 720
_LABELS: Final = 90
_BARS: Final = 480
_BAR: Final = 18
_TITLE: Final = 30


def _text(parent: ET.Element, x: float, y: float, text: str) -> None:
    ET.SubElement(parent, "text", x=f"{x:g}", y=f"{y:g}", fill="#777").text = text


def _panel(svg: ET.Element, figure: Figure, samples: Samples, systems: Sequence[str]) -> int:
    """Draw one figure; return the height that it takes."""
    better = "more" if figure.is_more_better else "less"
    _text(svg, 0, 18, f"{figure.title}, {figure.unit} ({better} is better)")
    spreads = {system: samples.spread(figure.key, system) for system in systems}
    longest = max((spread.high for spread in spreads.values() if spread), default=0.0)
    for place, (system, spread) in enumerate(spreads.items()):
        y = _TITLE + place * (_BAR + 4)
        _text(svg, 0, y + 13, NAMES[system])
        if spread is None or longest <= 0:
            continue
        scale = _BARS / longest
        width = max(0.0, spread.median * scale)
        bar = ET.SubElement(svg, "rect", x=str(_LABELS), y=str(y), fill=_COLOURS[system])
        bar.set("width", f"{width:.1f}")
        bar.set("height", str(_BAR))
        low, high = (f"{_LABELS + end * scale:.1f}" for end in (spread.low, spread.high))
        middle = str(y + _BAR // 2)
        ET.SubElement(svg, "line", x1=low, x2=high, y1=middle, y2=middle, stroke="#333")
        _text(svg, _LABELS + spread.high * scale + 6, y + 13, number(spread.median))
    return _TITLE + len(systems) * (_BAR + 4) + 12


def render_plot(group: Group, samples: Samples, systems: Sequence[str]) -> str:
    """Return the SVG with the plotted figures of a group, one below the other."""
    svg = ET.Element("svg", xmlns="http://www.w3.org/2000/svg")
    svg.set("font-family", "sans-serif")
    svg.set("font-size", "13")
    y = 0
    for figure in group.figures:
        if figure.key in group.plotted:
            panel = ET.SubElement(svg, "g", transform=f"translate(8 {y})")
            y += _panel(panel, figure, samples, systems)
    svg.set("viewBox", f"0 0 {_WIDTH} {y}")
    svg.set("width", str(_WIDTH))
    ET.indent(svg)
    return ET.tostring(svg, encoding="unicode") + "\n"
