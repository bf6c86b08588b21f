"""The project's program, run in this process, which saves each stack an interpreter, imports and a language host.

https://www.pulumi.com/docs/iac/guides/building-extending/automation-api/
"""

import sys
from threading import Lock

import pulumi
from pulumi.automation import PulumiFn

from threatmon import project


def inline_program() -> PulumiFn:
    """Return ``__main__.py`` of the project as a function that may run many times, on any thread.

    Drops what the SDK logs at the level of debug, for the whole process; the engine shows none of it. Each line is a
    call to the engine, some two hundred a stack: with them, previews of 50 stacks took 47 s instead of 40 s.
    """
    pulumi.log.debug = lambda *_, **__: None
    if str(project.ROOT) not in sys.path:  # the engine puts it there
        sys.path.insert(0, str(project.ROOT))
    path = project.ROOT / "__main__.py"
    code = compile(path.read_text(encoding="utf-8"), str(path), "exec")
    alone = Lock()

    def program() -> None:
        # pulumi_aws imports its modules when they are first used, which two threads must not do at a time.
        with alone:
            exec(code, {"__name__": "__main__", "__file__": str(path)})  # noqa: S102 - the project's own program

    return program
