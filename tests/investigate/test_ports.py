from threatmon.investigate.ports import ADMINISTRATION_PORTS, PORT_NAMES


def test_every_administration_port_has_a_name() -> None:
    assert set(PORT_NAMES) >= ADMINISTRATION_PORTS
    assert list(PORT_NAMES) == sorted(PORT_NAMES)
    assert 443 not in ADMINISTRATION_PORTS
