from pathlib import Path
from typing import Any

import pytest
from fleet.fake_engine import target

from threatmon.fleet.places import Place, places, why_moved

HERE = ("100000000001", "eu-west-1")


@pytest.mark.parametrize(
    ("outputs", "found"),
    [
        ({"topicArn": "arn:aws:sns:eu-west-1:111122223333:alerts"}, {("111122223333", "eu-west-1")}),
        ({"arn": "arn:aws-us-gov:logs:us-gov-west-1:111122223333:log-group:a:*"}, {("111122223333", "us-gov-west-1")}),
        ({"arn": "arn:aws:iam::111122223333:role/a"}, set()),
        ({"arn": "arn:aws:s3:::a"}, set()),
        ({"arn": "[secret]", "roleArn": "arn:aws:sns:eu-west-1:111122223333:a"}, set()),
    ],
)
def test_the_place_is_that_of_its_own_arn(outputs: dict[str, Any], found: set[Place]) -> None:
    assert places(outputs) == found


@pytest.mark.parametrize(
    ("deployed", "moved"), [({HERE}, False), (set[Place](), False), ({("100000000001", "us-east-1")}, True)]
)
def test_a_stack_has_moved_if_nothing_of_it_is_where_its_file_says(
    folder: Path, deployed: set[Place], moved: bool
) -> None:
    why = why_moved(target(folder), deployed)
    assert (why is not None) == moved
    assert (
        why is None
        or "deployed in 100000000001 us-east-1, and Pulumi.prod.yaml now names 100000000001 eu-west-1" in why
    )
