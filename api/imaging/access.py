"""Who may do what with images."""

from typing import Annotated

from fastapi import Depends, Query

from api.deps import Caller, may
from models.people.roles import RADIOLOGY

TECHNICIAN = "radiology_technician"
Reader = Annotated[Caller, Depends(may(*RADIOLOGY, scope="imaging:read"))]
Orderer = Annotated[Caller, Depends(may(*RADIOLOGY, scope="imaging:write"))]
Uploader = Annotated[Caller, Depends(may(TECHNICIAN, scope="imaging:write"))]
UploadReader = Annotated[Caller, Depends(may(TECHNICIAN, scope="imaging:read"))]
Reviewer = Annotated[Caller, Depends(may("doctor", scope="imaging:write"))]
Page = Annotated[int, Query(ge=1, le=100_000)]
Size = Annotated[int, Query(ge=1, le=100)]


def sees_unassigned(caller: Caller) -> bool:
    """Studies without an order are for the technicians who assign them."""
    return caller.has(TECHNICIAN)
