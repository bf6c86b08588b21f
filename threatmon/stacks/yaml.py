"""YAML 1.2 as the Pulumi engine reads it, and as ``threatmon init`` writes it."""

import json
import re
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.scanner import RoundTripScanner, Scanner


def read(text: str) -> Any:
    """Return the plain data of a document. Raises :class:`ValueError` with one line that says what is wrong."""
    loader = YAML(typ="safe", pure=True)
    loader.Constructor, loader.Resolver, loader.Scanner = _Constructor, _Resolver, _Scanner
    loader.composer.warn_double_anchors = False
    try:
        content = loader.load(text)
        json.dumps(content, default=str, skipkeys=True)  # ValueError: an alias within its own anchor
    except MarkedYAMLError as error:  # its own text quotes the line, which may hold a secret
        problem = " ".join(filter(None, (error.context, error.problem)))
        raise ValueError(f"{problem} (line {error.problem_mark.line + 1})") from None
    except (YAMLError, ValueError, KeyError, RecursionError, AssertionError) as error:  # !!bool x, %YAML 1.3
        raise ValueError(" ".join(str(error).split())) from None
    return content


def round_trip() -> YAML:
    """Return what reads a document with its comments and quotes, and writes it in the layout of this project."""
    yaml = YAML()
    yaml.Representer, yaml.Scanner = _Representer, _RoundTripScanner
    yaml.preserve_quotes, yaml.composer.warn_double_anchors = True, False
    yaml.width = 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def write(document: Any) -> str:
    """Return the text of a document, with the comments that belong to it."""
    file = StringIO()
    round_trip().dump(document, file)
    return file.getvalue()


class _Resolver(VersionedResolver):
    """Takes every document for YAML 1.2, whatever its first line says, as the engine does."""

    @property
    def processing_version(self) -> tuple[int, int]:
        """The version by which plain scalars have their types."""
        return 1, 2


class _Scanner(Scanner):
    """Takes a tab beside a value for a space, as the engine does."""

    def scan_to_next_token(self) -> Any:
        """Skip what is between two tokens; return the comment there, if comments are kept."""
        comment = super().scan_to_next_token()
        while comment is None and not self.allow_simple_key and self.reader.peek() == "\t":
            self.reader.forward()
            comment = super().scan_to_next_token()
        return comment


class _RoundTripScanner(_Scanner, RoundTripScanner):
    """Keeps comments."""


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
    """Writes ``null`` rather than nothing, and escapes the line separators that are lost within plain quotes."""

    def represent_text(self, text: str) -> Any:
        """Represent a text."""
        quotes = '"' if set(text) & set("\x85\u2028\u2029") else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, quotes)


_Representer.add_representer(
    type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
)
_Representer.add_representer(str, _Representer.represent_text)
