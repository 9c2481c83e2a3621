"""Public tests: what every student has."""

from grader.testing import category, points

pytestmark = category("correctness")


@points(3)
def test_one_command(agree):
    """A program with arguments."""
    agree("echo hi | cat")
    agree("args a b 'c d'; nope; echo $?")
