"""A compiler of C or C++, which torch.compile calls; where there is none torch itself ends in a traceback."""

import os
import shutil
import sys

from amad_bench.runtime.errors import UserError


def require_compiler(device: str) -> None:
    """UserError where torch.compile finds none: of C++ for the CPU, of C for other devices."""
    if device == "cpu":
        language, variable, names = "C++", "CXX", ["clang++" if sys.platform == "darwin" else "g++"]
    else:
        language, variable, names = "C", "CC", ["gcc", "clang"]
    named = os.environ.get(variable)
    if not any(shutil.which(name) for name in ([named] if named else names)):
        raise UserError(
            f"compile: true needs a compiler of {language}, and {named or ' or '.join(names)} is not here; "
            f"install g++, set {variable} to another one, or set compile: false"
        )
