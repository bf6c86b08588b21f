"""IP addresses: which are private, and descriptions of sets of internet addresses."""

from collections.abc import Mapping
from ipaddress import ip_address

from netaddr import IPAddress, IPSet

from threatmon.reports.model import first_few

ANYONE: Mapping[int, str] = {4: "0.0.0.0/0", 6: "::/0"}
"""All addresses, by IP version."""
# https://www.iana.org/assignments/iana-ipv4-special-registry; of IPv6, only 2000::/3 is routed in the internet.
_NOT_ROUTED: Mapping[int, IPSet] = {
    4: IPSet(
        ["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
         "224.0.0.0/3"]
    ),
    6: IPSet(["::/0"]) - IPSet(["2000::/3"]),
}  # fmt: skip
INTERNET: Mapping[int, IPSet] = {version: IPSet([every]) - _NOT_ROUTED[version] for version, every in ANYONE.items()}
"""The addresses that are routed in the internet, by IP version."""

# Private use, shared address space (which Kubernetes networks use too), and unique local addresses.
PRIVATE_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
_PRIVATE = IPSet(PRIVATE_NETWORKS)


def version_of(cidr: str) -> int:
    """Return the IP version of a CIDR block that AWS wrote."""
    return 6 if ":" in cidr else 4


def normal_form(text: str) -> str | None:
    """Return an address as flow logs write it, None if the text is no address."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return None if getattr(address, "scope_id", None) else str(address)


def is_private(text: str) -> bool:
    """Say whether an address is one of private networks; a text that is no address is not."""
    address = normal_form(text)
    return address is not None and IPAddress(address) in _PRIVATE


def described(sources: IPSet, version: int) -> str:
    """Describe a part of :data:`INTERNET`: ``198.51.100.0/24``, ``0.0.0.0/0 except 203.0.113.0/24``."""
    everyone = INTERNET[version]
    if sources == everyone:
        return ANYONE[version]
    if 2 * sources.size > everyone.size:
        return f"{ANYONE[version]} except {_listed(everyone - sources, version)}"
    return _listed(sources, version)


def _listed(addresses: IPSet, version: int) -> str:
    """List the networks, each as wide as it is the same in the internet: ``0.0.0.0/1`` stays what it is."""
    unused = _NOT_ROUTED[version]
    return first_few([str(network) for network in (addresses | unused).iter_cidrs() if network not in unused])
