"""Where a tenant's images lie: the backend an object names, and the one that new objects go to."""

import os
from functools import lru_cache

from models.imaging.ports import ObjectStorage
from models.kernel.errors import ConfigError
from models.kernel.settings import Settings, settings
from tasks.clients.storage.filesystem import FilesystemStorage
from tasks.clients.storage.keys import checked_slug
from tasks.clients.storage.mounting import Mount


def storage_for(backend: str, tenant_slug: str) -> ObjectStorage:
    """The backend of this name (`filesystem`, `s3`) for one tenant; the same object each time. ConfigError."""
    slug = checked_slug(tenant_slug)
    if backend == "filesystem":
        return _filesystem(Mount(settings().media, settings().state_dir), slug)
    if backend == "s3":
        return _s3(settings(), slug, os.getpid())
    raise ConfigError("no such image storage: filesystem and s3 are there")


def storage_for_new(tenant_slug: str) -> ObjectStorage:
    """The backend that LABWIRE_RADIOLOGY_STORAGE names: where new images are put."""
    return storage_for(settings().radiology_storage, tenant_slug)


@lru_cache(maxsize=1024)
def _filesystem(mount: Mount, slug: str) -> FilesystemStorage:
    mount.note()
    return FilesystemStorage(mount.media / slug, mount)


@lru_cache(maxsize=1024)
def _s3(given: Settings, slug: str, _process: int) -> ObjectStorage:
    from tasks.clients.storage import s3, s3_bucket  # 0.3 s and 30 MB that an installation without S3 does not pay

    return s3.S3Storage(slug, s3_bucket.bucket_of(s3_bucket.Account.of(given)))
