"""The names of arrays in a batch."""

RECORDED = 'recorded'
