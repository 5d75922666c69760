"""The arguments of `load_dataset`: which are refused, and what is said."""

from pathlib import Path

import pytest

from pivq.data import load_dataset

pytestmark = pytest.mark.usefixtures("root")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name_or_dir": "avatar"}, "unknown data set 'avatar', and no such folder or zip; did you mean avatars\\?"),
        ({"name_or_dir": "celebhq"}, "unknown data set 'celebhq', .*; did you mean celebahq\\?"),
        ({"name_or_dir": Path("/some/where")}, "'/some/where', .*; known: avatars, celeba, celebahq, ffhq$"),
        ({"name_or_dir": ""}, 'the name of the data set is "", perhaps from a variable that is not set'),
        ({"name_or_dir": "  "}, 'the name of the data set is ""'),
        ({"name_or_dir": "no/such/folder"}, "'no/such/folder', and no such folder or zip; known: avatars"),
        ({"split": "held-out"}, "unknown split 'held-out'; did you mean heldout\\?"),
        ({"split": "test"}, "unknown split 'test'; known: train, heldout$"),
        ({"split": "all"}, "unknown split 'all'; known: train, heldout$"),
        ({"name_or_dir": "celeba", "split": "test"}, "unknown split 'test'; known: train, heldout, all$"),
        ({"name_or_dir": "celeba", "layout": "ffqh"}, "unknown layout 'ffqh'; did you mean ffhq\\?"),
        ({"name_or_dir": "celeba", "limit": -1}, "limit .* at least 1, or 0 or None for all, got -1"),
        ({"name_or_dir": "celeba", "limit": 1.5}, "got 1.5"),
        ({"name_or_dir": "celeba", "image_size": 7}, "image_size .* got 7"),
        ({"layout": "folder"}, "the avatars are drawn and have no layout, got layout 'folder'"),
        ({"on_error": "ignore"}, "unknown on_error 'ignore'; known: raise, skip$"),
        ({"limit": 0}, "limit .* from 1 to 8000 .* got 0"),
        ({"limit": -3}, "got -3"),
        ({"limit": 8001}, "got 8001"),
        ({"limit": 2.5}, "got 2.5"),
        ({"split": "heldout", "limit": 2001}, "from 1 to 2000 .* got 2001"),
        ({"image_size": 4}, "image_size .* got 4"),
        ({"image_size": 64.5}, "image_size .* got 64.5"),
    ],
)
def test_bad_arguments_are_refused(arguments, message, no_drawing):
    with pytest.raises(ValueError, match=message):
        load_dataset(**{"name_or_dir": "avatars"} | arguments)
