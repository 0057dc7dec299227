"""Cheating kernels with honest neighbours, one pair for each known way to fool a judge."""
