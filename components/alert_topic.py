"""A topic that alerts, and who may publish to it."""

from collections.abc import Sequence
from typing import NamedTuple

import pulumi
import pulumi_aws as aws

from components.outputs import json_of
from threatmon.model.policies import topic_policy


class AlertTopic(NamedTuple):
    """A topic with its policy, without which nothing may publish to it."""

    topic: aws.sns.Topic
    policy: aws.sns.TopicPolicy


def alert_topic(
    name: str,
    kms_key_arn: pulumi.Input[str],
    owner: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    *,
    rule_arns: Sequence[pulumi.Input[str]] = (),
) -> AlertTopic:
    """Make an encrypted topic for its owner's own roles, and for these rules."""
    topic = aws.sns.Topic(name, display_name="GuardDuty alerts", kms_master_key_id=kms_key_arn, opts=opts)
    policy = json_of(topic_policy, topic_arn=topic.arn, owner=owner, rule_arns=list(rule_arns))
    return AlertTopic(topic, aws.sns.TopicPolicy(f"{name}-policy", arn=topic.arn, policy=policy, opts=opts))
