"""What a policy lets EventBridge do."""

import json
from typing import Any

import pytest
from examples import ACCOUNT

from threatmon.evaluation.policy_evaluator import may_publish, may_use_key

RULE = f"arn:aws:events:eu-west-1:{ACCOUNT}:rule/high"
TOPIC = f"arn:aws:sns:eu-west-1:{ACCOUNT}:alerts"
QUEUE = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:lost"
EVENTS = {"Service": "events.amazonaws.com"}


def _policy(*statements: dict[str, Any]) -> str:
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement} for statement in statements]}
    )


def _publish(**statement: Any) -> str:
    return _policy({"Principal": EVENTS, "Action": "sns:Publish", "Resource": TOPIC, **statement})


DELIVERIES: dict[str, tuple[str, bool]] = {
    "the service": (_publish(), True),
    "this rule": (_publish(Condition={"ArnEquals": {"aws:SourceArn": [RULE, f"{RULE}-2"]}}), True),
    "this account": (_publish(Condition={"StringEquals": {"aws:SourceAccount": ACCOUNT}}), True),
    "any action of sns": (_publish(Action="SNS:*"), True),
    "everyone": (_publish(Principal="*"), True),
    "another rule": (_publish(Condition={"ArnEquals": {"aws:SourceArn": f"{RULE}-2"}}), False),
    "a condition that only its kind holds": (
        _publish(Condition={"ArnEquals": {"aws:SourceArn": RULE}, "Bool": {"aws:SecureTransport": "true"}}),
        False,
    ),
    "a condition that may be absent": (_publish(Condition={"BoolIfExists": {"aws:SecureTransport": "true"}}), True),
    "every rule but this": (_publish(Condition={"ArnNotLike": {"aws:SourceArn": [RULE, "arn:aws:events:*"]}}), False),
    "no organisation known": (_publish(Condition={"Null": {"aws:PrincipalOrgID": "true"}}), True),
    "an operator not judged": (_publish(Condition={"NumericEquals": {"aws:MultiFactorAuthAge": 1}}), False),
    "another service": (_publish(Principal={"Service": "cloudwatch.amazonaws.com"}), False),
    "another topic": (_publish(Resource=f"{TOPIC}-2"), False),
    "another action": (_publish(Action="sns:Subscribe"), False),
    "every action but this": (_policy({"Principal": EVENTS, "NotAction": "sns:Publish", "Resource": TOPIC}), False),
    "every topic but this": (_policy({"Principal": EVENTS, "Action": "sns:*", "NotResource": TOPIC}), False),
    "nobody": (_policy(), False),
}


@pytest.mark.parametrize(("policy", "allowed"), DELIVERIES.values(), ids=DELIVERIES)
def test_a_topic_policy_decides_whether_a_rule_may_publish(policy: str, allowed: bool) -> None:
    assert may_publish(policy, RULE, "sns:Publish", TOPIC) is allowed


def test_a_queue_policy_decides_whether_a_rule_may_send() -> None:
    statement = {"Principal": EVENTS, "Action": "sqs:SendMessage", "Resource": QUEUE}
    assert may_publish(_policy(statement), RULE, "sqs:SendMessage", QUEUE)
    assert not may_publish(_policy(statement), RULE, "sqs:ReceiveMessage", QUEUE)


def _use(**statement: Any) -> str:
    return _policy(
        {"Principal": EVENTS, "Action": ["kms:Decrypt", "kms:GenerateDataKey*"], "Resource": "*", **statement}
    )


KEY_USES: dict[str, tuple[str, bool]] = {
    "both actions": (_use(), True),
    "no data key": (_use(Action="kms:Decrypt"), False),
    "no decryption": (_use(Action="kms:GenerateDataKey*"), False),
    "this account": (_use(Condition={"StringEquals": {"aws:SourceAccount": ACCOUNT}}), True),
    "another account": (_use(Condition={"StringEquals": {"aws:SourceAccount": "444455556666"}}), False),
    "a rule, which nobody asks for": (_use(Condition={"ArnLike": {"aws:SourceArn": RULE}}), False),
    "another service": (_use(Principal={"Service": "sns.amazonaws.com"}), False),
}


@pytest.mark.parametrize(("policy", "allowed"), KEY_USES.values(), ids=KEY_USES)
def test_a_key_policy_decides_whether_a_service_may_use_the_key(policy: str, allowed: bool) -> None:
    assert may_use_key(policy, "events.amazonaws.com", ACCOUNT) is allowed
