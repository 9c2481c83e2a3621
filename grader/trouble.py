"""What the machine got wrong, in one line that ends with the cure: never the submission's fault, and no bug of ours."""


class CannotWork(RuntimeError):
    """The grader cannot work on this machine as it is. The message says what happened, where, and what to do."""
