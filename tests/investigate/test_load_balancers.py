from typing import Any

from threatmon.investigate.load_balancers import classic_load_balancers, in_front, load_balancer

Json = dict[str, Any]
INSTANCE = "i-0abcd1234ef567890"


def test_the_balancers_of_target_groups_are_found_by_instance_and_by_address_and_through_each_other() -> None:
    def target_group(arn: str, port: int = 80) -> Json:
        return {"LoadBalancerArns": [arn], "Port": port}

    def health(target: str, state: str = "healthy", **port: int) -> Json:
        return {"Target": {"Id": target} | port, "TargetHealth": {"State": state}}

    groups = [
        (target_group("alb-1"), [health(INSTANCE, Port=8080), health("i-other", Port=1)]),
        (target_group("alb-2"), [health("10.0.1.5", "unhealthy", Port=9090)]),
        (target_group("alb-3"), [health("i-other")]),
        (target_group("nlb-1", 443), [health("alb-1")]),
        ({"LoadBalancerArns": [], "Port": 1}, [health(INSTANCE)]),
    ]
    assert in_front({INSTANCE, "10.0.1.5"}, groups) == {
        "alb-1": ((8080, "healthy"),),
        "alb-2": ((9090, "unhealthy"),),
        "nlb-1": ((443, "healthy"),),
    }
    assert in_front({"i-nobody"}, groups) == {}


def test_a_described_load_balancer_is_read_with_its_listeners() -> None:
    described = {
        "LoadBalancerName": "net",
        "Type": "network",
        "Scheme": "internet-facing",
        "DNSName": "net.example",
        "VpcId": "vpc-1",
        "AvailabilityZones": [{"SubnetId": "subnet-1"}, {"SubnetId": "subnet-2"}],
        "IpAddressType": "dualstack",
    }
    listeners = [
        {"Protocol": "TCP_UDP", "Port": 53},
        {"Protocol": "TLS", "Port": 853},
        {"Protocol": "GENEVE", "Port": 6081},
    ]
    read = load_balancer(described, listeners, ((53, "healthy"),))
    assert read.listeners == (("tcp", 53), ("udp", 53), ("tcp", 853))
    assert (read.families, read.security_group_ids, read.internet_facing) == ((4, 6), None, True)
    assert read.subnet_ids == ("subnet-1", "subnet-2")


def test_classic_load_balancers_are_those_that_have_the_instance() -> None:
    described = {
        "LoadBalancerName": "old",
        "Scheme": "internet-facing",
        "DNSName": "old.example",
        "VPCId": "vpc-1",
        "Subnets": ["subnet-1"],
        "SecurityGroups": ["sg-1"],
        "Instances": [{"InstanceId": INSTANCE}],
        "ListenerDescriptions": [{"Listener": {"Protocol": "HTTPS", "LoadBalancerPort": 443, "InstancePort": 8443}}],
    }
    (read,) = classic_load_balancers(INSTANCE, [described, described | {"Instances": []}])
    assert (read.listeners, read.targets) == ((("tcp", 443),), ((8443, "registered"),))
