"""Compiles all Triton kernels for GPUs that need not be there: python -m tests.losses.kernels.compiled 80 90

Numbers are compute capabilities (80: A100, 90: H100, H200). Prints a line for each kernel that became code.
"""

import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from amad_bench.losses.kernels import triton_kernels, triton_launch

TYPES = {"scale": "fp32", "mask": "*u8", "entries": "*u8", "bias": "*bf16", "gradient": "*bf16"}
SIZES = {"heads", "H", "G", "queries", "keys"}
FLAGS = ("HAS_BIAS", "HAS_MASK", "HAS_ENTRIES", "MSE", "MEAN")
TILES = ({"HEADS": 16, "STUDENTS": 16}, {"HEADS": 32, "STUDENTS": 16})


def kind(name: str) -> str:
    """Type of an argument that is no constant; pointers to float32, but for those above."""
    is_stride = name[-2:] in ("_b", "_h", "_q", "_k")
    return TYPES.get(name, "i32" if name in SIZES or is_stride else "*fp32")


def compile_for(kernel: triton.JITFunction, capability: int, flags: bool, tile: dict[str, int]) -> int:
    """Bytes of machine code."""
    constants = {**dict.fromkeys(FLAGS, flags), **tile, "BLOCK": triton_launch.BLOCK}
    given = {name: value for name, value in constants.items() if name in kernel.arg_names}
    signature = {name: "constexpr" if name in given else kind(name) for name in kernel.arg_names}
    places = {(kernel.arg_names.index(name),): value for name, value in given.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=places)
    target = GPUTarget("cuda", capability, 32)
    return len(triton.compile(source, target=target, options=triton_launch.FUSED).asm["cubin"])


def main(capabilities: list[int]) -> None:
    for capability in capabilities:
        for name in triton_kernels.__all__:
            for flags in (False, True):
                for tile in TILES:
                    size = compile_for(getattr(triton_kernels, name), capability, flags, tile)
                    print(
                        f"sm_{capability} {name} flags={flags} heads={tile['HEADS']}: {size} bytes",
                        flush=True,
                    )


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]])
