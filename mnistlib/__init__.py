"""The library under the MNIST notebook series: digits in, networks, honest numbers out.

Modules, in the order in which data walks through them: ``data``, ``pictures``, ``images``,
``models``, ``training``, ``metrics``, ``plots``. Then ``recognizer`` and ``app`` for the reader's
own digits, with ``drawing`` to try them; ``kaggle`` for its competition's files; and ``batch`` and
``cli``, which run the series and the commands.
None of ``data``, ``pictures``, ``images``, ``drawing``, ``metrics``, ``plots`` and ``kaggle``
imports TensorFlow.
"""

DISTRIBUTION = "mnist-notebooks"
"""What pip calls this package; the notebooks' set-up cell tells it from its namesake by this."""
