"""List the panels of the report page, in its order: one file and one line here for each.

draw_all(PANELS, view)       # [Picture(name="agreement", title="What people prefer, …", …), …]
"""

from . import agreement, annotators, assigned, checks, confidence, judges, people, predicts, ranks, recovery
from .panel import Panel

PANELS: tuple[Panel, ...] = (
    agreement.PANEL,
    confidence.PANEL,
    predicts.PANEL,
    checks.PANEL,
    annotators.PANEL,
    judges.PANEL,
    assigned.PANEL,
    ranks.PANEL,
    recovery.PANEL,
    people.PANEL,
)
