"""Where the project lies, and what its files are called."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT_FILE = "Pulumi.yaml"
