"""The claims of docs/performance.md, each a module to run."""

import os

# read when torch is imported: a thread that waits must not spin on a processor that its partner needs, or any other
# work on the machine halves the rate of small operations; the same for all ways that are compared
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
