"""What a run's ancestry tells, as functions of its records; nothing here draws, prints or asks.

`History` is what a run's store holds, read once; the rest are functions of it that return frozen
records.

    history     what happened in a run, as far as it has come
    steps       how a kernel came to be: each step from the seed, with its gain
    credit      what operators, models, knowledge and islands brought, along the whole path
    course      when the first correct kernel and each new best came; how varied the search was
    dead_ends   kernels whose descendants brought nothing

A run that is being written, has ended early or has no kernel that passed is as good as any other.
"""
