"""`preceptor` in a process whose accelerate shares weights (FSDP) on CPUs too, by gloo: it does so on GPUs only."""

from accelerate import state

from preceptor.toolkit.cli.main import main

made = state.AcceleratorState.__init__


def init(self, *args, fsdp_plugin=None, **rest):
    """As accelerate makes it, and for CPUs what it does for GPUs."""
    made(self, *args, fsdp_plugin=fsdp_plugin, **rest)
    if fsdp_plugin is not None:
        self.distributed_type, self.fsdp_plugin = state.DistributedType.FSDP, fsdp_plugin
        state.PartialState._shared_state["distributed_type"] = self.distributed_type


if __name__ == "__main__":
    state.AcceleratorState.__init__ = init
    main()
