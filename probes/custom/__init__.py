"""Networks of the user: torch modules that a function makes, whose layers are read by hooks.

A function is called with the place of a point, and returns a module from images ``[N, *shape]`` to logits
``[N, classes]``. Its layers are those modules whose outputs are read, each once for every time that it is called, in
the order of the calls. One that gives the logits is the read-out, and no hidden layer. Outputs are flattened.

If there are more such layers than the network's depth, every n-th of them is a hidden layer, for example where an
activation is a module of its own: the outputs of ``Sequential(Linear, Tanh, Linear, Tanh, ..., Linear)`` at depth d are
those of the d modules Tanh.

The probes see the modules in train mode, with dropout off. Batch normalisation goes by the statistics of the images of
each call. How they are trained: `probes.training.custom`.
"""
