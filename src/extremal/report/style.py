"""How figures look: one palette that colour-blind readers can tell apart, and SVG that follows the page's light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from extremal.core.errors import require

# Okabe and Ito's colours, in an order that stays distinct for two or three methods.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
KNOWN = {"XQL": 0, "IQL": 1, "BC": 2, "10%BC": 3}  # a method has the same colour in every report
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
INK, MUTED, RULE, PAPER = "#1b1d21", "#6a707b", "#d9dce1", "#fefefd"
_VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", PAPER: "--paper"} | {
    colour: f"--series-{number}" for number, colour in enumerate(PALETTE)
}


def colours(methods: Sequence[str]) -> dict[str, str]:
    """One colour per method, whatever the order of the runs."""
    free = [number for number in range(len(PALETTE)) if number not in {KNOWN.get(method) for method in methods}]
    others = [method for method in dict.fromkeys(methods) if method not in KNOWN]
    place = KNOWN | {method: free[number % len(free)] for number, method in enumerate(others)}
    return {method: PALETTE[place[method]] for method in methods}


def ramp(count: int) -> list[str]:
    """`count` colours from dark to light for values in order, such as temperatures; told apart in grey too.

    >>> ramp(2)
    ['#22306e', '#e69f00']
    """
    stops = ((34, 48, 110), (0, 114, 178), (0, 158, 115), (230, 159, 0))
    places = [number * (len(stops) - 1) / max(count - 1, 1) for number in range(count)]
    mixed = []
    for place in places:
        low = min(int(place), len(stops) - 2)
        part = place - low
        mixed.append([round((1 - part) * a + part * b) for a, b in zip(stops[low], stops[low + 1], strict=True)])
    return ["#" + "".join(f"{channel:02x}" for channel in colour) for colour in mixed]


def figure(width: float, height: float, layout: str = "constrained") -> Any:
    """An empty figure, in inches, that belongs to no window and no global state."""
    return require("matplotlib.figure", extra="report", purpose="a figure").Figure(
        figsize=(width, height), layout=layout
    )


def styled() -> AbstractContextManager[Any]:
    """The look of every figure, for a `with` block that draws and saves."""
    matplotlib = require("matplotlib", extra="report", purpose="a figure")
    return matplotlib.rc_context(
        {
            "font.size": 9.5,
            "axes.titlesize": 10,
            "axes.titlelocation": "left",
            "axes.labelcolor": MUTED,
            "axes.edgecolor": RULE,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.grid.axis": "y",
            "axes.axisbelow": True,
            "axes.titlecolor": INK,
            "axes.formatter.useoffset": False,
            "grid.color": RULE,
            "grid.linewidth": 0.6,
            "text.color": INK,
            "xtick.color": RULE,
            "ytick.color": RULE,
            "xtick.labelcolor": MUTED,
            "ytick.labelcolor": MUTED,
            "lines.linewidth": 1.6,
            "legend.frameon": False,
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "savefig.facecolor": "none",
            "svg.fonttype": "none",
            "svg.hashsalt": "extremal",
        }
    )


def svg(drawn: Any, name: str) -> str:
    """The figure as inline SVG: colours are the page's variables, text is text, ids begin with `name`, no address is left."""
    buffer = io.StringIO()
    drawn.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r'<svg([^>]*?) width="[^"]*"', r"<svg\1", text, count=1)
    text = re.sub(r'<svg([^>]*?) height="[^"]*"', r'<svg\1 role="img"', text, count=1)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = text.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    text = re.sub(r"(font: [\d.]+px|font: \w+ [\d.]+px|font-family:)\s*[^;\"]*", r"\1 var(--sans)", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return text


def standalone_svg(drawn: Any) -> str:
    """The figure as an SVG file of its own, on paper: real colours, and letters as outlines, so that it looks the same everywhere."""
    matplotlib, buffer = require("matplotlib", extra="report", purpose="a figure"), io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "path"}):
        drawn.savefig(buffer, format="svg", facecolor="#ffffff", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def png(drawn: Any, *, dpi: int) -> bytes:
    """The figure as PNG on paper."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=dpi, facecolor="#ffffff", metadata={"Software": None})
    return buffer.getvalue()
