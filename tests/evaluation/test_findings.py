import json
from typing import Any

import pytest
from botocore.model import ListShape, MapShape, Shape, StructureShape
from examples import ACCOUNT
from findings import RECORDED, finding_shape, key, recorded

from threatmon.evaluation.findings import FindingError, event_of, read

PORT_SCAN = {"Type": "Recon:EC2/Portscan", "Severity": 5.0, "Id": "1ab9", "AccountId": ACCOUNT}
EVENT = recorded("ec2_portscan")


def both(shape: Shape, seen: tuple[str, ...] = ()) -> tuple[Any, Any]:
    """A value with every member that the model knows: as the command line prints it, and as EventBridge writes it."""
    if isinstance(shape, StructureShape):
        members = {} if shape.name in seen else shape.members
        pairs = {name: both(member, (*seen, shape.name)) for name, member in members.items()}
        return (
            {name: printed for name, (printed, _) in pairs.items()},
            {key(name, shape.members[name]): written for name, (_, written) in pairs.items()},
        )
    if isinstance(shape, ListShape):
        printed, written = both(shape.member, seen)
        return [printed, printed], [written, written]
    if isinstance(shape, MapShape):
        printed, written = both(shape.value, seen)
        return {"AWS::S3::Bucket": printed}, {"AWS::S3::Bucket": written}
    return shape.name, shape.name


def test_every_member_of_a_finding_gets_the_name_that_guardduty_publishes() -> None:
    printed, written = both(finding_shape())
    assert written["service"]["action"]["kubernetesApiCallAction"]["sourceIPs"]
    assert event_of(printed)["detail"] == written


@pytest.mark.parametrize("name", RECORDED)
def test_an_event_stays_as_it_is_and_its_finding_makes_the_same_event(name: str) -> None:
    event = recorded(name)
    assert read(json.dumps(event)) == [event]
    [made] = read(json.dumps(event["detail"]))
    same = {"detail-type", "source", "account", "region", "resources", "detail"}
    assert {field: made[field] for field in same} == {field: event[field] for field in same}


@pytest.mark.parametrize(
    "document",
    [PORT_SCAN, [PORT_SCAN], {"Findings": [PORT_SCAN]}, {"findings": [PORT_SCAN]}],
    ids=["one", "a list", "the answer", "the answer of the REST API"],
)
def test_a_finding_is_read_however_it_was_printed(document: Any) -> None:
    [event] = read(json.dumps(document))
    assert event["detail"] == {
        "type": "Recon:EC2/Portscan",
        "severity": 5.0,
        "id": "1ab9",
        "accountId": "111122223333",
    }
    assert (event["source"], event["detail-type"]) == ("aws.guardduty", "GuardDuty Finding")
    assert event["account"] == "111122223333"


def test_several_are_read_in_their_order_and_events_may_stand_between_findings() -> None:
    events = read(json.dumps([PORT_SCAN, EVENT, PORT_SCAN | {"Id": "2"}]))
    assert [event["detail"]["id"] for event in events] == ["1ab9", EVENT["detail"]["id"], "2"]


def test_a_sample_is_known_by_what_the_command_line_prints_as_text() -> None:
    info = {"Value": '{"portsScannedSample":[855,400],"sample":true}', "Type": "default"}
    published = event_of(PORT_SCAN | {"Service": {"AdditionalInfo": info}})["detail"]["service"]["additionalInfo"]
    assert published == {
        "portsScannedSample": [855, 400],
        "sample": True,
        "value": info["Value"],
        "type": "default",
    }


@pytest.mark.parametrize("value", ["", "{", "[1]", "null", None, 5, "[" * 100_000])
def test_additional_info_that_is_no_document_adds_nothing(value: Any) -> None:
    service = {"Service": {"AdditionalInfo": {"Value": value}}}
    assert event_of(PORT_SCAN | service)["detail"]["service"]["additionalInfo"] == {"value": value}


@pytest.mark.parametrize("service", [None, [], "x", {"AdditionalInfo": None}, {"AdditionalInfo": [1]}])
def test_a_branch_of_another_shape_is_kept(service: Any) -> None:
    detail = event_of(PORT_SCAN | {"Service": service})["detail"]
    assert detail["service"] == (
        {"additionalInfo": service["AdditionalInfo"]} if isinstance(service, dict) else service
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_file_may_have_the_encoding_that_powershell_writes(encoding: str) -> None:
    [event] = read(json.dumps(PORT_SCAN | {"Title": "Größe"}, ensure_ascii=False).encode(encoding))
    assert event["detail"]["title"] == "Größe"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "is not JSON: Expecting value"),
        ("{", "is not JSON: "),
        (b"\xff\xfe\x00", "is not JSON: "),
        ("[" * 100_000, "is not JSON: "),
        ('{"Type": "x", "Severity": NaN}', "is not JSON: NaN is no JSON value"),
        ("[]", "holds no finding"),
        ('{"Findings": []}', "holds no finding"),
        ("5", "expected an event or a finding, not 5"),
        ('{"Findings": null}', "expected an event or a finding, not null"),
        ('{"Findings": "none"}', 'expected an event or a finding, not "none"'),
        ('{"detail": 5}', "`detail` of an event is a map of names to values"),
        ("{}", "is neither an event as EventBridge delivers it"),
        ('{"Type": "x"}', "nor a finding as `aws guardduty get-findings` prints it (`Type`, `Severity`)"),
        ('{"Type": "x", "severity": 5}', "is neither"),
        ('{"FindingIds": ["1ab9"]}', "is neither"),
    ],
)
def test_what_is_no_finding_is_refused_in_words(content: str | bytes, fault: str) -> None:
    with pytest.raises(FindingError) as error:
        read(content)
    assert fault in str(error.value)
    assert "\n" not in str(error.value)


def test_all_faults_of_a_list_are_named_at_once_by_their_place() -> None:
    with pytest.raises(FindingError) as error:
        read(json.dumps([5, PORT_SCAN, {"detail": []}]))
    lines = str(error.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["[0]", "[2]"]


def test_an_event_made_by_hand_of_a_printed_finding_is_read_as_guardduty_publishes_it() -> None:
    event = {**EVENT, "detail": PORT_SCAN}
    assert read(json.dumps(event)) == [{**EVENT, "detail": event_of(PORT_SCAN)["detail"]}]
