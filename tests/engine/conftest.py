"""Stacks for the tests on the real Pulumi engine, which are skipped if it is not installed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.stacks import Stack, new_stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without the engine there is nothing to test here."""
    if shutil.which("pulumi") is None:
        skip = pytest.mark.skip(reason="`pulumi` is not on PATH (https://www.pulumi.com/docs/iac/download-install/)")
        for item in items:
            # The stand-in provider itself needs no engine.
            if Path(__file__).parent in item.path.parents and item.path.name != "test_provider.py":
                item.add_marker(skip)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack that is configured but not deployed."""
    with new_stack(tmp_path) as stack:
        yield stack


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A deployed stack that the tests of a module share, and may only look at."""
    with new_stack(tmp_path_factory.mktemp("stack")) as stack:
        stack.up().succeeded()
        yield stack
