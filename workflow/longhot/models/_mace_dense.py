"""MACE's messages of an all-pairs batch as matrix products.

MACE forms the message of each edge and adds it to its receiver. Where every atom has K = n_atoms - 1 edges, which
stand together, both steps are one matrix product for each atom i. With the features h, the radial weights R and
the spherical harmonics Y, a path p from (l1, l2) to l3, and C the Clebsch-Gordan coefficients of e3nn,

    m_p[i, c, m3] = sum over (k, m1) of (h[s(i, k), c, m1] R_p[i, k, c]) (sum over m2 of C[m1, m2, m3] Y[i, k, m2])

with s(i, k) the sender of edge k of atom i: the numbers of e3nn's TensorProduct and a sum over edges, with neither
the (n_edges, channels, all m) array between them nor an addition at scattered places.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from e3nn import o3


class Route(NamedTuple):
    """One path from (l1, l2) to l3."""

    features: slice
    harmonics: slice
    channels: int
    n_m1: int
    n_m3: int


class DenseMessages(torch.nn.Module):
    """Takes the place of ``conv_tp`` in MACE's interaction blocks, by their switch ``conv_fusion``."""

    def __init__(self, product: Any) -> None:
        """Take over the paths of an e3nn TensorProduct that gives each path its own part of the output."""
        super().__init__()
        first, second, out = product.irreps_in1, product.irreps_in2, product.irreps_out
        self.routes = []
        for index, one in enumerate(product.instructions):
            (channels, in1), (_, in2), (_, out3) = first[one.i_in1], second[one.i_in2], out[one.i_out]
            slices = first.slices()[one.i_in1], second.slices()[one.i_in2]
            self.routes.append(Route(*slices, channels, in1.dim, out3.dim))
            # (2 l1 + 1, 2 l2 + 1, 2 l3 + 1)
            coefficients = one.path_weight * o3.wigner_3j(in1.l, in2.l, out3.l)
            self.register_buffer(f"coefficients_{index}", coefficients.movedim(1, 0).flatten(1), persistent=False)

    def forward(
        self, features: torch.Tensor, harmonics: torch.Tensor, weights: torch.Tensor, edge_index: torch.Tensor
    ) -> torch.Tensor:
        """Messages that each atom receives, in e3nn's layout.

        Args:
            features: of the atoms, shape (n_nodes, irreps of the features).
            harmonics: of the edges, shape (n_edges, sum of all 2 l + 1).
            weights: radial weights of the edges, shape (n_edges, n_paths * n_channels).
            edge_index: senders and receivers, shape (2, n_edges), in the order of the receivers.
        """
        n_nodes = features.shape[0]
        n_neighbours = edge_index.shape[1] // n_nodes
        sent = features[edge_index[0]]
        messages, start = [], 0
        for index, (own, other, channels, n_m1, n_m3) in enumerate(self.routes):
            coefficients = getattr(self, f"coefficients_{index}")
            weight = weights[:, start : start + channels]
            start += channels
            if n_m1 == 1:  # l3 is l2, and the coefficients are a multiple of the unit matrix
                turned = harmonics[:, other] * coefficients[0, 0]
                weighted = (sent[:, own] * weight).view(n_nodes, n_neighbours, channels)
            else:
                turned = harmonics[:, other] @ coefficients  # (n_edges, n_m1 * n_m3)
                weighted = sent[:, own].view(-1, channels, n_m1) * weight[:, :, None]
                weighted = weighted.transpose(1, 2).reshape(n_nodes, n_neighbours * n_m1, channels)
            turned = turned.view(n_nodes, n_neighbours * n_m1, n_m3)
            messages.append(torch.bmm(weighted.transpose(1, 2), turned).flatten(1))
        return torch.cat(messages, dim=1)
