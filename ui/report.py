"""The report of a study as a PDF file: pictures beside their originals, a table, and what the finding rests on.

No value of a DICOM header is part of it; the files appear under the names they were given by.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Final

import matplotlib
import numpy as np
from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import FontFace, TTFFont
from numpy.typing import NDArray
from PIL import Image

from export import contract
from ui.overlay import layers, marked_picture
from ui.reading import Failure, Reading, Result
from ui.study import Study
from ui.words import answer, percent

NOTICE: Final = (
    "Research software, not a medical device. Not for diagnosis or treatment: a radiograph is read by a qualified "
    "person, whatever is shown here."
)
NO_FINDING: Final = "no finding given"
PICTURE_LIMIT: Final = 1000
"""Longest side (px) of a picture in the report, about 300 dpi at the size it is printed."""
MOST_PICTURES: Final = 6
"""Views with pictures; a page has no room for more that could still be judged."""

_FAMILY: Final = "DejaVu"
_FONTS: Final = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
_MARGIN: Final = 14.0
_GREY: Final = 110
_ROW: Final = FontFace(emphasis="", size_pt=7.5)

# Both would log the letters that a font lacks, which are a file's name.
logging.getLogger("fpdf").setLevel(logging.ERROR)
logging.getLogger("fontTools").setLevel(logging.ERROR)


class _Page(FPDF):
    """An A4 page with the notice at its head and a line on who made it at its foot."""

    def __init__(self, foot: str) -> None:
        super().__init__(format="A4")
        self._foot = foot
        for style, file in (("", "DejaVuSans.ttf"), ("B", "DejaVuSans-Bold.ttf")):
            self.add_font(_FAMILY, style, _FONTS / file)
        self.set_margins(_MARGIN, _MARGIN)
        self.set_auto_page_break(True, margin=_MARGIN + 6)

    def header(self) -> None:
        """Write the notice."""
        self.text_block(NOTICE, 7.5, bold=True)
        self.ln(2)

    def footer(self) -> None:
        """Write the line at the foot and the page's number."""
        self.set_y(-_MARGIN - 2)
        self.set_text_color(_GREY)
        self.set_font(_FAMILY, "", 7)
        self.cell(0, 4, f"{self._foot} · page {self.page_no()} of {{nb}}")
        self.set_text_color(0)

    def normalize_text(self, text: str) -> str:
        """Return the text with a sign in place of each letter the font lacks, which would vanish otherwise."""
        font = self.fonts[_FAMILY.lower()]
        known = font.cmap if isinstance(font, TTFFont) else {}
        return super().normalize_text("".join(letter if ord(letter) in known else "\ufffd" for letter in text))

    def text_block(self, text: str, size: float, *, bold: bool = False, grey: bool = False) -> None:
        """Write a paragraph over the whole width."""
        self.set_font(_FAMILY, "B" if bold else "", size)
        self.set_text_color(_GREY if grey else 0)
        self.multi_cell(0, size * 0.47, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.set_text_color(0)


def pdf_report(study: Study, created: datetime, card: contract.ModelCard | None = None) -> bytes:
    """Return the report of one study as a PDF file, one A4 page where its views allow it.

    ``card`` is that of the version that answered; without it the report says less. Fonts are embedded, so that any
    name the fonts know can be printed; other letters become boxes.
    """
    version = _version(study)
    page = _Page(f"Osteo Synergy, {version}, {created:%Y-%m-%d %H:%M %Z}".rstrip())
    page.set_title("Fracture reading of a radiograph study")
    page.set_creator("Osteo Synergy")
    page.set_lang("en")
    page.set_creation_date(created)
    page.add_page()
    _write_finding(page, study)
    _write_pictures(page, study)
    _write_table(page, study.results)
    _write_basis(page, study, card)
    return bytes(page.output())


def _version(study: Study) -> str:
    versions = sorted({(view.prediction.model, view.prediction.version) for view in study.readings})
    return " and ".join(f"model {model} version {version}" for model, version in versions) or "no model answered"


def _write_finding(page: _Page, study: Study) -> None:
    page.text_block("Fracture reading of a radiograph study", 9, grey=True)
    title = study.finding or NO_FINDING
    page.text_block(title[0].upper() + title[1:], 17, bold=True)
    page.ln(1)
    page.text_block(study.reason, 9)
    for remark in study.remarks:
        page.text_block(f"Note: {remark}", 8, bold=True)
    page.ln(2)


def _write_pictures(page: _Page, study: Study) -> None:
    """Lay pairs of marked and untouched pictures out in one or two columns, the strongest views first."""
    ranked = sorted(study.readings, key=_rank, reverse=True)[:MOST_PICTURES]
    if not ranked:
        return
    columns = 1 if len(ranked) <= 2 else 2
    rows = -(-len(ranked) // columns)
    height = {1: 110.0 if columns == 1 else 80.0, 2: 62.0, 3: 46.0}[rows]
    width = (page.epw - 6 * (columns - 1)) / columns
    for start in range(0, len(ranked), columns):
        top = page.get_y()
        for column, reading in enumerate(ranked[start : start + columns]):
            _write_pair(page, reading, page.l_margin + column * (width + 6), top, width, height)
        page.set_y(top + height + 6)
    if len(study.readings) > len(ranked):
        page.text_block(
            f"Pictures of the {len(ranked)} strongest of {len(study.readings)} views; all are in the table.", 7.5
        )


def _rank(reading: Reading) -> tuple[bool, int, float]:
    told = reading.prediction
    return not reading.outside_scope, contract.FINDINGS.index(told.finding), told.probability


def _write_pair(page: _Page, reading: Reading, left: float, top: float, width: float, height: float) -> None:
    drawn = layers(reading)
    marked = marked_picture(drawn, dotted=reading.prediction.finding == contract.SUSPICION)
    half = (width - 2) / 2
    for place, picture in enumerate((marked, drawn.picture)):
        page.image(
            _jpeg(picture), left + place * (half + 2), top, half, height, keep_aspect_ratio=True, alt_text=reading.file
        )
    page.set_xy(left, top + height + 0.5)
    page.set_font(_FAMILY, "", 6.5)
    shown = "Marked" if drawn.heat is not None else "Not marked"
    page.cell(width, 3.5, _fitting(page, f"{reading.file} – {shown} on the left, original on the right", width))


def _fitting(page: _Page, text: str, width: float) -> str:
    """Return the text, cut in its middle where it is wider than there is room."""
    keep = len(text)
    cut = text
    while page.get_string_width(cut) > width - 2 and keep > 8:
        keep -= 2
        cut = f"{text[: keep // 2]}…{text[-(keep // 2) :]}"
    return cut


def _jpeg(picture: NDArray[np.uint8]) -> BytesIO:
    image = Image.fromarray(picture)
    image.thumbnail((PICTURE_LIMIT, PICTURE_LIMIT), Image.Resampling.LANCZOS)
    file = BytesIO()
    image.save(file, "JPEG", quality=88)
    file.seek(0)
    return file


def _write_table(page: _Page, results: Sequence[Result]) -> None:
    page.set_font(_FAMILY, "", 7.5)
    with page.table(
        col_widths=(34, 18, 12, 10, 46),
        text_align=("LEFT", "LEFT", "RIGHT", "RIGHT", "LEFT"),
        borders_layout="HORIZONTAL_LINES",
        headings_style=FontFace(emphasis="BOLD", size_pt=7.5),
        line_height=3.6,
        padding=0.6,
    ) as table:
        table.row(("View", "Finding", "Probability", "Novelty", "Warnings"))
        for result in results:
            table.row(_cells(result), style=_ROW)
    page.ln(2)


def _cells(result: Result) -> tuple[str, ...]:
    if isinstance(result, Failure):
        return result.file, "not read", "–", "–", result.error
    told, novelty = result.prediction, f"{result.prediction.novelty:.2f}"
    warnings = " ".join(result.warnings)
    if result.outside_scope:
        return result.file, NO_FINDING, "–", novelty, warnings
    return result.file, told.finding, percent(told.probability), novelty, warnings


def _write_basis(page: _Page, study: Study, card: contract.ModelCard | None) -> None:
    """Write what the finding rests on: thresholds, meaning, limits."""
    lines = []
    if study.strongest:
        told = study.strongest.prediction
        lines.append(
            f"The model says suspicion from {percent(told.suspicion_threshold)} and fracture from "
            f"{percent(told.fracture_threshold)}. A novelty above {contract.NOVELTY_LIMIT:g} gets no finding."
        )
        # The warnings stand in the table.
        said = answer(study.strongest, card)[: -len(study.strongest.warnings) or None]
        lines.append(f"On {study.strongest.file}: {' '.join(said)}")
    if card:
        lines.append(f"{card.intended_use} {' '.join(card.limits)}")
    for text in lines:
        page.text_block(text, 7)
