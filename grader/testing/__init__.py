"""What a lab's tests import: points and categories, the submission's functions, comparison with error bounds.

from grader.testing import assert_close, category, must, points

@points(5)
def test_skinny_shapes(gemm, shape): ...
"""

from grader.testing.checks import (
    CheckFailed as CheckFailed,
)
from grader.testing.checks import (
    NotJudged as NotJudged,
)
from grader.testing.checks import (
    assert_close as assert_close,
)
from grader.testing.checks import (
    assert_pinned_isa as assert_pinned_isa,
)
from grader.testing.checks import (
    assert_same as assert_same,
)
from grader.testing.checks import (
    check as check,
)
from grader.testing.library import Library as Library
from grader.testing.marks import (
    category as category,
)
from grader.testing.marks import (
    must as must,
)
from grader.testing.marks import (
    points as points,
)
from grader.testing.marks import (
    smoke as smoke,
)
from grader.testing.marks import (
    variant as variant,
)
from grader.testing.program import Program as Program
from grader.testing.ranks import Ranks as Ranks
from grader.testing.ranks import Wire as Wire
