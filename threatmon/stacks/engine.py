"""The Pulumi engine, from PATH or installed into the project."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from threatmon import project
from threatmon.errors import UsageError

ENGINE_VERSION = "3.272.0"
_INSTALL_ROOT = project.ROOT / ".pulumi"
_PATIENCE = 60  # seconds for the backend to answer


def find_engine() -> Path:
    """Return the engine's executable: on PATH, else in the project, else installed there.

    Raises :class:`UsageError` if it is nowhere and cannot be downloaded.
    """
    if on_path := shutil.which("pulumi"):
        return Path(on_path)
    installed = _INSTALL_ROOT / "bin" / "pulumi"
    if not installed.exists():
        try:
            _install(_INSTALL_ROOT)
        except (OSError, subprocess.CalledProcessError, RuntimeError) as error:
            raise UsageError(
                f"Pulumi {ENGINE_VERSION} is not on PATH and could not be downloaded ({error}).\n"
                "Install it as https://www.pulumi.com/docs/iac/download-install/ says, put `pulumi` on PATH, try again."
            ) from error
    return installed


def ask_engine(*arguments: str, failure: str) -> Any:
    """Return what a command of the engine prints as JSON; None if it prints nothing.

    Raises :class:`UsageError` that starts with ``failure`` if the command fails or the backend does not answer.
    """
    command = [str(find_engine()), *arguments, "--json", "--non-interactive"]
    called = f"`pulumi {' '.join(arguments[:2])}`"
    try:
        done = subprocess.run(  # noqa: S603 - our engine
            command,
            cwd=project.ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )
        if not done.returncode:
            return json.loads(done.stdout or "null")
        why = reason(done.stderr) or f"{called} ended with {done.returncode}"
    except subprocess.TimeoutExpired:
        why = f"the backend did not answer within {_PATIENCE} seconds"
    except (OSError, ValueError) as error:
        why = f"{called} did not work: {error}"
    raise UsageError(f"{failure}: {why}")


def reason(stderr: str) -> str:
    """Return why a command of the engine failed, as it says, without the password that a backend's URL may hold."""
    return re.sub(r"://[^/@\s]+@", "://***@", stderr.strip().removeprefix("error: "))


def _install(root: Path) -> None:
    # Its import takes half a second: https://www.pulumi.com/docs/iac/guides/building-extending/automation-api/
    from pulumi.automation import PulumiCommand  # noqa: PLC0415 - as above
    from semver import VersionInfo  # noqa: PLC0415 - as above

    PulumiCommand.install(root=str(root), version=VersionInfo.parse(ENGINE_VERSION), skip_version_check=True)
