import pytest

from threatmon.investigate.addresses import is_private


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("10.0.0.1", True),
        ("172.31.255.255", True),
        ("172.32.0.1", False),
        ("192.168.1.1", True),
        ("100.64.0.1", True),
        ("fd00::1", True),
        ("198.51.100.7", False),
        ("2001:db8::1", False),
        ("example", False),
        ("", False),
    ],
)
def test_addresses_of_private_networks_are_private(address: str, private: bool) -> None:
    assert is_private(address) is private
