"""Where candidates run: disposable processes with few rights, started in milliseconds.

    zygote.py    what the rest of the project uses: `Zygote`, `Child`, `Exit`
    limits.py    `Limits`: what a child may use
    channel.py   `Channel`: messages; what a candidate sends is never more than data
    server.py    the zygote's own side: enters the namespaces, finds out what confines
    watchdog.py  its outer process: ends everything when the launcher is gone
    nursery.py   its inner process: starts children, empties their output pipes, tells how they end
    template.py  the process that candidates' processes are copies of
    packets.py   messages with descriptors between these
    startup.py   a child's first steps
    layers.py    `Layer`: the layers by name
    confine.py   takes the rights away, layer by layer, and finds out what this machine offers
    namespaces.py, mounts.py, landlock.py, seccomp.py   one layer each
    watch.py     how much memory a child and all that it started use
    pages.py     what makes forking a process of this size cheap
    output.py    what is kept of what a child prints
    linux.py     system calls that the standard library lacks

A confined child cannot reach the network, other processes, the environment of whoever started it
or any file but those in its own folder (reading can be narrowed to listed folders); its memory,
processes, files and CPU time are limited; nothing that it starts outlives it. `Zygote.layers()`
says what of this a machine offers. Where it refuses namespaces, ending a child falls back to
killing its group and every orphan.

The layers are for programs that are wrong or that cheat. They are no shield against an attack on
the kernel itself, and a child can read the clock and keep a processor busy.
"""
