"""Runs a state machine of the account: its tasks call the account's services, as far as the machine's role may.

How Step Functions names the errors of a service:
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
"""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from botocore.exceptions import ClientError, ParamValidationError

from threatmon.emulator.answers import Refusal
from threatmon.emulator.inside import Account, MachineExecution
from threatmon.emulator.permissions import key_refusal
from threatmon.emulator.state_machine import Service, StateError, run
from threatmon.evaluation.roles import Role

_Arguments = Mapping[str, Any]
_KEY_ACTIONS = ("kms:GenerateDataKey", "kms:Decrypt")


def execute(account: Account, definition: str, role: Role, execution: Mapping[str, str]) -> MachineExecution:
    """Run a definition with the services that its role may use.

    `execution` holds the texts `arn`, `name`, `input`, `machine` (ARN) and `started`.
    """
    machine = {"Id": execution["machine"], "Name": execution["machine"].rpartition(":")[2]}
    event = json.loads(execution["input"])
    context = {
        "StateMachine": machine,
        "Execution": {
            "Id": execution["arn"],
            "Name": execution["name"],
            "Input": event,
            "RoleArn": role.arn,
            "StartTime": execution["started"],
            "RedriveCount": 0,
        },
    }
    tasks = Tasks(account, role)
    return MachineExecution(
        execution["arn"], run(_parsed(definition), event, tasks.services, context), tasks.dead_letters
    )


@lru_cache(maxsize=8)
def _parsed(definition: str) -> Mapping[str, Any]:
    return json.loads(definition)


class Tasks:
    """The services of an account, called by a role."""

    def __init__(self, account: Account, role: Role) -> None:
        self._account, self._role = account, role
        self.dead_letters: list[str] = []
        """error codes of the messages that went to a queue"""
        self.services: Mapping[str, Service] = {
            "sns:publish": self._task("sns", "SNS", "AmazonSNSException", self._publish),
            "sqs:sendMessage": self._task("sqs", "SQS", "AmazonSQSException", self._send_message),
            "aws-sdk:cloudwatch:putMetricData": self._task(
                "cloudwatch", "CloudWatch", "CloudWatchException", self._put_metric_data
            ),
        }

    def _task(
        self, service: str, prefix: str, unnamed: str, call: Callable[[Any, _Arguments], Mapping[str, Any]]
    ) -> Service:
        """Return a call of a service whose errors are those of a state; `unnamed` is what it has no name for."""
        client: Any = self._account.client(service)

        def task(arguments: _Arguments) -> Mapping[str, Any]:
            try:
                return {name: value for name, value in call(client, arguments).items() if name != "ResponseMetadata"}
            except ParamValidationError as error:  # Step Functions does not even call
                raise StateError("States.Runtime", str(error)) from error
            except Refusal as error:
                name, cause = client.exceptions.from_code(error.code).__name__, error.message
            except ClientError as error:
                name, cause = type(error).__name__, str(error)
            named = unnamed if name == "ClientError" else name.removesuffix("Exception") + "Exception"
            raise StateError(f"{prefix}.{named}", cause)

        return task

    def _publish(self, sns: Any, arguments: _Arguments) -> Mapping[str, Any]:
        topic = arguments.get("TopicArn", "")
        attributes = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
        if not self._role.allows("sns:Publish", topic, attributes["Policy"]):
            raise Refusal("AuthorizationError", self._denied("SNS:Publish", topic))
        self._check_key(attributes.get("KmsMasterKeyId"), "sns", {"kms:EncryptionContext:aws:sns:topicArn": topic})
        return sns.publish(**arguments)

    def _send_message(self, sqs: Any, arguments: _Arguments) -> Mapping[str, Any]:
        answer = sqs.get_queue_attributes(QueueUrl=arguments.get("QueueUrl", ""), AttributeNames=["All"])
        attributes = answer["Attributes"]
        queue = attributes["QueueArn"]
        if not self._role.allows("sqs:SendMessage", queue, attributes.get("Policy") or "{}"):
            raise Refusal("AccessDenied", self._denied("sqs:sendmessage", queue))
        self._check_key(attributes.get("KmsMasterKeyId"), "sqs", {"kms:EncryptionContext:aws:sqs:arn": queue})
        sent = sqs.send_message(**arguments)
        error_code = arguments.get("MessageAttributes", {}).get("ERROR_CODE", {})
        self.dead_letters.append(error_code.get("StringValue", ""))
        return sent

    def _put_metric_data(self, cloudwatch: Any, arguments: _Arguments) -> Mapping[str, Any]:
        namespace = {"cloudwatch:namespace": arguments.get("Namespace", "")}
        if not self._role.allows("cloudwatch:PutMetricData", "*", context=namespace):
            raise Refusal("AccessDenied", self._denied("cloudwatch:PutMetricData", "*"))
        return cloudwatch.put_metric_data(**arguments)

    def _check_key(self, key_id: str | None, service: str, encryption: Mapping[str, str]) -> None:
        account = self._account
        context = {
            "kms:ViaService": f"{service}.{account.region}.{account.location.dns_suffix}",
            "kms:CallerAccount": account.account_id,
            **encryption,
        }

        def may_use(policy: str, key_arn: str) -> bool:
            return all(self._role.may_use_key(policy, key_arn, action, context) for action in _KEY_ACTIONS)

        if refused := key_refusal(account, key_id, may_use):
            code = refused if service == "sns" else refused.replace("KMS", "Kms")
            raise Refusal(code, f"{refused}: the role {self._role.arn} cannot use the key {key_id}")

    def _denied(self, action: str, resource: str) -> str:
        return f"User: {self._role.arn} is not authorized to perform: {action} on resource: {resource}"
