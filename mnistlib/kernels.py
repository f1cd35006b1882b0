"""The kernel in which notebooks run headless: the interpreter that asks for it."""

from __future__ import annotations

from ipykernel.kernelspec import RESOURCES, get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from traitlets import default


class _ThisInterpreter(KernelSpecManager):
    """Answers with the running interpreter for every kernel name.

    A ``python3`` kernel in the user's home folder may belong to another environment.
    """

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())


class KernelManager(AsyncKernelManager):
    """Starts every kernel with the interpreter that runs this, over an encrypted connection."""

    @default("kernel_spec_manager")
    def _kernel_spec_manager_default(self) -> KernelSpecManager:
        return _ThisInterpreter(parent=self)

    @default("transport_encryption")
    def _transport_encryption_default(self) -> str:
        # Other users of the machine could read along; newer kernels warn of it in every log.
        return "auto"

    async def _async_interrupt_kernel(self) -> None:
        # jupyter_client interrupts a kernel before it asks it to shut down. One that has just
        # ended its last cell then writes "KeyboardInterrupt caught in kernel".
        if not self.shutting_down:
            await super()._async_interrupt_kernel()

    interrupt_kernel = _async_interrupt_kernel
