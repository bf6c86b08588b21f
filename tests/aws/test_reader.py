from threading import Barrier
from typing import Any

import pytest
from botocore.exceptions import OperationNotPageableError
from scripted_account import ScriptedAccount

from threatmon.aws.errors import AwsError, RefusedError, ThrottledError
from threatmon.aws.reader import attempt, batches, side_by_side

RECORDS = [{"Data": b"x"}]
FILTERS = [{"Name": "state", "Values": ["available"]}]


def test_it_knows_its_account_region_and_partition(scripted: ScriptedAccount) -> None:
    aws = scripted.aws
    assert (aws.account_id, aws.region, aws.partition) == ("111122223333", "eu-west-1", "aws")
    assert aws.account_id == "111122223333"
    assert scripted.calls == ["sts:GetCallerIdentity"]


def test_a_question_is_asked_once_however_many_threads_ask_it(scripted: ScriptedAccount) -> None:
    everybody_waits = Barrier(4)

    def answer(_: Any) -> None:
        everybody_waits.wait(10)

    def ask() -> Any:
        return scripted.aws.read("ec2", "describe_vpcs", Filters=FILTERS)

    def come_late() -> Any:
        everybody_waits.wait(10)
        return ask()

    scripted.answer("ec2:DescribeVpcs", answer)
    answers = side_by_side({0: ask} | dict.fromkeys(range(1, 4), come_late))
    assert all(answer is answers[0] for answer in answers.values())
    assert scripted.calls == ["ec2:DescribeVpcs"]


def test_parameters_in_another_order_are_the_same_question(scripted: ScriptedAccount) -> None:
    one = scripted.aws.read("ec2", "describe_vpcs", DryRun=False, Filters=[{"Name": "state", "Values": ["available"]}])
    other = scripted.aws.read(
        "ec2", "describe_vpcs", Filters=[{"Values": ["available"], "Name": "state"}], DryRun=False
    )
    assert one is other


@pytest.mark.parametrize("parameters", [{}, {"Filters": [{"Name": "state", "Values": ["pending"]}]}])
def test_other_parameters_are_another_question(scripted: ScriptedAccount, parameters: dict[str, Any]) -> None:
    scripted.aws.read("ec2", "describe_vpcs", Filters=FILTERS)
    scripted.aws.read("ec2", "describe_vpcs", **parameters)
    scripted.aws.read("ec2", "describe_subnets", Filters=FILTERS)
    assert scripted.calls == ["ec2:DescribeVpcs", "ec2:DescribeVpcs", "ec2:DescribeSubnets"]


def test_a_failure_is_remembered_too(scripted: ScriptedAccount) -> None:
    for _ in range(2):
        with scripted.refuse("ec2:DescribeVpcs"), pytest.raises(RefusedError, match="Permission ec2:DescribeVpcs is"):
            scripted.aws.read_all("ec2", "describe_vpcs")
    with pytest.raises(RefusedError):
        scripted.aws.read_all("ec2", "describe_vpcs")
    assert scripted.calls == ["ec2:DescribeVpcs"]


def test_an_interrupted_question_lets_nobody_wait_for_ever(scripted: ScriptedAccount) -> None:
    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    scripted.answer("ec2:DescribeVpcs", interrupt)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            scripted.aws.read("ec2", "describe_vpcs")


def test_a_call_is_not_remembered(scripted: ScriptedAccount) -> None:
    before = scripted.aws.call("sns", "list_topics")["Topics"]
    arn = scripted.aws.call("sns", "create_topic", Name="alerts")["TopicArn"]
    assert (before, scripted.aws.call("sns", "list_topics")["Topics"]) == ([], [{"TopicArn": arn}])
    for code in ("Throttling", "AccessDenied"):
        scripted.refuse("sns:ListTopics", code)
        with pytest.raises(AwsError) as error:
            scripted.aws.call_all("sns", "list_topics")
        assert error.value.code == code


def test_all_pages_are_read_once(scripted: ScriptedAccount) -> None:
    def page(parameters: dict[str, Any]) -> dict[str, Any]:
        number = int(parameters.get("NextToken", "0"))
        names = {"RuleNames": [f"rule-{number}"]} if number != 1 else {"RuleNames": []}
        return names | ({"NextToken": str(number + 1)} if number < 2 else {})

    scripted.answer("events:ListRuleNamesByTarget", page)
    for _ in range(2):
        names = scripted.aws.read_all("events", "list_rule_names_by_target", TargetArn="arn:aws:sns:::t")
        assert names == ["rule-0", "rule-2"]
        names.clear()  # of the caller's own
    assert scripted.calls == ["events:ListRuleNamesByTarget"] * 3


def test_of_several_lists_the_paginators_first_is_read(scripted: ScriptedAccount) -> None:
    alarms = {"MetricAlarms": [{"AlarmName": "metric"}], "CompositeAlarms": [{"AlarmName": "composite"}]}
    scripted.answer("cloudwatch:DescribeAlarms", alarms)
    assert scripted.aws.read_all("cloudwatch", "describe_alarms") == [{"AlarmName": "metric"}]


def test_a_list_that_aws_leaves_out_is_empty(scripted: ScriptedAccount) -> None:
    scripted.answer("ec2:DescribeVpcs", {})
    assert scripted.aws.read_all("ec2", "describe_vpcs") == []


def test_asking_for_the_pages_of_what_has_none_is_a_programming_error(scripted: ScriptedAccount) -> None:
    with pytest.raises(OperationNotPageableError):
        scripted.aws.read_all("events", "describe_rule", Name="x")


# What IAM calls them: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsqs.html and
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonkinesisfirehose.html
@pytest.mark.parametrize(
    ("service", "operation", "parameters", "action"),
    [
        ("sqs", "change_message_visibility_batch", {"QueueUrl": "q", "Entries": []}, "sqs:ChangeMessageVisibility"),
        ("sqs", "delete_message", {"QueueUrl": "q", "ReceiptHandle": "r"}, "sqs:DeleteMessage"),
        ("firehose", "put_record_batch", {"DeliveryStreamName": "s", "Records": RECORDS}, "firehose:PutRecordBatch"),
        ("cloudwatch", "list_dashboards", {}, "cloudwatch:ListDashboards"),
        ("elbv2", "describe_load_balancers", {}, "elasticloadbalancing:DescribeLoadBalancers"),
    ],
)
def test_a_refused_call_names_the_action_that_iam_knows(
    scripted: ScriptedAccount, service: str, operation: str, parameters: dict[str, Any], action: str
) -> None:
    scripted.refuse(action)
    with pytest.raises(RefusedError, match=f"^Permission {action} is missing: no$"):
        scripted.aws.call(service, operation, **parameters)


def test_throttled_calls_are_tried_again_with_backoff(scripted: ScriptedAccount) -> None:
    retries: list[Any] = []
    events: Any = scripted.session.events
    events.register("before-call", lambda context, **_: retries.append(context["client_config"].retries))
    scripted.aws.call("sns", "list_topics")
    assert retries == [{"mode": "adaptive", "total_max_attempts": 9}]


def test_an_attempt_gives_the_answer_or_the_error_as_a_value(scripted: ScriptedAccount) -> None:
    assert attempt(lambda: scripted.aws.read_all("sns", "list_topics")) == []
    scripted.refuse("ec2:DescribeVpcs", "Throttling")
    error = attempt(lambda: scripted.aws.read_all("ec2", "describe_vpcs"))
    assert isinstance(error, ThrottledError)
    assert error.action == "ec2:DescribeVpcs"


def test_an_attempt_of_one_kind_of_error_raises_the_others(scripted: ScriptedAccount) -> None:
    scripted.refuse("ec2:DescribeVpcs", "Throttling")
    with pytest.raises(ThrottledError):
        attempt(lambda: scripted.aws.read_all("ec2", "describe_vpcs"), RefusedError)


def test_questions_are_asked_side_by_side() -> None:
    together = Barrier(3)
    answers = side_by_side(dict.fromkeys("abc", lambda: together.wait(10)))
    assert sorted(answers) == ["a", "b", "c"]
    assert sorted(answers.values()) == [0, 1, 2]


def test_batches_hold_every_value_in_order() -> None:
    assert list(batches(["a", "b", "c"], 2)) == [["a", "b"], ["c"]]
    assert list(batches([], 2)) == []
