"""The library in an S3-compatible store, through boto3 (extra `s3`).

Endpoint, region and credentials come from boto3's own chain and are never read, stored or logged here: `AWS_PROFILE`,
`AWS_ENDPOINT_URL_S3`, `AWS_ACCESS_KEY_ID`, an instance's role. `put_if_absent` needs conditional writes
(`If-None-Match: *`), which AWS, MinIO, Ceph and R2 have.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from materials.errors import Retryable, SosieError, UsageError
from model_plugins.library.store import NoSuchObject, check_key

INSTALL: Final = "pip install 'sosie[s3]'"
_TAKEN: Final = {"PreconditionFailed", "412"}
_TWO_WRITERS: Final = {"ConditionalRequestConflict", "409"}
_ABSENT: Final = {"NoSuchKey", "404", "NotFound"}
_FORBIDDEN: Final = {"AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}
T = TypeVar("T")


class S3Store:
    """Objects in a bucket, below a prefix.

    Args:
        location: `s3://bucket/prefix`.

    Raises:
        UsageError: boto3 is not installed, or this is not such a location.
    """

    def __init__(self, location: str) -> None:
        try:
            boto3: Any = import_module("boto3")
            botocore: Any = import_module("botocore.config")
            errors: Any = import_module("botocore.exceptions")
        except ImportError:
            raise UsageError(f"a model library at {location} needs boto3, which is not installed", INSTALL) from None
        parts = urlsplit(location)
        if parts.scheme != "s3" or not parts.hostname or parts.username or parts.password or parts.query:
            raise UsageError(
                "that is not a location in an S3 store", "s3://BUCKET/PREFIX; credentials come from AWS_PROFILE"
            )
        self._bucket = parts.netloc
        self._prefix = parts.path.strip("/")
        self._client_error: type[Exception] = errors.ClientError
        self._core_error: type[Exception] = errors.BotoCoreError
        # others than AWS may not know the checksums that boto3 has begun to send by itself
        config = botocore.Config(
            retries={"max_attempts": 5, "mode": "standard"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        try:
            self._client: Any = boto3.client("s3", config=config)
        except (errors.BotoCoreError, ValueError) as error:
            raise UsageError(f"the S3 client cannot be set up: {error}", "check AWS_PROFILE and AWS_REGION") from None

    @property
    def location(self) -> str:
        """`s3://bucket/prefix`."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """A conditional write; two at once are told from one that was there before."""
        for _ in range(3):
            try:
                self._call(
                    lambda: self._client.put_object(
                        Bucket=self._bucket, Key=self._path(key), Body=data, IfNoneMatch="*"
                    )
                )
            except _Answer as answer:
                if answer.code in _TAKEN:
                    return False
                if answer.code not in _TWO_WRITERS:
                    raise self._failure(answer, key) from None
            else:
                return True
        raise Retryable(f"{self.location}: two writers of {key} keep colliding")

    def get(self, key: str) -> bytes:
        """The object's bytes."""
        try:
            body = self._call(lambda: self._client.get_object(Bucket=self._bucket, Key=self._path(key))["Body"])
            return bytes(self._call(body.read))
        except _Answer as answer:
            if answer.code in _ABSENT:
                raise NoSuchObject(f"the model library in {self.location} has no {key}") from None
            raise self._failure(answer, key) from None

    def list(self, prefix: str) -> list[str]:
        """All pages of the listing."""
        below = f"{self._path(prefix)}/" if prefix else f"{self._prefix}/" if self._prefix else ""
        cut = len(self._prefix) + 1 if self._prefix else 0

        def pages() -> list[str]:
            paginator = self._client.get_paginator("list_objects_v2")
            found = paginator.paginate(Bucket=self._bucket, Prefix=below)
            return sorted(entry["Key"][cut:] for page in found for entry in page.get("Contents", ()))

        try:
            return self._call(pages)
        except _Answer as answer:
            raise self._failure(answer, prefix) from None

    def delete(self, key: str) -> None:
        """Remove the object."""
        try:
            self._call(lambda: self._client.delete_object(Bucket=self._bucket, Key=self._path(key)))
        except _Answer as answer:
            raise self._failure(answer, key) from None

    def _path(self, key: str) -> str:
        return f"{self._prefix}/{check_key(key)}" if self._prefix else check_key(key)

    def _call(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except self._client_error as error:
            raise _Answer(error) from None
        except self._core_error as error:
            # its words name the endpoint and the profile, never a secret
            raise Retryable(f"{self.location} cannot be reached: {error}") from None

    def _failure(self, answer: _Answer, key: str) -> SosieError:
        if answer.code == "NoSuchBucket":
            return UsageError(f"there is no bucket {self._bucket}", "make it, or set SOSIE_LIBRARY to another one")
        if answer.code in _FORBIDDEN:
            return UsageError(
                f"{self.location} refuses these credentials ({answer.code})", "check AWS_PROFILE or the role in use"
            )
        return Retryable(f"{self.location}: {answer.code} for {key}")


class _Answer(Exception):
    """What the store answered, by its code."""

    def __init__(self, error: Any) -> None:
        super().__init__()
        self.code = str(error.response.get("Error", {}).get("Code", ""))
