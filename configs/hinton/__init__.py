"""The experiments of Hinton, Vinyals & Dean (2015), arXiv 1503.02531: a study for each experiment."""
