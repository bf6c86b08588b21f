"""The committed recordings of what the program registers."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Recording = dict[str, dict[str, Any]]

FOLDER = Path(__file__).parent
BASE = "committed-stack"
WRITERS: Mapping[str, Callable[[Any], str]] = {
    "$json": json.dumps,
    "$compact": lambda document: json.dumps(document, separators=(",", ":")),
    "$lines": "\n".join,
}
"""What stands for a text in a recording -> how the text is written."""


def recorded(name: str) -> Recording:
    """Read the recording of a config: URN -> property -> value, and ``outputs``."""
    own = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    base = recorded(BASE) if name != BASE else {}
    return {
        urn: {key: value for key, value in (base.get(urn, {}) | own.get(urn, {})).items() if value is not None}
        for urn in base | own
    }


def written(value: Any) -> Any:
    """Return a recorded value with its texts as the program wrote them."""
    if isinstance(value, list):
        return [written(item) for item in value]
    if not isinstance(value, dict):
        return value
    [key, *_] = value or [""]
    return WRITERS[key](value[key]) if key in WRITERS else {name: written(item) for name, item in value.items()}
