import json
from typing import Any

import pytest
from examples import ACCOUNT, KEY_ARN, OTHER_SUBNET, SUBNET, VPC
from harness import FLOW_LOG, LOG_GROUP, ROLE, ROLE_POLICY, AwsMocks, custom, inputs_by_urn, made, run_component, the

from components.flow_logs import FlowLogs, FlowLogsArgs
from threatmon.emulator.program import ProgramRun

GROUP_ARN = f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:/logs/flow"


def deploy(*, mocks: AwsMocks | None = None, preview: bool = False, **args: Any) -> ProgramRun:
    with_defaults: dict[str, Any] = {"subnet_ids": [SUBNET], **args}
    wanted = FlowLogsArgs("/logs/flow", **with_defaults)
    return run_component(lambda: FlowLogs("evidence", wanted), mocks=mocks, preview=preview)


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
    run = deploy(kms_key_arn=KEY_ARN, retention_days=90, log_group_class="INFREQUENT_ACCESS")
    assert the(run, LOG_GROUP).inputs == {
        "name": "/logs/flow",
        "retentionInDays": 90,
        "logGroupClass": "INFREQUENT_ACCESS",
        "kmsKeyId": KEY_ARN,
    }


def test_the_role_stays_within_the_boundary_it_is_given() -> None:
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/threat-monitor-boundary"
    assert the(deploy(permissions_boundary=boundary), ROLE).inputs["permissionsBoundary"] == boundary
    assert "permissionsBoundary" not in the(deploy(), ROLE).inputs


def test_by_default_the_log_group_keeps_a_year_and_names_no_key() -> None:
    assert the(deploy(), LOG_GROUP).inputs == {
        "name": "/logs/flow",
        "retentionInDays": 365,
        "logGroupClass": "STANDARD",
    }


def test_a_flow_log_writes_its_subnets_traffic_to_the_group_with_the_role() -> None:
    run = deploy(traffic_type="REJECT", aggregation_seconds=600, log_format="${srcaddr} ${dstaddr}")
    assert the(run, FLOW_LOG).inputs == {
        "subnetId": SUBNET,
        "trafficType": "REJECT",
        "maxAggregationInterval": 600,
        "logFormat": "${srcaddr} ${dstaddr}",
        "logDestination": made(the(run, LOG_GROUP))["arn"],
        "iamRoleArn": made(the(run, ROLE))["arn"],
    }


def test_a_flow_log_of_a_vpc_names_the_vpc_and_no_subnet() -> None:
    inputs = the(deploy(subnet_ids=[], vpc_ids=[VPC]), FLOW_LOG).inputs
    assert inputs["vpcId"] == VPC
    assert "subnetId" not in inputs


def test_without_a_format_the_flow_log_leaves_it_to_aws() -> None:
    assert "logFormat" not in the(deploy(), FLOW_LOG).inputs


def test_the_role_trusts_this_accounts_and_regions_flow_logs_and_nobody_else() -> None:
    role = the(deploy(), ROLE)
    assert set(role.inputs) == {"description", "assumeRolePolicy"}
    assert json.loads(role.inputs["assumeRolePolicy"])["Statement"] == [
        {
            "Effect": "Allow",
            "Principal": {"Service": "vpc-flow-logs.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {
                "StringEquals": {"aws:SourceAccount": ACCOUNT},
                "ArnLike": {"aws:SourceArn": f"arn:aws:ec2:eu-west-1:{ACCOUNT}:vpc-flow-log/*"},
            },
        }
    ]


def test_the_policy_lets_the_role_write_to_that_group_alone_and_create_none() -> None:
    run = deploy()
    policy = the(run, ROLE_POLICY)
    (statement,) = json.loads(policy.inputs["policy"])["Statement"]
    assert policy.inputs["role"] == made(the(run, ROLE))["name"]
    assert statement["Resource"] == [GROUP_ARN, f"{GROUP_ARN}:*"]
    assert made(the(run, LOG_GROUP))["arn"] == GROUP_ARN
    assert "logs:PutLogEvents" in statement["Action"]
    assert "logs:CreateLogGroup" not in statement["Action"]


def test_flow_logs_wait_for_the_policy_of_their_role() -> None:
    run = deploy(subnet_ids=[SUBNET, OTHER_SUBNET], vpc_ids=[VPC])
    for flow_log in run.of_type(FLOW_LOG):
        assert the(run, ROLE_POLICY).urn in flow_log.depends_on


def test_flow_logs_do_not_wait_for_one_another() -> None:
    run = deploy(subnet_ids=[SUBNET, OTHER_SUBNET])
    urns = {flow_log.urn for flow_log in run.of_type(FLOW_LOG)}
    assert not any(urns & flow_log.depends_on for flow_log in run.of_type(FLOW_LOG))


@pytest.mark.parametrize("protect", [True, False])
def test_protect_covers_the_log_group_and_nothing_else(*, protect: bool) -> None:
    run = deploy(protect=protect)
    assert {r.type for r in run.resources.values() if r.protect} == ({LOG_GROUP} if protect else set())


@pytest.mark.parametrize("keep", [True, False])
def test_keep_on_destroy_retains_the_log_group_and_nothing_else(*, keep: bool) -> None:
    run = deploy(keep_on_destroy=keep)
    assert {r.type for r in run.resources.values() if r.retain_on_delete} == ({LOG_GROUP} if keep else set())


def test_the_order_of_subnets_changes_nothing() -> None:
    one_way = deploy(subnet_ids=[SUBNET, OTHER_SUBNET])
    the_other = deploy(subnet_ids=[OTHER_SUBNET, SUBNET])
    assert inputs_by_urn(one_way) == inputs_by_urn(the_other)


def test_another_subnet_adds_one_resource_and_changes_no_other() -> None:
    before, after = inputs_by_urn(deploy()), inputs_by_urn(deploy(subnet_ids=[OTHER_SUBNET, SUBNET]))
    (added,) = after.keys() - before.keys()
    assert added.endswith(OTHER_SUBNET)
    assert before == {urn: inputs for urn, inputs in after.items() if urn != added}


def test_the_component_tells_the_groups_name_and_arn() -> None:
    told: dict[str, str] = {}

    def build() -> None:
        logs = FlowLogs("evidence", FlowLogsArgs("/logs/flow", [SUBNET]))
        logs.log_group_name.apply(lambda name: told.update(name=name))
        logs.log_group_arn.apply(lambda arn: told.update(arn=arn))

    run_component(build)
    assert told == {"name": "/logs/flow", "arn": GROUP_ARN}


def test_the_account_is_asked_of_aws_so_that_a_preview_shows_whole_policies() -> None:
    policy = the(deploy(preview=True), ROLE_POLICY).inputs["policy"]
    assert json.loads(policy)["Statement"][0]["Resource"][0] == GROUP_ARN


def test_another_region_and_partition_show_in_every_arn() -> None:
    run = deploy(mocks=AwsMocks("us-gov-west-1", "aws-us-gov", "444455556666"))
    policy = json.loads(the(run, ROLE_POLICY).inputs["policy"])
    group = "arn:aws-us-gov:logs:us-gov-west-1:444455556666:log-group:/logs/flow"
    assert policy["Statement"][0]["Resource"] == [group, f"{group}:*"]
