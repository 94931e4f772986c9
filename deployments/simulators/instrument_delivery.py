"""How the simulated analyser's answer reaches the wire: late, slowly, broken, too long, or never."""

import asyncio
import json

from starlette.types import Receive, Send

from deployments.simulators.instrument_call import Call
from deployments.simulators.instrument_faults import Faults

MAX_BODY_BYTES = 64 * 1024
CHUNK_BYTES = 64 * 1024
SLOW_STEPS = 100


async def read_body(receive: Receive) -> bytes | None:
    """The request's whole body; none when it is longer than allowed."""
    message = await receive()
    if not message.get("more_body"):
        body: bytes = message.get("body", b"")
        return body if len(body) <= MAX_BODY_BYTES else None
    parts, length = [message.get("body", b"")], len(message.get("body", b""))
    while message.get("more_body"):
        message = await receive()
        length += len(message.get("body", b""))
        if length <= MAX_BODY_BYTES:
            parts.append(message.get("body", b""))
    return b"".join(parts) if length <= MAX_BODY_BYTES else None


async def deliver(reply: Call, faults: Faults, receive: Receive, send: Send) -> None:
    """Send the answer as the faults that are on have it; nothing at all once the caller has hung up."""
    body = json.dumps(reply.content, separators=(",", ":")).encode()
    if not faults.any_on() and not reply.hold_seconds:
        await _send_whole(reply, body, send)
        return
    operation, request_id = reply.operation, reply.note.request_id
    if fault := faults.take("latency_ms", operation, request_id):
        await asyncio.sleep(float(fault.value) / 1000)
    if reply.hold_seconds and await _hung_up_within(reply.hold_seconds, receive):
        return
    if faults.take("broken_json", operation, request_id):
        body = body[: len(body) // 2]
    if fault := faults.take("oversize_body", operation, request_id):
        await _send_padded(reply, body, send, size=int(fault.value))
    elif fault := faults.take("slow_body", operation, request_id):
        await _send_slowly(reply, body, send, seconds=float(fault.value))
    else:
        await _send_whole(reply, body, send)


def _start(reply: Call, length: int | None) -> dict[str, object]:
    headers = [(b"content-type", b"application/json")]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    if reply.retry_header is not None:
        name, value = reply.retry_header
        headers.append((name.encode(), value.encode()))
    return {"type": "http.response.start", "status": reply.note.status or 200, "headers": headers}


async def _send_whole(reply: Call, body: bytes, send: Send) -> None:
    await send(_start(reply, len(body)))
    await send({"type": "http.response.body", "body": body})


async def _send_slowly(reply: Call, body: bytes, send: Send, *, seconds: float) -> None:
    await send(_start(reply, len(body)))
    step = max(1, -(-len(body) // SLOW_STEPS))
    pieces = [body[start : start + step] for start in range(0, len(body), step)]
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        await asyncio.sleep(seconds / len(pieces))
    await send({"type": "http.response.body", "body": b""})


async def _send_padded(reply: Call, body: bytes, send: Send, *, size: int) -> None:
    """Blanks after the JSON, and no Content-Length: a caller that reads without a limit finds out too late."""
    await send(_start(reply, None))
    await send({"type": "http.response.body", "body": body, "more_body": True})
    for _ in range(len(body), size, CHUNK_BYTES):
        await send({"type": "http.response.body", "body": b" " * CHUNK_BYTES, "more_body": True})
        await asyncio.sleep(0)  # other requests go on meanwhile
    await send({"type": "http.response.body", "body": b""})


async def _hung_up_within(seconds: float, receive: Receive) -> bool:
    try:
        async with asyncio.timeout(None if seconds == float("inf") else seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True
