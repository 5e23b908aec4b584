"""Makes and finds the model server's Python environment, `.venv-model` beside `.venv`.

Two environments, because Triton's Python backend needs numpy 1.x and is another program than ours. Run as
`python -m deploy.model_server.environment` by `make setup`; `sosie up` calls `ensure` too, which then does nothing.
Extras (`--extras ocr,speech`) add the packages of heavy models, weights included, to the same environment: all sets
are locked together, so that they never disagree (`lock.sh`).
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from deploy.model_server.catalogue import EXTRAS, parse_extras
from deploy.model_server.libpython import REMEDY as NO_LIBPYTHON
from deploy.model_server.libpython import find_libpython
from materials.errors import SosieError, UsageError

Server = Literal["triton", "mlserver"]
HERE = Path(__file__).parent
REQUIREMENTS: dict[Server, str] = {"triton": "requirements.txt", "mlserver": "requirements-mlserver.txt"}
STAMP = "sosie-requirements.sha256"
OLDEST_LIBC = (2, 35)
Say = Callable[[str], None]


class ModelEnvironment(msgspec.Struct, frozen=True):
    """A usable environment. `library_folder`: what LD_LIBRARY_PATH needs, empty for MLServer."""

    folder: Path
    server: Server
    library_folder: str = ""

    @property
    def site_packages(self) -> Path:
        """Where its packages lie."""
        return self.folder / "lib" / "python3.11" / "site-packages"


def default_folder() -> Path:
    """`SOSIE_MODEL_ENV`, else `.venv-model` (`.venv-model-mlserver` for the fallback) beside our own environment."""
    given = os.environ.get("SOSIE_MODEL_ENV")
    return Path(given) if given else Path(sys.prefix).parent / ".venv-model"


def choose_server(library: Path | None, libc: str) -> tuple[Server, str]:
    """Which server can run here, and one sentence that says why it is not Triton.

    Args:
        library: folder of libpython3.11.so.1.0, if there is one.
        libc: the C library's version, e.g. `2.36`; empty where it is not glibc.
    """
    numbers = tuple(int(part) for part in libc.split(".")[:2] if part.isdecimal())
    if numbers < OLDEST_LIBC:
        return "mlserver", f"Triton's wheel needs glibc 2.35, this machine has {libc or 'another libc'}"
    if library is None:
        return "mlserver", NO_LIBPYTHON
    return "triton", ""


def ensure(
    folder: Path | None = None,
    say: Say | None = None,
    server: Server | None = None,
    extras: Collection[str] = (),
    uv: Path | None = None,
) -> ModelEnvironment:
    """The environment, made or brought up to date when need be.

    Args:
        folder: where; default `default_folder()`.
        say: gets one line for each step that takes time, and the reason when it is not Triton that will serve.
        server: which one; default: Triton where it can run (SOSIE_MODEL_SERVER overrules).
        extras: requirement sets that must be there beside the server's own; those that are there already stay.
        uv: the program; default `find_uv()`.

    Raises:
        UsageError: uv is missing, or extras are wanted where Triton cannot run.
        SosieError: the packages could not be installed.
    """
    say = say or (lambda _line: None)
    library = find_libpython()
    wanted = server or os.environ.get("SOSIE_MODEL_SERVER") or ""
    if wanted not in ("", "triton", "mlserver"):
        raise UsageError(f"SOSIE_MODEL_SERVER={wanted} is unknown", "use triton or mlserver")
    chosen, reason = choose_server(library, platform.libc_ver()[1])
    if wanted == "mlserver":
        chosen, reason = "mlserver", ""
    if reason:
        say(reason)
    target = folder or default_folder()
    if chosen == "mlserver":
        target = target.with_name(target.name + "-mlserver")
        if extras:
            raise UsageError(f"{', '.join(sorted(extras))} need Triton, and MLServer serves here", NO_LIBPYTHON)
    if not _is_current(target, _stamp(chosen, {*extras, *installed_extras(target)})):
        with _locked(target):
            every = {*extras, *installed_extras(target)}
            if not _is_current(target, _stamp(chosen, every)):
                _build(target, requirement_files(chosen, every), say, uv)
                (target / STAMP).write_text(_stamp(chosen, every))
    return ModelEnvironment(target, chosen, str(library or "") if chosen == "triton" else "")


def requirement_files(server: Server, extras: Collection[str]) -> list[Path]:
    """The pinned requirements of a server and of its extras."""
    return [HERE / REQUIREMENTS[server], *(HERE / f"requirements-{extra}.txt" for extra in sorted(extras))]


def installed_extras(folder: Path | None = None) -> tuple[str, ...]:
    """The extras that an environment has, as its stamp tells; those that are not known any more are left out."""
    try:
        lines = ((folder or default_folder()) / STAMP).read_text().splitlines()
    except FileNotFoundError:
        return ()
    names = {line.split()[0].removeprefix("requirements-").removesuffix(".txt") for line in lines if line.strip()}
    return tuple(extra for extra in EXTRAS if extra in names)


def _stamp(server: Server, extras: Collection[str]) -> str:
    """One line a requirement file: its name and its hash."""
    files = requirement_files(server, extras)
    return "".join(f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n" for file in files)


def find_uv() -> Path:
    """The uv program: `.tools/bin/uv` of the project, beside our Python, or on PATH.

    Raises:
        UsageError: there is none.
    """
    for candidate in (Path(sys.prefix).parent / ".tools" / "bin" / "uv", Path(sys.prefix) / "bin" / "uv"):
        if candidate.is_file():
            return candidate
    found = shutil.which("uv")
    if found is None:
        raise UsageError("uv is missing, and the model server's environment is not there", "run `make setup`")
    return Path(found)


def _is_current(folder: Path, wanted: str) -> bool:
    stamp = folder / STAMP
    return stamp.is_file() and stamp.read_text() == wanted and (folder / "bin" / "python").exists()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(folder: Path, requirements: Sequence[Path], say: Say, uv: Path | None = None) -> None:
    uv = uv or find_uv()
    more = [file.stem.removeprefix("requirements-") for file in requirements[1:]]
    size = "about 100 MB" + (f", and {', '.join(more)}: up to {200 * len(more)} MB more" if more else "")
    say(f"making the model server's environment in {folder} (once, {size})")
    (folder / STAMP).unlink(missing_ok=True)
    if not (folder / "bin" / "python").exists():
        _uv(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
    python = str(folder / "bin" / "python")
    _uv(uv, "pip", "sync", "--quiet", "--require-hashes", "--python", python, *map(str, requirements))


def _uv(uv: Path, *arguments: str) -> None:
    """Run uv, trusting the system's certificates first: behind a proxy its own list is not enough."""
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    failures = []
    for trust in (["--system-certs"], []):
        done = subprocess.run(
            [str(uv), *trust, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return
        failures.append(done.stderr.strip().splitlines()[-1:] or ["no message"])
    raise SosieError(f"uv {arguments[0]} failed for the model server's environment: {failures[0][0]}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the environment, telling the steps on standard error; 2 when something is missing, 1 when it failed."""
    parser = argparse.ArgumentParser(prog="python -m deploy.model_server.environment", description=__doc__)
    parser.add_argument("--extras", default="", metavar="NAMES", help=f"any of {', '.join(EXTRAS)}; or all")
    parser.add_argument("--uv", type=Path, help="the uv program (default: .tools/bin/uv, then PATH)")
    options = parser.parse_args(arguments)

    def say(line: str) -> None:
        sys.stderr.write(line + "\n")

    try:
        made = ensure(say=say, extras=parse_extras(options.extras), uv=options.uv)
    except UsageError as error:
        say(f"{error.message}: {error.remedy}")
        return 2
    except SosieError as error:
        say(str(error))
        return 1
    extras = installed_extras(made.folder)
    say(f"{made.server} environment ready in {made.folder}" + (f", with {', '.join(extras)}" if extras else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
