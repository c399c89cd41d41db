"""The formats that `preceptor ingest` knows, by name."""

from .corpora import CORPORA
from .dialogues import DIALOGUES
from .format import Format
from .logs import LOGS
from .preferences import PREFERENCES

__all__ = ["FORMATS", "Format"]

FORMATS: dict[str, Format] = {format.name: format for format in (*CORPORA, *DIALOGUES, *PREFERENCES, *LOGS)}
