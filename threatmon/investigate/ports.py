"""Well-known ports."""

from collections.abc import Mapping

PORT_NAMES: Mapping[int, str] = {
    20: "FTP data", 21: "FTP", 22: "SSH", 23: "Telnet", 25: "SMTP", 53: "DNS", 67: "DHCP", 80: "HTTP",
    88: "Kerberos", 110: "POP3", 111: "portmapper", 123: "NTP", 135: "Windows RPC", 137: "NetBIOS names",
    139: "NetBIOS sessions", 143: "IMAP", 161: "SNMP", 389: "LDAP", 443: "HTTPS", 445: "SMB",
    465: "SMTP over TLS", 514: "syslog", 587: "mail submission", 636: "LDAP over TLS", 853: "DNS over TLS",
    873: "rsync", 993: "IMAP over TLS", 995: "POP3 over TLS", 1433: "SQL Server", 1521: "Oracle", 2049: "NFS",
    2375: "Docker", 2376: "Docker over TLS", 2379: "etcd", 3306: "MySQL", 3389: "RDP", 5432: "PostgreSQL",
    5439: "Redshift", 5900: "VNC", 5985: "WinRM", 5986: "WinRM over TLS", 6379: "Redis",
    6443: "Kubernetes API", 6667: "IRC", 8080: "HTTP, alternative", 8443: "HTTPS, alternative", 9092: "Kafka",
    9200: "Elasticsearch", 10250: "kubelet", 11211: "memcached", 27017: "MongoDB",
}  # fmt: skip
"""The usual names of https://www.iana.org/assignments/service-names-port-numbers."""

ADMINISTRATION_PORTS = frozenset({22, 23, 135, 139, 445, 2375, 2376, 3389, 5900, 5985, 5986, 6443, 10250})
"""Ports that give control of the machine."""
