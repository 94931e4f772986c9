"""Images as objects of an S3 store below `<tenant slug>/`: AWS, MinIO or any compatible one.

`If-None-Match: *` makes the store itself refuse a second object under a key, and the SHA-256 that goes along makes it
refuse one that arrived damaged. Where a store does not honour the condition, which it is asked once per process, each
put looks first: two puts of different bytes in the same instant could then both be let through.
"""

import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from models.imaging.ports import KeyTakenError, MissingObjectError, StoredObject
from models.imaging.uids import safe_name
from models.kernel.errors import ConfigError, InvalidError, RetryableError
from tasks.clients.storage import folders, s3_parts
from tasks.clients.storage.copies import hashed, write_new
from tasks.clients.storage.keys import (
    PIECE_BYTES,
    checked_prefix,
    checked_range,
    checked_slug,
    checked_source,
    is_key,
    parts_of,
)
from tasks.clients.storage.s3_bucket import Bucket
from tasks.clients.storage.s3_errors import NO_KEY, code_of, status_of, translated

SINGLE_LARGEST_BYTES = 64 * 1024 * 1024
PART_BYTES = 8 * 1024 * 1024
"""Of which one is sent while the next is read."""
ATTEMPTS = 5
LONGEST_SIGNED_SECONDS = 7 * 86_400
"""What signature version 4 allows."""
PROBE = ".labwire-conditional"
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class S3Storage:
    """Fulfils ObjectStorage for one tenant's prefix; any number of threads and processes may share it."""

    name = "s3"

    def __init__(
        self, slug: str, bucket: Bucket, *, single_largest: int = SINGLE_LARGEST_BYTES, part_bytes: int = PART_BYTES
    ) -> None:
        self._prefix = f"{checked_slug(slug)}/"
        self._bucket = bucket
        self._client = bucket.client
        self._single_largest = single_largest
        self._part_bytes = part_bytes

    def put(self, key: str, source: Path, *, sha256: str, size: int, mime_type: str) -> bool:
        """Keep the content of `source` under `key`; see ObjectStorage.

        False also where our own first attempt arrived and only its answer was lost.
        """
        named = self._named(key)
        checked_source(source, size)
        arguments = named | {"ContentType": mime_type, "Metadata": {"sha256": sha256}}
        with folders.translated(), translated():
            is_conditional = self._is_conditional()
            if not is_conditional or size > self._single_largest:  # told before gigabytes are sent
                found = self._head(named)
                if found is not None:
                    return self._same(key, found, sha256, size)
            condition = {"IfNoneMatch": "*"} if is_conditional else {}
            if size > self._single_largest:
                is_new = self._put_in_parts(arguments, condition, source, sha256, size)
            else:
                is_new = self._put_whole(arguments, condition, source, sha256, size)
            if is_new:
                return True
            found = self._head(named)
            if found is None:
                raise RetryableError("S3: said that the key is taken, and that there is nothing")
            return self._same(key, found, sha256, size)

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The object's bytes, or `length` of them from `start`, in pieces of at most 256 KB; MissingObjectError."""
        checked_range(start, length)
        named = self._named(key)
        if length == 0:  # there is no such range; whether there is such an object is still asked
            with translated():
                self._client.head_object(**named)
            return iter(())
        whole = start == 0 and length is None
        last = "" if length is None else str(start + length - 1)
        with translated():
            try:
                answer = self._client.get_object(**named, **({} if whole else {"Range": f"bytes={start}-{last}"}))
            except ClientError as failed:
                if status_of(failed) == 416:  # it is shorter than `start`
                    return iter(())
                raise
        return _pieces(answer["Body"])

    def fetch(self, key: str, target: Path) -> None:
        """Write a copy to `target`, a new file; MissingObjectError."""
        write_new(target, self.read(key))

    def local_path(self, key: str) -> Path | None:
        """None: it is nowhere on this machine."""
        return None

    def stat(self, key: str) -> StoredObject | None:
        """The object's size and age; None where there is none. ConfigError where the bucket is not there either."""
        named = self._named(key)
        with translated():
            found = self._head(named)
            if found is None:
                self._check_bucket()
                return None
        return StoredObject(key, int(found["ContentLength"]), found["LastModified"].timestamp())

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Every object whose key begins with `prefix`, in the order of keys; nothing hidden, no other tenant's."""
        return self._list(self._prefix + checked_prefix(prefix))

    def remove(self, key: str) -> None:
        """Remove the object; for `move-objects` alone. No error where there is none."""
        with translated():
            self._client.delete_object(**self._named(key))

    def sweep(self, *, older_than_seconds: float) -> int:
        """Give up the tenant's uploads in parts that were begun so long ago and never completed. How many."""
        before = time.time() - older_than_seconds
        swept = 0
        with translated():
            pages = self._client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self._bucket.name, Prefix=self._prefix):
                for one in page.get("Uploads", ()):
                    if one["Key"].startswith(self._prefix) and one["Initiated"].timestamp() <= before:
                        named = {"Bucket": self._bucket.name, "Key": one["Key"], "UploadId": one["UploadId"]}
                        swept += s3_parts.abort(self._client, named)
        return swept

    def signed_url(self, key: str, *, seconds: int, filename: str, mime_type: str) -> str | None:
        """An address that lets its bearer GET this object for so long, shown in the browser as `mime_type`."""
        if not 1 <= seconds <= LONGEST_SIGNED_SECONDS:
            raise InvalidError("an address lasts between a second and seven days", field="seconds")
        answer = {
            "ResponseContentType": mime_type,
            "ResponseContentDisposition": f'inline; filename="{safe_name(filename)}"',
        }
        with translated():
            url = self._bucket.signer.generate_presigned_url(
                "get_object", Params=self._named(key) | answer, ExpiresIn=seconds, HttpMethod="GET"
            )
        return str(url)

    def _named(self, key: str) -> dict[str, Any]:
        parts_of(key)
        return {"Bucket": self._bucket.name, "Key": self._prefix + key}

    def _put_whole(
        self, arguments: dict[str, Any], condition: dict[str, str], source: Path, sha256: str, size: int
    ) -> bool:
        """One request; False where the key is taken."""
        checksum = b64encode(bytes.fromhex(sha256)).decode()
        for attempt in range(ATTEMPTS):
            with open(source, "rb") as file:
                try:
                    self._client.put_object(
                        **arguments, **condition, Body=file, ContentLength=size, ChecksumSHA256=checksum
                    )
                    return True
                except ClientError as failed:
                    if status_of(failed) == 412:
                        return False
                    if status_of(failed) != 409 or attempt + 1 == ATTEMPTS:
                        raise
            time.sleep(0.05 * 2**attempt)  # another put of this key is under way: AWS asks to come again
        raise AssertionError("not reached")

    def _put_in_parts(
        self, arguments: dict[str, Any], condition: dict[str, str], source: Path, sha256: str, size: int
    ) -> bool:
        """Many requests; False where the key is taken meanwhile."""
        named = {name: arguments[name] for name in ("Bucket", "Key")}
        try:
            with s3_parts.begun(self._client, **arguments) as upload:
                parts = upload.send(source, s3_parts.part_bytes_for(size, self._part_bytes), sha256=sha256)
                # Some stores know the condition for whole objects only, and say nothing: look once more.
                if self._head(named) is not None:
                    raise _TakenError
                try:
                    upload.complete(parts, condition)
                except ClientError as failed:
                    if status_of(failed) != 501:
                        raise
                    upload.complete(parts, {})
        except _TakenError:
            return False
        except ClientError as failed:
            # 412: taken. No such upload: it was completed, and the answer to our first attempt was lost.
            if status_of(failed) == 412 or code_of(failed) == "NoSuchUpload":
                return False
            raise
        return True

    def _same(self, key: str, found: dict[str, Any], sha256: str, size: int) -> bool:
        """False where the same bytes lie there: nothing was written. KeyTakenError where others do.

        They are read: what the object says of itself it says also once it is corrupt, and is put again because of that.
        """
        said = found.get("Metadata", {}).get("sha256", sha256)
        try:
            if said != sha256 or found["ContentLength"] != size or hashed(self.read(key)) != sha256:
                raise KeyTakenError("other bytes lie under this key")
        except MissingObjectError:
            raise RetryableError("S3: the object was removed while it was looked at") from None
        return False

    def _head(self, named: dict[str, Any]) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._client.head_object(**named)
        except ClientError as failed:
            if code_of(failed) in NO_KEY:
                return None
            raise
        return found

    def _check_bucket(self) -> None:
        """A missing object and a missing bucket look alike to HEAD: all images would seem lost."""
        try:
            self._client.head_bucket(Bucket=self._bucket.name)
        except ClientError as failed:
            if status_of(failed) == 404:
                raise ConfigError("S3: there is no such bucket (LABWIRE_AWS_STORAGE_BUCKET_NAME)") from None
            raise

    def _is_conditional(self) -> bool:
        """Whether the store refuses a key that is taken. Asked once, for some ignore the condition without a word."""
        if self._bucket.is_conditional is None:
            self._bucket.is_conditional = any(self._is_refused() for _ in range(2))
        return self._bucket.is_conditional

    def _is_refused(self) -> bool:
        """Whether a put under the probe's key is refused; the first one of all is not."""
        checksum = b64encode(bytes.fromhex(EMPTY_SHA256)).decode()
        named = {"Bucket": self._bucket.name, "Key": self._prefix + PROBE}
        try:
            self._client.put_object(**named, Body=b"", ChecksumSHA256=checksum, IfNoneMatch="*")
        except ClientError as failed:
            if status_of(failed) in (412, 501):
                return status_of(failed) == 412
            raise
        return False

    def _list(self, prefix: str) -> Iterator[StoredObject]:
        pages = iter(self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket.name, Prefix=prefix))
        while True:
            with translated():
                page = next(pages, None)
            if page is None:
                return
            for one in page.get("Contents", ()):
                key = one["Key"].removeprefix(self._prefix)
                if one["Key"].startswith(prefix) and is_key(key):
                    yield StoredObject(key, int(one["Size"]), one["LastModified"].timestamp())


class _TakenError(Exception):
    """The key was taken while the parts were on their way."""


def _pieces(body: Any) -> Iterator[bytes]:
    try:
        while True:
            with translated():
                piece = body.read(PIECE_BYTES)
            if not piece:
                return
            yield piece
    finally:
        body.close()
