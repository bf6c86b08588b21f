"""The committed recordings of what the program registers."""

import json
from pathlib import Path
from typing import Any

Recording = dict[str, dict[str, Any]]

FOLDER = Path(__file__).parent
BASE = "committed-stack"


def recorded(name: str) -> Recording:
    """Read the recording of a config: URN -> property -> value, and ``outputs``."""
    own = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    base = recorded(BASE) if name != BASE else {}
    return {
        urn: {key: value for key, value in (base.get(urn, {}) | own.get(urn, {})).items() if value is not None}
        for urn in base | own
    }
