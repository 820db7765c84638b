"""Pairs of shapes and of options that a loss cannot handle, and why."""

from collections.abc import Callable, Mapping
from typing import Any

from amad_bench.plan.catalogue.families import ModelShape

Supports = Callable[[ModelShape, ModelShape, Mapping[str, Any]], tuple[bool, str]]
Clash = Callable[[Mapping[str, Any]], str]

LARGEST_PROJECTED_MAP = 4096  # entries; the projection has the square of that many parameters


def always(*_: object) -> tuple[bool, str]:
    return True, ""


def _equal_heads(teacher: ModelShape, student: ModelShape, name: str, instead: str) -> tuple[bool, str]:
    for site, heads in teacher.heads.items():
        if heads != student.heads[site]:
            return False, (
                f"{name} compares head h with head h, but at {site} the teacher has {heads} heads and the "
                f"student {student.heads[site]}; {instead}"
            )
    return True, ""


def one_to_one(teacher: ModelShape, student: ModelShape, options: Mapping[str, Any]) -> tuple[bool, str]:
    if options["drop"] == "extra":
        return True, ""
    return _equal_heads(teacher, student, "one_to_one", "set `drop: extra` to leave the surplus heads out")


def minilm(teacher: ModelShape, student: ModelShape, _: object) -> tuple[bool, str]:
    return _equal_heads(teacher, student, "minilm", "minilm_v2 does without equal heads")


def tinybert(teacher: ModelShape, student: ModelShape, _: object) -> tuple[bool, str]:
    return _equal_heads(teacher, student, "tinybert", "hidden_mse compares hidden states alone")


def relation_heads_divide(
    teacher: ModelShape, student: ModelShape, options: Mapping[str, Any]
) -> tuple[bool, str]:
    relation_heads = options["relation_heads"]
    for site in teacher.heads:
        widths = [shape.heads[site] * shape.head_size[site] for shape in (teacher, student)]
        if any(width % relation_heads for width in widths):
            return False, (
                f"minilm_v2 needs relation_heads to divide both widths, but {relation_heads} does not divide "
                f"the teacher's {widths[0]} and the student's {widths[1]} at {site}"
            )
    return True, ""


def no_fewer_teacher_heads(teacher: ModelShape, student: ModelShape, _: object) -> tuple[bool, str]:
    for site, heads in teacher.heads.items():
        if heads < student.heads[site]:
            return False, (
                f"shd merges teacher heads into student heads, but at {site} the teacher has {heads} heads "
                f"and the student {student.heads[site]}"
            )
    return True, ""


def projectable(_: object, student: ModelShape, options: Mapping[str, Any]) -> tuple[bool, str]:
    for site, tokens in student.tokens.items():
        entries = tokens**2
        if options["variant"] == "projected" and entries > LARGEST_PROJECTED_MAP:
            return False, (
                f"amad's variant projected would need a matrix of {entries:,} x {entries:,} numbers at "
                f"{site}, more than {LARGEST_PROJECTED_MAP:,} x {LARGEST_PROJECTED_MAP:,}"
            )
    return True, ""


def never(_: object) -> str:
    return ""


def rows_of_maps(options: Mapping[str, Any]) -> str:
    if options["query_rows"] and options["distance"] == "mse":
        return "query_rows: rows cannot stand for the whole map that mse flattens, remove it"
    return ""


def amad(options: Mapping[str, Any]) -> str:
    variant, kernel = options["variant"], options["kernel"]
    if variant == "mse" and options["row_reduction"] == "sum":
        return "row_reduction: sum is for the variants with rows; mse flattens the map, remove it"
    if variant == "projected" and kernel in ("chunked", "triton"):
        return f"kernel: {kernel} is for variants without parameters; projected needs auto or dense"
    if options["query_rows"] and variant in ("mse", "projected"):
        return f"query_rows: rows cannot stand for the whole map that {variant} flattens, remove it"
    if options["query_rows"] and options["row_reduction"] == "sum":
        return "query_rows: estimates the mean over rows, not row_reduction: sum, remove one of them"
    return ""
