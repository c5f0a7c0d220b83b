"""The activations whose duals are closed forms, with several parameters each."""

import tangency.dual_activations as duals

KINKED = [
    duals.ABRelu(0.3, -1.7),
    duals.Relu(),
    duals.LeakyRelu(0.1),
    duals.Abs(),
    *(duals.RectifiedMonomial(n) for n in (3, 2, 1, 6)),
]
# Their NTK uses the derivative almost everywhere, which is 0.
STEPS = [duals.Sign(), duals.Step(), duals.RectifiedMonomial(0)]
POLYNOMIALS = [
    *(duals.Monomial(n) for n in (3, 2, 1, 0, 6)),
    *(duals.Hermite(n) for n in (3, 2, 1, 0, 7)),
    duals.Polynomial((1.3, 0.0, -1.2, -0.5)),
    duals.Polynomial([0.5]),
]
# They grow so fast that their duals are infinite at ordinary variances.
EXPONENTIALS = [duals.Exp(), duals.Exp(1.2, -0.6), duals.Sinh(), duals.Sinh(0.7, 1.1)]
EXPONENTIALS += [duals.Cosh(), duals.Cosh(1.1, 0.7)]
BOUNDED = [
    duals.Erf(),
    duals.Erf(0.7, 1.9, 0.3),
    duals.Sigmoid_like(),
    duals.Sin(),
    duals.Sin(1.3, 0.7, 0.4),
    duals.Cos(),
    duals.Cos(0.6, 1.4, -0.2),
    duals.Rbf(),
    duals.Rbf(0.3),
    duals.Gaussian(),
    duals.Gaussian(1.2, -0.5),
    duals.Gabor(),
    duals.DampedSin(0.6, 1.3, 0.4),
    duals.DampedSin(0.6, 0.0, 1.2),
]
GELUS = [duals.Gelu(), *(duals.ScaledGelu(b) for b in (1.702, -0.5, 0.0))]
SMOOTH = [*POLYNOMIALS, *EXPONENTIALS, *BOUNDED, *GELUS]
NORMALIZED = [duals.ExpNormalized(), duals.ExpNormalized(0.8, -0.5, True)]
ALL = [*KINKED, *STEPS, *SMOOTH, *NORMALIZED]
# The first of every class, where each takes long.
ONE_OF_EACH = list({type(f): f for f in reversed(ALL)}.values())


def largest_variance(activation, precision):
    """The largest of 1, 1e6, 1e12 at which no dual and no gradient overflows."""
    if activation in EXPONENTIALS:
        return 1.0
    degree = getattr(activation, "degree", 1)
    if isinstance(activation, duals.RectifiedMonomial):
        degree += 1
    if precision == "float64" or degree <= 3:
        return 1e12
    return 1e6 if degree <= 4 else 1.0
