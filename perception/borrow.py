"""Arrays without reference counts inside kernels.

Numba counts references to every array that an inlined function is given, atomically, and cannot always see that it need
not: a kernel that drew a thousand solids with twenty arrays spent over a third of its time on that.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _borrow(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    if isinstance(kind, types.Array):
        view = context.make_array(kind)(context, builder, value)
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        view.parent = cgutils.get_null_value(view.parent.type)
        return view._getvalue()
    if isinstance(kind, types.BaseTuple):
        kinds: list[Any] = list(kind)  # type: ignore[call-overload]
        members = [_borrow(context, builder, k, builder.extract_value(value, i)) for i, k in enumerate(kinds)]
        return context.make_tuple(builder, kind, members)
    return value


def _borrowed(typing_context: Any, arrays: Any) -> Any:
    """Type an array or a (named) tuple of arrays, and tell how it is made."""

    def make(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _borrow(context, builder, signature.args[0], values[0])

    return arrays(arrays), make


borrowed: Any = intrinsic(_borrowed)
"""``borrowed(arrays)`` in a kernel: the same array, or tuple of arrays, without counting references to them.
Whoever calls the kernel must keep them until it is done."""
