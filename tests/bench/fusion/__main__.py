"""python -m preceptor.tests.bench.fusion [PART …] [--quick] [--write docs/measurements/fusion.md]"""

from ..studies.arms import study_arms
from ..studies.assigned import study_assigned
from ..studies.load import study_load
from .annotators.influence import influence
from .annotators.judges import judges
from .annotators.real_judges import real_judges
from .asking.asking import asking
from .calibration import calibration
from .heldout.heldout import heldout
from .heldout.rankings import rankings
from .part import Measure, make_command
from .published.published import published
from .replicates import replicates
from .speed import speed
from .texts.parts import length, text, text_coverage

PARTS: dict[str, Measure] = {
    "replicates": replicates,
    "calibration": calibration,
    "speed": speed,
    "published": published,
    "heldout": heldout,
    "rankings": rankings,
    "asking": asking,
    "judges": judges,
    "real-judges": real_judges,
    "influence": influence,
    "text": text,
    "text-coverage": text_coverage,
    "length": length,
    "study-arms": study_arms,
    "study-assigned": study_assigned,
    "study-load": study_load,
}


main = make_command(
    PARTS,
    "Measure whether what fits say is right, and whether they say it again.",
)


if __name__ == "__main__":
    main(prog_name="python -m preceptor.tests.bench.fusion")
