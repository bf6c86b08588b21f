"""Any text as one line: a line break in a name or value must not look like a further line of ours."""


def one_line(text: object) -> str:
    """Return a text with all but printable characters escaped, a line break as a backslash and ``n``."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(text))
