"""A long part of the bench that was stopped goes on where it was."""

import pytest

from preceptor.tests.bench.fusion.keep import each


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_only_what_was_not_found_is_looked_for():
    asked = []

    def find(seed):
        if seed == 3 and len(asked) < 4:
            asked.append(seed)
            raise KeyboardInterrupt
        asked.append(seed)
        return seed**2

    with pytest.raises(KeyboardInterrupt):
        list(each("squares", range(5), find))
    assert list(each("squares", range(5), find)) == [0, 1, 4, 9, 16]
    assert asked == [0, 1, 2, 3, 3, 4]


def test_other_settings_find_anew():
    list(each("small", range(2), lambda seed: seed))
    assert list(each("large", range(2), lambda seed: -seed)) == [0, -1]


def test_nothing_is_kept_where_told_so(cache):
    assert list(each("x", range(2), lambda seed: seed, keep=False)) == [0, 1]
    assert not list(cache.rglob("*.pickle"))
