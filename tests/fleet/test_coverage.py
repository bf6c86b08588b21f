"""Answers are written here in the form that boto3 gives them; the command's tests hold that form to the API's."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatmon.evaluation.explain import rules_of
from threatmon.fleet.coverage import (
    ALERTS,
    LEVEL_OF,
    Answers,
    Coverage,
    Rule,
    Unanswered,
    coverage,
    document,
    nothing,
)
from threatmon.fleet.targets import Target
from threatmon.model.protection_plans import FEATURES
from threatmon.model.settings import parse
from threatmon.stacks.files import StackFile

AT = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
ACCOUNT = "111122223333"
SUBNET, OTHER, THIRD = "subnet-0123456789abcdef0", "subnet-0fedcba9876543210", "subnet-00000000000000003"
VPC, OTHER_VPC = "vpc-0123456789abcdef0", "vpc-0fedcba9876543210"
MAIL = "soc@example.com"


def target(stack: str = "prod", account: str = ACCOUNT, region: str = "eu-west-1", **changes: Any) -> Target:
    config = {"subnetIds": [SUBNET], "alertEmails": [MAIL], **changes}
    return Target(StackFile(stack, {}), parse(config)[0], account, region)


def subnet(id_: str = SUBNET, vpc: str = VPC, **changes: Any) -> dict[str, Any]:
    return {
        "SubnetId": id_,
        "VpcId": vpc,
        "OwnerId": ACCOUNT,
        "CidrBlock": "10.0.0.0/24",
        "AvailableIpAddressCount": 251,
        **changes,
    }


def flow_log(of: str = SUBNET, group: str = "/threat-monitor/prod/flow-logs", **changes: Any) -> dict[str, Any]:
    return {
        "FlowLogId": f"fl-{of}",
        "ResourceId": of,
        "TrafficType": "ALL",
        "FlowLogStatus": "ACTIVE",
        "DeliverLogsStatus": "SUCCESS",
        "LogDestination": f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:{group}:*",
        **changes,
    }


BUCKET: Mapping[str, Any] = {"FlowLogId": "fl-bucket", "LogDestination": "arn:aws:s3:::flows", "TrafficType": "REJECT"}


def to_bucket(of: str, **changes: Any) -> dict[str, Any]:
    return {**flow_log(of), **BUCKET, **changes}


def topic(suffix: str = "") -> str:
    return f"arn:aws:sns:eu-west-1:{ACCOUNT}:{ALERTS}topic{suffix}-0a1b2c3"


def subscribed(endpoint: str = MAIL, protocol: str = "email", arn: str = "arn:confirmed") -> dict[str, Any]:
    return {"SubscriptionArn": arn, "Protocol": protocol, "Endpoint": endpoint, "TopicArn": topic()}


def detector(status: str = "ENABLED", *plans: str) -> dict[str, Any]:
    features = [{"Name": name, "Status": "ENABLED" if plan in plans else "DISABLED"} for plan, name in FEATURES.items()]
    return {"Status": status, "Features": features}


def answers(of: Target, **changes: Any) -> Answers:
    """What a healthy account of one subnet says."""
    rules = [Rule(f"{ALERTS}{rule.key}-0a1b2c3", "ENABLED", (topic(),)) for rule in rules_of(of.settings)]
    healthy = Answers(detector(), [subnet()], [flow_log()], rules, {topic(): [subscribed()]}, AT)
    return healthy._replace(**changes)


def found(settings: Mapping[str, Any] | None = None, **changes: Any) -> Coverage:
    of = target(**(settings or {}))
    return coverage([(of, answers(of, **changes))], AT)


def told(it: Coverage) -> list[tuple[str, str, str, str]]:
    return [(gap.level, gap.stack, gap.subject, gap.found) for gap in it.gaps]


def states(it: Coverage) -> dict[str, str]:
    return {row.id: row.state for row in it.subnets}


# -- stacks -----------------------------------------------------------------------------------------------------------


def test_a_stack_whose_account_has_all_it_asks_for_is_covered() -> None:
    it = found()
    [stack] = it.stacks
    assert (stack.name, stack.account_id, stack.region, stack.level) == ("prod", ACCOUNT, "eu-west-1", "ok")
    assert {name: part.found for name, part in stack.parts.items()} == {
        "detector": "ENABLED",
        "protection plans": "none",
        "rules": "medium, high, critical",
        "subscription soc@example.com": "confirmed",
        "last alert": "2026-11-22 12:30",
    }
    assert states(it) == {SUBNET: "covered"}
    assert it.gaps == []


@pytest.mark.parametrize(
    ("answer", "status"), [(None, "none"), (detector("DISABLED"), "DISABLED")], ids=["absent", "suspended"]
)
def test_a_detector_that_is_absent_or_suspended_is_a_gap(answer: Any, status: str) -> None:
    assert told(found(detector=answer)) == [("gap", "prod", "detector", status)]


def test_whoever_manages_a_detector_of_others_has_to_enable_it() -> None:
    [gap] = found({"detector": {"mode": "lookup"}}, detector=detector("DISABLED")).gaps
    assert gap.todo == "Ask whoever manages the detector to enable it."


def test_the_plans_that_are_on_are_named_as_the_settings_name_them() -> None:
    it = found(detector=detector("ENABLED", "rds", "s3"))
    assert it.stacks[0].plans.found == "s3, rds"
    assert it.gaps == []


def test_a_plan_that_is_asked_for_and_off_is_a_gap() -> None:
    it = found({"protectionPlans": {"s3": True, "rds": True}}, detector=detector("ENABLED", "s3"))
    assert told(it) == [("gap", "prod", "protection plans", "s3; off: rds")]


def test_a_rule_that_is_gone_or_disabled_is_a_gap() -> None:
    rules = [Rule(f"{ALERTS}high-0a1b2c3", "ENABLED", (topic(),)), Rule(f"{ALERTS}medium-0a1b2c3", "DISABLED", ())]
    assert told(found(rules=rules)) == [("gap", "prod", "rules", "not there or disabled: medium, critical")]


def test_a_rule_is_not_taken_for_another_whose_name_begins_alike() -> None:
    rules = [Rule(f"{ALERTS}{key}-0a1b2c3", "ENABLED", (topic(),)) for key in ("medium", "high-2", "critical")]
    assert told(found(rules=rules)) == [("gap", "prod", "rules", "not there or disabled: high")]


def test_a_subscription_that_waits_is_a_gap_with_the_command_that_confirms_it() -> None:
    it = found(subscriptions={topic(): [subscribed(arn="PendingConfirmation")]})
    assert told(it) == [("gap", "prod", "subscription soc@example.com", "is not confirmed, so nothing arrives")]
    assert f"aws sns confirm-subscription --topic-arn {topic()}" in it.gaps[0].todo


@pytest.mark.parametrize("listed", [[], [subscribed(arn="Deleted")], [subscribed("other@example.com")]])
def test_an_address_without_a_subscription_is_a_gap(listed: Any) -> None:
    assert told(found(subscriptions={topic(): listed})) == [
        ("gap", "prod", "subscription soc@example.com", "is not there")
    ]


def test_a_subscription_to_a_topic_no_rule_sends_to_does_not_count() -> None:
    assert told(found(subscriptions={})) == [
        ("gap", "prod", "subscription soc@example.com", "no rule sends to its topic")
    ]


def test_each_subscriber_is_looked_for_on_the_topic_of_its_channel() -> None:
    token = "https://hooks.example.com/T0KEN"
    subscribers = [
        {"protocol": "https", "endpoint": token, "format": "raw"},
        {"protocol": "email", "endpoint": "boss@example.com", "minimumSeverity": "critical"},
    ]
    listed = {topic(): [subscribed()], topic("-raw"): [subscribed(token, "https")], topic("-critical"): []}
    it = found({"alerts": {"subscribers": subscribers}}, subscriptions=listed)
    assert {name: part.found for name, part in it.stacks[0].subscriptions.items()} == {
        MAIL: "confirmed",
        "alerts.subscribers[0] (https)": "confirmed",
        "boss@example.com": "is not there",
    }
    assert "T0KEN" not in json.dumps(document(it))


def test_no_alert_in_a_while_is_said_and_is_no_gap() -> None:
    it = found(last_alert=None)
    assert it.stacks[0].last_alert.found == "none in 90 days"
    assert it.gaps == []


# -- subnets ----------------------------------------------------------------------------------------------------------


def test_a_flow_log_of_the_vpc_covers_each_of_its_subnets() -> None:
    it = found(
        {"subnetIds": [], "vpcIds": [VPC]}, subnets=[subnet(), subnet(OTHER)], flow_logs=[flow_log(VPC), flow_log()]
    )
    assert states(it) == {SUBNET: "covered", OTHER: "covered"}
    assert {row.stack for row in it.subnets} == {"prod"}


def test_a_flow_log_of_a_vpc_that_the_stack_does_not_have_is_not_the_stacks() -> None:
    it = found(subnets=[subnet(), subnet(OTHER)], flow_logs=[flow_log(VPC)])
    assert states(it) == {SUBNET: "broken", OTHER: "another's"}


@pytest.mark.parametrize(
    ("flow_logs", "said"),
    [
        ([], "no flow log to /threat-monitor/prod/flow-logs"),
        ([to_bucket(SUBNET)], "no flow log to /threat-monitor/prod/flow-logs"),
        ([flow_log(group="/threat-monitor/dev/flow-logs")], "no flow log to /threat-monitor/prod/flow-logs"),
        ([flow_log(OTHER)], "no flow log to /threat-monitor/prod/flow-logs"),
        (
            [flow_log(DeliverLogsStatus="FAILED", DeliverLogsErrorMessage="Access error")],
            f"fl-{SUBNET} is ACTIVE, its delivery FAILED (Access error)",
        ),
        ([flow_log(FlowLogStatus="INACTIVE")], f"fl-{SUBNET} is INACTIVE, its delivery SUCCESS"),
        (
            [{key: value for key, value in flow_log().items() if key != "DeliverLogsStatus"}],
            f"fl-{SUBNET} is ACTIVE, its delivery unknown",
        ),
    ],
    ids=["none", "to a bucket", "of another stack", "of another subnet", "failing", "inactive", "not said"],
)
def test_a_stacks_subnet_is_covered_only_by_a_flow_log_that_delivers_to_the_stack(flow_logs: Any, said: str) -> None:
    it = found(flow_logs=flow_logs)
    assert told(it) == [("gap", "prod", SUBNET, f"broken: {said}")]


def test_one_flow_log_that_delivers_is_enough() -> None:
    failing = flow_log(FlowLogId="fl-0", DeliverLogsStatus="FAILED")
    assert states(found(flow_logs=[failing, flow_log()])) == {SUBNET: "covered"}


def test_a_log_group_told_by_its_name_counts_as_one_told_by_its_arn() -> None:
    by_name = flow_log(LogGroupName="/threat-monitor/prod/flow-logs")
    del by_name["LogDestination"]
    assert states(found(flow_logs=[by_name])) == {SUBNET: "covered"}


def test_a_subnet_that_no_stack_has_is_uncovered_and_says_how_full_it_is() -> None:
    tags = [{"Key": "team", "Value": "a"}, {"Key": "Name", "Value": "web"}]
    it = found(subnets=[subnet(), subnet(OTHER, Tags=tags, AvailableIpAddressCount=239)])
    assert told(it) == [("gap", "", f"{OTHER} (web)", "uncovered: no flow log; addresses in use: 12")]
    assert it.gaps[0].todo == "Add it to subnetIds, or its VPC to vpcIds."


def test_a_subnet_without_ipv4_does_not_guess_how_full_it_is() -> None:
    bare = {"SubnetId": OTHER, "VpcId": VPC, "AvailableIpAddressCount": 0}
    row = next(row for row in found(subnets=[bare]).subnets if row.id == OTHER)
    assert (row.found, row.cidr, row.name) == ("no flow log; addresses in use not known", "", "")


@pytest.mark.parametrize("of", [OTHER, OTHER_VPC])
def test_a_flow_log_of_others_is_shown_with_its_destination_and_is_no_gap(of: str) -> None:
    it = found(subnets=[subnet(), subnet(OTHER, OTHER_VPC)], flow_logs=[flow_log(), to_bucket(of)])
    assert states(it) == {SUBNET: "covered", OTHER: "another's"}
    row = next(row for row in it.subnets if row.id == OTHER)
    assert (row.stack, row.found) == ("", "fl-bucket (REJECT) to arn:aws:s3:::flows")
    assert it.gaps == []


def test_a_flow_log_of_others_that_does_not_deliver_covers_nothing() -> None:
    failing = to_bucket(OTHER, DeliverLogsStatus="FAILED", DeliverLogsErrorMessage="Access error")
    it = found(subnets=[subnet(), subnet(OTHER)], flow_logs=[flow_log(), failing])
    assert states(it)[OTHER] == "uncovered"
    assert "fl-bucket is ACTIVE, its delivery FAILED (Access error)" in it.gaps[0].found


def test_a_flow_log_of_others_need_not_say_how_its_delivery_is() -> None:
    silent = to_bucket(OTHER)
    del silent["DeliverLogsStatus"]
    assert states(found(subnets=[subnet(), subnet(OTHER)], flow_logs=[flow_log(), silent]))[OTHER] == "another's"


def test_a_subnet_shared_by_another_account_is_that_accounts_to_log() -> None:
    it = found(subnets=[subnet(), subnet(OTHER, OwnerId="444455556666")])
    assert states(it) == {SUBNET: "covered", OTHER: "shared"}
    assert it.gaps == []


def test_a_configured_subnet_that_the_account_does_not_have_is_gone() -> None:
    it = found(subnets=[])
    assert told(it) == [("gap", "prod", SUBNET, "gone: the account has no such subnet in this Region")]


def test_a_configured_vpc_without_subnets_is_judged_by_its_own_flow_log() -> None:
    vpc_alone = {"subnetIds": [], "vpcIds": [VPC]}
    assert states(found(vpc_alone, subnets=[], flow_logs=[flow_log(VPC)])) == {VPC: "covered"}
    assert states(found(vpc_alone, subnets=[], flow_logs=[])) == {VPC: "broken"}


# -- what is not known ------------------------------------------------------------------------------------------------


def test_an_account_that_cannot_be_asked_is_one_line_with_the_reason_and_the_rest_is_shown() -> None:
    lost, fine = target("lost", "444455556666"), target()
    it = coverage([(lost, nothing("expired")), (fine, answers(fine))], AT)
    assert told(it) == [("unknown", "lost", "everything", "expired"), ("unknown", "lost", "1 subnet", "expired")]
    assert [(stack.name, stack.level) for stack in it.stacks] == [("lost", "unknown"), ("prod", "ok")]
    assert [(row.account_id, row.state) for row in it.subnets] == [("444455556666", "unknown"), (ACCOUNT, "covered")]


def test_without_flow_logs_no_subnet_is_called_covered_or_uncovered() -> None:
    it = found(subnets=[subnet(), subnet(OTHER), subnet(THIRD)], flow_logs=Unanswered("denied"))
    assert set(states(it).values()) == {"unknown"}
    assert told(it) == [("unknown", "prod", "1 subnet", "denied"), ("unknown", "", "2 subnets", "denied")]


def test_what_is_unknown_for_one_reason_is_one_line() -> None:
    denied = Unanswered("denied")
    it = found(rules=denied, subscriptions=denied, last_alert=Unanswered("throttled"))
    assert told(it) == [
        ("unknown", "prod", "rules, subscription soc@example.com", "denied"),
        ("unknown", "prod", "last alert", "throttled"),
    ]


def test_an_unknown_detector_leaves_the_plans_unknown_too() -> None:
    it = found(detector=Unanswered("denied"))
    assert told(it) == [("unknown", "prod", "detector, protection plans", "denied")]


# -- properties -------------------------------------------------------------------------------------------------------

IDS = [f"subnet-{number:017x}" for number in range(6)]
VPCS = [f"vpc-{number:017x}" for number in range(3)]
subnets_ = st.lists(
    st.builds(
        subnet,
        st.sampled_from(IDS),
        st.sampled_from(VPCS),
        OwnerId=st.sampled_from([ACCOUNT, "444455556666"]),
    ),
    unique_by=lambda it: it["SubnetId"],
)
flow_logs_ = st.lists(
    st.builds(
        flow_log,
        st.sampled_from([*IDS, *VPCS]),
        st.sampled_from(["/threat-monitor/prod/flow-logs", "elsewhere"]),
        FlowLogId=st.from_regex(r"fl-[0-9a-f]{17}", fullmatch=True),
        FlowLogStatus=st.sampled_from(["ACTIVE", "INACTIVE"]),
        DeliverLogsStatus=st.sampled_from(["SUCCESS", "FAILED"]),
    ),
    unique_by=lambda it: it["FlowLogId"],
)
configured_ = st.tuples(
    st.lists(st.sampled_from(IDS), unique=True, min_size=1), st.lists(st.sampled_from(VPCS), unique=True)
)


@given(configured_, subnets_ | st.just(Unanswered("denied")), flow_logs_ | st.just(Unanswered("denied")))
def test_every_subnet_the_account_or_the_stack_has_is_in_exactly_one_state(
    configured: tuple[list[str], list[str]], subnets: Any, flow_logs: Any
) -> None:
    it = found({"subnetIds": configured[0], "vpcIds": configured[1]}, subnets=subnets, flow_logs=flow_logs)
    listed = [] if isinstance(subnets, Unanswered) else subnets
    rows = Counter(row.id for row in it.subnets)
    assert set(rows.values()) <= {1}
    assert {answer["SubnetId"] for answer in listed} | set(configured[0]) <= set(rows)
    vpcs = {answer["VpcId"] for answer in listed}
    assert set(rows) & set(VPCS) == set(configured[1]) - vpcs
    assert all(row.state in LEVEL_OF for row in it.subnets)


@given(configured_, subnets_, flow_logs_)
def test_only_a_stacks_own_delivering_flow_log_covers(
    configured: tuple[list[str], list[str]], subnets: Any, flow_logs: Any
) -> None:
    it = found({"subnetIds": configured[0], "vpcIds": configured[1]}, subnets=subnets, flow_logs=flow_logs)
    delivering = {
        log["ResourceId"]
        for log in flow_logs
        if (log["FlowLogStatus"], log["DeliverLogsStatus"]) == ("ACTIVE", "SUCCESS")
        and "/threat-monitor/prod/flow-logs" in log["LogDestination"]
    }
    wanted = delivering & {*configured[0], *configured[1]}
    for row in it.subnets:
        assert (row.state == "covered") == bool(row.state != "gone" and {row.id, row.vpc_id} & wanted)


@given(st.permutations(range(4)), st.randoms(use_true_random=False), subnets_, flow_logs_)
def test_the_result_does_not_depend_on_the_order_of_accounts_or_answers(
    order: list[int], random: Any, subnets: list[Any], flow_logs: list[Any]
) -> None:
    def shuffled(entries: list[Any]) -> list[Any]:
        return random.sample(entries, len(entries))

    def ask(number: int, listed: list[Any], logs: list[Any]) -> tuple[Target, Answers]:
        of = target(f"s{number}", f"{number % 2:012}", f"eu-west-{number}", subnetIds=IDS[:2])
        return of, nothing("expired") if number == 3 else answers(of, subnets=listed, flow_logs=logs)

    alike = [flow_log(IDS[0], "/threat-monitor/s0/flow-logs", FlowLogId=f"fl-{number}") for number in range(4)]
    flow_logs = [*flow_logs, *alike]
    straight = coverage([ask(number, subnets, flow_logs) for number in range(4)], AT)
    assert coverage([ask(number, shuffled(subnets), shuffled(flow_logs)) for number in order], AT) == straight


@given(configured_, subnets_ | st.just(Unanswered("denied")), flow_logs_)
def test_there_is_no_gap_exactly_where_no_row_is_one(
    configured: tuple[list[str], list[str]], subnets: Any, flow_logs: Any
) -> None:
    it = found({"subnetIds": configured[0], "vpcIds": configured[1]}, subnets=subnets, flow_logs=flow_logs)
    missing = {"gap", "unknown"} & {*(LEVEL_OF[row.state] for row in it.subnets), *(row.level for row in it.stacks)}
    assert bool(it.gaps) is bool(missing)
    assert document(it)["covered"] is not bool(missing)


def test_the_worst_comes_first() -> None:
    fine, bad = target("a", "000000000001"), target("b", "999999999999")
    it = coverage(
        [
            (fine, answers(fine, flow_logs=[flow_log(group="/threat-monitor/a/flow-logs")])),
            (bad, answers(bad, detector=None)),
        ],
        AT,
    )
    assert [stack.name for stack in it.stacks] == ["b", "a"]
    assert [row.state for row in it.subnets] == ["broken", "covered"]


def test_what_no_stack_has_comes_after_what_the_stack_of_its_place_has() -> None:
    it = found(subnets=[subnet(), subnet(OTHER)], last_alert=Unanswered("denied"))
    assert [gap.subject for gap in it.gaps] == ["last alert", OTHER]


def test_the_document_is_json_with_every_row() -> None:
    it = json.loads(json.dumps(document(found(subnets=[subnet(), subnet(OTHER)]))))
    assert (it["at"], it["covered"]) == ("2026-11-22T12:30:00+00:00", False)
    assert it["stacks"][0]["parts"]["detector"] == {"level": "ok", "found": "ENABLED", "todo": ""}
    assert [(row["id"], row["level"]) for row in it["subnets"]] == [(OTHER, "gap"), (SUBNET, "ok")]
    assert it["gaps"][0]["subject"] == OTHER
