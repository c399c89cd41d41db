"""`python annotation/server/embedded …`: run this folder as package `argilla_embedded`."""

import importlib
import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def _main() -> None:
    # Python puts the folder of a script first on its path, where a module of ours could hide another's.
    sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() != HERE]
    spec = importlib.util.spec_from_file_location(
        "argilla_embedded", HERE / "__init__.py", submodule_search_locations=[str(HERE)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{HERE}: not a package")
    package = importlib.util.module_from_spec(spec)
    sys.modules["argilla_embedded"] = package
    spec.loader.exec_module(package)
    sys.exit(importlib.import_module("argilla_embedded.up").main(sys.argv[1:]))


if __name__ == "__main__":
    _main()
