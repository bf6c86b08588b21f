"""From a finding to its subject: exposure, topology, traffic."""
