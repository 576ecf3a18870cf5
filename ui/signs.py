"""The signs of the page: one look for each kind of result, and foreign text made safe to show.

Finding, colour, shape and outline always go together, so that none of them is needed to understand the others.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Final

from export import contract
from ui.reading import OUTSIDE_SCOPE, Failure, Result


@dataclass(frozen=True)
class Look:
    """How one kind of result is shown: ``kind`` names its colours in the style sheet, ``icon`` its shape (SVG)."""

    kind: str
    title: str
    sentence: str
    icon: str


_FRACTURE_ICON: Final = '<path d="M12 1 23 12 12 23 1 12Z" fill="currentColor"/>'
_SUSPICION_ICON: Final = (
    '<path d="M12 2.5 22.5 21.5 1.5 21.5Z" fill="none" stroke="currentColor" stroke-width="2.4" '
    'stroke-dasharray="0.1 4.4" stroke-linecap="round"/>'
)
_CLEAR_ICON: Final = '<circle cx="12" cy="12" r="10" fill="none" stroke="currentColor" stroke-width="2"/>'
_OUTSIDE_ICON: Final = (
    '<path d="M2.5 2.5h19v19h-19ZM2.5 21.5 21.5 2.5" fill="none" stroke="currentColor" stroke-width="2"/>'
)
_FAILURE_ICON: Final = '<path d="M4 4 20 20M20 4 4 20" stroke="currentColor" stroke-width="3.2"/>'

LOOKS: Final = {
    contract.FRACTURE: Look(
        "fracture", "Fracture", "The model sees signs of a fracture. Solid outlines show where.", _FRACTURE_ICON
    ),
    contract.SUSPICION: Look(
        "suspicion",
        "Suspicion of fracture",
        "The model cannot rule a fracture out. Dotted outlines show where to look.",
        _SUSPICION_ICON,
    ),
    contract.NO_FRACTURE: Look(
        "clear", "No fracture seen", "The model sees no fracture. That does not exclude one.", _CLEAR_ICON
    ),
}
OUTSIDE: Final = Look("outside", "No finding given", OUTSIDE_SCOPE, _OUTSIDE_ICON)
FAILED: Final = Look("failed", "Not read", "", _FAILURE_ICON)


def escape(text: str) -> str:
    """Return foreign text safe inside HTML, its attributes, and the page's own text templates."""
    safe = html.escape(text)
    for character in "{}$`":
        safe = safe.replace(character, f"&#{ord(character)};")
    return safe


def sentence(text: str) -> str:
    """Return a sentence of this program as HTML, its commands (between backquotes) set as such."""
    return re.sub("&#96;(.+?)&#96;", r"<code>\1</code>", escape(text))


def look_of(result: Result) -> Look:
    """Return how a result is shown; outside the model's scope no finding is, whatever was served."""
    if isinstance(result, Failure):
        return FAILED
    return OUTSIDE if result.outside_scope else LOOKS[result.prediction.finding]


def icon(look: Look) -> str:
    """Return the shape of a result; it only repeats the words beside it, so screen readers skip it."""
    return f'<svg class="icon {look.kind}" viewBox="0 0 24 24" aria-hidden="true">{look.icon}</svg>'
