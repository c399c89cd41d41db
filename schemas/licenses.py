"""Licences: what others may do with the data, as three facts from an SPDX id.

CC-BY-NC-SA-4.0 -> may be passed on, not commercially, only under the same licence.
"""

from dataclasses import dataclass

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from .errors import SourceError
from .support.nearest import find_nearest

NONE_STATED = "NOASSERTION"  # SPDX's word for "we do not know"

COMMON = (
    "Apache-2.0",
    "BSD-3-Clause",
    "CC-BY-2.5",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-SA-4.0",
    "CC-BY-ND-4.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "GPL-3.0-only",
    "MIT",
    "ODC-By-1.0",
    "ODbL-1.0",
    "PDDL-1.0",
)
# The Hub's names of licences, if they are not the SPDX id in lower case.
HUB_NAMES = {
    "odc-by": "ODC-By-1.0",
    "odbl": "ODbL-1.0",
    "pddl": "PDDL-1.0",
    "gpl-3.0": "GPL-3.0-only",
    "gpl-2.0": "GPL-2.0-only",
    "agpl-3.0": "AGPL-3.0-only",
    "lgpl-3.0": "LGPL-3.0-only",
}
# Identifiers of licences that the Hub takes in a card's `license`; any other is "other" with a license_name.
_HUB_IDS = """
    afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m
    bigscience-bloom-rail-1.0 bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear
    bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0
    cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0
    cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0
    creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2
    gemma gfdl gpl gpl-2.0 gpl-3.0 intel-research isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3
    llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openrail
    openrail++ osl-3.0 other pddl postgresql unknown unlicense wtfpl zlib
"""
HUB_IDS = frozenset(_HUB_IDS.split())


@dataclass(frozen=True)
class License:
    """An SPDX id (or NOASSERTION, or LicenseRef-…) and what it allows."""

    id: str
    redistribution: bool
    commercial_use: bool
    share_alike: bool


def find_hub_name(id: str) -> str:
    """Find the name by which the Hub knows a licence, given its SPDX id; "other" if it knows none."""
    name = next((name for name, spdx in HUB_NAMES.items() if spdx == id), id.lower())
    return name if name in HUB_IDS else "other"


def read_license(text: str | None) -> License:
    """Read a licence from its SPDX id, such as CC-BY-4.0; None allows nothing.

    Raises SourceError if the id is unknown.
    """
    if text is None or text.upper() == NONE_STATED:
        return License(NONE_STATED, False, False, False)
    try:
        spdx = str(canonicalize_license_expression(text))
    except InvalidLicenseExpression as error:
        near = find_nearest(text, COMMON)
        hint = f"did you mean {near}? " if near else ""
        raise SourceError(
            f"--license {text}: not an SPDX licence id; {hint}"
            "For other terms write LicenseRef-NAME (it will not be published)"
        ) from error
    if "LicenseRef-" in spdx:
        return License(spdx, False, False, False)
    parts = spdx.split("-")
    return License(
        spdx,
        redistribution="ND" not in parts,
        commercial_use="NC" not in parts and "Noncommercial" not in spdx,
        share_alike="SA" in parts or any(part in spdx for part in ("GPL", "ODbL")),
    )
