from typing import Any

import pulumi
from examples import ACCOUNT, KEY_ARN, OTHER_SUBNET, SUBNET, VPC
from harness import FLOW_LOG, LOG_GROUP, ROLE, ROLE_POLICY, custom, made, run_component, the

from components.flow_logs import FlowLogs, FlowLogsArgs
from threatmon.emulator.program import ProgramRun
from threatmon.model import names
from threatmon.model.queries import log_format
from threatmon.model.settings import FlowLogSettings

GROUP_ARN = f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:/logs/flow"


def deploy(settings: FlowLogSettings | None = None, **args: Any) -> ProgramRun:
    given: dict[str, Any] = {"subnet_ids": [SUBNET], "settings": settings or FlowLogSettings(), **args}
    return run_component(lambda: FlowLogs("evidence", FlowLogsArgs("dev", "/logs/flow", **given)))


def test_it_makes_one_group_one_role_with_one_policy_and_a_flow_log_for_each_subnet_and_vpc() -> None:
    run = deploy(subnet_ids=[SUBNET, OTHER_SUBNET], vpc_ids=[VPC])
    assert sorted(r.name for r in custom(run)) == [
        "evidence-log-group",
        "evidence-role",
        f"evidence-{SUBNET}",
        f"evidence-{OTHER_SUBNET}",
        f"evidence-{VPC}",
        "evidence-write",
    ]


def test_the_log_group_has_the_name_retention_class_and_key_it_is_given() -> None:
    settings = FlowLogSettings(retention_days=90, log_group_class="INFREQUENT_ACCESS")
    assert the(deploy(settings, kms_key_arn=KEY_ARN), LOG_GROUP).inputs == {
        "name": "/logs/flow",
        "retentionInDays": 90,
        "logGroupClass": "INFREQUENT_ACCESS",
        "kmsKeyId": KEY_ARN,
    }


def test_the_role_stays_within_the_boundary_it_is_given() -> None:
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/threat-monitor-boundary"
    bounded = deploy(FlowLogSettings(permissions_boundary=boundary))
    assert the(bounded, ROLE).inputs["permissionsBoundary"] == boundary
    assert "permissionsBoundary" not in the(deploy(), ROLE).inputs


def test_without_settings_a_year_is_kept_and_every_packet_recorded_and_the_group_names_no_key() -> None:
    run = deploy()
    assert the(run, LOG_GROUP).inputs == {"name": "/logs/flow", "retentionInDays": 365, "logGroupClass": "STANDARD"}
    assert the(run, FLOW_LOG).inputs == {
        "subnetId": SUBNET,
        "trafficType": "ALL",
        "maxAggregationInterval": 60,
        "logFormat": log_format("extended"),
        "logDestination": made(the(run, LOG_GROUP))["arn"],
        "iamRoleArn": made(the(run, ROLE))["arn"],
        "tags": names.tags("dev", f"evidence-{SUBNET}"),
    }


def test_a_flow_log_of_a_vpc_names_the_vpc_and_no_subnet() -> None:
    inputs = the(deploy(subnet_ids=[], vpc_ids=[VPC]), FLOW_LOG).inputs
    assert inputs["vpcId"] == VPC
    assert "subnetId" not in inputs


def test_the_settings_reach_the_flow_log_and_the_default_format_is_left_to_aws() -> None:
    settings = FlowLogSettings(traffic_type="REJECT", aggregation_seconds=600, format="default")
    inputs = the(deploy(settings), FLOW_LOG).inputs
    assert (inputs["trafficType"], inputs["maxAggregationInterval"]) == ("REJECT", 600)
    assert "logFormat" not in inputs


def test_flow_logs_wait_for_the_policy_of_their_role_and_not_for_one_another() -> None:
    run = deploy(subnet_ids=[SUBNET, OTHER_SUBNET], vpc_ids=[VPC])
    urns = {flow_log.urn for flow_log in run.of_type(FLOW_LOG)}
    for flow_log in run.of_type(FLOW_LOG):
        assert the(run, ROLE_POLICY).urn in flow_log.depends_on
        assert not urns & flow_log.depends_on


def test_its_outputs_are_the_groups_name_and_arn() -> None:
    def build() -> None:
        logs = FlowLogs("evidence", FlowLogsArgs("dev", "/logs/flow", [SUBNET]))
        pulumi.export("name", logs.log_group_name)
        pulumi.export("arn", logs.log_group_arn)

    assert run_component(build).outputs == {"name": "/logs/flow", "arn": GROUP_ARN}
