"""`labwire study upload`: a folder, ZIP or file with images, from a shell."""

from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from deployments.cli.people import AsJson, TenantSlug, complaints, tell
from models.imaging.stores.orders import get_order
from models.kernel.errors import RefusedError, RetryableError
from models.kernel.settings import settings
from models.kernel.tenancy import known_tenants, tenant_session
from tasks.clients.dropping import drop
from tasks.clients.prefect import PrefectServer

FLOW = "upload-study"

app = typer.Typer(help="Studies of images.", no_args_is_help=True)


@app.callback()
def studies() -> None:
    """Studies of images."""


@app.command("upload")
def upload(
    path: Annotated[Path, typer.Argument(help="A folder, a ZIP file, or a DICOM, JPEG or PNG file.", exists=True)],
    tenant: TenantSlug,
    order: Annotated[int | None, typer.Option(help="Number of the radiology order it belongs to.", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Put a study into the drop folder, under a name that says nothing, and have it stored."""
    with complaints():
        [owner] = known_tenants(tenant)
        if order is not None:
            with tenant_session(owner.id) as session:
                get_order(session, owner.id, order)
        source = f"{f'order-{order}' if order is not None else 'study'}-{uuid4().hex}"
        source += "" if path.is_dir() else path.suffix.lower()[:10]
        folder = settings().radiology_inbox / owner.slug
        drop(path, folder, source)
        is_asked = _ask_for_run(owner.slug, source)
    made = {"tenant": owner.slug, "source": source, "radiology_order_id": order, "is_asked": is_asked}
    when = f"and a run of {FLOW} is asked for" if is_asked else f"and the next scheduled run of {FLOW} takes it"
    tell(made, f"{source} lies in the drop folder of {owner.slug}, {when}.", as_json=as_json)


def _ask_for_run(tenant: str, source: str) -> bool:
    """Have it stored at once; without Prefect's server its schedule does it."""
    server = PrefectServer()
    try:
        server.ask_run(FLOW, {"tenant": tenant, "source": source}, key=f"{FLOW}-{source}")
    except (RetryableError, RefusedError):
        return False
    finally:
        server.close()
    return True
