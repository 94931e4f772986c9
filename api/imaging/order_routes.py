"""Radiology orders: asked for, listed, reviewed."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.deps import tenant_work
from api.errors import errors
from api.imaging.access import Orderer, Page, Reader, Reviewer, Size
from models.imaging.schemas import Accession, OrderIn, ReviewIn
from models.imaging.stores import orders
from models.imaging.stores.orders import OrderFilter, OrderRow
from models.kernel.fields import Id
from models.people.stores.reads import note_read

router = APIRouter(prefix="/orders", tags=["imaging"])


class OrderAnswer(BaseModel):
    """An order, whose it is, and its study."""

    id: int
    accession_number: str
    patient_id: int
    patient_code: str
    patient_name: str
    procedure: str
    modality: str
    body_part: str
    reason: str
    priority: str = Field(description="stat, urgent or routine")
    state: str = Field(description="ordered, performed or reviewed")
    ordered_by: int | None
    ordered_at: datetime
    performed_at: datetime | None
    reviewed_by: int | None
    reviewed_at: datetime | None
    review_note: str | None
    reviewed_image_count: int | None = Field(description="How many images the study had when the finding was written")
    version: int
    study_id: int | None
    study_uid: str | None
    image_count: int = Field(description="Of the study")

    @classmethod
    def of(cls, row: OrderRow) -> Self:
        """From its rows."""
        order, patient, study = row.order, row.patient, row.study
        own = ("patient_code", "patient_name", "study_id", "study_uid", "image_count")
        return cls(
            **{name: getattr(order, name) for name in cls.model_fields if name not in own},
            patient_code=patient.code,
            patient_name=f"{patient.given_names} {patient.family_name}".strip(),
            study_id=study.id if study is not None else None,
            study_uid=study.study_uid if study is not None else None,
            image_count=study.image_count if study is not None else 0,
        )


class OrderPage(BaseModel):
    """A page of orders."""

    items: list[OrderAnswer]
    total: int
    page: int
    size: int


@router.post("", status_code=201, responses=errors(401, 403, 404, 409))
def create_radiology_order(given: OrderIn, caller: Orderer) -> OrderAnswer:
    """Order an examination. Without an accession number one is made, which the modality is to write into its files."""
    with tenant_work(caller) as session:
        order = orders.create_order(session, caller.tenant_id, caller.actor, given, user_id=caller.user_id)
        note_read(session, caller.tenant_id, caller.actor, [order.patient_id])
        return OrderAnswer.of(orders.order_row(session, caller.tenant_id, order.id))


@router.get("", responses=errors(401, 403))
def list_radiology_orders(
    caller: Reader,
    state: Annotated[str, Query(pattern="^(ordered|performed|reviewed)?$")] = "",
    patient_id: Id | None = None,
    accession_number: Annotated[Accession | None, Query()] = None,
    page: Page = 1,
    size: Size = 50,
) -> OrderPage:
    """Orders by state, the most urgent first and then the newest."""
    wanted = OrderFilter(state, patient_id, accession_number or "")
    with tenant_work(caller) as session:
        rows, total = orders.list_orders(session, caller.tenant_id, wanted, page=page, size=size)
        note_read(session, caller.tenant_id, caller.actor, [row.order.patient_id for row in rows])
        items = [OrderAnswer.of(row) for row in rows]
    return OrderPage(items=items, total=total, page=page, size=size)


@router.get("/{order_id}", responses=errors(401, 403, 404))
def get_radiology_order(order_id: Id, caller: Reader) -> OrderAnswer:
    """One order."""
    with tenant_work(caller) as session:
        row = orders.order_row(session, caller.tenant_id, order_id)
        note_read(session, caller.tenant_id, caller.actor, [row.order.patient_id])
        return OrderAnswer.of(row)


@router.post("/{order_id}/review", responses=errors(401, 403, 404, 409))
def review_radiology_order(order_id: Id, given: ReviewIn, caller: Reviewer) -> OrderAnswer:
    """What the doctor found in the images; `version` and `image_count` are the order's as it was read.

    There is one review. Without `image_count` it is not looked at whether images came since.
    """
    with tenant_work(caller) as session:
        orders.review_order(session, caller.tenant_id, caller.actor, order_id, given, user_id=caller.user_id)
        row = orders.order_row(session, caller.tenant_id, order_id)
        note_read(session, caller.tenant_id, caller.actor, [row.order.patient_id])
        return OrderAnswer.of(row)
