"""`python -m derta train` with FSDP2 on CPUs: accelerate ignores an FSDP configuration there, so a launch is made to
look like one of GPUs, and gloo does the collectives.
"""

import torch
from accelerate.state import PartialState
from accelerate.utils import DistributedType

from derta.cli import main

torch.distributed.init_process_group("gloo")
PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_GPU)
main()
torch.distributed.destroy_process_group()
