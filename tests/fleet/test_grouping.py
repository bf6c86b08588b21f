import random
from collections import Counter

import pytest
from fleet.previews import FLOW_LOG, LOG_GROUP, POLICY, RULE, TOPIC, create, fleets, preview, same, update
from hypothesis import given
from hypothesis import strategies as st

from threatmon.fleet.changes import ResourceChange, StackPreview
from threatmon.fleet.differences import Difference
from threatmon.fleet.grouping import Failure, Group, NewStacks, Note, Resources, fold, status

TAG = update(TOPIC, "topic", {}, {"tags": {"team": "blue"}}, {"tags.team": "add"})
TAGGED = Difference("tags.team", "+", "", '"blue"', replaces=False)


def differences(group: Group) -> list[tuple[str, str, str, str]]:
    return [it[:4] for change in group.changes for it in change.differences]


def test_the_same_change_is_one_with_all_its_stacks() -> None:
    (group,) = fold([preview("b", TAG), preview("a", TAG)]).groups
    assert group.stacks == ("a", "b")
    assert [(it.op, it.type, it.name, it.resources) for it in group.changes] == [("update", TOPIC, "topic", 2)]
    assert group.changes[0].differences == (TAGGED,)


def test_changes_are_grouped_by_the_stacks_that_have_them_largest_first() -> None:
    only = create(TOPIC, "another")
    folded = fold([preview("a", only, TAG), preview("b", TAG), preview("c", TAG)])
    assert [(group.stacks, [it.name for it in group.changes]) for group in folded.groups] == [
        (("a", "b", "c"), ["topic"]),
        (("a",), ["another"]),
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
    assert [it.stacks for it in fold([preview("a", TAG), preview("b", other)]).groups] == [("a",), ("b",)]


def test_names_accounts_and_regions_of_the_stacks_themselves_are_no_difference() -> None:
    def of(stack: str, account: str, region: str) -> StackPreview:
        arn = f"arn:aws:logs:{region}:{account}:log-group:/threat-monitor/{stack}/flow-logs"
        change = update(TOPIC, "topic", {"a": "x", "zone": ""}, {"a": arn, "zone": f"{region}a"})
        return preview(stack, change, account=account, region=region)

    (group,) = fold([of("prod", "111122223333", "eu-west-1"), of("b", "444455556666", "us-east-1")]).groups
    assert differences(group) == [
        ("a", "~", '"x"', '"arn:aws:logs:<region>:<account>:log-group:/threat-monitor/<stack>/flow-logs"'),
        ("zone", "~", '""', '"<region>a"'),
    ]


def test_what_stacks_have_alike_keeps_its_words() -> None:
    change = update(TOPIC, "topic", {"a": "x"}, {"a": "logs.eu-west-1.amazonaws.com"})
    (group,) = fold([preview("a", change), preview("b", change)]).groups
    assert differences(group) == [("a", "~", '"x"', '"logs.eu-west-1.amazonaws.com"')]


def test_what_one_stack_alone_has_keeps_its_words() -> None:
    change = create(FLOW_LOG, "subnet-0123456789abcdef0", name="threat-monitor-prod")
    (group,) = fold([preview("prod", change), preview("b")]).groups
    assert group.changes[0].name == "subnet-0123456789abcdef0"
    assert differences(group) == [("name", "+", "", '"threat-monitor-prod"')]


def test_a_stack_named_like_a_word_does_not_own_that_word_in_a_text_of_all() -> None:
    change = update(TOPIC, "topic", {"a": "x"}, {"a": "deliver a mail"})
    (group,) = fold([preview(it, change) for it in ("a", "b", "c")]).groups
    assert differences(group) == [("a", "~", '"x"', '"deliver a mail"')]


def test_the_queue_of_one_account_that_all_write_to_is_the_same_for_all() -> None:
    change = update(TOPIC, "topic", {"a": "x"}, {"a": "arn:aws:sqs:eu-west-1:444455556666:central"})
    stacks = [preview("a", change, account="444455556666"), preview("b", change), preview("c", change, region="x")]
    (group,) = fold(stacks).groups
    assert differences(group) == [("a", "~", '"x"', '"arn:aws:sqs:eu-west-1:444455556666:central"')]


def test_flow_logs_of_different_subnets_are_the_same_change_as_often_as_there_are() -> None:
    def logs(*subnets: str) -> list[ResourceChange]:
        return [create(FLOW_LOG, f"threat-monitor-flow-logs-{it}", subnetId=it) for it in subnets]

    (group,) = fold(
        [
            preview("a", *logs("subnet-0000000000000000a", "subnet-0000000000000000b")),
            preview("b", *logs("subnet-0000000c")),
        ]
    ).groups
    assert [(it.name, it.resources) for it in group.changes] == [("threat-monitor-flow-logs-<subnet>", 3)]


def test_names_that_pulumi_ends_in_random_digits_are_no_difference() -> None:
    def rules(*names: str) -> ResourceChange:
        return update(
            POLICY, "policy", {"policy": '{"a": ["x"]}'}, {"policy": f'{{"a": ["x", "rule/high-{names[0]}"]}}'}
        )

    (group,) = fold([preview("a", rules("0a1b2c3")), preview("b", rules("4d5e6f7"))]).groups
    assert differences(group) == [("policy.a", "+", "", '"rule/high-<random>"')]


def test_new_stacks_are_counted_by_type_and_those_alike_come_together() -> None:
    def new(stack: str, *changes: ResourceChange) -> StackPreview:
        return preview(stack, *changes)._replace(is_new=True)

    one, two = create(TOPIC, "one"), create(TOPIC, "two")
    folded = fold([new("c", one), new("b", one, two, create(RULE, "r")), new("a", two, one, create(RULE, "s"))])
    assert folded.new == (
        NewStacks(("a", "b"), (Resources("create", TOPIC, 2), Resources("create", RULE, 1))),
        NewStacks(("c",), (Resources("create", TOPIC, 1),)),
    )
    assert folded.groups == ()


def test_equal_errors_are_one_failure_and_count_no_changes() -> None:
    def failed(stack: str, error: str) -> StackPreview:
        return preview(stack, TAG)._replace(error=error)

    folded = fold([failed("a", "no stack a"), failed("b", "no stack b"), failed("c", "denied"), preview("d")])
    assert folded.failures == (Failure(("a", "b"), ("no stack <stack>",)), Failure(("c",), ("denied",)))
    assert (folded.groups, folded.changed, folded.unchanged) == ((), (), ("d",))


def test_equal_dangers_are_one_with_all_its_stacks() -> None:
    def shortened(days: int) -> ResourceChange:
        return update(LOG_GROUP, "group", {"retentionInDays": 365}, {"retentionInDays": days})

    folded = fold([preview("a", shortened(90)), preview("b", shortened(90)), preview("c", shortened(400))])
    assert [(it.kind, it.resource, it.stacks, it.number) for it in folded.dangers] == [
        ("retention-shortened", "group", ("a", "b"), 2)
    ]


def test_equal_notes_are_one() -> None:
    noted = [preview(it, same(TOPIC, "t"))._replace(notes=(f"stack {it} was interrupted",)) for it in ("a", "b")]
    assert fold(noted).notes == (Note(("a", "b"), "stack <stack> was interrupted"),)


def test_a_preview_given_twice_counts_once() -> None:
    assert fold([preview("a", TAG), preview("a", TAG)]) == fold([preview("a", TAG)])


def test_two_different_previews_of_one_stack_are_refused() -> None:
    with pytest.raises(ValueError, match="stack a: there are two previews that differ"):
        fold([preview("a", TAG), preview("a")])


def test_secrets_stay_out() -> None:
    wrapped = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": "hunter2"}
    folded = fold([preview("a", update(TOPIC, "t", {"url": "x"}, {"url": wrapped}), create(TOPIC, "u", a=[wrapped]))])
    assert "hunter2" not in repr(folded)
    assert differences(folded.groups[0]) == [("url", "~", '"x"', "[secret]"), ("a", "+", "", '["[secret]"]')]


@given(fleets)
def test_each_stack_is_counted_in_exactly_one_place(previews: list[StackPreview]) -> None:
    folded = fold(previews)
    assert Counter(folded.stacks) == Counter(it.stack for it in previews)
    for one in previews:
        places = {
            "changed": folded.changed,
            "new": folded.created,
            "unchanged": folded.unchanged,
            "failed": folded.failed,
        }
        assert [place for place, stacks in places.items() if one.stack in stacks] == [status(one)]


@given(fleets)
def test_each_change_of_each_changed_stack_is_in_one_group_of_that_stack(previews: list[StackPreview]) -> None:
    folded = fold(previews)
    changed = [it for it in previews if status(it) == "changed"]
    assert {stack for group in folded.groups for stack in group.stacks} == {it.stack for it in changed}
    assert len({group.stacks for group in folded.groups}) == len(folded.groups)
    resources = sum(change.resources for group in folded.groups for change in group.changes)
    assert resources == sum(len(it.to_do) for it in changed)
    for one in changed:
        kinds = {(it.op, it.type) for it in one.to_do}
        own = [group for group in folded.groups if one.stack in group.stacks]
        assert {(it.op, it.type) for group in own for it in group.changes} == kinds
        assert sum(len(group.changes) for group in own) <= len(one.to_do)


@given(fleets, st.randoms(use_true_random=False))
def test_order_does_not_matter(previews: list[StackPreview], chance: random.Random) -> None:
    shuffled = chance.sample(previews, len(previews))
    assert fold([it._replace(changes=tuple(reversed(it.changes))) for it in shuffled]) == fold(previews)


@given(fleets)
def test_as_many_dangers_as_the_stacks_have(previews: list[StackPreview]) -> None:
    alone = sum(it.number for one in previews for it in fold([one]).dangers)
    assert sum(it.number for it in fold(previews).dangers) == alone
