"""What shows: the pages, figures and claims of the book, and what builds it from what `bu_core` computes."""


class BuildError(RuntimeError):
    """A notebook failed, or Jupyter Book warned; the message says why, in few lines."""
