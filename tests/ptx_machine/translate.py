"""From PTX, what Triton compiles a kernel to, to lines of NumPy.

A register is an array with an entry per thread; its bits are kept as an unsigned
integer, and every instruction says as what it reads them. Only instructions that the
kernels of this library have are known.
"""

import re
import struct
from dataclasses import dataclass, field

_COMMENT = re.compile(r"//[^\n]*")
# Other labels are for debuggers.
_LABEL = re.compile(r"^(\$L__BB\w+):$")
_GUARD = re.compile(r"^@(!?)%(\w+)\s+")
_MEMORY = re.compile(r"^\[\s*([^\]+]+?)\s*(?:\+\s*(-?\w+)\s*)?\]$")
_DTYPES = {
    "s32": "i4", "u32": "u4", "b32": "u4", "f32": "f4", "s64": "i8", "u64": "u8",
    "b64": "u8", "f64": "f8", "b16": "u2", "s16": "i2", "u16": "u2", "b8": "u1",
    "u8": "u1", "s8": "i1", "pred": "?",
}  # fmt: skip
# Of registers, by the beginning of their names.
_KEPT = {"rd": "u8", "fd": "u8", "r": "u4", "f": "u4", "rs": "u2", "p": "?"}
_COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
# Unordered comparisons are not told apart: no kernel compares NaN with them.
_COMPARE |= {"equ": "==", "neu": "!=", "ltu": "<", "leu": "<=", "gtu": ">", "geu": ">="}
_BINARY = {"add": "+", "sub": "-", "and": "&", "or": "|", "xor": "^"}
# The largest relative errors of approximate instructions (PTX ISA 8.7, section 9.7.3).
_ERRORS = {"sqrt": 2**-23, "rsqrt": 2**-22.9, "rcp": 2**-23, "div": 2**-22}
_FUNCTIONS = "min max fma abs neg sqrt rsqrt rcp copysign div".split()


@dataclass
class Block:
    """Instructions that follow one another: Python lines, and where they lead.

    ``branch``: guard (register, negated) or None, and label; ``barrier``: whether all
    threads meet at its end.
    """

    lines: list[str] = field(default_factory=list)
    branch: tuple[tuple[str, bool] | None, str] | None = None
    barrier: bool = False
    ends: bool = False


@dataclass
class Kernel:
    """A translated kernel: blocks in their order, and where labels are among them."""

    parameters: list[str]
    threads: int
    blocks: list[Block]
    labels: dict[str, int]


def translate(ptx: str) -> Kernel:
    """The kernel of a module that has one."""
    text = _COMMENT.sub("", ptx)
    head = text[text.index(".entry") : text.index("{", text.index(".entry"))]
    parameters = re.findall(r"\.param\s+[^,)]*?(\w+)\s*(?:,|\))", head)
    threads = int(re.search(r"\.(?:reqntid|maxntid)\s+(\d+)", head)[1])
    body = text[text.index("{", text.index(".entry")) + 1 :]
    blocks, labels = [Block()], {}
    for statement in _statements(body):
        label = _LABEL.match(statement)
        if label:
            blocks.append(Block())
            labels[label[1]] = len(blocks) - 1
        elif not statement.startswith("."):
            _instruction(statement, blocks)
    return Kernel(parameters, threads, blocks, labels)


def _statements(body: str) -> list[str]:
    found = []
    for line in body.splitlines():
        line = line.strip()
        if line.startswith(("}", ".section", ".file")) or line == "{":
            if line.startswith(".section"):
                break
            continue
        if line.startswith("$") and line.endswith(":"):
            found += [line] if _LABEL.match(line) else []
        else:
            found += [part.strip() for part in line.split(";") if part.strip()]
    return found


def _instruction(statement: str, blocks: list[Block]) -> None:
    guard, match = None, _GUARD.match(statement)
    if match:
        guard, statement = (match[2], bool(match[1])), statement[match.end() :]
    name, rest = [*statement.split(None, 1), ""][:2]
    operands = _operands(rest)
    kind = name.split(".")[0]
    if kind in ("bra", "ret", "exit"):
        block = blocks[-1]
        block.branch = (guard, operands[0]) if kind == "bra" else None
        block.ends = kind != "bra"
        blocks.append(Block())
    elif kind in ("bar", "barrier"):
        blocks[-1].barrier = True
        blocks.append(Block())
    else:
        blocks[-1].lines += _lines(name, operands, guard)


def _operands(rest: str) -> list[str]:
    """Split at commas that are in no brackets."""
    parts, depth = [""], 0
    for letter in rest.strip():
        depth += letter in "{[" or -(letter in "}]")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def _lines(name: str, operands: list[str], guard: tuple[str, bool] | None) -> list[str]:
    kind, *words = name.split(".")
    mask = "None" if guard is None else f"{'~' * guard[1]}R['{guard[0]}']"
    if kind == "ld":
        return _load(words, operands, mask)
    if kind == "st":
        return _store(words, operands, mask)
    if kind == "mov" and "{" in "".join(operands):
        return _halves(operands)
    if kind == "cp":
        return _copy(words, operands, mask)
    if kind in ("ldmatrix", "mma"):
        return _matrices(kind, words, operands)
    value, bits = _value(kind, words, operands)
    return [_assign(operands[0], value, bits, mask)]


def _halves(operands: list[str]) -> list[str]:
    """A register of 64 bits made of two of 32, or taken apart."""
    if operands[0].startswith("{"):
        low, high = (name.lstrip("%") for name in _vector(operands[0]))
        whole = read(operands[1], "b64")
        return [
            f"R['{low}'] = {whole}.astype('u4')",
            f"R['{high}'] = ({whole} >> np.uint64(32)).astype('u4')",
        ]
    low, high = (f"{read(name, 'b32')}.astype('u8')" for name in _vector(operands[1]))
    return [_assign(operands[0], f"{low} | ({high} << np.uint64(32))", "u8", "None")]


def _assign(register: str, value: str, bits: str, mask: str) -> str:
    name = register.lstrip("%")
    kept = _KEPT.get(name.rstrip("0123456789"), bits)
    if kept != bits:
        raise NotImplementedError(f"{kept} of {bits}: {name} = {value}")
    value = f"bits({value}, '{bits}', T)"
    if mask != "None":
        value = f"np.where({mask}, {value}, R.get('{name}', 0)).astype('{bits}')"
    return f"R['{name}'] = {value}"


def read(operand: str, type_: str) -> str:
    """An operand as numbers of a type."""
    dtype = _DTYPES[type_]
    if operand.startswith("%"):
        name = operand[1:]
        if name.split(".")[0] in ("tid", "ctaid", "nctaid", "ntid", "laneid"):
            return f"S['{name}'].view('{dtype}')"
        return f"R['{name}']" if type_ == "pred" else f"R['{name}'].view('{dtype}')"
    if operand.startswith(("0f", "0F")):
        return f"np.float32({struct.unpack('>f', bytes.fromhex(operand[2:]))[0]!r})"
    if operand.startswith(("0d", "0D")):
        return f"np.float64({struct.unpack('>d', bytes.fromhex(operand[2:]))[0]!r})"
    if re.match(r"^-?\d|^-?0x", operand):
        number = int(operand.rstrip("U"), 0)
        if type_ == "pred":
            return f"np.bool_({bool(number)})"
        size = 8 * int(dtype[1])
        return f"np.array({number % (1 << size)}, 'u{dtype[1]}').view('{dtype}')"
    # A symbol: shared memory begins at 0.
    return f"np.array(0, '{dtype}')"


def _bits(type_: str) -> str:
    dtype = _DTYPES[type_]
    return dtype if dtype == "?" else f"u{dtype[1]}"


def _value(kind: str, words: list[str], operands: list[str]) -> tuple[str, str]:
    """The right-hand side of an instruction, and as what its bits are kept."""
    types = [word for word in words if word in _DTYPES]
    type_ = types[-1] if types else "b32"
    bits = _bits(type_)
    given = [read(operand, type_) for operand in operands[1:]]
    if kind in ("mov", "cvta"):
        return given[0], bits
    if kind in _BINARY:
        return f"({given[0]} {_BINARY[kind]} {given[1]})", bits
    if kind == "not":
        return f"~{given[0]}", bits
    if kind in _FUNCTIONS:
        value = f"{kind}({', '.join(given)})"
        error = {"approx", "full"} & set(words) and _ERRORS[kind]
        return (f"rough({value}, {error!r})" if error else value), bits
    if kind in ("mul", "mad"):
        return _product(kind, words, type_, operands)
    if kind in ("shl", "shr"):
        return f"{kind}({given[0]}, {read(operands[2], 'u32')})", bits
    if kind == "bfe":
        start, length = (read(operand, "u32") for operand in operands[2:])
        return f"bfe({given[0]}, {start}, {length})", bits
    if kind == "prmt":
        return f"prmt({given[0]}, {given[1]}, {int(operands[3].rstrip('U'), 0)})", bits
    if kind == "redux":
        return f"redux('{words[1]}', {given[0]})", bits
    if kind == "setp" and words[0] in ("num", "nan"):
        sign = "~" if words[0] == "num" else ""
        return f"{sign}(np.isnan({given[0]}) | np.isnan({given[1]}))", "?"
    if kind == "setp":
        return f"({given[0]} {_COMPARE[words[0]]} {given[1]})", "?"
    if kind == "selp":
        chosen = read(operands[3], "pred")
        return f"np.where({chosen}, {given[0]}, {given[1]})", bits
    if kind == "cvt" and "tf32" in words:
        if "rna" not in words:
            raise NotImplementedError(f"cvt.{'.'.join(words)}")
        return f"round_tf32({read(operands[1], 'b32')})", "u4"
    if kind == "cvt":
        to, source = types[0], types[-1]
        rounded = next((word for word in words if word in ("rzi", "rmi", "rni")), "")
        return (
            f"convert({read(operands[1], source)}, '{_DTYPES[to]}', '{rounded}')",
            _bits(to),
        )
    if kind == "shfl":
        lane, clamp = read(operands[2], "s32"), read(operands[3], "s32")
        return f"shuffle('{words[1]}', {given[0]}, {lane}, {clamp})", bits
    raise NotImplementedError(f"{kind}.{'.'.join(words)}")


def _product(
    kind: str, words: list[str], type_: str, operands: list[str]
) -> tuple[str, str]:
    """mul and mad, of floats, or of integers whose low half or whole is wanted."""
    whole = {"s16": "s32", "u16": "u32", "s32": "s64", "u32": "u64"}
    out = whole[type_] if {"wide", "hi"} & set(words) else type_
    given = [read(operand, type_) for operand in operands[1:3]]
    value = " * ".join(f"{x}.astype('{_DTYPES[out]}')" for x in given)
    if "hi" in words:
        shift = 8 * int(_DTYPES[type_][1])
        value, out = f"(({value}) >> {shift}).astype('{_DTYPES[type_]}')", type_
    if kind == "mad":
        value = f"({value} + {read(operands[3], out)})"
    return value, _bits(out)


def _place(operand: str) -> tuple[str, int]:
    match = _MEMORY.match(operand)
    return match[1], int(match[2] or "0", 0)


def _vector(operand: str) -> list[str]:
    return [part.strip() for part in operand.strip("{} ").split(",")]


def _space(words: list[str]) -> tuple[str, str]:
    """Which memory it is, and the type of its addresses; "shared::cta" is shared."""
    shared = any(word.startswith("shared") for word in words)
    return ("shared", "u32") if shared else ("memory", "u64")


def _load(words: list[str], operands: list[str], mask: str) -> list[str]:
    base, offset = _place(operands[1])
    type_ = next(word for word in words if word in _DTYPES)
    names, lines = _vector(operands[0]), []
    if "param" in words:
        return [_assign(names[0], f"P['{base}']", _bits(type_), "None")]
    space, size = _space(words)
    step = int(_DTYPES[type_][1])
    for n, name in enumerate(names):
        place = f"{read(base, size)}, {offset + n * step}"
        value = f"{space}.load({place}, '{_bits(type_)}', {mask}, T)"
        lines.append(_assign(name, value, _bits(type_), mask))
    return lines


def _store(words: list[str], operands: list[str], mask: str) -> list[str]:
    base, offset = _place(operands[0])
    type_ = next(word for word in words if word in _DTYPES)
    space, size = _space(words)
    step = int(_DTYPES[type_][1])
    return [
        f"{space}.store({read(base, size)}, {offset + n * step}, "
        f"{read(name, type_)}, '{_bits(type_)}', {mask}, T)"
        for n, name in enumerate(_vector(operands[1]))
    ]


def _copy(words: list[str], operands: list[str], mask: str) -> list[str]:
    """cp.async, which is done no sooner than it is waited for."""
    if "commit_group" in words:
        return ["pending.append([])"]
    if "wait_group" in words:
        return [f"wait(pending, {int(operands[0])})"]
    (to, to_offset), (source, source_offset) = map(_place, operands[:2])
    size = int(operands[2], 0)
    count = read(operands[3], "u32") if len(operands) > 3 else f"np.uint32({size})"
    return [
        f"pending[-1].append((shared, {read(to, 'u32')} + {to_offset}, memory, "
        f"{read(source, 'u64')}, {source_offset}, {count} + 0, {size}, {mask}, T))"
    ]


def _matrices(kind: str, words: list[str], operands: list[str]) -> list[str]:
    """ldmatrix and mma: some registers at once."""
    targets = [name.lstrip("%") for name in _vector(operands[0])]
    if kind == "ldmatrix":
        if "trans" in words:
            raise NotImplementedError("ldmatrix.trans")
        place, offset = _place(operands[1])
        given = f"shared, {read(place, 'u32')} + {offset}, {len(targets)}"
        value = f"ldmatrix({given})"
    else:
        name = "mma_f64" if "f64" in words else "mma_tf32"
        if words[2] not in ("m16n8k8", "m8n8k4") or name[4:] not in " ".join(words):
            raise NotImplementedError(f"mma.{'.'.join(words)}")
        size = "b64" if name == "mma_f64" else "b32"
        parts = [
            "[" + ", ".join(read(x, size) for x in _vector(part)) + "]"
            for part in operands[1:4]
        ]
        value = f"{name}({', '.join(parts)})"
    bits = "u8" if targets and "f64" in words else "u4"
    lines = [f"found = {value}"]
    return lines + [
        _assign(name, f"found[{n}]", bits, "None") for n, name in enumerate(targets)
    ]
