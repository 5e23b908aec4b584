"""Fetch one file of one release from a Python package index, pinned by its sha256."""

from __future__ import annotations

import hashlib
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from html import unescape
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import msgspec

from materials.errors import Retryable, SosieError

DEFAULT_INDEX = "https://pypi.org/simple"
_SYSTEM_STORES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_HREF = re.compile(r"""<a\s[^>]*href=["']([^"']+)["']""", re.IGNORECASE)


class IndexFile(msgspec.Struct, frozen=True):
    """A file of a release: the project's normalised name, the file's name and its sha256 in hex."""

    project: str
    filename: str
    sha256: str


Fetch = Callable[[str], bytes]
"""URL -> body. Raises OSError when the other side cannot be reached or says no."""


def certificate_stores() -> Iterator[ssl.SSLContext]:
    """Contexts to try in turn: Python's own defaults, the system's usual bundles, certifi's, pip's vendored copy.

    A Python that was built elsewhere often looks for its certificates where this machine has none.
    """
    yield ssl.create_default_context()
    paths = [Path(os.environ[name]) for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE") if os.environ.get(name)]
    paths += [Path(path) for path in _SYSTEM_STORES]
    for module, tail in (("certifi", "cacert.pem"), ("pip", "_vendor/certifi/cacert.pem")):
        spec = find_spec(module)
        if spec is not None and spec.origin is not None:
            paths.append(Path(spec.origin).parent / tail)
    for path in paths:
        if path.is_file():
            yield ssl.create_default_context(cafile=str(path))


def https_get(url: str, timeout: float = 60.0) -> bytes:
    """GET over verified TLS, with the first certificate store that the server's chain passes.

    Raises:
        ValueError: the URL is not https.
        OSError: not reachable, refused, or verified by no store.
    """
    if urlsplit(url).scheme != "https":
        raise ValueError(f"only https is fetched, not {url!r}")
    failure: OSError = OSError(f"no certificate store found for {url}")
    for context in certificate_stores():
        try:
            with urllib.request.urlopen(url, timeout=timeout, context=context) as answer:  # noqa: S310  (https above)
                body: bytes = answer.read()
                return body
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ssl.SSLCertVerificationError):
                raise
            failure = error
    raise failure


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_url(page: str, page_url: str, filename: str) -> str | None:
    """The file's address on a project page of the simple repository API (PEP 503), without its fragment."""
    for href in _HREF.findall(page):
        url = urljoin(page_url, unescape(href)).partition("#")[0]
        if urlsplit(url).path.rpartition("/")[2] == filename:
            return url
    return None


def fetch(
    wanted: IndexFile,
    folder: Path,
    *,
    index: str = DEFAULT_INDEX,
    get: Fetch = https_get,
    attempts: int = 4,
    wait: Callable[[float], None] = time.sleep,
) -> Path:
    """Leave the file in `folder`; a file that is already there with the right hash is not fetched again.

    Raises:
        Retryable: the index could not be reached in `attempts` tries.
        SosieError: the index does not list the file, or its bytes are not the pinned ones.
    """
    path = folder / wanted.filename
    if path.is_file() and sha256_of(path) == wanted.sha256:
        return path
    page_url = f"{index.rstrip('/')}/{wanted.project}/"
    for attempt in range(attempts):
        try:
            url = file_url(get(page_url).decode(), page_url, wanted.filename)
            if url is None:
                raise SosieError(f"{page_url} does not list {wanted.filename}")
            body = get(url)
            break
        except OSError as error:
            if attempt + 1 == attempts:
                raise Retryable(f"could not fetch {wanted.filename} from {page_url}: {error}") from error
            wait(2.0**attempt)
    found = hashlib.sha256(body).hexdigest()
    if found != wanted.sha256:
        raise SosieError(f"{wanted.filename} from {url} has sha256 {found}; pinned is {wanted.sha256}")
    write_whole(path, body)
    return path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is never seen half-written, also by a process that makes the same one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    partial.write_bytes(data)
    partial.replace(path)
