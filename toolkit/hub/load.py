"""Load one config of a dataset of the Hub in bounded memory and disk, whatever its files unpack to.

The files are fetched first, and those of Parquet measured by their pages. While `datasets` writes the rows
into Arrow files, the system lets none of these grow beyond what the files may unpack to.
"""

import errno
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from huggingface_hub import constants, hf_hub_download

from ...schemas.allowance import Allowance, format_size
from ...schemas.errors import SourceError
from ..ingest.files.unpack.parquet_pages import count_written_out

try:
    import resource
except ImportError:  # pragma: no cover
    resource = None  # type: ignore[assignment]

_PARTS = re.compile(r"hf://datasets/(?P<repo>[^/]+/[^/@]+)@(?P<revision>[^/]+)/(?P<file>.+)")


def load_config(repo: str, config: str, revision: str, folder: Path, allowance: Allowance) -> Any:
    """Load a config as `datasets.load_dataset` does, with all that is downloaded and made inside `folder`.

    No copy of the rows stays in the user's cache, where `preceptor forget` does not reach. Raises SourceError
    if the rows take more than `allowance`, and the errors of the client.
    """
    with _send_downloads(folder):
        made = datasets.load_dataset_builder(
            repo, config, revision=revision, cache_dir=str(folder / "datasets")
        )
        files = [_fetch(url) for urls in (made.config.data_files or {}).values() for url in urls]
        here = [file for file in files if file is not None]
        try:
            for file in here:
                _measure(file, allowance)
        except SourceError as error:
            raise _refuse(repo, config, here, allowance) from error
        limit = max((allowance.find_limit(file) for file in here), default=None)
        with _bound_files(limit):
            try:
                made.download_and_prepare(max_shard_size="1TB")
            except (OSError, datasets.exceptions.DatasetGenerationError) as error:
                if limit is not None and _is_too_large(error):
                    raise _refuse(repo, config, here, allowance) from error
                raise
        return made.as_dataset()


def _fetch(url: str) -> Path | None:
    """Download a file of the dataset to where `datasets` looks for it; None for one that is elsewhere."""
    place = _PARTS.fullmatch(url)
    if place is None:
        return None
    return Path(
        hf_hub_download(
            place["repo"],
            place["file"],
            revision=place["revision"],
            repo_type="dataset",
            cache_dir=constants.HF_HUB_CACHE,
        )
    )


def _measure(file: Path, allowance: Allowance) -> None:
    """Count a file's size towards what it may unpack to, and that of its rows where pages can tell it."""
    allowance.find_limit(file)
    if file.suffix == ".parquet":
        try:
            count_written_out(file, allowance)
        except SourceError:
            raise
        except (pa.ArrowException, OSError, ValueError):
            return  # damaged: `datasets` says so


@contextmanager
def _bound_files(limit: int | None) -> Iterator[None]:
    """Let no file that this process writes grow beyond `limit` bytes, where the system can see to it."""
    if resource is None or limit is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    most = limit if before[0] == resource.RLIM_INFINITY else min(limit, before[0])
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _is_too_large(error: BaseException) -> bool:
    """True if a file that grew too large is behind an error."""
    seen: BaseException | None = error
    while seen is not None:
        if getattr(seen, "errno", None) == errno.EFBIG or "File too large" in str(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _refuse(repo: str, config: str, files: Sequence[Path], allowance: Allowance) -> SourceError:
    limit, size = (format_size(n) for n in (allowance.find_limit(files[-1]), _sum_sizes(files)))
    return SourceError(
        f"{repo}: config {config} unpacks to more than {limit} (its files have {size}), as files do that are "
        f"made to fill a computer; if you trust it, {allowance.remedy}"
    )


def _sum_sizes(files: Sequence[Path]) -> int:
    return sum(file.stat().st_size for file in files)


@contextmanager
def _send_downloads(folder: Path) -> Iterator[None]:
    """Send downloads to a folder; `datasets` takes no such folder for them."""
    before, constants.HF_HUB_CACHE = constants.HF_HUB_CACHE, f"{folder}/hub"
    try:
        yield
    finally:
        constants.HF_HUB_CACHE = before
