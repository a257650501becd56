"""The experiments of Hinton, Vinyals & Dean (2015), arXiv 1503.02531: one runnable study for each claim."""
