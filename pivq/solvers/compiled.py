"""Compiled functions that are kept on disk, and a cache of them that may be damaged or impossible to write."""

import hashlib
import pickle
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from numba import njit
from numba.core.serialize import dumps


def compiled(function: Callable) -> Callable:
    """Compile at the first call, to run without the interpreter's lock; cache on disk where numba can write.

    A damaged cache is made again, and a full disk only means that there is none.
    """
    try:
        dispatcher = njit(function, nogil=True, cache=True)
    except RuntimeError:  # neither this folder nor the home directory can be written to
        return njit(function, nogil=True)
    with suppress(AttributeError):  # of another numba: its cache as it is
        _check_cache(dispatcher._cache)
    return dispatcher


def _check_cache(cache: Any) -> None:
    """Give a function's cache checksums, and let it do without what it cannot read or write."""
    code, load, save = cache._impl, cache.load_overload, cache.save_overload
    reduce, rebuild = code.reduce, code.rebuild

    def reduce_checked(compiled: Any) -> tuple[bytes, bytes]:
        content = dumps(reduce(compiled))
        return hashlib.sha256(content).digest(), content

    def rebuild_checked(target: Any, entry: tuple[bytes, bytes]) -> Any:
        checksum, content = entry
        if hashlib.sha256(content).digest() != checksum:
            raise ValueError("a compiled function has changed on disk")
        return rebuild(target, pickle.loads(content))

    def load_or_none(signature: Any, target: Any) -> Any:
        try:
            return load(signature, target)
        except Exception:  # damaged pickles raise nearly anything
            with suppress(Exception):
                cache.flush()
            return None

    def save_if_possible(signature: Any, compiled: Any) -> None:
        with suppress(Exception):
            save(signature, compiled)

    code.reduce, code.rebuild = reduce_checked, rebuild_checked
    cache.load_overload, cache.save_overload = load_or_none, save_if_possible
