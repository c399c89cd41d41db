"""What became of a command: it did what it should, or refused with words to be found on the screen."""


def well(ended):
    """What a command said that did what it should."""
    assert ended.code == 0, ended.stderr
    return ended.stdout


def refused(ended, *parts):
    """What a command said that refused (2 where the user named something wrong), on one line with the parts."""
    assert ended.code in (1, 2), ended.stdout
    said = " ".join(ended.stderr.split())
    for part in parts:
        assert part in said
    return said
