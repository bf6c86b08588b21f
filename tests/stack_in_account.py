"""A stack that is deployed to an emulated account and confirmed, for tests that look at it or break it."""

import copyreg
import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from threading import Condition
from typing import Any, cast

import pytest
import yaml
from examples import ACCOUNT, EMAIL, REGION, SUBNET
from findings import recorded
from moto.backends import get_backend
from scripted_account import ScriptedAccount

from threatmon.aws.reader import Aws
from threatmon.emulator.deployment import Deployment, deployed
from threatmon.model import names
from threatmon.model.event_patterns import compact
from threatmon.reports.model import Check
from threatmon.stacks.files import StackFile, settings_of
from threatmon.verify import stack_checks
from threatmon.verify.deployed_stack import DeployedStack

TOKEN = "https://hooks.example.com/T0KEN"
HEALTH: Mapping[str, Any] = {"health": {"enabled": True, "emails": ["ops@example.com"]}}
CHANNELS: Mapping[str, Any] = {
    "alerts": {
        "subscribers": [
            {"protocol": "https", "endpoint": TOKEN, "format": "raw", "minimumSeverity": "high"},
            {"protocol": "email", "endpoint": "boss@example.com", "minimumSeverity": "critical"},
        ],
        "slack": {"workspaceId": "T0123ABCD", "channelId": "C0123ABCD"},
    }
}


def stack_file(stack: str = "dev", account: str = ACCOUNT, **changes: Any) -> StackFile:
    """A stack file of one subnet; a change of None leaves a key out."""
    config = {"subnetIds": [SUBNET], "alertEmails": [EMAIL], **changes}
    ours = {f"threat-monitor:{key}": value for key, value in config.items() if value is not None}
    return StackFile(stack, {"aws:region": REGION, "aws:allowedAccountIds": [account], "aws:profile": stack, **ours})


class StackInAccount:
    """The stack, what is in its account, and ways to break it."""

    def __init__(self, file: StackFile, deployment: Deployment) -> None:
        self.file = file
        self.account, run = deployment
        self.outputs: dict[str, Any] = dict(run.outputs)
        self.aws = ScriptedAccount(self.account)
        session: Any = self.aws.session
        make, clients = session.client, dict[str, Any]()  # to make one takes as long as a dozen calls

        def client(service: str, config: Any) -> Any:
            if service not in clients:
                clients[service] = make(service, config=config)
            return clients[service]

        session.client = client

    def client(self, service: str) -> Any:
        return self.account.client(service)

    def checks(self, file: StackFile | None = None) -> dict[str, Check]:
        """What is said of the stack as it is in the account."""
        aws, settings = Aws(self.aws.session), settings_of(file or self.file)
        stack = DeployedStack(aws, settings, self.file.name)
        return {check.subject: check for check in stack_checks.run(stack_checks.checks_of(stack))}

    def confirm(self, *, authenticated: bool = True) -> None:
        for arn, subscription in self.account.backend("sns").subscriptions.items():
            self.account.confirm_subscription(arn)
            subscription.attributes["ConfirmationWasAuthenticated"] = authenticated

    # -- what it has --

    @property
    def topic(self) -> str:
        return self.outputs["topicArn"]

    @property
    def queue(self) -> str:
        return self.outputs["deadLetterQueueUrl"]

    @property
    def group(self) -> str:
        return self.outputs["logGroupName"]

    @property
    def key(self) -> str:
        return self.client("sns").get_topic_attributes(TopicArn=self.topic)["Attributes"]["KmsMasterKeyId"]

    @property
    def flow_log(self) -> Any:
        [found] = self.account.backend("ec2").flow_logs.values()
        return found

    @property
    def machine(self) -> str:
        return self.outputs["stateMachineArn"]

    def role_of(self, word: str) -> str:
        """The name of the role that ``start``s the state machine, or of its own, the ``formatter``'s."""
        return names.role(self.file.name, f"alerts-{word}-role", self.account.region)

    def rule(self, key: str = "findings") -> str:
        return names.alert_rule(self.file.name, key)

    def alarm(self, word: str) -> str:
        return names.physical(self.file.name, f"health-{word}")

    def topic_like(self, suffix: str) -> str:
        topics = [topic["TopicArn"] for topic in self.client("sns").list_topics()["Topics"]]
        return next(arn for arn in topics if arn.endswith(f"-topic{suffix}"))

    def target(self, arn: str | None = None) -> dict[str, Any]:
        targets = self.client("events").list_targets_by_rule(Rule=self.rule())["Targets"]
        return next(target for target in targets if target["Arn"] == (arn or self.machine))

    def subscription(self, endpoint: str) -> Any:
        subscriptions = self.account.backend("sns").subscriptions.values()
        return next(subscription for subscription in subscriptions if subscription.endpoint == endpoint)

    # -- ways to break it --

    def set_detector(self, **changes: Any) -> None:
        self.client("guardduty").update_detector(DetectorId=self.outputs["detectorId"], **changes)

    def set_features(self, **status: str) -> None:
        self.set_detector(Features=[{"Name": name, "Status": value} for name, value in status.items()])

    def set_topic(self, name: str, value: str) -> None:
        self.client("sns").set_topic_attributes(TopicArn=self.topic, AttributeName=name, AttributeValue=value)

    def set_queue(self, **attributes: str) -> None:
        self.client("sqs").set_queue_attributes(QueueUrl=self.queue, Attributes=attributes)

    def change_queue(self, **attributes: Any) -> None:
        """Change attributes by moto's names, and keep all others."""
        vars(self.account.backend("sqs").queues[self.queue.rpartition("/")[2]]).update(attributes)

    def decrypt_queue(self) -> None:
        answer = self.client("sqs").get_queue_attributes(QueueUrl=self.queue, AttributeNames=["Policy"])
        self.set_queue(KmsMasterKeyId="", **answer["Attributes"])  # moto drops the policy if it is not set again

    def put_target(self, arn: str | None = None, *, without: str = "", **changes: Any) -> None:
        target = {key: value for key, value in (self.target(arn) | changes).items() if key != without}
        self.client("events").put_targets(Rule=self.rule(), Targets=[target])

    def remove_targets(self, arn: str | None = None) -> None:
        """Remove the targets on one thing, or all."""
        targets = self.client("events").list_targets_by_rule(Rule=self.rule())["Targets"]
        ids = [target["Id"] for target in targets if arn in (target["Arn"], None)]
        self.client("events").remove_targets(Rule=self.rule(), Ids=ids)

    def delete_rule(self) -> None:
        self.remove_targets()
        self.client("events").delete_rule(Name=self.rule())

    def change_pattern(self) -> None:
        events = self.client("events")
        pattern = json.loads(events.describe_rule(Name=self.rule())["EventPattern"])
        pattern["detail"]["severity"] = [{"numeric": [">=", 8]}]
        events.put_rule(Name=self.rule(), EventPattern=compact(pattern))

    def add_rule(self, name: str, target: str | None = None) -> None:
        self.client("events").put_rule(Name=name, EventPattern='{"source":["aws.guardduty"]}')
        self.client("events").put_targets(Rule=name, Targets=[{"Id": "t", "Arn": target or self.machine}])

    def deny_topic(self) -> None:
        policy = json.loads(self.client("sns").get_topic_attributes(TopicArn=self.topic)["Attributes"]["Policy"])
        policy["Statement"] += [{"Effect": "Deny", "Principal": "*", "Action": "sns:Publish", "Resource": self.topic}]
        self.set_topic("Policy", json.dumps(policy))

    def change_machine(self, **changes: Any) -> None:
        self.client("stepfunctions").update_state_machine(stateMachineArn=self.machine, **changes)

    def change_logging(self, **changes: Any) -> None:
        described = self.client("stepfunctions").describe_state_machine(stateMachineArn=self.machine)
        self.change_machine(loggingConfiguration={**described["loggingConfiguration"], **changes})

    def change_definition(self, old: str, new: str) -> None:
        described = self.client("stepfunctions").describe_state_machine(stateMachineArn=self.machine)
        assert old in described["definition"]
        self.change_machine(definition=described["definition"].replace(old, new))

    def change_trust(self, role: str, old: str, new: str) -> None:
        """Change a text in a role's trust policy."""
        iam, name = self.client("iam"), self.role_of(role)
        trust = json.dumps(iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"])
        assert old in trust
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust.replace(old, new))

    def trust_anybody(self, role: str) -> None:
        iam, name = self.client("iam"), self.role_of(role)
        trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        for statement in trust["Statement"]:
            del statement["Condition"]
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))

    def change_permissions(self, role: str, old: str, new: str) -> None:
        """Change a text in a role's inline policy."""
        iam, name = self.client("iam"), self.role_of(role)
        [policy] = iam.list_role_policies(RoleName=name)["PolicyNames"]
        document = json.dumps(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])
        assert old in document
        iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=document.replace(old, new))

    def delete_role(self, role: str) -> None:
        iam, name = self.client("iam"), self.role_of(role)
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            iam.delete_role_policy(RoleName=name, PolicyName=policy)
        iam.delete_role(RoleName=name)

    def execute(self) -> str:
        event = json.dumps(recorded("ec2_portscan"))
        states = self.client("stepfunctions")
        return states.start_execution(stateMachineArn=self.machine, input=event)["executionArn"]

    def lose_finding(self) -> None:
        """Have an execution fail that can neither publish nor queue."""
        self.change_permissions("formatter", '"Allow"', '"Deny"')
        self.execute()
        self.change_permissions("formatter", '"Deny"', '"Allow"')
        assert self.account.executions[-1].run.error == "Lost"

    def abort_execution(self) -> None:
        self.client("stepfunctions").stop_execution(executionArn=self.execute())

    def filter(self, endpoint: str, policy: Any, scope: str = "MessageAttributes") -> None:
        """Set the filter policy of a subscription."""
        arn = self.subscription(endpoint).arn
        for name, value in (("FilterPolicyScope", scope), ("FilterPolicy", json.dumps(policy))):
            self.client("sns").set_subscription_attributes(
                SubscriptionArn=arn, AttributeName=name, AttributeValue=value
            )

    def shut_eventbridge_out(self) -> None:
        kms = self.client("kms")
        document = json.loads(kms.get_key_policy(KeyId=self.key, PolicyName="default")["Policy"])
        document["Statement"] = [entry for entry in document["Statement"] if entry["Sid"] != "EventBridgePublishes"]
        kms.put_key_policy(KeyId=self.key, PolicyName="default", Policy=json.dumps(document))

    def shut_logs_out(self) -> None:
        kms, key_id = self.client("kms"), self.key.rpartition("/")[2]
        policy = kms.get_key_policy(KeyId=key_id, PolicyName="default")["Policy"]
        kms.put_key_policy(KeyId=key_id, PolicyName="default", Policy=policy.replace('"logs.', '"logs.elsewhere.'))

    def use_another_key(self) -> None:
        arn = self.client("kms").create_key()["KeyMetadata"]["Arn"]
        self.client("logs").associate_kms_key(logGroupName=self.group, kmsKeyId=arn)

    def forbid_writing(self) -> None:
        role = self.flow_log.deliver_logs_permission_arn.rpartition("/")[2]
        for name in self.client("iam").list_role_policies(RoleName=role)["PolicyNames"]:
            self.client("iam").delete_role_policy(RoleName=role, PolicyName=name)

    def add_flow_log(self) -> None:
        self.client("ec2").create_flow_logs(
            ResourceIds=[SUBNET],
            ResourceType="Subnet",
            TrafficType="REJECT",
            LogDestination=self.account.arn("logs", f"log-group:{self.group}"),
            DeliverLogsPermissionArn=self.flow_log.deliver_logs_permission_arn,
        )

    def delete_detector(self) -> None:
        self.client("guardduty").delete_detector(DetectorId=self.outputs["detectorId"])

    def delete_flow_log(self) -> None:
        self.client("ec2").delete_flow_logs(FlowLogIds=[self.flow_log.id])

    def delete_subnet(self) -> None:
        self.delete_flow_log()
        self.client("ec2").delete_subnet(SubnetId=SUBNET)

    def unconfirm(self, endpoint: str = EMAIL) -> None:
        self.subscription(endpoint).attributes["PendingConfirmation"] = True

    def unsubscribe(self, endpoint: str = EMAIL) -> None:
        self.client("sns").unsubscribe(SubscriptionArn=self.subscription(endpoint).arn)


def write(folder: Path, file: StackFile) -> None:
    (folder / f"Pulumi.{file.name}.yaml").write_text(yaml.safe_dump({"config": dict(file.config)}), encoding="utf-8")


def show_commands(stack: StackInAccount, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands find the stack's file, its account and what the engine remembers of it."""
    write(folder, stack.file)
    monkeypatch.setattr("threatmon.project.ROOT", folder)
    monkeypatch.setattr("threatmon.aws.session.new_session", lambda _profile, _region: stack.aws.session)
    for command in ("simulate", "verify"):
        monkeypatch.setattr(f"threatmon.cli.{command}.stack_outputs", lambda _stack: stack.outputs)


# -- one deployment for all tests of a stack file ---------------------------------------------------------------------

# What a stack is made of, as moto names the services.
_SERVICES = ("cloudwatch", "ec2", "events", "guardduty", "iam", "kms", "logs", "sns", "sqs", "stepfunctions")
copyreg.pickle(Condition, lambda _: (Condition, ()))  # each of moto's queues has one, and is copied
_deployments: dict[str, tuple[StackInAccount, Any]] = {}


def _stores(account_id: str) -> list[dict[str, Any]]:
    """Moto's stores of an account, Region by Region."""
    return [cast("Any", get_backend)(service)[account_id] for service in _SERVICES]


@contextmanager
def stack_in_account(file: StackFile) -> Generator[StackInAccount]:
    """The stack, deployed and confirmed. It is really deployed once; then the account gets a copy of what it held."""
    if repr(file) not in _deployments:
        with deployed(file) as deployment:
            stack = StackInAccount(file, deployment)
            stack.confirm()
            state = [dict(store) for store in _stores(stack.account.account_id)], stack.outputs
            _deployments[repr(file)] = stack, deepcopy(state)
    stack, state = _deployments[repr(file)]
    with stack.account as account:
        contents, stack.outputs = deepcopy(state)
        for store, content in zip(_stores(account.account_id), contents, strict=True):
            store.update(content)
        stack.aws.forget()
        yield stack
