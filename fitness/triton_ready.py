"""What every compilation of Triton's asks for, computed once for all processes forked afterwards.

For the keys of its cache Triton reads all of its own files, hundreds of megabytes: half a second in
every new process. Imported by the process that the others are forked from; no candidate has run
there.
"""

from contextlib import suppress

import triton.runtime.cache

with suppress(AttributeError):
    # It remembers its answer.
    triton.runtime.cache.triton_key()
