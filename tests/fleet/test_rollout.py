from collections.abc import Iterator, Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from threatmon.fleet.rollout import StackUpdate, roll_out, waves

STACKS = st.sets(st.from_regex(r"[a-z]{1,3}", fullmatch=True), max_size=40)


def test_the_waves_double_after_the_canary() -> None:
    stacks = [f"s{number:02}" for number in range(20)]
    assert [len(wave) for wave in waves(stacks)] == [1, 2, 4, 8, 5]
    assert waves(stacks)[0] == ("s00",)


def test_two_canaries_are_followed_by_twice_as_many() -> None:
    assert waves("abcdefg", ["e", "b", "e"]) == [("e", "b"), ("a", "c", "d", "f"), ("g",)]


def test_waves_may_stay_of_one_size() -> None:
    assert waves("abc", growth=1) == [("a",), ("b",), ("c",)]


@given(STACKS, st.integers(1, 4), st.data())
def test_every_stack_is_in_one_wave_and_no_wave_is_smaller_than_the_one_before_but_the_last(
    stacks: set[str], growth: int, data: st.DataObject
) -> None:
    canaries = data.draw(st.lists(st.sampled_from(sorted(stacks)), unique=True)) if stacks else []
    planned = waves(stacks, canaries, growth)
    assert sorted(stack for wave in planned for stack in wave) == sorted(stacks)
    assert all(planned)
    if canaries:
        assert planned[0] == tuple(canaries)
    sizes = [len(wave) for wave in planned]
    assert all(later == earlier * growth for earlier, later in pairwise(sizes[:-1]))
    assert all(size <= sizes[0] * growth**wave for wave, size in enumerate(sizes))


class Deploying:
    """Deploys, but for the stacks that fail, after which it starts none."""

    def __init__(self, failing: Sequence[str] = ()) -> None:
        self.failing = failing
        self.waves: list[list[str]] = []

    def __call__(self, wave: Sequence[str]) -> Iterator[StackUpdate]:
        self.waves.append(list(wave))
        for stack in wave:
            yield StackUpdate(stack, "failed" if stack in self.failing else "updated", changed=1)
            if stack in self.failing:
                return


def states(planned: Sequence[Sequence[str]], deploy: Deploying) -> dict[str, str]:
    updates = list(roll_out(planned, deploy))
    assert len({update.stack for update in updates}) == len(updates)
    assert all(update.stack in planned[update.wave] for update in updates)
    return {update.stack: update.state for update in updates}


PLANNED = [["a"], ["b", "c"], ["d", "e", "f", "g"]]


def test_a_rollout_that_succeeds_updates_every_stack_in_the_order_of_the_waves() -> None:
    deploy = Deploying()
    assert states(PLANNED, deploy) == dict.fromkeys("abcdefg", "updated")
    assert deploy.waves == PLANNED


def test_a_failure_leaves_the_rest_of_its_wave_and_the_next_ones_alone() -> None:
    deploy = Deploying(["b"])
    assert states(PLANNED, deploy) == {"a": "updated", "b": "failed"} | dict.fromkeys("cdefg", "not started")
    assert deploy.waves == [["a"], ["b", "c"]]


@given(STACKS, st.data())
def test_running_it_again_until_nothing_fails_updates_every_stack_once(stacks: set[str], data: st.DataObject) -> None:
    failing = data.draw(st.lists(st.sampled_from(sorted(stacks)), unique=True)) if stacks else []
    done: list[str] = []
    for _ in range(len(failing) + 1):
        remaining = stacks - set(done)
        updates = list(roll_out(waves(remaining), Deploying(failing)))
        assert len(updates) == len(remaining)
        done += [update.stack for update in updates if update.state == "updated"]
        failing = [
            stack for stack in failing if stack not in {update.stack for update in updates if update.state == "failed"}
        ]
    assert sorted(done) == sorted(stacks)
