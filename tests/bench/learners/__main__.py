"""python -m preceptor.tests.bench.learners [PART …] [--quick] [--write docs/measurements/learners.md]"""

from ..fusion.part import Measure, make_command
from .cards import cards
from .lessons import lessons
from .simulated import coverage, speed
from .tutors import tutors

PARTS: dict[str, Measure] = {
    "lessons": lessons,
    "cards": cards,
    "coverage": coverage,
    "speed": speed,
    "tutors": tutors,
}


main = make_command(
    PARTS,
    "Measure how well learner models foretell, and whether recommending pays, beside peers in the same run.",
    "bench-learners",
)


if __name__ == "__main__":
    main(prog_name="python -m preceptor.tests.bench.learners")
