r"""Gradients of the kernels of a torch module or function in its inputs.

With rows r(x) of outputs, a kernel is :math:`K_{ij} = \frac1D \sum_r \langle F_r(x_i),
F_r(x_j) \rangle`, where F is r itself for the NNGP and its derivative in all parameters
for the NTK. The gradient in :math:`x_i` of :math:`\sum_{ij} C_{ij} K_{ij}` is that of

.. math:: \frac1D \sum_r \langle F_r(x_i), V_{ir} \rangle, \qquad
    V_{ir} = \sum_j C_{ij} F_r(x_j),

with V constant: one pass back through the derivatives of every sample, and not of every
pair.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from .methods import sample_rows
from .views import tensors

# Derivatives of the second inputs, their sums, and a product of both.
COPIES = 3


class InputGradients:
    """Gradients of an ``EmpiricalKernel`` of torch in its first inputs.

    Args:
        kernel: the kernel; its values are ``[n, m]``.
        name: "nngp" or "ntk".

    Raises:
        ValueError: samples are not along the first axis.
    """

    def __init__(self, kernel: Any, name: str) -> None:
        engine = kernel._engine
        self.kernel, self.ntk = kernel, name == "ntk"
        self.function, self.out_axis = engine.function, engine.out_axis
        if engine.in_axis != 0:
            raise ValueError(
                f"EmpiricalKernel: vmap_axes is {kernel.vmap_axes!r}, expected samples "
                "along the first axis, 0, for gradients in the inputs"
            )

    def __call__(self, x1: Tensor, x2: Tensor, bar: Tensor) -> Tensor:
        """The gradient in x1 ``[n, ...]`` of sum(bar * K(x1, x2)), for constant x2.

        Raises:
            ValueError: the kernel is not ``[n, m]``.
        """
        (split,) = self.kernel._splits(x1, x2)
        if split.paired or split.sizes[1:] != (1, 1, 1):
            raise ValueError(
                "EmpiricalKernel: it keeps axes of the outputs of f, expected a kernel "
                "[n, m] for gradients in the inputs; outputs='trace' makes one"
            )
        basis = torch.as_tensor(split.basis(split.shape1)).to(x1)  # [R, outputs]
        find = self._ntk if self.ntk else self._nngp
        return find(x1.detach(), x2.detach(), bar / split.divisor, basis)

    def _nngp(self, x1: Tensor, x2: Tensor, bar: Tensor, basis: Tensor) -> Tensor:
        # Checkpointed parts run again with those of the module, which have gradients.
        params = {k: p.requires_grad_() for k, p in self.function.trained.items()}

        def rows(x: Tensor) -> Tensor:
            out = tensors(self.function(params, x))[0]
            return out.movedim(self.out_axis, 0).flatten(1) @ basis.T

        with torch.no_grad():
            v = bar @ rows(x2)  # [n, R]
        with torch.enable_grad():
            x = x1.requires_grad_()
            return torch.autograd.grad((rows(x) * v).sum(), x)[0]

    def _ntk(self, x1: Tensor, x2: Tensor, bar: Tensor, basis: Tensor) -> Tensor:
        found = []
        for some in self._parts(len(x1), basis):
            mixed = self._mixed(x2, bar[some], basis)
            for i, x in enumerate(x1[some]):
                v = [part[i] for part in mixed.values()]  # [R, P] each
                found.append(self._of_sample(x, list(mixed), v, basis))
        return torch.stack(found)

    def _mixed(self, x: Tensor, bar: Tensor, basis: Tensor) -> dict[str, Tensor]:
        """V ``[n, R, P]`` of every parameter."""
        total: dict[str, Any] = {}
        names = self.function.selected
        for some in self._parts(len(x), basis):
            part = x[some]
            rows = sample_rows(self.function, 0, part, 0, self.out_axis, basis, names)
            for name, f in rows.items():
                total[name] = total.get(name, 0) + torch.tensordot(bar[:, some], f, 1)
        return total

    def _of_sample(
        self, x: Tensor, names: list[str], v: list[Tensor], basis: Tensor
    ) -> Tensor:
        """The gradient of sum_r <F_r(x), V_r>.

        Row by row: batched derivatives (``torch.func``, ``is_grads_batched``) of
        LayerNorm are wrong by percents once they are differentiated, in torch 2.13. And
        the math of attention, since its fused kernels are differentiated once only.
        """
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            x = x.detach().requires_grad_()
            trained = self.function.trained
            live = {name: trained[name].requires_grad_() for name in names}
            out = tensors(self.function(live, x[None]))[0].flatten()
            total = x.sum() * 0
            for r, row in enumerate(basis @ out):
                each = torch.autograd.grad(
                    row, list(live.values()), create_graph=True, materialize_grads=True
                )
                for f, part in zip(each, v, strict=True):
                    total = total + (f.flatten() * part[r]).sum()
            return torch.autograd.grad(total, x)[0]

    def _parts(self, n: int, basis: Tensor) -> Iterator[slice]:
        """Samples whose derivatives fit into the memory of the kernel."""
        width = sum(p.numel() for p in self.function.trained.values())
        one = COPIES * len(basis) * width * basis.element_size()
        rows = max(1, self.kernel.memory // max(1, one))
        return (slice(i, min(i + rows, n)) for i in range(0, n, rows))
