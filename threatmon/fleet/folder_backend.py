"""A state backend in a folder (``file://``) after an engine was killed or the disk was full.

Beside each file the backend keeps one with its attributes, which it does not write at once: an engine killed in between
leaves it empty, and then no stack can be listed or loaded (`failed to load checkpoint: EOF`). The state itself is
whole, and the attributes are not needed: https://pkg.go.dev/gocloud.dev/blob/fileblob#Options
"""

import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

from threatmon.fleet.known_stack import KnownStack


def remove_empty_attributes(url: str) -> list[Path]:
    """Remove the empty files of attributes from a backend at a ``file://`` URL, and return them; none elsewhere."""
    if not (folder := _folder(url)):
        return []
    empty = [path for path in folder.rglob("*.attrs") if path.stat().st_size == 0]
    for path in empty:
        path.unlink(missing_ok=True)
    return empty


def states(url: str, project: str) -> list[KnownStack]:
    """Return the states of a project's stacks in a backend at a ``file://`` URL; none elsewhere."""
    if not (folder := _folder(url)):
        return []
    stacks = sorted((folder / "stacks" / project).glob("*"))
    compressed = [path.name.partition(".json.")[0] for path in stacks if path.name.endswith((".json.gz", ".json.zst"))]
    return [*map(KnownStack, compressed), *(_state(path) for path in stacks if path.suffix == ".json")]


def _state(path: Path) -> KnownStack:
    try:
        latest = json.loads(path.read_bytes())["checkpoint"].get("latest") or {}
        return KnownStack(
            path.stem, latest.get("manifest", {}).get("time"), resources=len(latest.get("resources") or [])
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        backup = path.with_name(f"{path.name}.bak")
        # Which is not done here: nobody else knows whether what was deployed since then can be lost sight of.
        fix = (
            "The one before the last write is beside it. To go on from there, without what was deployed since then:\n"
            f"cp {backup} {path}"
            if backup.exists()
            else "There is no older one beside it; put back a copy of your own"
        )
        return KnownStack(path.stem, fault=f"Its state {path} cannot be read: {error}\n{fix}")


def _folder(url: str) -> Path | None:
    if not url.startswith("file://"):
        return None
    return Path(unquote(urlsplit(url.replace("file://~", f"file://{Path.home()}", 1)).path)) / ".pulumi"
