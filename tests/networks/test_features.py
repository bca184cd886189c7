"""Features' own derivatives against nested reverse mode."""

import pytest
import torch

import sobolev
from sobolev.networks.chebyshev_features import ChebyshevFeatures
from sobolev.networks.kernel_features import KernelFeatures, covariance, places
from sobolev.networks.surrogate import Surrogate
from sobolev.networks.wave_features import WaveFeatures

BY = torch.tensor([(-1, -1), (0, -1), (2, -1), (0, 0), (0, 2), (1, 2)])


def polynomials():
    degrees = torch.randint(0, 5, (10, 3))
    return ChebyshevFeatures(degrees, torch.rand(10), torch.tensor([-2.0, -1.0, 0.0]), torch.full((3,), 1.5)).double()


def kernel():
    """With derivatives of bumps among the features."""
    return KernelFeatures(torch.rand(12, 3), torch.rand(3) + 0.5, 4, BY.repeat_interleave(2, 0)).double()


def waves():
    return WaveFeatures(5 * torch.rand(4, 3), torch.tensor(0.5), polynomials()).double()


@pytest.mark.parametrize("make", [polynomials, kernel, waves])
def test_derivatives(make):
    features, x = make(), torch.rand(5, 3, dtype=torch.float64)
    with torch.no_grad():
        y, gradients, hessians = sobolev.hessian(features, x, method="reverse")
        found = features.derivatives(x.repeat(len(BY), 1), BY.repeat_interleave(5, 0)).view(len(BY), 5, -1)
    wanted = [y, gradients[..., 0], gradients[..., 2], *(hessians[..., i, j] for i, j in BY[3:].tolist())]
    torch.testing.assert_close(found, torch.stack(wanted), rtol=1e-9, atol=1e-11)


def test_the_covariance_of_labels_is_that_of_the_features_at_their_centres():
    features = kernel()
    own = features.scales, features.units, features.strengths
    with torch.no_grad():
        found = covariance(places(features.centres, features.by, *own))
        torch.testing.assert_close(found, features.derivatives(features.centres, features.by), rtol=1e-9, atol=1e-11)
    assert torch.linalg.eigvalsh(found).min() > -1e-12


@pytest.mark.parametrize("make", [polynomials, kernel, waves])
def test_a_fresh_network_loads_them_and_takes_the_first_ones(make):
    made, fresh = Surrogate([make()], 3, 2).double(), Surrogate().double()
    fresh.load_state_dict(made.state_dict())
    x = torch.rand(5, 3, dtype=torch.float64)
    torch.testing.assert_close(fresh(x), made(x), rtol=1e-12, atol=1e-12)
    few = made.features[0].first(6)
    assert few.width == few(x).shape[1] == 6
