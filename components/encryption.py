"""The key that encrypts evidence and alerts."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.location import location_of
from components.outputs import json_of
from threatmon.model import names
from threatmon.model.location import Location
from threatmon.model.policies import key_policy


@dataclass(frozen=True)
class EncryptionKeyArgs:
    """What :class:`EncryptionKey` takes; ``protect`` and ``keep_on_destroy`` are options of the key."""

    stack: str
    """the stack's name, after which the alias is named"""
    log_group_names: Sequence[str]
    """the log groups that may be encrypted with the key, by their exact names"""
    protect: bool = False
    keep_on_destroy: bool = False
    location: pulumi.Output[Location] | None = None


class EncryptionKey(pulumi.ComponentResource):
    """A customer-managed key for log groups and for what EventBridge writes to.

    Topics and queues that EventBridge delivers to cannot use the keys AWS manages, whose policies nobody can change to
    let EventBridge in (https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html).

    Creates: a KMS key with rotation, an alias.
    """

    arn: pulumi.Output[str]
    """The key's ARN, known once its policy is in place."""

    def __init__(self, name: str, args: EncryptionKeyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("threat-monitor:index:EncryptionKey", name, None, opts)
        location = location_of(self, args.location)
        key = aws.kms.Key(
            f"{name}-key",
            description=f"Evidence and alerts of {name}",
            is_enabled=True,
            enable_key_rotation=True,
            deletion_window_in_days=30,
            policy=json_of(key_policy, location=location, log_group_names=args.log_group_names),
            tags=names.tags(args.stack, f"{name}-key"),
            opts=pulumi.ResourceOptions(
                parent=self, protect=args.protect or None, retain_on_delete=args.keep_on_destroy or None
            ),
        )
        aws.kms.Alias(
            f"{name}-alias",
            name=names.alias(args.stack, name),
            target_key_id=key.key_id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.arn = key.arn
        self.register_outputs({"arn": self.arn})
