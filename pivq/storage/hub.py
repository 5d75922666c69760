"""Models on the Hugging Face Hub, with the extra `hub`: fetched by id, pushed from a run or an exported folder."""

import os
import re
import tempfile
from pathlib import Path
from types import ModuleType

from pivq.storage.checkpoint import EXPORTED, is_export, load_stored, save_export

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")  # owner/name


def find(path: str | os.PathLike) -> Path:
    """Return a local path as it is, and for a Hub id the folder that its files are downloaded to.

    Only `owner/name` where nothing of that name is on this computer is taken for a Hub id; else there is no network.

    Raises:
        ImportError: a Hub id, and the extra `hub` is not installed.
        FileNotFoundError: the Hub has no such model, or none that may be read.
        ConnectionError: the Hub cannot be reached, and the model was not downloaded before.
    """
    name = str(path)
    if Path(path).exists() or not HUB_ID.fullmatch(name):
        return Path(path)
    return _download(name)


def push(run_or_folder: str | os.PathLike, repo_id: str, private: bool = False) -> str:
    """Put a model on the Hub, under the account that `huggingface-cli login` or `HF_TOKEN` gives.

    Args:
        run_or_folder: a run's folder or checkpoint, which is exported first, or an exported folder, as it is with its
            model card.
        repo_id: "owner/name"; made if there is none.
        private: of a repository that is made, whether only its owner sees it.

    Returns:
        The model's address.

    Raises:
        FileNotFoundError, ValueError: no model, or a damaged one; see `pivq.storage.checkpoint.load_stored`.
        ImportError: the extra `hub` is not installed.
    """
    if not HUB_ID.fullmatch(repo_id):
        raise ValueError(f"a Hub id is owner/name, got {repo_id!r}")
    folder, stored = Path(run_or_folder), load_stored(Path(run_or_folder))
    api = _client(f"to push {repo_id} to the Hugging Face Hub").HfApi()
    with tempfile.TemporaryDirectory() as scratch:
        if not is_export(folder):
            folder = Path(scratch) / "model"
            save_export(folder, stored)
        address = api.create_repo(repo_id, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo_id, folder_path=folder, allow_patterns=list(EXPORTED))
    return str(address)


def _download(repo_id: str) -> Path:
    client = _client(f"{repo_id} is no file or folder here; to look for it on the Hugging Face Hub")
    from huggingface_hub import errors

    print(f"There is no {repo_id} on this computer: looking for it on the Hugging Face Hub …")
    try:
        return Path(client.snapshot_download(repo_id, allow_patterns=list(EXPORTED)))
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise FileNotFoundError(
            f"no model at {repo_id}: neither a file or folder here, nor a model on the Hub that you may read"
        ) from error
    except OSError as error:  # no network, told to use none, or the Hub is in trouble
        raise ConnectionError(
            f"there is no file or folder {repo_id} here, and the Hub cannot be reached to look for it there; offline, "
            f"give the path of a run or of an exported model ({type(error).__name__})"
        ) from error


def _client(purpose: str) -> ModuleType:
    """Return the module `huggingface_hub`."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(f'{purpose}: pip install "pivq[hub]"') from error
    return huggingface_hub
