"""The Pulumi engine, from PATH or installed into the project."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from pulumi.automation import PulumiCommand
from semver import VersionInfo

from threatmon import project
from threatmon.errors import UsageError

ENGINE_VERSION = "3.272.0"
_INSTALL_ROOT = project.ROOT / ".pulumi"


def find_engine(install: Callable[[Path], object] | None = None) -> Path:
    """The engine's executable: on PATH, else in the project, else installed there by ``install`` (given the folder).

    Raises :class:`UsageError` where it is nowhere and cannot be downloaded.
    """
    on_path = shutil.which("pulumi")
    if on_path:
        return Path(on_path)
    installed = _INSTALL_ROOT / "bin" / "pulumi"
    if not installed.exists():
        try:
            (install or _install)(_INSTALL_ROOT)
        except (OSError, subprocess.CalledProcessError, RuntimeError) as error:
            raise UsageError(
                f"Pulumi {ENGINE_VERSION} is not on PATH and could not be downloaded ({error}).\n"
                "Install it as https://www.pulumi.com/docs/iac/download-install/ says, put `pulumi` on PATH, try again."
            ) from error
    return installed


def reason(stderr: str) -> str:
    """Why a command of the engine failed, in its own words, but for the password that the URL of a backend may hold."""
    return re.sub(r"://[^/@\s]+@", "://***@", stderr.strip().removeprefix("error: "))


def _install(root: Path) -> None:
    # https://www.pulumi.com/docs/iac/guides/building-extending/automation-api/
    PulumiCommand.install(root=str(root), version=VersionInfo.parse(ENGINE_VERSION), skip_version_check=True)
