"""What works behind the modules to be read, and is no part of the lesson.

expect: how wrong arguments are refused. files: reading them, fetching what is missing. drawing: of
the layers of a network. explorer, live_curve: what `widgets` gives. known, backpropagation: the
gradients of a stack, by hand, for speed.
"""
