"""The library under the MNIST notebook series: digits in, networks, honest numbers out.

Modules, in the order in which data walks through them: ``data``, ``images``, ``models``,
``training``, ``metrics``, ``plots``; then ``kaggle`` for its competition's files, and ``batch`` and
``cli``, which run the series and the commands.
Importing the package, ``data``, ``metrics`` or ``plots`` does not import TensorFlow.
"""

DISTRIBUTION = "mnist-notebooks"
"""What pip calls this package; the notebooks' set-up cell tells it from its namesake by this."""
