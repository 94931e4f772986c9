"""What QIDO-RS finds: studies, series and instances that match, as far as the caller may see them."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    SQLColumnExpression,
    String,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONPATH
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from models.imaging.matching import Level, Match, Search
from models.imaging.stores.studies import Seen
from models.imaging.tables import RadiologyImage, RadiologySeries, RadiologyStudy
from models.kernel.db import Base

TABLES: dict[Level, type[Base]] = {
    Level.STUDY: RadiologyStudy,
    Level.SERIES: RadiologySeries,
    Level.INSTANCE: RadiologyImage,
}
_ONE_BY_ONE = text(
    "SELECT set_config('enable_sort', 'off', true), set_config('enable_material', 'off', true), "
    "set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)"
)
"""The newest studies by their index, then what belongs to each: also while the tables' statistics are not there yet."""
_WILDCARDS = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_", "*": "%", "?": "_"})


def search(session: Session, tenant_id: int, seen: Seen, wanted: Search) -> tuple[Sequence[Row[Any]], bool]:
    """The rows of a page, as tuples of study, series, image down to the level searched; and whether more match.

    The newest studies first, series and images by their numbers.
    """
    study = RadiologyStudy
    statement = _joined(select(study), tenant_id, wanted.level).where(
        study.tenant_id == tenant_id, *seen.conditions(), *_conditions(wanted.matches)
    )
    statement = statement.order_by(study.study_date.desc().nulls_last(), study.id.desc())
    if wanted.level >= Level.SERIES:
        statement = statement.order_by(RadiologySeries.series_number, RadiologySeries.id)
    if wanted.level >= Level.INSTANCE:
        statement = statement.order_by(RadiologyImage.instance_number, RadiologyImage.id)
    if not any(_is_selective(match) for match in wanted.matches):
        session.execute(_ONE_BY_ONE)
    rows = session.execute(statement.limit(wanted.limit + 1).offset(wanted.offset)).all()
    return rows[: wanted.limit], len(rows) > wanted.limit


def kept_of_series(session: Session, tenant_id: int, series_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """What the first image of each of these series says of the step it was made in, by the series' id."""
    first = _first_image(RadiologyImage.image_metadata).scalar_subquery()
    statement = select(RadiologySeries.id, first).where(
        RadiologySeries.tenant_id == tenant_id, RadiologySeries.id.in_(series_ids)
    )
    return {series_id: kept or {} for series_id, kept in session.execute(statement)}


def _first_image(column: InstrumentedAttribute[Any]) -> Select[Any]:
    """Of the series in question: what all of its images should say alike is asked of that one."""
    image = RadiologyImage
    its = select(column).where(image.tenant_id == RadiologySeries.tenant_id, image.series_id == RadiologySeries.id)
    return its.order_by(image.instance_number, image.id).limit(1).correlate(RadiologySeries)


def _is_selective(match: Match) -> bool:
    """Whether an index finds the few that match."""
    is_code = match.key.column in ("patient_code", "accession_number")
    return match.key.kind == "uid" or (is_code and not set("*?") & set(match.pattern))


def _joined(statement: Select[Any], tenant_id: int, level: Level) -> Select[Any]:
    study, series, image = RadiologyStudy, RadiologySeries, RadiologyImage
    if level >= Level.SERIES:
        is_its = (series.tenant_id == tenant_id) & (series.study_id == study.id)
        statement = statement.add_columns(series).join(series, is_its)
    if level >= Level.INSTANCE:
        is_its = (image.tenant_id == tenant_id) & (image.series_id == series.id)
        statement = statement.add_columns(image).join(image, is_its)
    return statement


def _conditions(matches: Sequence[Match]) -> Iterator[ColumnElement[bool]]:
    yield from (_condition(match) for match in matches if match.key.kind != "item")
    if of_items := [match for match in matches if match.key.kind == "item"]:
        yield _of_an_item(of_items)


def _condition(match: Match) -> ColumnElement[bool]:
    if not match.key.column:
        return _of_an_image(match)
    column: InstrumentedAttribute[Any] = getattr(TABLES[match.key.level], match.key.column)
    kind = match.key.kind
    if kind in ("code", "codes") and any(set("*?") & set(value) for value in match.values):
        return _like_one(column, match)
    if kind in ("uid", "code"):
        return column.in_(match.values) if len(match.values) > 1 else column == match.values[0]
    if kind == "codes":
        has_one: ColumnElement[bool] = column.overlap(cast(list(match.values), column.type))
        return has_one
    if kind in ("text", "name"):
        return _like(column, match.pattern, is_name=kind == "name")
    return _between(column.expression, match)


def _of_an_image(match: Match) -> ColumnElement[bool]:
    """An attribute of the series that its images alone keep."""
    image = aliased(RadiologyImage)
    value = func.coalesce(image.image_metadata[match.key.keyword].astext, "")
    return _is_first_and(image, _between(value, match))


def _of_an_item(matches: Sequence[Match]) -> ColumnElement[bool]:
    """Attributes in a sequence that the images alone keep: one item has all of them (PS3.4, C.2.2.2.6)."""
    image, sequence = aliased(RadiologyImage), matches[0].key.keyword.partition(".")[0]
    item = func.jsonb_path_query(image.image_metadata, cast(f"$.{sequence}[*]", JSONPATH)).column_valued("item")
    values = [(item.op("->>")(match.key.keyword.partition(".")[2]), match.pattern) for match in matches]
    has_all = exists(select(literal(1)).where(*(_like(value, pattern, is_name=False) for value, pattern in values)))
    return _is_first_and(image, has_all.correlate(image))


def _is_first_and(image: type[RadiologyImage], is_met: ColumnElement[bool]) -> ColumnElement[bool]:
    first = _first_image(RadiologyImage.id).scalar_subquery()
    is_its = (image.tenant_id == RadiologySeries.tenant_id) & (image.id == first)
    return exists(select(literal(1)).where(is_its, is_met).correlate(RadiologySeries))


def _like_one(column: InstrumentedAttribute[Any], match: Match) -> ColumnElement[bool]:
    if match.key.kind == "code":
        return or_(*(_like(column, value, is_name=False) for value in match.values))
    each = func.unnest(column).column_valued("one_of_them")
    likes = (_like(each, value, is_name=False) for value in match.values)
    return exists(select(literal(1)).where(or_(*likes)))


def _like(column: SQLColumnExpression[str], pattern: str, *, is_name: bool) -> ColumnElement[bool]:
    if is_name:
        return func.lower(column).like(func.lower(pattern.translate(_WILDCARDS)), escape="\\")
    if "*" in pattern or "?" in pattern:
        return column.like(pattern.translate(_WILDCARDS), escape="\\")
    return column == pattern


def _between(value: ColumnElement[Any], match: Match) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = []
    if match.key.kind == "time":
        conditions.append(value != "")
        value = func.rpad(func.replace(value, ".", ""), 12, "0")
    if match.key.kind in ("time", "date_text"):
        conditions.append(value != "")
        value = cast(value, String).collate("C")
    if match.low is not None and match.low == match.high:
        return value == match.low
    if match.low is not None:
        conditions.append(value >= match.low)
    if match.high is not None:
        conditions.append(value <= match.high)
    combined = conditions[0]
    for one in conditions[1:]:
        combined &= one
    return combined
