"""Vectors of ``LANES`` numbers inside kernels: what is written for one number is done for all lanes at once.

Numba leaves it to LLVM to turn loops into vector instructions, which it does not wherever it cannot prove that arrays
do not overlap. These types are LLVM's own vectors: it makes of them what the processor has, without loops and without
memory in between. Each lane's value is that of the same operation on one number, on every processor.

In kernels ``Lanes`` of float32, int32, uint64 and bool come from ``load``, ``gather`` and ``spread``; float64 and
int64, half as many, which fill as large a register, from ``load`` and ``spread_wide``. They take
``+ - * /``, ``& | ^ << >>`` (which shifts in zeros) and comparisons (of uint64 none) with others of their kind and with
plain numbers, which stand for all lanes. Indices of arrays count in the order of memory, whatever their shape.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, models, register_model
from numpy.typing import NDArray

LANES = 16
WIDE_LANES = 8
"""How many float64 or int64 are in a vector; and flags, where they come from comparing those."""
Lanes = Any
"""What kernels call a vector."""
single: Any = np.float32
unsigned: Any = np.uint64
"""``single(value)``, ``unsigned(value)`` in kernels: a number as float32, as uint64 (an index not below 0)."""
_intrinsic: Any = intrinsic


def row_stride(width: int) -> int:
    """Return how much room a row of so many numbers takes if whole vectors may start at each of them."""
    return LANES * (-(-width // LANES) + 1)


def padded(values: NDArray[Any]) -> NDArray[Any]:
    """Return a copy of an array with room beyond its end: vectors may be read from anywhere in it."""
    memory = np.zeros(values.size + LANES, values.dtype)
    memory[: values.size] = values.reshape(-1)
    return memory[: values.size].reshape(values.shape)


class LanesType(types.Type):  # type: ignore[misc]
    """Numba's type of ``LANES`` numbers of one kind: "float32", "int32", "uint64" or "bool"; or of ``WIDE_LANES``:
    "float64", "int64" or "wide bool"."""

    def __init__(self, kind: str, count: int = LANES) -> None:
        self.kind, self.count = kind, count
        super().__init__(name=f"LanesType({kind})")


FLOATS, INTS, WORDS, FLAGS = LanesType("float32"), LanesType("int32"), LanesType("uint64"), LanesType("bool")
DOUBLES, LONGS = LanesType("float64", WIDE_LANES), LanesType("int64", WIDE_LANES)
WIDE_FLAGS = LanesType("wide bool", WIDE_LANES)
_FRACTIONS = (FLOATS, DOUBLES)
_WIDE = (DOUBLES, LONGS, WIDE_FLAGS)
_NUMBER = {
    "float32": types.float32,
    "int32": types.int32,
    "uint64": types.uint64,
    "bool": types.boolean,
    "float64": types.float64,
    "int64": types.int64,
    "wide bool": types.boolean,
}
_ELEMENT = {
    "float32": ir.FloatType(),
    "int32": ir.IntType(32),
    "uint64": ir.IntType(64),
    "bool": ir.IntType(1),
    "float64": ir.DoubleType(),
    "int64": ir.IntType(64),
    "wide bool": ir.IntType(1),
}
_WORD = ir.IntType(32)


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: LanesType) -> None:
        super().__init__(manager, kind, _vector(kind))


def _vector(kind: LanesType) -> Any:
    return ir.VectorType(_ELEMENT[kind.kind], kind.count)


def _flags_of(kind: LanesType) -> LanesType:
    """Return the kind of flags that comparing a kind gives."""
    return WIDE_FLAGS if kind in _WIDE else FLAGS


def _spread(context: Any, builder: Any, value: Any, source: Any, kind: LanesType) -> Any:
    """Return the vector whose lanes are all one number, or the vector itself."""
    if isinstance(source, LanesType):
        return value
    number = context.cast(builder, value, types.unliteral(source), _NUMBER[kind.kind])
    vector = _vector(kind)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.Constant(_WORD, 0))
    return builder.shuffle_vector(
        one, ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(_WORD, kind.count), [0] * kind.count)
    )


def _kind_of(arguments: Any) -> LanesType | None:
    """Return the kind of the vectors among the arguments if the others can go with them."""
    kinds = {a for a in arguments if isinstance(a, LanesType)}
    fits = all(isinstance(a, (LanesType, types.Number, types.Boolean)) for a in arguments)
    return kinds.pop() if len(kinds) == 1 and fits else None


def _kind_for(number: Any) -> LanesType | None:
    """Return the kind of vector that a number spreads to."""
    return FLOATS if isinstance(number, types.Float) else (INTS if isinstance(number, types.Integer) else None)


def _operator(function: Callable[..., Any], make: Callable[[Any, LanesType, Any, Any], Any], *, compares: bool) -> None:
    """Let an operator of two arguments take vectors; ``make`` builds it from builder, kind and two vectors."""

    class Template(AbstractTemplate):  # type: ignore[misc]
        def generic(self, arguments: Any, _: Any) -> Any:
            kind = _kind_of(arguments) if len(arguments) == 2 else None
            if kind is None:
                return None
            from numba.core.typing import signature

            return signature(_flags_of(kind) if compares else kind, *arguments)

    infer_global(function)(Template)

    def lower(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        kind = _kind_of(sig.args)
        assert kind is not None
        left, right = (_spread(context, builder, v, a, kind) for v, a in zip(values, sig.args, strict=True))
        return make(builder, kind, left, right)

    for pair in ((LanesType, LanesType), (LanesType, types.Number), (types.Number, LanesType)):
        lower_builtin(function, *pair)(lower)


def _arithmetic(name: str) -> Callable[[Any, LanesType, Any, Any], Any]:
    """Return what builds an operation that is called ``name`` for whole numbers and ``fname`` for others."""

    def make(builder: Any, kind: LanesType, left: Any, right: Any) -> Any:
        return getattr(builder, ("f" if kind in _FRACTIONS else "") + name)(left, right)

    return make


def _bitwise(name: str) -> Callable[[Any, LanesType, Any, Any], Any]:
    def make(builder: Any, kind: LanesType, left: Any, right: Any) -> Any:
        if kind in _FRACTIONS:
            raise TypeError(f"{name} of fractions")
        return getattr(builder, name)(left, right)

    return make


def _comparison(sign: str) -> Callable[[Any, LanesType, Any, Any], Any]:
    def make(builder: Any, kind: LanesType, left: Any, right: Any) -> Any:
        if kind in _FRACTIONS:
            return builder.fcmp_ordered(sign, left, right)
        return builder.icmp_signed(sign, left, right)

    return make


for _function, _name in ((operator.add, "add"), (operator.sub, "sub"), (operator.mul, "mul")):
    _operator(_function, _arithmetic(_name), compares=False)
_operator(operator.truediv, lambda builder, _, left, right: builder.fdiv(left, right), compares=False)
for _function, _name in (
    (operator.and_, "and_"),
    (operator.or_, "or_"),
    (operator.xor, "xor"),
    (operator.lshift, "shl"),
    (operator.rshift, "lshr"),
):
    _operator(_function, _bitwise(_name), compares=False)
for _function, _name in (
    (operator.lt, "<"),
    (operator.le, "<="),
    (operator.gt, ">"),
    (operator.ge, ">="),
    (operator.eq, "=="),
):
    _operator(_function, _comparison(_name), compares=True)


def _address(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Return the address of an element of a contiguous array, counted in the order of memory."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(data, [index])


def _held(array: Any, dtype: Any = None) -> LanesType | None:
    """Return the kind of vector that the elements of an array, if of the ``dtype`` asked for, go into."""
    if not isinstance(array, types.Array) or array.layout != "C":
        return None
    if dtype is not None:
        return INTS if array.dtype == dtype else None
    kinds = {types.float32: FLOATS, types.int32: INTS, types.uint32: INTS, types.float64: DOUBLES, types.int64: LONGS}
    return kinds.get(array.dtype)


@_intrinsic
def load(typing_context: Any, array: Any, at: Any) -> Any:
    """Return elements ``at`` to ``at + LANES - 1`` of a contiguous array (N,) of float32, int32 or uint32, or
    ``WIDE_LANES`` of float64 or int64."""
    kind = _held(array)
    if kind is None or not isinstance(at, types.Integer):
        return None

    def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        address = _address(context, builder, sig.args[0], *values)
        return builder.load(builder.bitcast(address, _vector(kind).as_pointer()), align=4)

    return kind(array, at), make


@_intrinsic
def store(typing_context: Any, array: Any, at: Any, lanes: Any) -> Any:
    """Write elements ``at`` to ``at + LANES - 1`` of a contiguous array (N,) of float32, int32 or uint32, or
    ``WIDE_LANES`` of float64 or int64."""
    if _held(array) != lanes or not isinstance(at, types.Integer):
        return None

    def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        address = _address(context, builder, sig.args[0], values[0], values[1])
        builder.store(values[2], builder.bitcast(address, _vector(lanes).as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(array, at, lanes), make


@_intrinsic
def gather(typing_context: Any, array: Any, at: Any) -> Any:
    """Return the elements of a contiguous array (N,) of float32, int32 or uint32 whose indices (int32) are given."""
    kind = _held(array)
    if kind not in (FLOATS, INTS) or at != INTS:
        return None

    def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, values[0]).data
        out = ir.Constant(_vector(kind), ir.Undefined)
        for lane in range(LANES):
            number = ir.Constant(_WORD, lane)
            index = builder.zext(builder.extract_element(values[1], number), ir.IntType(64))
            out = builder.insert_element(out, builder.load(builder.gep(data, [index])), number)
        return out

    return kind(array, at), make


@_intrinsic
def gather_bytes(typing_context: Any, array: Any, at: Any) -> Any:
    """Return as int32 the elements of a contiguous array (N,) of uint8 whose indices (int32) are given."""
    if _held(array, types.uint8) is None or at != INTS:
        return None

    def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, values[0]).data
        out = ir.Constant(_vector(INTS), ir.Undefined)
        for lane in range(LANES):
            number = ir.Constant(_WORD, lane)
            index = builder.zext(builder.extract_element(values[1], number), ir.IntType(64))
            byte = builder.load(builder.gep(data, [index]))
            out = builder.insert_element(out, builder.zext(byte, _WORD), number)
        return out

    return INTS(array, at), make


@_intrinsic
def store_bytes(typing_context: Any, array: Any, at: Any, lanes: Any) -> Any:
    """Write the lowest bytes of int32 to elements ``at`` to ``at + LANES - 1`` of a contiguous array (N,) of uint8."""
    if _held(array, types.uint8) is None or lanes != INTS or not isinstance(at, types.Integer):
        return None

    def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        small = ir.VectorType(ir.IntType(8), LANES)
        address = _address(context, builder, sig.args[0], values[0], values[1])
        builder.store(builder.trunc(values[2], small), builder.bitcast(address, small.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(array, at, lanes), make


@_intrinsic
def store_colors(typing_context: Any, array: Any, at: Any, red: Any, green: Any, blue: Any) -> Any:
    """Write pixels ``at`` to ``at + LANES - 1``, three bytes each, of a contiguous array (3 N,) of uint8: the lowest
    bytes of int32."""
    if _held(array, types.uint8) is None or not red == green == blue == INTS or not isinstance(at, types.Integer):
        return None

    def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        small, pixels = ir.VectorType(ir.IntType(8), LANES), ir.VectorType(ir.IntType(8), 3 * LANES)
        r, g, b = (builder.trunc(v, small) for v in values[2:])

        def mixed(first: Any, second: Any, order: list[int]) -> Any:
            return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(_WORD, len(order)), order))

        both = mixed(r, g, list(range(2 * LANES)))
        rest = mixed(b, b, list(range(2 * LANES)))
        order = [j for k in range(LANES) for j in (k, LANES + k, 2 * LANES + k)]
        first = builder.mul(values[1], ir.Constant(values[1].type, 3))
        address = _address(context, builder, sig.args[0], values[0], first)
        builder.store(mixed(both, rest, order), builder.bitcast(address, pixels.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(array, at, red, green, blue), make


@_intrinsic
def item(typing_context: Any, array: Any, at: Any) -> Any:
    """Return one element of a contiguous array; the index, in the order of memory, never counts from the end."""
    if not isinstance(array, types.Array) or array.layout != "C" or not isinstance(at, types.Integer):
        return None

    def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        address = _address(context, builder, sig.args[0], *values)
        return context.unpack_value(builder, array.dtype, address)

    return array.dtype(array, at), make


@_intrinsic
def put(typing_context: Any, array: Any, at: Any, number: Any) -> Any:
    """Write one element of a contiguous array; the index, in the order of memory, never counts from the end."""
    if not isinstance(array, types.Array) or array.layout != "C" or array.dtype != number:
        return None

    def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        address = _address(context, builder, sig.args[0], values[0], values[1])
        context.pack_value(builder, array.dtype, values[2], address)
        return context.get_dummy_value()

    return types.void(array, at, number), make


@_intrinsic
def spread(typing_context: Any, number: Any) -> Any:
    """Return the vector whose lanes are all a number: float32 of a fraction, int32 of a whole number."""
    kind = _kind_for(number)
    if kind is None:
        return None

    def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return _spread(context, builder, values[0], sig.args[0], kind)

    return kind(number), make


@_intrinsic
def spread_wide(typing_context: Any, number: Any) -> Any:
    """Return the vector whose lanes are all a number: float64 of a fraction, int64 of a whole number."""
    kind = DOUBLES if isinstance(number, types.Float) else LONGS
    if _kind_for(number) is None:
        return None

    def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return _spread(context, builder, values[0], sig.args[0], kind)

    return kind(number), make


@_intrinsic
def narrow(typing_context: Any, first: Any, second: Any) -> Any:
    """Return float32 of two vectors of float64, one after the other."""
    if first != DOUBLES or second != DOUBLES:
        return None

    def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        half = ir.VectorType(ir.FloatType(), WIDE_LANES)
        halves = (builder.fptrunc(value, half) for value in values)
        return builder.shuffle_vector(*halves, ir.Constant(ir.VectorType(_WORD, LANES), list(range(LANES))))

    return FLOATS(first, second), make


def _lane_numbers(context: Any, builder: Any, sig: Any, values: Any) -> Any:
    return ir.Constant(_vector(sig.return_type), list(range(sig.return_type.count)))


@_intrinsic
def lane_numbers(typing_context: Any) -> Any:
    """Return int32 0, 1, ... ``LANES - 1``."""
    return INTS(), _lane_numbers


@_intrinsic
def lane_words(typing_context: Any) -> Any:
    """Return uint64 0, 1, ... ``LANES - 1``."""
    return WORDS(), _lane_numbers


@_intrinsic
def wide_lane_numbers(typing_context: Any) -> Any:
    """Return int64 0, 1, ... ``WIDE_LANES - 1``."""
    return LONGS(), _lane_numbers


@_intrinsic
def low_half(typing_context: Any, words: Any) -> Any:
    """Return the lower 32 bits of uint64 as int32."""
    return (INTS(words), lambda c, b, s, v: b.trunc(v[0], _vector(INTS))) if words == WORDS else None


@_intrinsic
def lane(typing_context: Any, lanes: Any, number: Any) -> Any:
    """Return the value of one lane."""
    if not isinstance(lanes, LanesType) or not isinstance(number, types.Integer):
        return None

    def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return builder.extract_element(values[0], context.cast(builder, values[1], sig.args[1], types.int32))

    return _NUMBER[lanes.kind](lanes, number), make


def _selected(typing_context: Any, flags: Any, yes: Any, no: Any) -> Any:
    kind = _kind_of((yes, no)) or _kind_for(yes)
    if kind is None or flags != _flags_of(kind):
        return None

    def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        first = _spread(context, builder, values[1], sig.args[1], kind)
        return builder.select(values[0], first, _spread(context, builder, values[2], sig.args[2], kind))

    return kind(flags, yes, no), make


select = _intrinsic(_selected)
"""``select(flags, yes, no)``: each lane of ``yes`` where its flag is set, else of ``no``."""


def _extreme(sign: str) -> Any:
    def typed(typing_context: Any, left: Any, right: Any) -> Any:
        kind = _kind_of((left, right))
        if kind not in (FLOATS, INTS, DOUBLES, LONGS):
            return None

        def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
            a, b = (_spread(context, builder, v, t, kind) for v, t in zip(values, sig.args, strict=True))
            return builder.select(_comparison(sign)(builder, kind, a, b), a, b)

        return kind(left, right), make

    return _intrinsic(typed)


lesser, greater = _extreme("<"), _extreme(">")
"""The lesser and the greater of two, lane by lane; the second where one is not a number."""


@_intrinsic
def any_lane(typing_context: Any, flags: Any) -> Any:
    """Tell whether the flag of any lane is set."""
    if flags not in (FLAGS, WIDE_FLAGS):
        return None

    def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        word = ir.IntType(flags.count)
        return builder.icmp_unsigned("!=", builder.bitcast(values[0], word), ir.Constant(word, 0))

    return types.boolean(flags), make


def _of_all(kind: LanesType, name: str) -> Any:
    """Return the intrinsic that reduces a kind to one number by LLVM's operation of that name."""

    def typed(typing_context: Any, lanes: Any) -> Any:
        if lanes != kind:
            return None

        def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
            element = _ELEMENT[kind.kind]
            function = f"llvm.vector.reduce.{name}.v{kind.count}i{element.width}"
            made = cgutils.get_or_insert_function(builder.module, ir.FunctionType(element, [_vector(kind)]), function)
            return builder.call(made, values)

        return _NUMBER[kind.kind](lanes), make

    return _intrinsic(typed)


least, greatest = _of_all(INTS, "smin"), _of_all(LONGS, "smax")
"""The least lane of int32; the greatest of int64."""


@_intrinsic
def leading(typing_context: Any, flags: Any) -> Any:
    """Return how many lanes from the first on have their flags set, up to the first that has not."""
    if flags != FLAGS:
        return None

    def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        unset = builder.not_(builder.bitcast(values[0], ir.IntType(LANES)))
        count = builder.cttz(builder.zext(unset, ir.IntType(64)), ir.Constant(ir.IntType(1), 0))
        full = ir.Constant(ir.IntType(64), LANES)
        return builder.select(builder.icmp_unsigned("<", count, full), count, full)

    return types.uint64(flags), make


@_intrinsic
def to_float(typing_context: Any, lanes: Any) -> Any:
    """Return float32 of int32."""
    return (FLOATS(lanes), lambda c, b, s, v: b.sitofp(v[0], _vector(FLOATS))) if lanes == INTS else None


@_intrinsic
def to_int(typing_context: Any, lanes: Any) -> Any:
    """Return int32 of float32, rounded towards 0; all must fit."""
    if lanes != FLOATS:
        return None

    def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return builder.fptosi(values[0], _vector(INTS))

    return INTS(lanes), make


def _float_function(name: str) -> Any:
    def typed(typing_context: Any, lanes: Any) -> Any:
        if lanes not in _FRACTIONS:
            return None

        def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
            kind = ir.FunctionType(_vector(lanes), [_vector(lanes)])
            size = f"v{LANES}f32" if lanes == FLOATS else f"v{WIDE_LANES}f64"
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.{size}"), values)

        return lanes(lanes), make

    return _intrinsic(typed)


floor, absolute, root = _float_function("floor"), _float_function("fabs"), _float_function("sqrt")
"""Of float32 or float64: the greatest whole number not above it; its size; its square root."""


@_intrinsic
def bits_of(typing_context: Any, number: Any) -> Any:
    """Return the bits of one float32 as int32, or of vectors: of float32 as int32, of float64 as int64."""
    bits = {types.float32: types.int32, FLOATS: INTS, DOUBLES: LONGS}.get(number)
    if bits is None:
        return None
    return bits(number), lambda c, b, s, v: b.bitcast(v[0], c.get_value_type(bits))


@_intrinsic
def float_of(typing_context: Any, bits: Any) -> Any:
    """Return the float32 that has the bits of one int32."""
    if bits != types.int32:
        return None
    return types.float32(bits), lambda c, b, s, v: b.bitcast(v[0], ir.FloatType())


@_intrinsic
def flag_bits(typing_context: Any, flags: Any) -> Any:
    """Return the flags as the lowest bits of an int64, that of the first lane lowest."""
    if flags not in (FLAGS, WIDE_FLAGS):
        return None

    def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return builder.zext(builder.bitcast(values[0], ir.IntType(flags.count)), ir.IntType(64))

    return types.int64(flags), make


@_intrinsic
def first_bit(typing_context: Any, bits: Any) -> Any:
    """Return the number of the lowest bit that is set in an int64; 64 if none is."""
    if bits != types.int64:
        return None
    return types.int64(bits), lambda c, b, s, v: b.cttz(v[0], ir.Constant(ir.IntType(1), 0))


def _row_type(table: Any) -> Any:
    """Return the type of a row of ``LANES`` vectors for tables that have such."""
    return types.UniTuple(FLOATS, LANES) if _held(table) == FLOATS and table.ndim == 2 else None


@_intrinsic
def gather_rows(typing_context: Any, table: Any, at: Any) -> Any:
    """Return the rows of a contiguous table (N, ``LANES``) of float32 whose numbers (int32) are given, as a tuple of
    its columns: far cheaper than ``gather`` for each of them."""
    kind = _row_type(table)
    if kind is None or at != INTS:
        return None

    def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, values[0]).data
        vector, order = _vector(FLOATS), ir.VectorType(_WORD, LANES)
        rows = []
        for number in range(LANES):
            row = builder.zext(builder.extract_element(values[1], ir.Constant(_WORD, number)), ir.IntType(64))
            address = builder.gep(data, [builder.mul(row, ir.Constant(ir.IntType(64), LANES))])
            rows.append(builder.load(builder.bitcast(address, vector.as_pointer()), align=4))
        # Dealt like two halves of a pack of cards, four times over, rows become columns.
        half = LANES // 2
        low = ir.Constant(order, [j for k in range(half) for j in (k, LANES + k)])
        high = ir.Constant(order, [half + j for k in range(half) for j in (k, LANES + k)])
        for _ in range(LANES.bit_length() - 1):
            pairs = [(rows[k], rows[half + k]) for k in range(half)]
            rows = [builder.shuffle_vector(a, b, o) for a, b in pairs for o in (low, high)]
        return context.make_tuple(builder, sig.return_type, rows)

    return kind(table, at), make


@_intrinsic
def spread_row(typing_context: Any, table: Any, at: Any) -> Any:
    """As ``gather_rows``, of one row for all lanes."""
    kind = _row_type(table)
    if kind is None or not isinstance(at, types.Integer):
        return None

    def make(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        width = ir.Constant(values[1].type, LANES)
        first = _address(context, builder, sig.args[0], values[0], builder.mul(values[1], width))
        numbers = [builder.load(builder.gep(first, [ir.Constant(_WORD, k)])) for k in range(LANES)]
        return context.make_tuple(
            builder, sig.return_type, [_spread(context, builder, v, types.float32, FLOATS) for v in numbers]
        )

    return kind(table, at), make
