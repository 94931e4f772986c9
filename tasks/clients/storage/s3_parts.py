"""A large file in parts: each with its SHA-256, the whole named at once at the end, nothing half of it ever seen."""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256 as new_sha256
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from models.kernel.errors import InvalidError, LabwireError
from tasks.clients.storage.s3_errors import code_of, translated

MOST_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload in parts; `named` are Bucket, Key and UploadId."""

    client: Any
    named: dict[str, str]

    def send(self, source: Path, part_bytes: int, *, sha256: str) -> list[dict[str, Any]]:
        """Every part, one after the other; InvalidError, before anything is named, where `sha256` is another."""
        whole = new_sha256()
        sent: list[dict[str, Any]] = []
        with open(source, "rb", buffering=0) as file:
            while part := _full(file.read, part_bytes):
                whole.update(part)
                digest = b64encode(new_sha256(part).digest()).decode()
                number = len(sent) + 1
                answer = self.client.upload_part(
                    **self.named, PartNumber=number, Body=part, ChecksumSHA256=digest, ContentLength=len(part)
                )
                sent.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": digest})
        if whole.hexdigest() != sha256:
            raise InvalidError("the file to be kept is not what its checksum says", field="sha256")
        return sent

    def complete(self, parts: list[dict[str, Any]], condition: dict[str, str]) -> None:
        """Give the parts their name; ClientError 412 where it is taken."""
        self.client.complete_multipart_upload(**self.named, MultipartUpload={"Parts": parts}, **condition)


def part_bytes_for(size: int, usual: int) -> int:
    """How large parts are, so that there are not too many."""
    return max(usual, -(-size // MOST_PARTS))


@contextmanager
def begun(client: Any, **arguments: Any) -> Iterator[Upload]:
    """An upload that is given up, with all of its parts, when anything goes wrong."""
    answer = client.create_multipart_upload(ChecksumAlgorithm="SHA256", **arguments)
    named = {"Bucket": arguments["Bucket"], "Key": arguments["Key"], "UploadId": answer["UploadId"]}
    try:
        yield Upload(client, named)
    except BaseException:
        abort(client, named)
        raise


def abort(client: Any, named: dict[str, str]) -> bool:
    """Give up an upload; False where that failed: then `sweep` finds it, for it is still listed."""
    try:
        with translated():
            try:
                client.abort_multipart_upload(**named)
            except ClientError as failed:
                if code_of(failed) != "NoSuchUpload":  # it is gone, which is what was wanted
                    raise
    except LabwireError:
        return False
    return True


def _full(read: Any, size: int) -> bytes:
    """`size` bytes, or what is left: one read of a large file may bring less than it was asked for."""
    pieces: list[bytes] = []
    while size > 0 and (piece := read(size)):
        pieces.append(piece)
        size -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
