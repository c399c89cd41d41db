"""How many examples Hypothesis makes: few each time, more with HYPOTHESIS_PROFILE=thorough.

    @few(10)
    @given(st.binary())

`few` is for examples that take long, such as a file that is ingested anew for each.
"""

import os

from hypothesis import HealthCheck, settings

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
TIMES = 5 if THOROUGH else 1


def few(examples=10):
    """So many examples; fixtures may be those of the one test that all of them share."""
    return settings(
        max_examples=examples * TIMES,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
