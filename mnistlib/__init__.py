"""The library under the MNIST notebook series: digits in, networks, honest numbers out.

Data walks one way: ``data`` → ``models`` → ``training`` → ``metrics`` → ``plots``. Besides:

- ``preprocess`` makes digits of any picture that ``pictures`` opens; ``drawing`` makes pictures to
  try it with.
- ``augment`` moves, deslants and distorts digits, for training and for prediction.
- ``writers`` knows who wrote each digit of MNIST; ``folds`` trains by cross-validation.
- ``recognizer`` names a digit and says how sure it is, or abstains; ``app`` is its page in a
  browser; ``inference`` computes without TensorFlow; ``scales`` finds out what pixels a network of
  somebody else takes.
- ``webpage`` makes a page that answers without Python.
- ``kaggle`` reads and writes the files of Kaggle's competition.
- ``results`` records the figures of a lesson, ``batch`` runs the lessons, and ``cli`` is the
  command line.
- ``repository`` finds what belongs to the series and not to the package: lessons and bounds.
- ``inputs``, ``compiling`` and ``loop`` serve ``training``; ``saving`` serves ``models``, with
  ``allowlist``, ``sizes`` and ``provenance``; ``writing`` serves whatever is saved; ``floors`` are
  the oldest safe versions.

Everything but ``models``, ``training`` and what stands on these imports without TensorFlow.
"""

DISTRIBUTION = "mnist-notebooks"
"""What pip calls this package; the notebooks' set-up cell tells it from its namesake by this."""
