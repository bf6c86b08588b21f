"""The program as the engine runs it: config in, resources and outputs out."""

import json
import re
import string
from typing import Any

import pulumi
import pytest
from examples import DETECTOR_ID, KEY_ARN, SLACK, TEAMS, VPC
from harness import (
    CONFIG,
    OUTPUTS,
    QUEUE,
    RULE,
    STATE_MACHINE,
    TOPIC,
    AwsMocks,
    documents,
    input_texts,
    inputs_by_urn,
    made,
    run,
    texts,
    the,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from threatmon.emulator.program import run_project
from threatmon.model.finding_types import catalogue
from threatmon.model.settings import Settings
from threatmon.project import ROOT as PROJECT_ROOT

TOKEN = "T0PS3CRET"
RAW = {"protocol": "https", "endpoint": f"https://hooks.example.com/{TOKEN}", "format": "raw"}
CONFIGS: dict[str, dict[str, Any]] = {
    "small": {},
    "every type": {"findingTypes": ["*"]},
    "a selection split over several rules": {"findingTypes": sorted(catalogue())},
    "vpc only": {"subnetIds": None, "vpcIds": [VPC]},
    "import": {"detector": {"mode": "import", "id": DETECTOR_ID}, "protectionPlans": {"ai": True}},
    "lookup": {"detector": {"mode": "lookup"}},
    "own key and subscribers": {"alerts": {"kmsKeyArn": KEY_ARN, "subscribers": [RAW]}},
    "chat and runbooks": {"alerts": {"slack": SLACK, "teams": TEAMS, "runbooks": {"Recon:*": "https://a.example.com"}}},
    "alarms": {"health": {"enabled": True}},
    "kept and protected": {"protect": True, "flowLogs": {"keepOnDestroy": True}},
    "a hundred subnets": {"subnetIds": [f"subnet-{number:017x}" for number in range(100)]},
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


# -- preview and up ---------------------------------------------------------------------------------------------------


@every_config
def test_a_preview_registers_what_the_update_registers(config: dict[str, Any]) -> None:
    assert run(**config, preview=True).resources.keys() == run(**config).resources.keys()


# -- outputs ----------------------------------------------------------------------------------------------------------


def test_the_outputs_are_what_was_made() -> None:
    deployed = run(stack="prod")
    outputs = deployed.outputs
    assert outputs["topicArn"] == made(the(deployed, TOPIC))["arn"]
    assert outputs["stateMachineArn"] == made(the(deployed, STATE_MACHINE))["arn"]
    assert outputs["deadLetterQueueUrl"] == made(the(deployed, QUEUE))["url"]
    assert sorted(outputs["ruleNames"]) == sorted(made(rule)["name"] for rule in deployed.of_type(RULE))
    assert outputs["logGroupName"] == "/threat-monitor/prod/flow-logs"
    assert re.fullmatch(r"[0-9a-f]{32}", outputs["detectorId"])
    assert outputs["dashboardUrl"] == (
        "https://console.aws.amazon.com/cloudwatch/home?region=eu-west-1#dashboards/dashboard/threat-monitor-prod"
    )


def test_the_next_steps_name_the_addresses_and_the_command_that_confirms() -> None:
    deployed = run(alertEmails=["a@example.com", "b@example.com"])
    steps = "\n".join(deployed.outputs["nextSteps"])
    assert "a@example.com, b@example.com" in steps
    command = "aws sns confirm-subscription --authenticate-on-unsubscribe true --region eu-west-1"
    assert f"{command} --topic-arn {deployed.outputs['topicArn']} --token " in steps


def test_the_token_of_a_subscriber_shows_in_no_output_name_or_urn() -> None:
    deployed = run(alerts={"subscribers": [RAW]})
    assert TOKEN not in json.dumps(deployed.outputs)
    assert not [urn for urn in deployed.resources if TOKEN in urn]
    holders = [
        (r.type, key) for r in deployed.resources.values() for key, v in r.inputs.items() if TOKEN in "".join(texts(v))
    ]
    assert holders == [("aws:sns/topicSubscription:TopicSubscription", "endpoint")]


# -- partitions -------------------------------------------------------------------------------------------------------

PARTITIONS = {
    "aws": ("eu-west-1", "amazonaws.com", "console.aws.amazon.com"),
    "aws-us-gov": ("us-gov-west-1", "amazonaws.com", "console.amazonaws-us-gov.com"),
    "aws-cn": ("cn-north-1", "amazonaws.com.cn", "console.amazonaws.cn"),
}
every_partition = pytest.mark.parametrize("partition", PARTITIONS)


@every_partition
def test_every_arn_is_of_the_stacks_partition_region_and_account(partition: str) -> None:
    region = PARTITIONS[partition][0]
    deployed = run(mocks=AwsMocks(region, partition, "444455556666"))
    everything = [*input_texts(deployed), *texts(deployed.outputs)]
    # Those of Step Functions' integrations are of no Region and no account.
    everything = [text.replace(f"arn:{partition}:states:::", "") for text in everything]
    arns = {found for text in everything for found in re.findall(r"arn:([\w-]*):([\w-]+):([\w-]*):(\w*):", text)}
    assert {arn[0] for arn in arns} == {partition}
    assert {arn[2] for arn in arns if arn[1] != "iam"} == {region}
    assert {arn[3] for arn in arns} == {"444455556666"}
    assert {arn[1] for arn in arns} == {"ec2", "events", "iam", "kms", "logs", "sns", "sqs", "states"}
    assert sum(text.count("arn:aws") for text in everything) == sum(
        text.count(f"arn:{partition}:") for text in everything
    )


@every_partition
def test_service_principals_are_those_of_the_partition(partition: str) -> None:
    region, suffix, _ = PARTITIONS[partition]
    principals = {
        statement["Principal"]["Service"]
        for _, document in documents(run(mocks=AwsMocks(region, partition)))
        for statement in document["Statement"]
        if "Service" in statement.get("Principal", {})
    }
    global_ones = {f"{service}.amazonaws.com" for service in ("events", "states", "vpc-flow-logs")}
    assert principals == {*global_ones, f"logs.{region}.{suffix}"}


@every_partition
def test_every_console_link_is_of_the_partition(partition: str) -> None:
    region, _, host = PARTITIONS[partition]
    deployed = run(mocks=AwsMocks(region, partition))
    links = {
        link
        for text in [*input_texts(deployed), *texts(deployed.outputs)]
        for link in re.findall(r"https://(console\.[\w.-]+)", text)
    }
    assert links == {host}


# -- faults -----------------------------------------------------------------------------------------------------------

FAULTY = {
    "subnetIds": ["subnet-0123456789abcdef0", "subnet-12xyz"],
    "alertEmails": ["security@example.com"],
    "findingTypes": ["Recon:EC2/PortScan"],
}


def test_all_faults_are_reported_at_once_and_nothing_is_registered() -> None:
    mocks = AwsMocks()
    with pytest.raises(pulumi.RunError) as caught:
        run(FAULTY, mocks=mocks)
    assert str(caught.value).splitlines() == [
        "Pulumi.dev.yaml has 2 faults:",
        '  threat-monitor:subnetIds[1]: "subnet-12xyz" is not a subnet id (expected subnet- and 8 or 17 hex digits)',
        '  threat-monitor:findingTypes[0]: "Recon:EC2/PortScan" is not a GuardDuty finding type;'
        ' did you mean "Recon:EC2/Portscan"?',
    ]
    assert mocks.resources == []
    assert mocks.calls == []


def test_a_stack_without_any_config_is_a_fault_of_its_own_file() -> None:
    mocks = AwsMocks()
    with pytest.raises(pulumi.RunError, match=r"^Pulumi\.prod-eu\.yaml has 2 faults:\n  threat-monitor:subnetIds"):
        run({}, mocks=mocks, stack="prod-eu")
    assert mocks.resources == []


def test_config_of_other_namespaces_is_left_alone() -> None:
    config = {f"threat-monitor:{key}": value for key, value in CONFIG.items()}
    others = {"aws:region": "eu-west-1", "aws:defaultTags": {"tags": {"team": "x"}}, "other:subnetIds": "nonsense"}
    with_others = run_project({**config, **others}, AwsMocks())
    assert inputs_by_urn(with_others) == inputs_by_urn(run())


def test_chat_is_a_fault_in_a_region_that_has_none() -> None:
    config = {**{f"threat-monitor:{key}": value for key, value in CONFIG.items()}, "aws:region": "cn-north-1"}
    with pytest.raises(pulumi.RunError, match=r"threat-monitor:alerts\.slack: is not possible in cn-north-1"):
        run_project({**config, "threat-monitor:alerts": {"slack": SLACK}}, AwsMocks())


def test_warnings_are_logged_and_stop_nothing(caplog: pytest.LogCaptureFixture) -> None:
    deployed = run(findingTypes=["Recon:EC2/Portscan"], minimumSeverity="critical")
    assert deployed.outputs.keys() == OUTPUTS
    (warning,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert 'threat-monitor:findingTypes[0]: "Recon:EC2/Portscan"' in warning


# -- the file itself --------------------------------------------------------------------------------------------------


def test_the_entry_point_stays_short() -> None:
    assert len((PROJECT_ROOT / "__main__.py").read_text(encoding="utf-8").splitlines()) < 40


def test_only_the_entry_point_reads_the_config() -> None:
    reads_config = re.compile(
        r"pulumi\.Config\b|import Config\b|runtime\.config\b|get_config|CONFIG\.get|aws\.config\b"
    )
    files = [PROJECT_ROOT / "__main__.py", *sorted((PROJECT_ROOT / "components").glob("*.py"))]
    assert [f.name for f in files if reads_config.search(f.read_text(encoding="utf-8"))] == ["__main__.py"]


# -- any config -------------------------------------------------------------------------------------------------------

_WORDS = st.sampled_from(
    [
        *("subnet-0123456789abcdef0", "vpc-0123456789abcdef0", "security@example.com", DETECTOR_ID, KEY_ARN),
        *("Recon:EC2/Portscan", "Recon:EC2/*", "*", "low", "create", "import", "lookup", "raw", "https", "email"),
        *("mode", "id", "protocol", "endpoint", "subscribers", "retentionDays", "s3", "true", "[]", "{}", "null"),
    ]
)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | _WORDS
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)
_KEYS = st.sampled_from([str(field.alias) for field in Settings.model_fields.values()] + ["alertEmail"])
_ADDRESSES = st.sampled_from(["a@example.com", "b@example.com"]) | st.emails()
_SUBSCRIBERS = st.lists(
    st.fixed_dictionaries(
        {"protocol": st.sampled_from(["email", "https", "sms"]), "endpoint": _ADDRESSES | _TEXTS},
        optional={"format": st.sampled_from(["text", "raw"])},
    ),
    max_size=3,
)
_SUBNETS = st.integers(0, 16**8 - 1).map("subnet-{:08x}".format)
_PLAUSIBLE = st.fixed_dictionaries(
    {"subnetIds": st.lists(_SUBNETS, min_size=1, max_size=4), "alertEmails": st.lists(_ADDRESSES, max_size=2)},
    optional={
        "findingTypes": st.lists(st.sampled_from([*sorted(catalogue()), "Recon:*", "*"]), max_size=60),
        "minimumSeverity": st.sampled_from(["low", "medium", "high", "critical"]),
        "detector": st.sampled_from([{"mode": "lookup"}, {"mode": "import", "id": DETECTOR_ID}, {"mode": "import"}]),
        "alerts": st.fixed_dictionaries(
            {}, optional={"subscribers": _SUBSCRIBERS, "accountAlias": _TEXTS, "slack": st.just(SLACK)}
        ),
        "protect": st.booleans(),
    },
)
_ARBITRARY = st.dictionaries(_KEYS | st.text(string.ascii_letters, min_size=1, max_size=12), _JSON, max_size=6)


@given(_PLAUSIBLE | st.builds(dict[str, Any], _ARBITRARY) | st.builds(lambda a, b: {**a, **b}, _PLAUSIBLE, _ARBITRARY))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_any_config_gives_either_a_list_of_faults_and_nothing_else_or_a_whole_stack(config: dict[str, Any]) -> None:
    mocks = AwsMocks()
    faults, outputs = "", set[str]()
    try:
        outputs = set(run(config, mocks=mocks).outputs)
    except pulumi.RunError as error:
        faults = str(error)
    if faults:
        assert re.match(r"Pulumi\.dev\.yaml has (1 fault|\d+ faults):\n  threat-monitor:", faults)
        assert mocks.resources == []
    else:
        assert outputs == OUTPUTS


# -- one run after the other ------------------------------------------------------------------------------------------


def test_a_run_after_a_failed_one_sees_nothing_of_it() -> None:
    alone = run()
    with pytest.raises(pulumi.RunError):
        run(FAULTY)
    after = run()
    assert inputs_by_urn(after) == inputs_by_urn(alone)
    assert after.outputs == alone.outputs


def test_a_run_after_one_that_failed_in_aws_sees_nothing_of_it() -> None:
    class Denied(AwsMocks):
        def new_resource(self, args: Any) -> tuple[str | None, dict[str, Any]]:
            if args.typ == TOPIC:
                raise PermissionError("AccessDenied")
            return super().new_resource(args)

    with pytest.raises(Exception, match="AccessDenied"):
        run(mocks=Denied())
    assert run().outputs.keys() == OUTPUTS


def test_stacks_run_one_after_the_other_are_separate() -> None:
    run(stack="one", subnetIds=["subnet-00000001"], vpcIds=[VPC])
    second = run(stack="two", subnetIds=["subnet-00000002"])
    assert all(urn.startswith("urn:pulumi:two::threat-monitor::") for urn in second.resources)
    assert not [text for text in input_texts(second) if "subnet-00000001" in text or VPC in text or "/one/" in text]
