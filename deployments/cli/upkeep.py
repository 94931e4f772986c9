"""`labwire audit verify` and `labwire replay`: is the audit trail whole, and send something again."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from deployments.cli.people import AsJson, complaints, operator, tell
from models.kernel.errors import RefusedError, RetryableError
from models.kernel.tenancy import KnownTenant, tenant_session
from models.kernel.verify import Finding, Verdict
from models.kernel.verify_all import verify_all
from models.upkeep.deliveries import INSTRUMENT, DeliveryRow, replay_delivery, tenant_of_delivery
from tasks.clients.prefect import PrefectServer

audit_app = typer.Typer(help="The audit trail.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the `labwire` command."""
    app.add_typer(audit_app, name="audit")
    app.command("replay")(replay)


@audit_app.command("verify")
def verify(
    tenant: Annotated[str, typer.Option("--tenant", "-t", help="One laboratory alone, by its short name.")] = "",
    as_json: AsJson = False,
) -> None:
    """Check every audit row, its seals and the heads kept outside the database. Ends with 1 when anything is found."""
    with complaints():
        verdicts = verify_all(tenant)
    is_sound = all(verdict.is_sound for _, verdict in verdicts)
    answer = {"is_sound": is_sound, "tenants": [_as_json(one, verdict) for one, verdict in verdicts]}
    tell(answer, "\n".join(_in_words(one, verdict) for one, verdict in verdicts), as_json=as_json)
    if not is_sound:
        raise typer.Exit(1)


def replay(
    delivery_id: Annotated[int, typer.Argument(help="Number of the delivery, as the outbox page shows it.")],
    tenant: Annotated[
        str, typer.Option("--tenant", "-t", help="The laboratory's short name; else all are looked through.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Send one delivery of the outbox again: its event, to its destination alone."""
    with complaints():
        owner = tenant_of_delivery(delivery_id, tenant)
        with tenant_session(owner.id) as session:
            row = replay_delivery(session, owner.id, delivery_id, actor=operator())
        is_asked = _ask_for_run(owner, row)
    made: dict[str, Any] = {
        "id": row.id,
        "tenant": owner.slug,
        "destination": row.destination,
        "entity": row.entity,
        "state": row.state,
    }
    when = "now" if is_asked else "with the next scheduled run"
    tell(made, f"Delivery {row.id} to {row.destination} is due again and goes {when}.", as_json=as_json)


def _ask_for_run(owner: KnownTenant, row: DeliveryRow) -> bool:
    """Have it sent at once; without Prefect's server its schedule does it."""
    flow, parameters = "deliver-messages", {"tenant": owner.slug}
    if row.destination.startswith(INSTRUMENT):
        flow = "submit-assignments"
    server = PrefectServer()
    try:
        server.ask_run(flow, parameters, key=f"replay-{row.id}-{row.next_attempt_at.timestamp()}")
    except (RetryableError, RefusedError):
        return False
    finally:
        server.close()
    return True


def _as_json(tenant: KnownTenant, verdict: Verdict) -> dict[str, Any]:
    findings = [asdict(finding) for finding in verdict.findings]
    counts = {"sealed": verdict.sealed, "unsealed": verdict.unsealed, "heads": verdict.heads}
    return {"tenant": tenant.slug, "is_sound": verdict.is_sound, **counts, "findings": findings}


def _in_words(tenant: KnownTenant, verdict: Verdict) -> str:
    lines = [f"{tenant.slug}: {verdict.sealed} sealed, {verdict.unsealed} not yet sealed, {verdict.heads} heads"]
    lines += [f"  {_finding_in_words(finding)}" for finding in verdict.findings]
    return "\n".join([*lines, f"  {'nothing found' if verdict.is_sound else 'NOT SOUND'}"])


def _finding_in_words(finding: Finding) -> str:
    places = []
    if finding.first is not None:
        is_one = finding.first == finding.last
        places.append(f"position {finding.first}" if is_one else f"positions {finding.first} to {finding.last}")
    if finding.ids:
        places.append(
            f"audit row {', '.join(map(str, finding.ids))}" + (" …" if finding.count > len(finding.ids) else "")
        )
    return f"{finding.fault.upper()}: {finding.text}" + (f" ({'; '.join(places)})" if places else "")
