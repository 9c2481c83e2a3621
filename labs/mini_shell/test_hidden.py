"""Public tests: what every student has."""

from grader.testing import category, points

pytestmark = category("correctness")


@points(1)
def test_h(agree):
    """A program with arguments."""
    agree("echo hi | cat")
    agree("args a b 'c d'; nope; echo $?")
