"""The layers of a network as they compute: one file each, and one for what a head does.

A layer is made by the ``create`` of its node (``charrnn.network.nodes``), and has what stands here;
one without parameters has most of it from ``place.WithoutParameters``.

``node``, ``width``
    what it was made of, and the columns of its output with their padding;
``matrices()``
    those that take part in products;
``buffers(steps, batch)``
    room for a pass: a ``LayerBuffers`` with the output [T, B, width] and its gradient;
``prepare_training()``
    allocates what only training needs;
``pack_vectors(values)``, then ``pack(values, part, parts)``
    take the parameters from the flat ``values`` after an update, the second as one of several
    threads;
``forward(sources, run, call, first, last)``, ``backward(run, dsources, call, first, last)``
    all steps of some lanes. ``sources`` are the outputs of what the layer reads [T, B, ·], or
    characters [T, B]; ``dsources`` receive the gradients of these, None for characters; ``run`` is
    its buffers, ``call`` what else the pass is given;
``differentiate(sources, run, scratch, part, parts)``, then ``unpack(gradients, run, part, parts)``
    sum a thread's share of the gradients of all parameters, and write them to the flat ones;
``emit(program, sources)``
    adds the instructions that compute it for one character to a ``charrnn.network.program``;
    ``sources`` and what it returns are places in the program's memory.
"""
