import json
from functools import cache
from typing import Any

import pulumi
import pytest
from examples import ACCOUNT, KEY_ARN
from harness import (
    ROLE,
    ROLE_POLICY,
    SLACK,
    TEAMS,
    TOPIC,
    TOPIC_POLICY,
    AwsMocks,
    custom,
    made,
    named,
    run_component,
    the,
)

from components.chat import ChatNotifications, ChatNotificationsArgs
from threatmon.emulator.program import ProgramRun
from threatmon.model import names
from threatmon.model.policies import topic_policy
from threatmon.model.settings import SlackSettings, TeamsSettings

TENANT, TEAM = "01234567-89ab-cdef-0123-456789abcdef", "fedcba98-7654-3210-fedc-ba9876543210"
IN_SLACK = SlackSettings(workspace_id="T0123456789", channel_id="C0123456789")
IN_TEAMS = TeamsSettings(tenant_id=TENANT, team_id=TEAM, channel_id="19:abc=@thread.tacv2")
CONFIGURATIONS = (SLACK, TEAMS)


def deploy(
    slack: SlackSettings | None = IN_SLACK,
    teams: TeamsSettings | None = IN_TEAMS,
    partition: str = "aws",
    boundary: str | None = None,
) -> ProgramRun:
    def build() -> None:
        args = ChatNotificationsArgs("eu.prod", KEY_ARN, slack, teams, permissions_boundary=boundary)
        chat = ChatNotifications("talk", args)
        pulumi.export("arns", dict(chat.topic_arns))
        pulumi.export("names", dict(chat.topic_names))

    return run_component(build, mocks=AwsMocks(partition=partition))


@cache
def usual() -> ProgramRun:
    """Deploy both channels."""
    return deploy()


@pytest.mark.parametrize(
    ("slack", "teams", "channels"),
    [(IN_SLACK, IN_TEAMS, ["slack", "teams"]), (IN_SLACK, None, ["slack"]), (None, IN_TEAMS, ["teams"])],
)
def test_each_channel_has_a_topic_with_its_policy_and_a_configuration_and_all_share_one_role(
    slack: SlackSettings | None, teams: TeamsSettings | None, channels: list[str]
) -> None:
    run = deploy(slack, teams)
    assert sorted(r.name for r in custom(run)) == sorted(
        ["talk-role", *(f"talk-{made}{name}" for name in channels for made in ("", "topic-"))]
        + [f"talk-topic-{name}-policy" for name in channels]
    )
    assert {type_ for type_ in CONFIGURATIONS if run.of_type(type_)} == {
        {"slack": SLACK, "teams": TEAMS}[name] for name in channels
    }


def test_a_configuration_shows_its_own_topic_in_the_channel_of_the_settings() -> None:
    run = usual()
    common: dict[str, Any] = {
        "iamRoleArn": made(the(run, ROLE))["arn"],
        "guardrailPolicyArns": ["arn:aws:iam::aws:policy/AWSDenyAll"],
        "loggingLevel": "ERROR",
    }
    assert the(run, SLACK).inputs == {
        **common,
        "configurationName": "threat-monitor-eu-prod-slack",
        "slackTeamId": "T0123456789",
        "slackChannelId": "C0123456789",
        "snsTopicArns": [made(named(run, "talk-topic-slack"))["arn"]],
    }
    assert the(run, TEAMS).inputs == {
        **common,
        "configurationName": "threat-monitor-eu-prod-teams",
        "tenantId": TENANT,
        "teamId": TEAM,
        "channelId": "19%3Aabc%3D%40thread.tacv2",
        "snsTopicArns": [made(named(run, "talk-topic-teams"))["arn"]],
    }


@pytest.mark.parametrize("shown", ["19:abc=@thread.tacv2", "19%3Aabc=%40thread.tacv2", "19%3aabc=%40thread.tacv2"])
def test_the_id_of_a_teams_channel_is_percent_encoded_once_however_it_was_copied(shown: str) -> None:
    settings = TeamsSettings(tenant_id=TENANT, team_id=TEAM, channel_id=shown)
    assert the(deploy(None, settings), TEAMS).inputs["channelId"] == "19%3Aabc%3D%40thread.tacv2"


def test_from_the_chat_nobody_can_do_anything() -> None:
    run = usual()
    assert run.of_type(ROLE_POLICY) == []
    assert not {"inlinePolicies", "managedPolicyArns"} & the(run, ROLE).inputs.keys()
    assert json.loads(the(run, ROLE).inputs["assumeRolePolicy"])["Statement"] == [
        {"Effect": "Allow", "Principal": {"Service": "chatbot.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ]
    for configuration in CONFIGURATIONS:
        assert the(run, configuration).inputs["guardrailPolicyArns"] == ["arn:aws:iam::aws:policy/AWSDenyAll"]
        assert "userAuthorizationRequired" not in the(run, configuration).inputs


def test_the_guardrail_is_of_the_partition() -> None:
    configuration = the(deploy(teams=None, partition="aws-us-gov"), SLACK)
    assert configuration.inputs["guardrailPolicyArns"] == ["arn:aws-us-gov:iam::aws:policy/AWSDenyAll"]


def test_the_topics_are_encrypted_with_the_key_and_are_the_accounts_alone() -> None:
    run = usual()
    for topic in run.of_type(TOPIC):
        name = names.physical("eu.prod", topic.name)
        assert topic.inputs == {"name": name, "displayName": "GuardDuty alerts", "kmsMasterKeyId": KEY_ARN}
    policies = {policy.inputs["arn"]: json.loads(policy.inputs["policy"]) for policy in run.of_type(TOPIC_POLICY)}
    owner = f"arn:aws:iam::{ACCOUNT}:root"
    arns = [made(topic)["arn"] for topic in run.of_type(TOPIC)]
    assert policies == {arn: topic_policy(arn, owner) for arn in arns}


def test_the_role_stays_within_the_boundary_it_is_given() -> None:
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/Boundary"
    assert the(deploy(boundary=boundary), ROLE).inputs["permissionsBoundary"] == boundary
    assert "permissionsBoundary" not in the(usual(), ROLE).inputs


def test_its_outputs_are_the_topics_by_channel_and_their_names_within_the_stack() -> None:
    run = usual()
    topics = {name: made(named(run, f"talk-topic-{name}")) for name in ("slack", "teams")}
    assert run.outputs == {
        "arns": {name: topic["arn"] for name, topic in topics.items()},
        "names": {f"topic-{name}": topic["name"] for name, topic in topics.items()},
    }
