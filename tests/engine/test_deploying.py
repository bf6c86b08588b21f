"""A stack's life: preview, deployment, nothing left to do, destruction."""

import json

from engine.checkout import inventory
from engine.stacks import SUBNETS, Stack

FLOW_LOGS = "/threat-monitor/dev/flow-logs"


def test_a_preview_announces_what_the_deployment_then_makes(stack: Stack) -> None:
    announced = stack.preview()
    assert set(announced.values()) == {"create"}
    assert inventory(stack.account) == {}

    stack.up().succeeded()
    assert stack.resources().keys() == announced.keys()
    assert inventory(stack.account)["flow logs"] == sorted(SUBNETS)


def test_a_second_preview_changes_nothing(deployed: Stack) -> None:
    assert deployed.preview() == {}


def test_what_the_account_holds_is_what_the_stack_remembers(deployed: Stack) -> None:
    deployed.drift().succeeded()


def test_what_somebody_changed_by_hand_is_found_and_put_back(stack: Stack) -> None:
    stack.up().succeeded()
    logs = stack.account.client("logs")
    logs.put_retention_policy(logGroupName=FLOW_LOGS, retentionInDays=1)
    assert not stack.drift().ok

    stack.up("--refresh").succeeded()
    [group] = logs.describe_log_groups(logGroupNamePrefix=FLOW_LOGS)["logGroups"]
    assert group["retentionInDays"] == 365


def test_the_flow_logs_can_deliver_what_they_record(deployed: Stack) -> None:
    flow_logs = deployed.account.client("ec2").describe_flow_logs()["FlowLogs"]
    assert {flow_log["ResourceId"]: flow_log["DeliverLogsStatus"] for flow_log in flow_logs} == dict.fromkeys(
        SUBNETS, "SUCCESS"
    )


def test_the_default_tags_of_the_stack_reach_the_account(deployed: Stack) -> None:
    topic = deployed.resources()["Topic alerts-topic"]["id"]
    tags = deployed.account.client("sns").list_tags_for_resource(ResourceArn=topic)["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"project": "threat-monitor", "stack": "dev"}


def test_a_token_in_an_endpoint_is_nowhere_in_the_clear(stack: Stack) -> None:
    endpoint = "https://example.com/hook/t0k3n"
    stack.configure(alerts={"subscribers": [{"protocol": "https", "endpoint": endpoint, "format": "raw"}]})
    run = stack.up("--diff").succeeded()
    assert endpoint in inventory(stack.account)["subscriptions"]
    assert "example.com/hook" not in run.output + json.dumps(stack.resources())


def test_a_destroyed_stack_leaves_nothing_behind(stack: Stack) -> None:
    stack.up().succeeded()
    stack.destroy().succeeded()
    assert inventory(stack.account) == {}
    assert stack.resources() == {}


def test_keep_on_destroy_leaves_the_evidence_and_its_key(stack: Stack) -> None:
    stack.configure(flowLogs={"keepOnDestroy": True})
    stack.up().succeeded()
    key = stack.resources()["Key encryption-key"]["outputs"]["arn"]
    stack.destroy().succeeded()
    assert inventory(stack.account) == {"keys": [key], "log groups": [FLOW_LOGS]}


def test_a_protected_stack_refuses_to_be_destroyed(stack: Stack) -> None:
    stack.configure(protect=True)
    stack.up().succeeded()
    before = inventory(stack.account)
    run = stack.destroy()
    assert not run.ok
    assert "protect" in run.output
    after = inventory(stack.account)
    assert {kind: after[kind] for kind in ("detectors", "keys")} == {
        kind: before[kind] for kind in ("detectors", "keys")
    }
    assert FLOW_LOGS in after["log groups"]
