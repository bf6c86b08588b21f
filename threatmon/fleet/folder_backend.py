"""The repair of a state backend in a folder (``file://``) after an engine was killed.

Beside each file the backend keeps one with its attributes, which it does not write at once: an engine killed in between
leaves it empty, and then no stack can be listed or loaded (`failed to load checkpoint: EOF`). The state itself is
whole, and the attributes are not needed: https://pkg.go.dev/gocloud.dev/blob/fileblob#Options
"""

from pathlib import Path
from urllib.parse import unquote, urlsplit


def remove_empty_attributes(url: str) -> list[Path]:
    """Remove the empty files of attributes from a backend at a ``file://`` URL, and return them; none elsewhere."""
    if not url.startswith("file://"):
        return []
    folder = Path(unquote(urlsplit(url.replace("file://~", f"file://{Path.home()}", 1)).path)) / ".pulumi"
    empty = [path for path in folder.rglob("*.attrs") if path.stat().st_size == 0]
    for path in empty:
        path.unlink(missing_ok=True)
    return empty
