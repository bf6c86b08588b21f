"""The folder of the project, and the names of its files."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT_FILE = "Pulumi.yaml"
