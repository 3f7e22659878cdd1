"""How a stack is trained fast. Not for reading: `known`, what it knows; `backpropagation`."""
