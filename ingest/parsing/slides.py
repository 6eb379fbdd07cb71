"""PowerPoint presentations: a page per slide, under its title."""

from collections.abc import Iterable, Iterator
from itertools import zip_longest

from pptx import Presentation
from pptx.chart.chart import Chart
from pptx.shapes.autoshape import Shape
from pptx.shapes.base import BaseShape
from pptx.shapes.graphfrm import GraphicFrame
from pptx.shapes.group import GroupShape
from pptx.slide import Slide
from pptx.text.text import _Paragraph

from ingest.parsing.archives import packed, read_parts, refuse_entities
from ingest.parsing.docx import core_title
from ingest.parsing.parsed import Parsed
from ingest.parsing.tables import write_table
from ingest.parsing.writing import Writing
from retrieval.errors import UnreadableDocument

MOST_SLIDES = 2000
_INDENT = "  "


def parse_pptx(content: bytes) -> Parsed:
    """Slides in order, with their tables and notes. Its title: the one in its properties, else the first slide's.

    Raises `UnreadableDocument`: `not_a_pptx`, `too_complex`, and what `archives` raises.
    """
    parts = read_parts(content, "pptx", "ppt/presentation.xml")
    refuse_entities(parts)
    slides = Presentation(packed(parts)).slides
    if len(slides) > MOST_SLIDES:
        raise UnreadableDocument("too_complex", f"it has more than {MOST_SLIDES} slides")
    writing, titles = Writing(), []
    for number, slide in enumerate(slides, start=1):
        writing.page()
        titles.append(_title(slide))
        _write_slide(writing, slide, titles[-1] or f"Slide {number}")
    return writing.parsed(core_title(parts) or next(filter(None, titles), ""))


def _title(slide: Slide) -> str:
    shape = slide.shapes.title
    return shape.text_frame.text if shape is not None else ""


def _write_slide(writing: Writing, slide: Slide, title: str) -> None:
    heading = slide.shapes.title
    shapes = [shape for shape in _leaves(slide.shapes) if heading is None or shape.shape_id != heading.shape_id]
    notes = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
    spoken = notes.text.strip() if notes is not None else ""
    if shapes or spoken or heading is not None:
        writing.heading(1, title)
    for shape in shapes:
        _write_shape(writing, shape)
    if spoken:
        writing.heading(2, "Notes")
        writing.paragraph(spoken)


def _leaves(shapes: Iterable[BaseShape]) -> Iterator[BaseShape]:
    """The shapes, those inside groups too."""
    for shape in shapes:
        if isinstance(shape, GroupShape):
            yield from _leaves(shape.shapes)
        else:
            yield shape


def _write_shape(writing: Writing, shape: BaseShape) -> None:
    if isinstance(shape, GraphicFrame) and shape.has_table:
        write_table(writing, ([cell.text for cell in row.cells] for row in shape.table.rows))
    elif isinstance(shape, GraphicFrame) and shape.has_chart:
        _write_chart(writing, shape.chart)
    elif isinstance(shape, Shape):
        _write_text(writing, shape.text_frame.paragraphs)


def _write_text(writing: Writing, paragraphs: Iterable[_Paragraph]) -> None:
    """One paragraph is a paragraph; several are the points of a list."""
    filled = [(paragraph.level, " ".join(paragraph.text.split())) for paragraph in paragraphs if paragraph.text.strip()]
    if len(filled) == 1:
        writing.paragraph(filled[0][1])
    else:
        writing.lines("list", (f"{_INDENT * level}- {text}" for level, text in filled))


def _write_chart(writing: Writing, chart: Chart) -> None:
    """The numbers behind it: a row per category, a column per series."""
    if chart.has_title:
        writing.paragraph(chart.chart_title.text_frame.text)
    for plot in chart.plots:
        header = ["", *(str(series.name) for series in plot.series)]
        names = [str(category) for category in plot.categories]
        columns = [names, *([_number(value) for value in series.values] for series in plot.series)]
        write_table(writing, [header, *zip_longest(*columns, fillvalue="")])


def _number(value: float | None) -> str:
    return "" if value is None else str(value)
