"""What an S3 store answers, as one of our errors. No message holds a key, an address or a credential."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3.exceptions
from botocore import exceptions as boto

from models.imaging.ports import MissingObjectError
from models.kernel.errors import ConfigError, InvalidError, LabwireError, RetryableError, UnavailableError
from tasks.clients.retry_after import retry_after_seconds

NO_KEY = frozenset({"NoSuchKey", "404", "NotFound"})
NOT_AS_SENT = frozenset(
    {"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "IncompleteBody"}
)
NOT_NOW = frozenset(
    {"SlowDown", "RequestTimeout", "OperationAborted", "ConditionalRequestConflict", "Throttling", "TooManyRequests"}
)
NOT_SENT = (boto.EndpointConnectionError, boto.ConnectTimeoutError)
NO_ANSWER = (boto.HTTPClientError, boto.ResponseStreamingError, boto.IncompleteReadError, urllib3.exceptions.HTTPError)
_CODE = re.compile(r"[A-Za-z0-9.]{1,60}")
_SETTINGS = {
    "InvalidAccessKeyId": "LABWIRE_AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "LABWIRE_AWS_SECRET_ACCESS_KEY and LABWIRE_AWS_ACCESS_KEY_ID",
    "NoSuchBucket": "LABWIRE_AWS_STORAGE_BUCKET_NAME",
    "InvalidBucketName": "LABWIRE_AWS_STORAGE_BUCKET_NAME",
    "PermanentRedirect": "LABWIRE_AWS_S3_REGION_NAME",
    "AuthorizationHeaderMalformed": "LABWIRE_AWS_S3_REGION_NAME",
    "RequestTimeTooSkewed": "this machine's clock",
}


def code_of(failed: boto.ClientError) -> str:
    """The answer's error code, or its status where it had no body."""
    return str(failed.response.get("Error", {}).get("Code", ""))


def status_of(failed: boto.ClientError) -> int:
    """The answer's HTTP status; 0 where it is not known."""
    return int(_meta(failed).get("HTTPStatusCode", 0))


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the client library as ours: see ObjectStorage."""
    try:
        yield
    except boto.ClientError as failed:
        raise _answered(failed) from None
    except boto.SSLError as failed:
        if "CERTIFICATE_VERIFY_FAILED" in str(failed):
            raise ConfigError("S3: its certificate is not trusted (LABWIRE_OUTSIDE_CA_FILE)") from None
        raise UnavailableError("S3: no secured connection; nothing was sent") from None
    except NOT_SENT:
        raise UnavailableError("S3: cannot be reached; nothing was sent") from None
    except NO_ANSWER as failed:
        raise RetryableError(f"S3: connection lost or no answer in time ({type(failed).__name__})") from None
    except boto.BotoCoreError as failed:  # a parameter or setting that the library itself refuses
        raise ConfigError(f"S3: {type(failed).__name__}; the LABWIRE_AWS_ settings do not fit") from None


def _answered(failed: boto.ClientError) -> LabwireError:
    code, status = code_of(failed), status_of(failed)
    shown = code if _CODE.fullmatch(code) else str(status)
    if code in NO_KEY:
        return MissingObjectError("no image lies under this key")
    if code in NOT_AS_SENT:
        return InvalidError("the file to be kept is not what its checksum says", field="sha256")
    if code in NOT_NOW or status in {408, 425, 429} or status >= 500:
        headers = _meta(failed).get("HTTPHeaders", {})
        wait = retry_after_seconds(headers.get("retry-after"))
        return RetryableError(f"S3: answered {status} {shown}", retry_after_seconds=wait)
    what = _SETTINGS.get(code, "the LABWIRE_AWS_ settings or the key's rights")
    return ConfigError(f"S3: answered {status} {shown}; look at {what}")


def _meta(failed: boto.ClientError) -> dict[str, Any]:
    meta: dict[str, Any] = failed.response.get("ResponseMetadata", {})
    return meta
