"""From a submission's sources to artifacts: compilers, variants, the build cache, and their messages made readable."""
