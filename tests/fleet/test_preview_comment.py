import re
from collections.abc import Sequence

import pytest
from fleet.previews import LOG_GROUP, TOPIC, create, fleets, hostile, preview, update
from fleet.test_preview_report import FINDING_TYPE, fleet
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from threatmon.fleet.changes import ResourceChange, StackPreview
from threatmon.fleet.grouping import fold
from threatmon.fleet.preview_comment import LIMIT, code, markdown
from threatmon.fleet.preview_report import DRIFT, PREVIEW, headline

MARKER = PREVIEW.marker
_OWN_HTML = re.compile(rf"{re.escape(MARKER)}|<details><summary>All [\d,]+ stacks</summary>|</details>")
_OWN_WORDS = re.compile(r"[\w ,.:;()'…-]*")


def tokens(comment: str) -> list[Token]:
    """The comment as GitHub reads it, inline tokens after the blocks they are in."""
    return [
        it
        for block in MarkdownIt("gfm-like", {"linkify": False}).parse(comment)
        for it in (block, *(block.children or []))
    ]


def code_of(comment: str) -> str:
    return "\n".join(it.content for it in tokens(comment) if it.type in ("fence", "code_inline"))


def test_the_comment_on_a_fleet() -> None:
    comment = markdown(fold(fleet()))
    listed = ", ".join(f"`acme-{number:02}`" for number in range(1, 48))
    danger = fold(fleet()).dangers[0]
    assert (
        comment
        == f"""\
<!-- threatmon fleet preview -->
## 50 stacks: 47 would change, 1 would be created, 1 stays the same, 1 failed; 1 dangerous change

### The same change in 47 stacks

`acme-01`, `acme-02`, `acme-03` and 44 more

<details><summary>All 47 stacks</summary>

{listed}

</details>

```diff
! update aws:cloudwatch:EventRule threat-monitor-alerts-high
+     eventPattern.detail.type: + "Recon:EC2/Portscan"
```

### 1 change only in 1 stack

`acme-07`

```diff
! replace aws:ec2:FlowLog threat-monitor-flow-logs-subnet-0123456789abcdef0
!     trafficType: "ALL" -> "REJECT" (replaces it)
```

### Dangerous: 1 change in 1 stack

A flow log is made anew, with a gap in the record. Allowed by `--allow flow-log-replaced`.

`acme-07`

```diff
- {danger.resource}: {danger.text}
```

### Failed: 1 stack

`broken`

```text
Pulumi.broken.yaml: 2 faults
  subnetIds: is empty
  alertEmails: is empty
```

### Creates 1 new stack, with 3 resources

`fresh`

```diff
+ 2 aws:sns:Topic
+ 1 aws:cloudwatch:EventRule
```

### No changes in 1 stack

`quiet`

### Note on 1 stack

`quiet`

```text
an earlier run was interrupted while updating topic
```
"""
    )


def shortened(name: str) -> ResourceChange:
    return update(LOG_GROUP, name, {"retentionInDays": 365}, {"retentionInDays": 30})


def crowded(errors: int = 3, dangers: int = 3, changes: int = 2000) -> list[StackPreview]:
    """Far more changes than a comment holds."""
    return [
        preview("big", *(create(TOPIC, f"topic-{number}", a="x" * 200) for number in range(changes))),
        preview("risky", *(shortened(f"group-{number}") for number in range(dangers))),
        *(preview(f"broken-{number}")._replace(error=f"reason {number} " * 200) for number in range(errors)),
    ]


def test_what_finds_no_room_is_counted_with_a_pointer_to_the_whole() -> None:
    comment = markdown(fold(crowded()), pointer="https://ci.example/runs/1")
    assert len(comment) <= LIMIT
    shown = comment.count("+ create aws:sns:Topic") + comment.count("! update aws:cloudwatch:LogGroup")
    assert shown > 100
    assert comment.endswith(
        f"\n... {2003 - shown:,} changes are not shown here; the whole report: <https://ci.example/runs/1>\n"
    )


def test_what_is_dangerous_and_what_failed_stay_longest() -> None:
    comment = markdown(fold(crowded()), limit=4000)
    assert all(f"- group-{number}: " in comment for number in range(3))
    assert all(f"`broken-{number}`" in comment for number in range(3))
    assert all(f"reason {number} " in comment for number in range(3))
    assert comment.index("Dangerous") < comment.index("Failed")


@pytest.mark.parametrize(("errors", "dangers", "noun"), [(3, 1000, "dangerous changes"), (1000, 3, "failures")])
def test_many_dangers_leave_room_for_failures_and_many_failures_for_dangers(
    errors: int, dangers: int, noun: str
) -> None:
    comment = markdown(fold(crowded(errors, dangers, changes=0)), limit=4000)
    assert comment.count("\n- group-") >= 3
    assert comment.count("\nreason ") >= 3
    assert re.search(rf"\n\.\.\. [\d,]+ {noun}(,| and) ", comment)


def test_a_long_error_is_cut_and_says_so() -> None:
    comment = markdown(fold([preview("a")._replace(error="\n".join(f"line {it}" for it in range(100)))]))
    assert "line 19\n    ... and 80 lines more\n```" in comment


def test_a_limit_without_room_for_the_headline_is_refused() -> None:
    with pytest.raises(ValueError, match="limit: 50 characters are too few"):
        markdown(fold(fleet()), limit=50)


def test_a_drift_says_so_and_nothing_can_be_allowed() -> None:
    comment = markdown(fold([*fleet(), *crowded()]), DRIFT, limit=4000)
    assert comment.startswith("<!-- threatmon fleet drift -->\n## 55 stacks: 49 drifted, ")
    assert comment.endswith("the whole report: `threatmon fleet drift --format json`\n")
    assert "### Dangerous" in comment
    assert "--allow" not in comment


def test_an_empty_fleet_is_a_headline() -> None:
    assert markdown(fold([])) == f"{MARKER}\n## 0 stacks\n"


@pytest.mark.parametrize("pointer", ["", "the job's log", "<!-- @octocat `x` -->", "https://a.example/<b>"])
def test_a_pointer_that_is_no_plain_address_is_code(pointer: str) -> None:
    comment = markdown(fold(crowded()), limit=2000, pointer=pointer)
    assert (pointer or "threatmon fleet preview --format json") in code_of(comment).splitlines()[-1]


_limits = st.sampled_from([400, 600, 1000, 3000, LIMIT])


@given(fleets, _limits)
@example([preview(f"{'`' * number}~</details>", FINDING_TYPE) for number in range(9)], 1000)
@example([preview("a")._replace(error="```\n</details>\n# @octocat"), preview("```", FINDING_TYPE)], LIMIT)
def test_no_text_turns_into_markup_whether_cut_or_not(previews: Sequence[StackPreview], limit: int) -> None:
    folded = fold(previews)
    comment = markdown(folded, limit=limit)
    assert comment.startswith(f"{MARKER}\n## {headline(folded)}\n")
    assert len(comment) <= limit
    found = tokens(comment)
    html = [it.content.strip() for it in found if it.type == "html_block"]
    assert all(_OWN_HTML.fullmatch(it) for it in html), html
    assert sum("<details>" in it for it in html) == sum("</details>" in it for it in html)
    assert all(_OWN_WORDS.fullmatch(it.content) for it in found if it.type == "text")
    assert {it.type for it in found} <= {
        *("html_block", "heading_open", "heading_close", "paragraph_open", "paragraph_close", "inline", "text"),
        *("fence", "code_inline", "softbreak"),
    }
    for fence in (it for it in found if it.type == "fence"):
        assert fence.map
        assert comment.split("\n")[fence.map[1] - 1] == fence.markup  # it is closed, where it should be


@given(fleets, _limits)
def test_what_is_left_out_is_said(previews: list[StackPreview], limit: int) -> None:
    folded = fold(previews)
    comment = markdown(folded, limit=limit)
    told = {
        noun: int(n.replace(",", ""))
        for n, noun in re.findall(r"([\d,]+) ([a-z ]+?)s?(?=,| and| is| are)", _rest(comment))
    }
    blocks = comment.split("\n### ")
    failed = sum(int(found[1]) for it in blocks if (found := re.match(r"Failed: (\d+) stack", it)))
    assert failed + told.get("failure", 0) == len(folded.failed)
    unchanged = sum(int(found[1]) for it in blocks if (found := re.match(r"No changes in (\d+) stack", it)))
    assert unchanged + told.get("unchanged stack", 0) == len(folded.unchanged)
    changes = sum(
        len(re.findall(r"^[+!-] \S", it, re.MULTILINE)) for it in blocks if re.match(r"The same|\d+ change", it)
    )
    assert changes + told.get("change", 0) == sum(len(group.changes) for group in folded.groups)


def _rest(comment: str) -> str:
    last = comment.rstrip("\n").rpartition("\n")[2]
    return last if last.startswith("... ") and "not shown here" in last else ""


@given(hostile)
def test_a_code_span_holds_any_text(text: str) -> None:
    (paragraph,) = [it for it in MarkdownIt().parse(f"a {code(text)} b") if it.type == "inline"]
    assert [it.type for it in paragraph.children or []] == ["text", "code_inline", "text"]
