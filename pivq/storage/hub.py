"""Models on the Hugging Face Hub: downloaded by id, pushed from a run or an exported folder."""

import os
import re
import sys
import tempfile
from pathlib import Path

from pivq.storage.checkpoint import EXPORTED, is_export, load_stored, save_export

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")  # owner/name


def find(path: str | os.PathLike) -> Path:
    """Return a local path as it is, and for a Hub id the folder that its files are downloaded to.

    A path is a Hub id if it reads `owner/name` and no file or folder has that name. Otherwise no network is used.

    Raises:
        FileNotFoundError: the Hub has no such model, or you may not read it.
        ConnectionError: the Hub cannot be reached, and the model was not downloaded before.
    """
    name = str(path)
    if Path(path).exists() or not HUB_ID.fullmatch(name):
        return Path(path)
    return _download(name)


def push(run_or_folder: str | os.PathLike, repo_id: str, private: bool = False) -> str:
    """Put a model on the Hub, in the account given by `hf auth login` or `HF_TOKEN`.

    Args:
        run_or_folder: a run's folder or checkpoint, which is exported first; or an exported folder, which is uploaded
            as it is, with its model card.
        repo_id: "owner/name"; created if it does not exist.
        private: whether a new repository is visible only to its owner.

    Returns:
        The model's address.

    Raises:
        FileNotFoundError, ValueError: no model, or a damaged one; see `pivq.storage.checkpoint.load_stored`.
    """
    from huggingface_hub import HfApi

    if not HUB_ID.fullmatch(repo_id):
        raise ValueError(f"a Hub id is owner/name, got {repo_id!r}")
    folder, stored = Path(run_or_folder), load_stored(Path(run_or_folder))
    with tempfile.TemporaryDirectory() as scratch:
        if not is_export(folder):
            folder = Path(scratch) / "model"
            save_export(folder, stored)
        api = HfApi()
        address = api.create_repo(repo_id, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo_id, folder_path=folder, allow_patterns=list(EXPORTED))
    return str(address)


def _download(repo_id: str) -> Path:
    from huggingface_hub import errors, snapshot_download

    print(f"There is no {repo_id} on this computer: looking for it on the Hugging Face Hub …", file=sys.stderr)
    try:
        return Path(snapshot_download(repo_id, allow_patterns=list(EXPORTED)))
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise FileNotFoundError(
            f"no model at {repo_id}: neither a file or folder here, nor a model on the Hub that you may read"
        ) from error
    except OSError as error:  # no network, offline mode, or trouble at the Hub
        raise ConnectionError(
            f"there is no file or folder {repo_id} here, and the Hub cannot be reached to look for it there; to work "
            f"offline, give the path of a run or of an exported model ({type(error).__name__})"
        ) from error
