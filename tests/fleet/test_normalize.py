import pytest
from fleet.previews import preview
from hypothesis import given
from hypothesis import strategies as st

from threatmon.fleet.normalize import normalizers

FLEET = [
    preview("prod", account="111122223333", region="eu-west-1"),
    preview("prod-eu", account="444455556666", region="eu-west-1"),
    preview("a", account="777788889999", region="us-east-1"),
    preview("us-west-2", account="123412341234", region="us-west-2"),
]


@pytest.mark.parametrize(
    ("stack", "text", "expected"),
    [
        ("prod", "/threat-monitor/prod/flow-logs", "/threat-monitor/<stack>/flow-logs"),
        ("prod", "threat-monitor-prod products prod2 xprod", "threat-monitor-<stack> products prod2 xprod"),
        ("prod", "threat-monitor-prod-eu", "threat-monitor-prod-eu"),
        ("prod-eu", "threat-monitor-prod-eu prod", "threat-monitor-<stack> prod"),
        ("a", "/threat-monitor/a/data a", "/threat-monitor/<stack>/data <stack>"),
        ("prod", "arn:aws:sns:eu-west-1:111122223333:t", "arn:aws:sns:<region>:<account>:t"),
        ("prod", "1111222233334 eu-west-10 us-east-1", "1111222233334 eu-west-10 us-east-1"),
        ("prod", "eu-west-1a eu-west-1ab", "<region>a eu-west-1ab"),
        ("us-west-2", "/threat-monitor/us-west-2/x", "/threat-monitor/<region>/x"),
        ("prod", "subnet-0123456789abcdef0 vpc-12345678 https-12345678", "<subnet> <vpc> https-12345678"),
        ("prod", "key/cccb6fc5-da47-14cf-9959-4a101780c8b3", "key/<id>"),
        ("prod", "detector/12abc34d567e8fa901bc2d34e56789f0", "detector/<id>"),
        ("prod", "alerts-topic-0a1b2c3 alerts-0a1b2c3d -0a1b2c3", "alerts-topic-<random> alerts-0a1b2c3d -0a1b2c3"),
        ("prod", "source~(~'*2fthreat-monitor*2fprod*2fx", "source~(~'*2fthreat-monitor*2f<stack>*2fx"),
        ("prod", "", ""),
    ],
)
def test_whole_words_of_a_stack_are_replaced_and_no_others(stack: str, text: str, expected: str) -> None:
    assert normalizers(FLEET)[stack](text) == expected


@given(st.text(st.sampled_from("prod-eu 1a/")))
def test_without_its_words_in_it_a_text_stays(text: str) -> None:
    normalize = normalizers([preview("zulu", account="999999999999", region="sa-east-1")])["zulu"]
    assert normalize(text) == text


@given(st.from_regex(r"[A-Za-z0-9_.-]{1,100}", fullmatch=True))
def test_any_name_a_stack_may_have_is_taken_literally(stack: str) -> None:
    normalize = normalizers([preview(stack, account="", region="")])[stack]
    assert normalize(f"/{stack}/x") == "/<stack>/x"
