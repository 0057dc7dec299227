"""A kernel that is measured against itself: its problem, and the kernel for each device."""
