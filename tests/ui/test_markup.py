"""Results as HTML: shapes and words for every finding, foreign text never markup."""

from __future__ import annotations

import pytest

from ui.frame import NOTICE, header
from ui.markup import show, table
from ui.reading import Failure
from ui.signs import FAILED, LOOKS, OUTSIDE, escape


def test_no_two_kinds_of_result_share_words_shape_or_colour() -> None:
    looks = [*LOOKS.values(), OUTSIDE, FAILED]
    for part in ("kind", "title", "icon"):
        assert len({getattr(look, part) for look in looks}) == len(looks)


@pytest.mark.parametrize("text", ["<b>&\"'", "${alert(1)}", "{{value}}", "`"])
def test_foreign_text_loses_every_character_of_markup_and_templates(text: str) -> None:
    assert not set("<>\"'{}$`") & set(escape(text))


def test_a_failure_shows_its_sentence_and_no_picture() -> None:
    shown = show(Failure("letter.jpg", "This is a <text> file.", "unknown_format"))
    assert "This is a &lt;text&gt; file." in shown.card
    assert shown.view is None


def test_one_result_needs_no_table_and_two_do() -> None:
    shown = [show(Failure(name, "Broken.", "truncated")) for name in ("a.png", "b.png")]
    assert table(shown[:1]) == ""
    assert table(shown).count("<button") == 2


def test_the_notice_is_part_of_the_head() -> None:
    assert NOTICE in header()
