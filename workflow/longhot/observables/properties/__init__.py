"""Properties of a phase: one file each, averaged over the sampler's frames and reweighted to the members.

Each file gives ``PHASES``, the phases that it is of, and two functions of the frames of a run::

    coordinates(samples) -> np.ndarray | None     in A, shape (n_values,); None for a single number
    values(samples, enthalpies_meV) -> np.ndarray shape (n_frames, n_values)

``enthalpies_meV``, shape (n_frames,), per molecule, is by the potential whose average is taken. A property's name, with
its unit, is that of its file.
"""
