import re
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from threatmon.investigate.exposure import Exposure, InboundPath
from threatmon.investigate.load_balancers import LoadBalancer
from threatmon.investigate.openings import Opening
from threatmon.investigate.topology import Edge, Topology, mermaid, text, topology

INSTANCE = "i-0abcd1234ef567890"
SSH = Opening("tcp", 22, 22, "0.0.0.0/0")
OPEN = InboundPath(
    name="eni-1",
    addresses=("203.0.113.10",),
    subnet_ids=("subnet-1",),
    gateway_ids=("igw-1",),
    route_table_ids=("rtb-1",),
    network_acl_ids=("acl-1",),
    security_group_ids=("sg-1",),
    groups_open=(SSH,),
    acls_open=(SSH,),
    openings=(SSH,),
    closed_because=None,
)
CLOSED = replace(OPEN, addresses=(), openings=(), closed_because="no public address")
BALANCER = LoadBalancer(
    name="web",
    kind="application",
    internet_facing=True,
    dns_name="web.example",
    vpc_id="vpc-1",
    subnet_ids=("subnet-1",),
    security_group_ids=("sg-2",),
    families=(4,),
    listeners=(("tcp", 443),),
    targets=((8080, "healthy"),),
)
PEERS = [
    {"address": "10.20.2.30", "sent": 120_000, "received": 0},
    {"address": "198.51.100.7", "sent": 4300, "received": 700},
]


def exposed(*interfaces: InboundPath, balancers: tuple[tuple[LoadBalancer, InboundPath], ...] = ()) -> Exposure:
    return Exposure(
        INSTANCE, "running", "web-1", ("10.20.1.25",), None, interfaces, balancers, reachable=True, verdict=""
    )


def test_the_way_in_leads_over_gateway_and_groups_to_the_instance_and_on_to_its_peers() -> None:
    assert text(topology(exposed(OPEN), PEERS)) == (
        "internet\n"
        "└─> igw-1\n"
        "   └─> sg-1: tcp 22 (SSH)\n"
        "      └─> i-0abcd1234ef567890 (10.20.1.25)  [at 203.0.113.10]\n"
        "         ├─> 10.20.2.30, inside  [sent 120.0 kB, received 0 B]\n"
        "         └─> 198.51.100.7  [sent 4.3 kB, received 700 B]"
    )


def test_what_is_closed_says_why() -> None:
    assert text(topology(exposed(CLOSED))) == ("internet\n└─x i-0abcd1234ef567890 (10.20.1.25)  [no public address]")


def test_a_load_balancer_stands_between_and_the_instance_is_drawn_out_once() -> None:
    through = replace(OPEN, name="web", openings=(Opening("tcp", 443, 443, "0.0.0.0/0"),))
    drawn = text(topology(exposed(OPEN, balancers=((BALANCER, through),)), PEERS))
    assert "   ├─> sg-1: tcp 22 (SSH)\n" in drawn
    assert "   └─> application load balancer web: tcp 443 (HTTPS)\n" in drawn
    assert "      └─> i-0abcd1234ef567890 (10.20.1.25)  [port 8080, healthy]  (above)" in drawn
    assert drawn.count("198.51.100.7") == 1


def test_an_internal_load_balancer_is_drawn_behind_a_closed_arrow() -> None:
    drawn = text(topology(exposed(CLOSED, balancers=((BALANCER, CLOSED),))))
    assert "└─x application load balancer web: tcp 443  [no public address]\n   └─> i-0abcd" in drawn


def test_scanned_hosts_come_first_with_their_ports_and_few_peers_are_drawn() -> None:
    peers = [{"address": f"198.51.100.{n}", "sent": 1, "received": 1} for n in range(20)]
    burst = {"address": "10.20.2.30", "protocol": "tcp", "ports": 998}
    lines = text(topology(exposed(), peers, [burst])).split("\n")
    assert lines[2] == "├─> 10.20.2.30, inside  [998 tcp ports in 5 minutes]"
    assert len(lines) == 2 + 6
    assert "ports" not in text(topology(exposed(), peers, [burst | {"ports": 3}]))


def test_mermaid_draws_the_same() -> None:
    assert mermaid(topology(exposed(OPEN), PEERS[1:])) == (
        "flowchart LR\n"
        '  n0["internet"]\n'
        '  n1["igw-1"]\n'
        '  n2["sg-1: tcp 22 (SSH)"]\n'
        '  n3["i-0abcd1234ef567890 (10.20.1.25)"]\n'
        '  n4["198.51.100.7"]\n'
        "  n0 --> n1\n"
        "  n1 --> n2\n"
        '  n2 -->|"at 203.0.113.10"| n3\n'
        '  n3 -->|"sent 4.3 kB, received 700 B"| n4'
    )
    assert '  n0 --x|"no public address"| n1' in mermaid(topology(exposed(CLOSED)))


@given(st.text(), st.text())
def test_no_label_turns_into_syntax_or_a_further_line(label: str, arrow: str) -> None:
    drawn = Topology({"a": label, "b": "b"}, (Edge("a", "b", arrow),))
    lines = mermaid(drawn).split("\n")
    assert len(lines) == 4
    assert re.fullmatch(r'  n0\["[^"<>`|&\\]*"\]', lines[1])
    assert re.fullmatch(r'  n0 -->(\|"[^"<>`|&\\]*"\|)? n1', lines[3])
    assert len(text(drawn).splitlines()) == 2
    assert text(drawn).replace("\n", "").isprintable()


@given(st.data())
def test_any_drawing_ends_and_names_every_node(data: Any) -> None:
    names = data.draw(st.lists(st.text("abcdef", min_size=1, max_size=1), unique=True, min_size=1))
    pair = st.tuples(st.sampled_from(names), st.sampled_from(names))
    edges = [Edge(source, target) for source, target in data.draw(st.lists(pair, max_size=8)) if source < target]
    drawn = Topology({name: f"node-{name}" for name in names}, tuple(edges))
    assert {line for name in names for line in [f"node-{name}"] if line not in text(drawn)} == set()
