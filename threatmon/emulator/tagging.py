"""How each service tags its resources, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from threatmon.emulator.account import EmulatedAccount

Tags = Mapping[str, str]


@dataclass(frozen=True)
class Tagging:
    """The operations and parameters by which a service tags a resource.

    `handle` says whether the resource is named by its id or its ARN, `target` is the parameter for it, `entry` the
    prefix of `Key` and `Value` in a list of tags, None where the service takes a map.
    """

    service: str
    handle: Literal["id", "arn"]
    target: str
    entry: str | None = ""
    tags: str = "Tags"
    keys: str = "TagKeys"
    read_operation: str = "list_tags_for_resource"
    tag_operation: str = "tag_resource"
    untag_operation: str = "untag_resource"

    def read(self, account: EmulatedAccount, handle: str) -> dict[str, str]:
        """The tags the resource has."""
        answer = getattr(account.client(self.service), self.read_operation)(**{self.target: handle})
        tags: Any = answer.get(self.tags, {})
        if self.entry is None:
            return dict(tags)
        return {tag[f"{self.entry}Key"]: tag[f"{self.entry}Value"] for tag in tags}

    def write(self, account: EmulatedAccount, handle: str, tags: Tags) -> None:
        """Give the resource these tags and no others."""
        client = account.client(self.service)
        gone = sorted(self.read(account, handle).keys() - tags.keys())
        if gone:
            getattr(client, self.untag_operation)(**{self.target: handle, self.keys: gone})
        if tags:
            getattr(client, self.tag_operation)(**{self.target: handle, self.tags: self._shaped(tags)})

    def _shaped(self, tags: Tags) -> Any:
        if self.entry is None:
            return dict(tags)
        return [{f"{self.entry}Key": key, f"{self.entry}Value": value} for key, value in tags.items()]


class _Ec2Tagging(Tagging):
    """EC2 tags any of its resources by id, several at a time."""

    def read(self, account: EmulatedAccount, handle: str) -> dict[str, str]:
        found = account.client("ec2").describe_tags(Filters=[{"Name": "resource-id", "Values": [handle]}])
        return {tag["Key"]: tag["Value"] for tag in found["Tags"]}

    def write(self, account: EmulatedAccount, handle: str, tags: Tags) -> None:
        ec2 = account.client("ec2")
        gone = sorted(self.read(account, handle).keys() - tags.keys())
        if gone:
            ec2.delete_tags(Resources=[handle], Tags=[{"Key": key} for key in gone])
        if tags:
            ec2.create_tags(Resources=[handle], Tags=self._shaped(tags))


CLOUDWATCH = Tagging("cloudwatch", "arn", "ResourceARN")
EC2 = _Ec2Tagging("ec2", "id", "Resources")
EVENTS = Tagging("events", "arn", "ResourceARN")
GUARDDUTY = Tagging("guardduty", "arn", "ResourceArn", entry=None)
IAM_ROLE = Tagging(
    "iam",
    "id",
    "RoleName",
    read_operation="list_role_tags",
    tag_operation="tag_role",
    untag_operation="untag_role",
)
KMS = Tagging("kms", "id", "KeyId", entry="Tag", read_operation="list_resource_tags")
LOGS = Tagging("logs", "arn", "resourceArn", entry=None, tags="tags", keys="tagKeys")
SNS = Tagging("sns", "arn", "ResourceArn")
SQS = Tagging(
    "sqs",
    "id",
    "QueueUrl",
    entry=None,
    read_operation="list_queue_tags",
    tag_operation="tag_queue",
    untag_operation="untag_queue",
)
