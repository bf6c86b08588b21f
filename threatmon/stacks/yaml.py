"""YAML 1.2 as the Pulumi engine reads it, and as ``threatmon init`` writes it."""

import re
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.representer import RoundTripRepresenter


def read(text: str) -> Any:
    """Return the plain data of a document. Raises :class:`ValueError` with one line that says what is wrong."""
    loader = YAML(typ="safe", pure=True)
    loader.Constructor = _Constructor
    try:
        return loader.load(text)
    except MarkedYAMLError as error:  # its own text quotes the line, which may hold a secret
        problem = " ".join(filter(None, (error.context, error.problem)))
        raise ValueError(f"{problem} (line {error.problem_mark.line + 1})") from None
    except (YAMLError, ValueError, KeyError, RecursionError) as error:  # KeyError: !!bool x
        raise ValueError(" ".join(str(error).split())) from None


def round_trip() -> YAML:
    """Return what reads a document with its comments and quotes, and writes it in the layout of this project."""
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.preserve_quotes = True
    yaml.width = 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def write(document: Any) -> str:
    """Return the text of a document, with the comments that belong to it."""
    file = StringIO()
    round_trip().dump(document, file)
    return file.getvalue()


class _Constructor(SafeConstructor):
    """Takes a plain scalar for what Go does, and refuses a key given twice, as the engine does."""

    def construct_yaml_int(self, node: Any) -> Any:
        """Read a leading zero as octal: an account id without quotes is another number, or none.

        https://pkg.go.dev/strconv#ParseInt with base 0, else ParseFloat.
        """
        digits = node.value.replace("_", "")
        if not re.fullmatch(r"[-+]?0\d+", digits):
            return super().construct_yaml_int(node)
        return float(digits) if set(digits) & {"8", "9"} else int(digits, 8)

    def check_mapping_key(self, node: Any, key_node: Any, mapping: Any, key: Any, value: Any) -> bool:  # noqa: ARG002 - the base class has them
        """Refuse a key that the mapping has already."""
        if key in mapping:
            raise MarkedYAMLError(problem=f"{key} is given twice", problem_mark=key_node.start_mark)
        return True


_Constructor.add_constructor("tag:yaml.org,2002:int", _Constructor.construct_yaml_int)
_Constructor.add_constructor("tag:yaml.org,2002:timestamp", _Constructor.construct_yaml_str)


class _Representer(RoundTripRepresenter):
    """Writes ``null`` rather than nothing, and a next-line character (NEL) so that it is read again."""

    def represent_str(self, data: str) -> Any:
        """Quote a text with NEL so that it is escaped; between single quotes ruamel makes a line break of it."""
        style = '"' if "\x85" in data else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style)


_Representer.add_representer(str, _Representer.represent_str)
_Representer.add_representer(
    type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
)
