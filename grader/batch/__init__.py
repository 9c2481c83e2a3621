"""Many submissions at once: what was handed in, what is graded already, who works on the rest."""
