"""How each service tags its resources, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from threatmon.emulator.account import EmulatedAccount


@dataclass(frozen=True)
class Tagging:
    """The operations and parameters by which a service tags a resource."""

    service: str
    target: str
    """the parameter for the resource"""
    by_arn: bool = True
    """whether its value is the resource's ARN, not its id"""
    entry: tuple[str, str] | None = None
    """what key and value are called in a list of tags; None if the service takes a map"""
    tags: str = "Tags"
    keys: str = "TagKeys"
    noun: str = "resource"
    """what `tag_<noun>` and `untag_<noun>` call the resource"""
    list_operation: str = "list_tags_for_resource"
    arn: str = "arn"
    """the property that holds the resource's ARN"""

    def target_of(self, physical_id: str, properties: Mapping[str, Any]) -> str:
        """Return the value of the parameter for a resource."""
        return properties[self.arn] if self.by_arn else physical_id

    def read(self, account: EmulatedAccount, target: str) -> dict[str, str]:
        """Return the tags of the resource."""
        tags = self._call(account, self.list_operation, target).get(self.tags, {})
        if self.entry is None:
            return dict(tags)
        key, value = self.entry
        return {tag[key]: tag[value] for tag in tags}

    def write(self, account: EmulatedAccount, target: str, tags: Mapping[str, str]) -> None:
        """Give the resource these tags and no others."""
        if gone := sorted(self.read(account, target).keys() - tags.keys()):
            self._call(account, f"untag_{self.noun}", target, **{self.keys: gone})
        if tags:
            entries = self.entry and [dict(zip(self.entry, tag, strict=True)) for tag in tags.items()]
            self._call(account, f"tag_{self.noun}", target, **{self.tags: entries or dict(tags)})

    def _call(self, account: EmulatedAccount, operation: str, target: str, **more: object) -> dict[str, Any]:
        return getattr(account.client(self.service), operation)(**{self.target: target}, **more)


class _Ec2Tagging(Tagging):
    """Tags several resources of any kind at a time, and deletes tags by a list of maps."""

    def _call(self, account: EmulatedAccount, operation: str, target: str, **more: Any) -> dict[str, Any]:
        ec2 = account.client("ec2")
        if operation == self.list_operation:
            return ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [target]}])
        if "TagKeys" in more:
            return ec2.delete_tags(Resources=[target], Tags=[{"Key": key} for key in more["TagKeys"]])
        return ec2.create_tags(Resources=[target], **more)


_KEY_VALUE = ("Key", "Value")
CHATBOT = Tagging("chatbot", "ResourceARN", entry=("TagKey", "TagValue"), arn="chatConfigurationArn")
CLOUDWATCH = Tagging("cloudwatch", "ResourceARN", entry=_KEY_VALUE)
EC2 = _Ec2Tagging("ec2", "", by_arn=False, entry=_KEY_VALUE)
EVENTS = Tagging("events", "ResourceARN", entry=_KEY_VALUE)
GUARDDUTY = Tagging("guardduty", "ResourceArn")
IAM_ROLE = Tagging("iam", "RoleName", by_arn=False, entry=_KEY_VALUE, noun="role", list_operation="list_role_tags")
KMS = Tagging("kms", "KeyId", by_arn=False, entry=("TagKey", "TagValue"), list_operation="list_resource_tags")
LOGS = Tagging("logs", "resourceArn", tags="tags", keys="tagKeys")
SNS = Tagging("sns", "ResourceArn", entry=_KEY_VALUE)
SQS = Tagging("sqs", "QueueUrl", by_arn=False, noun="queue", list_operation="list_queue_tags")
STATES = Tagging("stepfunctions", "resourceArn", entry=("key", "value"), tags="tags", keys="tagKeys")
