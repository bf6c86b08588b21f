import random
from collections import Counter

import pytest
from fleet.previews import WRAPPED_SECRET, create, fleets, preview, same, shortened, update
from harness import FLOW_LOG, RULE, TOPIC, TOPIC_POLICY
from hypothesis import given
from hypothesis import strategies as st

from threatmon.fleet.changes import ResourceChange, StackPreview
from threatmon.fleet.dangers import dangers
from threatmon.fleet.differences import Difference
from threatmon.fleet.grouping import Group, ResourceCount, group, status

TAG = update(TOPIC, "topic", {}, {"tags": {"team": "blue"}}, {"tags.team": "add"})
QUEUE = "arn:aws:sqs:eu-west-1:444455556666:central"


def new_values(previews: list[StackPreview]) -> list[str]:
    """The new values of the one change that all have."""
    (change,) = group(previews).changes
    assert change.stacks == tuple(sorted(preview.stack for preview in previews))
    return [difference.new for difference in change.value.differences]


def test_the_same_change_is_one_with_all_its_stacks() -> None:
    (change,) = group([preview("b", TAG), preview("a", TAG)]).changes
    assert (change.stacks, change.number) == (("a", "b"), 2)
    tagged = Difference("tags.team", "+", "", '"blue"', replaces=False)
    assert change.value == ("update", TOPIC, "topic", False, (tagged,))


def test_changes_of_most_stacks_come_first() -> None:
    only = create(TOPIC, "another")
    found = group([preview("a", only, TAG), preview("b", TAG), preview("c", TAG)])
    assert [(change.stacks, change.value.name) for change in found.changes] == [
        (("a", "b", "c"), "topic"),
        (("a",), "another"),
    ]


@pytest.mark.parametrize(
    "other",
    [
        TAG._replace(op="replace"),
        TAG._replace(type=RULE),
        TAG._replace(name="another"),
        TAG._replace(new={"tags": {"team": "red"}}),
        TAG._replace(diff={"tags.team": "add-replace"}),
        TAG._replace(retained=True),
    ],
)
def test_what_differs_in_anything_else_is_another_change(other: ResourceChange) -> None:
    assert [change.stacks for change in group([preview("a", TAG), preview("b", other)]).changes] == [("a",), ("b",)]


def test_names_accounts_and_regions_of_the_stacks_themselves_are_no_difference() -> None:
    def of(stack: str, account: str, region: str) -> StackPreview:
        arn = f"arn:aws:logs:{region}:{account}:log-group:/threat-monitor/{stack}/flow-logs"
        change = update(TOPIC, "topic", {"a": "x", "zone": ""}, {"a": arn, "zone": f"{region}a"})
        return preview(stack, change, account=account, region=region)

    assert new_values([of("prod", "111122223333", "eu-west-1"), of("b", "444455556666", "us-east-1")]) == [
        '"arn:aws:logs:<region>:<account>:log-group:/threat-monitor/<stack>/flow-logs"',
        '"<region>a"',
    ]


@pytest.mark.parametrize("text", ["logs.eu-west-1.amazonaws.com", "deliver a mail", QUEUE])
def test_what_stacks_have_alike_keeps_its_words_whoever_s_they_are(text: str) -> None:
    change = update(TOPIC, "topic", {"a": "x"}, {"a": text})
    stacks = [preview("a", change, account="444455556666"), preview("b", change), preview("c", change, region="x")]
    assert new_values(stacks) == [f'"{text}"']


def test_what_one_stack_alone_has_keeps_its_words() -> None:
    change = create(FLOW_LOG, "subnet-0123456789abcdef0", name="threat-monitor-prod")
    (found,) = group([preview("prod", change), preview("b")]).changes
    assert found.value.name == "subnet-0123456789abcdef0"
    assert found.value.differences[0].new == '"threat-monitor-prod"'


def test_flow_logs_of_different_subnets_are_the_same_change_as_often_as_there_are() -> None:
    def logs(*subnets: str) -> list[ResourceChange]:
        return [create(FLOW_LOG, f"threat-monitor-flow-logs-{subnet}", subnetId=subnet) for subnet in subnets]

    first = preview("a", *logs("subnet-0000000000000000a", "subnet-0000000000000000b"))
    (change,) = group([first, preview("b", *logs("subnet-0000000c"))]).changes
    assert (change.value.name, change.number) == ("threat-monitor-flow-logs-<subnet>", 3)


def test_names_that_pulumi_ends_in_random_digits_are_no_difference() -> None:
    def rule(name: str) -> ResourceChange:
        return update(TOPIC_POLICY, "policy", {"policy": '{"a": ["x"]}'}, {"policy": f'{{"a": ["x", "rule/{name}"]}}'})

    assert new_values([preview("a", rule("high-0a1b2c3")), preview("b", rule("high-4d5e6f7"))]) == [
        '"rule/high-<random>"'
    ]


def test_new_stacks_are_counted_by_type_and_those_alike_come_together() -> None:
    def new(stack: str, *changes: ResourceChange) -> StackPreview:
        return preview(stack, *changes)._replace(is_new=True)

    one, two = create(TOPIC, "one"), create(TOPIC, "two")
    found = group([new("c", one), new("b", one, two, create(RULE, "r")), new("a", two, one, create(RULE, "s"))])
    assert found.new == [
        ((ResourceCount("create", TOPIC, 2), ResourceCount("create", RULE, 1)), ("a", "b"), 2),
        ((ResourceCount("create", TOPIC, 1),), ("c",), 1),
    ]
    assert found.changes == []


def test_equal_errors_are_one_failure_and_count_no_changes() -> None:
    def failed(stack: str, error: str) -> StackPreview:
        return preview(stack, TAG)._replace(error=error)

    found = group([failed("a", "no stack a"), failed("b", "no stack b"), failed("c", "denied"), preview("d")])
    assert found.failures == [Group(("no stack <stack>",), ("a", "b"), 2), Group(("denied",), ("c",), 1)]
    assert (found.changes, found.stacks("changed"), found.stacks("unchanged")) == ([], [], ["d"])


def test_equal_dangers_are_one_with_all_its_stacks() -> None:
    found = group([preview("a", shortened("g")), preview("b", shortened("g")), preview("c", shortened("g", 400))])
    assert [(danger.value.kind, danger.stacks, danger.number) for danger in found.dangers] == [
        ("retention-shortened", ("a", "b"), 2)
    ]


def test_equal_notes_are_one() -> None:
    noted = [preview(name, same(TOPIC, "t"))._replace(notes=(f"stack {name} was\nstopped",)) for name in ("a", "b")]
    assert group(noted).notes == [Group(("stack <stack> was", "stopped"), ("a", "b"), 2)]


def test_secrets_stay_out() -> None:
    change, created = update(TOPIC, "t", {"url": "x"}, {"url": WRAPPED_SECRET}), create(TOPIC, "u", a=[WRAPPED_SECRET])
    assert "hunter2" not in repr(group([preview("a", change, created)]))
    assert new_values([preview("a", change)]) == ["[secret]"]


@given(fleets)
def test_each_change_of_each_changed_stack_is_in_one_group_of_that_stack(previews: list[StackPreview]) -> None:
    found = group(previews).changes
    changed = [each for each in previews if status(each) == "changed"]
    assert sum(change.number for change in found) == sum(len(each.to_do) for each in changed)
    for each in changed:
        own = [change.value for change in found if each.stack in change.stacks]
        assert {(change.op, change.type) for change in own} == {(change.op, change.type) for change in each.to_do}
    assert all(change.number >= len(change.stacks) for change in found)


@given(fleets)
def test_each_danger_and_failure_is_counted(previews: list[StackPreview]) -> None:
    found = group(previews)
    assert sum(danger.number for danger in found.dangers) == sum(len(dangers(each.changes)) for each in found.previews)
    failed = Counter(stack for failure in found.failures for stack in failure.stacks)
    assert failed == Counter(each.stack for each in previews if each.error is not None)


@given(fleets, st.randoms(use_true_random=False))
def test_order_does_not_matter(previews: list[StackPreview], chance: random.Random) -> None:
    shuffled = chance.sample(previews, len(previews))
    assert group(each._replace(changes=each.changes[::-1]) for each in shuffled)[1:] == group(previews)[1:]
