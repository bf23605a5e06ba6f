"""Archives in a bucket: AWS S3, and whatever else speaks its protocol."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from .errors import ArchiveDamaged, ArchiveUnavailable, InvalidArchive

CONNECT_SECONDS_MAX = 5
REQUEST_SECONDS_MAX = 30
RETRIES_MAX = 3
RETRY_SECONDS_MAX = 20

METADATA = ("169.254.169.254", 80)  # where machines of a cloud are given credentials
METADATA_SECONDS_MAX = 1

_BUCKET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_CREDENTIALS_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_METADATA_ENDPOINT",
    "AWS_IMDSV1_FALLBACK",
    "AWS_SKIP_SIGNATURE",
)
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


class S3Store:
    """`s3://bucket/prefix`. Keys, region and endpoint are taken from where all S3 programs have them: `AWS_…`.

    A request that isn't answered in time is given up: an archive that hangs must not hang the node.
    """

    def __init__(self, place: str) -> None:
        parts = urlsplit(place)
        if not parts.netloc or parts.query or parts.fragment:
            raise InvalidArchive(place, "a bucket's URL is s3://bucket or s3://bucket/prefix")
        if not _BUCKET_NAME.fullmatch(parts.netloc):
            raise InvalidArchive(place, f"{parts.netloc!r} can't be a bucket's name")
        _ensure_credentials(place)
        self.place = place.rstrip("/")
        self._prefix = parts.path.strip("/")
        self._bucket, self._exceptions = _bucket(place, parts.netloc)

    def put(self, name: str, data: bytes) -> None:
        """One PUT, which is all or nothing."""
        with self._asking(name):
            self._bucket.put(self._key(name), data)

    def get(self, name: str, size_bytes_max: int) -> bytes | None:
        """One GET, whose answer is read only if it is not too large."""
        with self._asking(name):
            try:
                found = self._bucket.get(self._key(name))
            except (FileNotFoundError, self._exceptions.NotFoundError):
                return None
            if found.meta["size"] > size_bytes_max:
                reason = f"it has more than the {size_bytes_max} bytes that were archived"
                raise ArchiveDamaged(self.place, name, reason)
            return bytes(found.bytes())

    def delete(self, name: str) -> None:
        """One DELETE."""
        with self._asking(name):
            try:
                self._bucket.delete(self._key(name))
            except (FileNotFoundError, self._exceptions.NotFoundError):
                return

    def sizes(self, folder: str) -> dict[str, int]:
        """One LIST for each thousand objects."""
        skipped = len(self._key(""))
        with self._asking(folder):
            pages = self._bucket.list(self._key(folder))
            return {found["path"][skipped:]: found["size"] for page in pages for found in page}

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    @contextmanager
    def _asking(self, name: str) -> Iterator[None]:
        try:
            yield
        except (self._exceptions.BaseError, OSError) as error:
            raise ArchiveUnavailable(self.place, name, _in_short(error)) from error


def _ensure_credentials(place: str) -> None:
    """Without any, each request would ask the machine's metadata for them until it gives up."""
    if not any(os.environ.get(name) for name in _CREDENTIALS_VARIABLES) and not _are_given_by_the_machine():
        reason = "there are none; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY where the command or the node runs"
        raise ArchiveUnavailable(place, "credentials", reason)


def _are_given_by_the_machine() -> bool:
    asking = HTTPConnection(*METADATA, timeout=METADATA_SECONDS_MAX)
    try:
        asking.request("PUT", "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        return asking.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        asking.close()


def _bucket(place: str, name: str) -> tuple[Any, Any]:
    try:
        from obstore import exceptions
        from obstore.store import S3Store as Bucket
    except ImportError:
        raise InvalidArchive(place, "archives in buckets need `pip install 'rookery[s3]'`") from None
    endpoint = next((os.environ[name] for name in _ENDPOINT_VARIABLES if os.environ.get(name)), None)
    settings: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
    try:
        bucket = Bucket(
            name,
            client_options={
                "allow_http": bool(endpoint and endpoint.startswith("http://")),
                "connect_timeout": timedelta(seconds=CONNECT_SECONDS_MAX),
                "timeout": timedelta(seconds=REQUEST_SECONDS_MAX),
            },
            retry_config={"max_retries": RETRIES_MAX, "retry_timeout": timedelta(seconds=RETRY_SECONDS_MAX)},
            **settings,
        )
    except exceptions.BaseError as error:
        raise InvalidArchive(place, _in_short(error)) from None
    return bucket, exceptions


def _in_short(error: BaseException) -> str:
    """The library's first line, without the page of XML that a server may have sent."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return first.partition(": <?xml")[0]
