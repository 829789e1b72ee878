#include "privacy/dp/estimate.h"

#include "privacy/dp/gaussian.h"

#include <math.h>

double csl_dp_clt_estimate(double sigma, double q, double steps, double delta)
{
    double mu = q * sqrt(steps * expm1(1.0 / (sigma * sigma)));
    return csl_dp_gaussian_eps_upper(mu, delta);
}
