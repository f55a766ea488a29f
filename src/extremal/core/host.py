"""A function of JAX as a list of NumPy calls, for one observation at a time on the host.

Calling a compiled program costs several times as much as a policy's three small products, however little it computes. What
depends on the parameters alone is worked out once. Only what networks are made of is known; of a function with anything else
there is no such form, and the compiled program serves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
    "neg": np.negative,
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "sqrt": np.sqrt,
    "square": np.square,
    "rsqrt": lambda x: 1.0 / np.sqrt(x),
    "logistic": lambda x: 1.0 / (1.0 + np.exp(-x)),
}
_INSIDE = {"jit": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}


class _Unknown(Exception):
    """An operation that has no NumPy form here."""


class Host:
    """A function of one array, as NumPy calls in order."""

    def __init__(self, function: Callable[[Any], Any], shape: tuple[int, ...]):
        traced = jax.make_jaxpr(function)(jax.ShapeDtypeStruct(shape, np.float32))
        self._values: list[Any] = []
        self._calls: list[tuple[Callable[..., Any], tuple[int, ...], int]] = []
        self._known: list[bool] = []
        self._input = self._new(None, known=False)
        (self._output,) = self._trace(traced.jaxpr, traced.consts, [self._input])
        self._shape = traced.out_avals[0].shape
        self._prune()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        values = self._values.copy()
        values[self._input] = x
        for call, inputs, output in self._calls:
            values[output] = call(*[values[i] for i in inputs])
        return np.broadcast_to(values[self._output], self._shape)

    def _new(self, value: Any, *, known: bool) -> int:
        self._values.append(value)
        self._known.append(known)
        return len(self._values) - 1

    def _trace(self, jaxpr: Any, constants: Any, inputs: list[int]) -> list[int]:
        """Places of what a program gives out; its operations are appended, or worked out where all is known."""
        place: dict[Any, int] = dict(zip(jaxpr.invars, inputs, strict=True))
        place |= {v: self._new(np.asarray(c), known=True) for v, c in zip(jaxpr.constvars, constants, strict=True)}

        def find(variable: Any) -> int:
            if hasattr(variable, "val"):  # a literal
                return self._new(np.asarray(variable.val), known=True)
            return place[variable]

        for equation in jaxpr.eqns:
            given = [find(v) for v in equation.invars]
            for variable, found in zip(equation.outvars, self._apply(equation, given), strict=True):
                place[variable] = found
        return [find(v) for v in jaxpr.outvars]

    def _apply(self, equation: Any, inputs: list[int]) -> list[int]:
        name, params = equation.primitive.name, equation.params
        if name in _INSIDE:
            inner = params[_INSIDE[name]]
            return self._trace(inner.jaxpr, inner.consts, inputs)
        if all(self._known[i] for i in inputs):
            whole = [
                np.broadcast_to(self._values[i], v.aval.shape) for i, v in zip(inputs, equation.invars, strict=True)
            ]
            worked = equation.primitive.bind(*whole, **params)
            worked = worked if equation.primitive.multiple_results else [worked]
            return [self._new(np.asarray(value), known=True) for value in worked]
        found = [self._new(None, known=False) for _ in equation.outvars]
        for number, place in enumerate(found):
            self._calls.append((_numpy(name, params, number, equation.invars), tuple(inputs), place))
        return found

    def _prune(self) -> None:
        """Leave out what the output does not depend on."""
        needed, kept = {self._output}, []
        for call, inputs, output in reversed(self._calls):
            if output in needed:
                needed |= set(inputs)
                kept.append((call, inputs, output))
        self._calls = kept[::-1]


def _whole(x: Any, shape: tuple[int, ...]) -> np.ndarray:
    """`x` at the shape it has in JAX; NumPy's own broadcast takes microseconds even where nothing is to do."""
    return x if np.shape(x) == shape else np.broadcast_to(x, shape)


def _numpy(name: str, params: dict[str, Any], number: int, given: Any) -> Callable[..., Any]:
    """The NumPy form of one operation's output `number`; arrays may have 1 where JAX's are broadcast."""
    if name in _ELEMENTWISE:
        return _ELEMENTWISE[name]
    shape = given[0].aval.shape
    if name == "broadcast_in_dim":
        kept = params["broadcast_dimensions"]
        thin = tuple(shape[kept.index(axis)] if axis in kept else 1 for axis in range(len(params["shape"])))
        return lambda x: _whole(x, shape).reshape(thin)
    if name == "dot_general" and params["dimension_numbers"] == (((1,), (0,)), ((), ())):
        other = given[1].aval.shape
        return lambda x, y: _whole(x, shape) @ _whole(y, other)
    if name == "transpose":
        return lambda x: _whole(x, shape).transpose(params["permutation"])
    if name == "optimization_barrier":
        return lambda *x: x[number]
    if name == "convert_element_type":
        return lambda x: np.asarray(x).astype(params["new_dtype"])
    if name == "integer_pow":
        return lambda x: x ** params["y"]
    if name == "reshape":
        return lambda x: _whole(x, shape).reshape(params["new_sizes"])
    if name == "squeeze":
        return lambda x: _whole(x, shape).squeeze(params["dimensions"])
    if name == "concatenate":
        shapes = [variable.aval.shape for variable in given]
        return lambda *x: np.concatenate([_whole(a, s) for a, s in zip(x, shapes, strict=True)], params["dimension"])
    if name == "split":
        at, axis = np.cumsum(params["sizes"])[:-1], params["axis"]
        return lambda x: np.split(_whole(x, shape), at, axis)[number]
    if name == "reduce_sum":
        return lambda x: _whole(x, shape).sum(axis=params["axes"])
    raise _Unknown(name)


def on_host(function: Callable[[Any], Any], shape: tuple[int, ...]) -> Host | None:
    """`function` of a float32 array of this shape as NumPy calls; None where it is made of anything unknown.

    >>> import jax.numpy as jnp
    >>> double = on_host(lambda x: jnp.tanh(2.0 * x), (1, 2))
    >>> bool(np.allclose(double(np.float32([[0.0, 1.0]])), np.tanh([[0.0, 2.0]])))
    True
    """
    try:
        return Host(function, shape)
    except _Unknown:
        return None
