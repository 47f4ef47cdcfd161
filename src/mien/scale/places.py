"""Places: files and folders by path or address (`s3://`, `gs://`, `https://` …), read, listed and written whole.

Local paths go through the operating system, as everywhere in mien; addresses through pyarrow's file systems, and
https through Python's own. A read that fails on the way is tried again; one that goes on failing ends the job and does
not become a row: the picture may be well.
"""

from __future__ import annotations

import http.client
import io
import os
import random
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from mien.errors import InputError, MissingExtraError, first_line, not_writable
from mien.files import write_whole
from mien.images import MAX_BYTES

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://")
_WEB = ("http", "https")
_ATTEMPTS = 7  # within half a minute
_WAIT_S = 0.5  # before the second attempt; doubled each time
_TIMEOUT_S = 30
_LARGEST = 2**33  # bytes of a table or video that has to be read as a whole
_GOES_ON = "Finished parts stay; once it answers again, the same command goes on"


class Missing(Exception):  # noqa: N818  not an error of the job: its message is a picture's
    """A file that is not there, or that nobody lets us read, in a place that answers."""


class UnreachableError(InputError):
    """A place that does not answer, or does not let us in: that says nothing of what lies there."""


def is_address(name: str) -> bool:
    """Whether `name` is an address and no local path.

    >>> is_address("s3://bucket/photos"), is_address("photos"), is_address("C:\\\\photos")
    (True, False, False)
    """
    return _ADDRESS.match(name) is not None


def joined(folder: str, name: str) -> str:
    """`name` in `folder`, a path or an address."""
    return f"{folder.rstrip('/')}/{name}" if is_address(folder) else str(Path(folder) / name)


def content(name: str, most: int = MAX_BYTES) -> bytes:
    """The bytes of a file, `most` of them.

    Raises `Missing` where there is none or it is larger, `InputError` for a place that does not answer.
    """
    if _scheme(name) in _WEB:
        data: bytes = patient(name, lambda: _of_web(name, most))
        return data
    if not is_address(name):
        try:
            return Path(name).read_bytes()
        except OSError as error:
            raise Missing(f"{name}: cannot be read ({error.strerror})") from error
    found: bytes = patient(name, lambda: _of_store(name, most))
    return found


def opened(name: str) -> Any:
    """A file for pyarrow's readers, which take the parts of it that they need. Errors as of `content`."""
    if not is_address(name):
        return name
    if _scheme(name) in _WEB:
        return io.BytesIO(content(name, _LARGEST))
    store, path = _store(name)
    return patient(name, lambda: _open_object(store, path, name))


def exists(name: str) -> bool:
    """Whether there is such a file or folder."""
    if not is_address(name):
        return Path(name).exists()
    import pyarrow.fs as pf

    store, path = _store(name)
    return bool(patient(name, lambda: store.get_file_info(path)).type != pf.FileType.NotFound)


def is_folder(name: str) -> bool:
    """Whether it is a folder that is there. On the web there are none."""
    if not is_address(name):
        return Path(name).is_dir()
    if _scheme(name) in _WEB:
        return False
    import pyarrow.fs as pf

    store, path = _store(name)
    return bool(patient(name, lambda: store.get_file_info(path.rstrip("/"))).type == pf.FileType.Directory)


def files_in(folder: str, *, below: bool = False) -> Iterator[str]:
    """Names of the files in a folder at an address, in order; `below`: in those below it, too."""
    import pyarrow.fs as pf

    store, path = _store(folder)
    found = patient(folder, lambda: store.get_file_info(pf.FileSelector(path.rstrip("/"), recursive=below)))
    scheme = _scheme(folder)
    yield from sorted(f"{scheme}://{info.path}" for info in found if info.type == pf.FileType.File)


def names_in(folder: str) -> list[str]:
    """Last parts of the names of the files in a folder of ours; none where there is no such folder."""
    if not is_address(folder):
        try:
            return sorted(entry.name for entry in os.scandir(folder))
        except FileNotFoundError:
            return []
    return [name.rpartition("/")[2] for name in files_in(folder)] if is_folder(folder) else []


def write(name: str, data: bytes) -> None:
    """Write a file whole or not at all. Raises `InputError`."""
    if not is_address(name):
        try:
            write_whole(Path(name), data)
        except OSError as error:
            raise not_writable(name, error, "Finished parts stay; the same command goes on") from error
        return
    if _scheme(name) in _WEB:
        raise InputError(f"{name}: nothing can be written to the web; name a folder, or s3:// or gs://")
    store, path = _store(name)

    def put() -> None:
        # One write: an object is there once its stream is closed, and not before.
        with store.open_output_stream(path) as stream:
            stream.write(data)

    patient(name, put)


def remove(name: str) -> None:
    """Remove a file; nothing where there is none."""
    if not is_address(name):
        Path(name).unlink(missing_ok=True)
        return
    store, path = _store(name)
    if exists(name):
        patient(name, lambda: store.delete_file(path))


def _scheme(name: str) -> str:
    found = _ADDRESS.match(name)
    return found[1] if found else ""


def _of_store(name: str, most: int) -> bytes:
    store, path = _store(name)
    with _open_object(store, path, name) as file:
        if file.size() > most:
            raise Missing(f"{name}: has {file.size():,} bytes, more than {most:,}")
        return bytes(file.read())


def _open_object(store: Any, path: str, name: str) -> Any:
    try:
        return store.open_input_file(path)
    except FileNotFoundError as error:
        raise Missing(f"{name}: no such file") from error


def _of_web(name: str, most: int) -> bytes:
    try:
        with urllib.request.urlopen(name, timeout=_TIMEOUT_S) as answer:
            data: bytes = answer.read(most + 1)
    except urllib.error.HTTPError as error:
        if error.code in (429, 500, 502, 503, 504):
            raise
        raise Missing(f"{name}: the server answers {error.code} ({error.reason})") from error
    if len(data) > most:
        raise Missing(f"{name}: has more than {most:,} bytes")
    return data


def patient(name: str, ask: Callable[[], Any]) -> Any:
    """What `ask()` gives; where the way there fails, it is asked again. `InputError` in the end."""
    for attempt in range(_ATTEMPTS):
        try:
            return ask()
        except Missing:
            _check_there(name)
            raise
        except (OSError, http.client.HTTPException) as error:
            if _is_refused(error):
                raise UnreachableError(
                    f"{name}: access is refused ({first_line(error)}). Credentials are taken from where the store's "
                    "own programs take them (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws, "
                    "GOOGLE_APPLICATION_CREDENTIALS), on every machine that works on the job"
                ) from error
            if isinstance(error, FileNotFoundError):
                raise UnreachableError(f"{name}: is not there. {_GOES_ON}") from error
            if attempt + 1 == _ATTEMPTS:
                raise UnreachableError(
                    f"{name}: does not answer, asked {_ATTEMPTS} times ({first_line(error)}). {_GOES_ON}"
                ) from error
            time.sleep(_WAIT_S * 2**attempt * random.uniform(0.5, 1))  # workers do not come back in step
    raise AssertionError("the last attempt returns or raises")


def _check_there(name: str) -> None:
    """Raise `InputError` where not one file is missing but its whole bucket."""
    if _scheme(name) in ("", *_WEB):
        return
    import pyarrow.fs as pf

    store, path = _store(name)
    bucket = path.partition("/")[0]
    try:
        gone = store.get_file_info(bucket).type == pf.FileType.NotFound
    except OSError:
        return  # not allowed to ask: the file alone is told
    if gone:
        raise UnreachableError(f"{name}: there is no bucket {bucket} (any more). {_GOES_ON}")


def _is_refused(error: BaseException) -> bool:
    told = str(error)
    words = ("ACCESS_DENIED", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "HTTP status 401")
    return isinstance(error, PermissionError) or any(word in told for word in words)


def _store(name: str) -> tuple[Any, str]:
    """pyarrow's file system for an address, and the path in it."""
    try:
        return _system(_scheme(name), os.getpid()), name.partition("://")[2]
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{name}: reading from a store", "parquet") from error


@lru_cache(maxsize=8)
def _system(scheme: str, _process: int) -> Any:
    """Opened once a process: a connection does not outlive a fork."""
    import pyarrow.fs as pf

    if scheme in ("s3", "s3a"):
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        where = {"endpoint_override": endpoint} if endpoint else {}
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return pf.S3FileSystem(
            **where,
            **({"region": region} if region else {}),
            anonymous=os.environ.get("AWS_NO_SIGN_REQUEST", "").lower() in ("1", "yes", "true"),
            request_timeout=_TIMEOUT_S,
            connect_timeout=10,
            retry_strategy=pf.AwsStandardS3RetryStrategy(max_attempts=1),  # `patient` asks again
        )
    if scheme in ("gs", "gcs"):
        return pf.GcsFileSystem()
    try:
        import fsspec

        return pf.PyFileSystem(pf.FSSpecHandler(fsspec.filesystem(scheme)))
    except (ImportError, ValueError) as error:
        raise InputError(
            f"{scheme}://: no file system for it is installed ({first_line(error)}). "
            "s3://, gs:// and https:// are read as they are; others need their fsspec package"
        ) from error
