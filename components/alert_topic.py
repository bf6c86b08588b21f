"""A topic that alerts, and who may publish to it."""

from collections.abc import Sequence
from typing import NamedTuple

import pulumi
import pulumi_aws as aws

from components.location import arn_of
from components.outputs import json_of
from threatmon.model import names
from threatmon.model.location import Location
from threatmon.model.policies import topic_policy


class AlertTopic(NamedTuple):
    """A topic with its policy, without which nothing may publish to it; its ARN is known by its name."""

    topic: aws.sns.Topic
    arn: pulumi.Output[str]
    policy: aws.sns.TopicPolicy


def alert_topic(
    name: str,
    stack: str,
    kms_key_arn: pulumi.Input[str],
    location: pulumi.Output[Location],
    opts: pulumi.ResourceOptions,
    *,
    rule_arns: Sequence[pulumi.Input[str]] = (),
) -> AlertTopic:
    """Make an encrypted topic for its account's own roles, and for these rules."""
    topic = aws.sns.Topic(
        name,
        name=names.physical(stack, name),
        display_name="GuardDuty alerts",
        kms_master_key_id=kms_key_arn,
        opts=opts,
    )
    arn = arn_of(location, "sns", topic.name)
    policy = json_of(topic_policy, topic_arn=arn, owner=location.root, rule_arns=list(rule_arns))
    return AlertTopic(topic, arn, aws.sns.TopicPolicy(f"{name}-policy", arn=topic.arn, policy=policy, opts=opts))
