"""Quote names and texts that come from outside, so that SQL takes them for nothing else."""


def quote_name(name: str) -> str:
    """Quote a column's or table's name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Quote a text, such as a path, as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def quote_pointer(name: str) -> str:
    """Quote a field's name as the JSON pointer to it: in a path, characters would have a meaning."""
    return quote_text("/" + name.replace("~", "~0").replace("/", "~1"))
