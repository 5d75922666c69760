"""How large a file of weights can be, checked before its tensors are read: a small or sparse file takes no memory."""

import os
import zipfile
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import IO, Any

from torch import Tensor

from pivq.config import ModelConfig

ROOM = 10**7  # bytes of a file that are no weights: names, settings, the state of generators
# Bytes that the arrays of a file may have however small it is, and how many times as many as a larger file: codes and
# names hardly shrink, but a crafted file of zeros does by a thousand.
ARRAYS, SHRINKING = 200_000_000, 10


class Refused(ValueError):
    """A file cannot be used; the message continues the file's name."""


def most_bytes(sizes: dict[str, Any]) -> int:
    """Return how many bytes the weights of a model can need: twice `ModelConfig.weights`, as float64.

    Raises:
        Refused: the sizes, settings of `pivq.config.ModelConfig` by name, are impossible.
    """
    return 16 * _model_config(sizes).weights + ROOM


def check_entries(file: IO[bytes]) -> None:
    """Check that reading a checkpoint takes no more memory than disk; leave the file at its start.

    torch compresses nothing, and what is not a tensor is short.

    Raises:
        zipfile.BadZipFile: it is no zip, or one that torch does not write.
    """
    entries = zipfile.ZipFile(file).infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise zipfile.BadZipFile("compressed")
    pickled = sum(entry.file_size for entry in entries if "/data/" not in entry.filename)
    if pickled > ROOM or sum(entry.file_size for entry in entries) > os.fstat(file.fileno()).st_size:
        raise zipfile.BadZipFile("more than a checkpoint has")
    file.seek(0)


def check_extent(outline: Any, size: int) -> None:
    """Check how large the file of a checkpoint is, from its content with all tensors on the device "meta".

    Args:
        outline: the content.
        size: of the file, in bytes.

    Raises:
        zipfile.BadZipFile: tensors are larger than what is stored of them.
        Refused: the file is larger than its settings can need, or these are impossible.
    """
    if any(value.nbytes > min(size, value.untyped_storage().nbytes()) for _, value in tensors(outline)):
        raise zipfile.BadZipFile("tensors larger than what is stored of them")
    config, numbers = outline.get("config") if isinstance(outline, dict) else None, 0
    if isinstance(config, dict) and isinstance(config.get("model"), dict):
        model, train = _model_config(config["model"]), config.get("train", {})
        latents = train.get("history_steps", 0) * train.get("batch_size", 0) * model.num_codes * model.dim
        layers, width = (train.get(f"discriminator_{name}", 0) for name in ("layers", "width"))
        discriminator = (layers + 1) * (4 * 8 * width) ** 2  # at most eight times the width; 4 × 4 each
        numbers = 8 * model.weights + 3 * discriminator + latents  # weights, mean and two moments, twice
    if size > (most := 4 * numbers + ROOM):
        raise Refused(f" has {size:,} bytes, more than the {most:,} that a run of its settings can need")


def check_arrays(file: IO[bytes]) -> IO[bytes]:
    """Check that the arrays of a `.npz` file are not out of proportion to its size; return the file, at its start.

    Raises:
        zipfile.BadZipFile: it is no zip.
        Refused: they are.
    """
    size, entries = os.fstat(file.fileno()).st_size, zipfile.ZipFile(file).infolist()
    expanded, most = sum(entry.file_size for entry in entries), max(ARRAYS, SHRINKING * size)
    if expanded > most:
        raise Refused(f" would take {expanded:,} bytes of memory, more than the {most:,} of a file of {size:,} bytes")
    file.seek(0)
    return file


def tensors(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in nested dictionaries and lists, with their dotted names."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, dict | list | tuple):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from tensors(part, f"{name}.{key}" if name else str(key))


def _model_config(sizes: dict[str, Any]) -> ModelConfig:
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in sizes.items()}
    known = {field.name: field.default is MISSING for field in fields(ModelConfig)}
    if unknown := [name for name in plain if name not in known]:
        later = "upgrade pivq if a later one made this"
        raise Refused(f": bad model sizes: unknown {', '.join(map(repr, unknown)):.80}: {later}")
    again = "export or train the model again"
    if missing := [name for name, needed in known.items() if needed and name not in plain]:
        raise Refused(f": bad model sizes: missing {', '.join(map(repr, missing)):.80}: {again}")
    try:
        return ModelConfig(**plain)
    except (TypeError, ValueError) as error:
        raise Refused(f": bad model sizes: {str(error).removeprefix('ModelConfig.')}") from error
