"""A compiler of C or C++, which torch.compile and Triton call; without one they end in a traceback."""

import os
import shutil
import sys

from amad_bench.runtime.errors import UserError


def require_compiler(device: str, key: str = "compile: true", instead: str = "compile: false") -> None:
    """UserError where they find none: of C++ for the CPU, of C for other devices.

    key: what asks for it in a config; instead: what does not.
    """
    if device == "cpu":
        language, variable, names = "C++", "CXX", ["clang++" if sys.platform == "darwin" else "g++"]
    else:
        language, variable, names = "C", "CC", ["gcc", "clang"]
    named = os.environ.get(variable)
    if not any(shutil.which(name) for name in ([named] if named else names)):
        raise UserError(
            f"{key} needs a compiler of {language}, and {named or ' or '.join(names)} is not here; "
            f"install {names[0]}, set {variable} to another one, or set {instead}"
        )
