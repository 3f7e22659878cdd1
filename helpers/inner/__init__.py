"""What works behind the modules to be read, and is no part of the lesson.

expect: how wrong arguments are refused. fetch: files that are missing. drawing: of the layers of a
network. known, backpropagation: the gradients of a stack, by hand, for speed.
"""
