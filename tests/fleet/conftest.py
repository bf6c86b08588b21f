from pathlib import Path

import pytest
from fleet.fake_engine import FakeEngine, project


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of three stacks."""
    return project(tmp_path, ("dev", "prod", "test"))


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine("dev", "prod", "test")
