/* cdf.c - see cdf.h for the contract. */
#include "sweep/space/cdf.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>

double normal_cdf(double z)
{
    return 0.5 * erfc(-z * M_SQRT1_2);
}

/* c[0] + c[1] x + ... + c[7] x^7 */
static double polynomial(const double c[8], double x)
{
    double sum = 0;
    for (size_t i = 8; i-- > 0;)
        sum = sum * x + c[i];
    return sum;
}

/* Wichura's rational approximations, Applied Statistics algorithm AS 241 (PPND16):
 * one for the middle, two for the tails in r = sqrt(-ln(tail)). */
double normal_quantile(double u)
{
    static const double middle[2][8] = {
        {3.3871328727963666080e0, 1.3314166789178437745e+2, 1.9715909503065514427e+3,
         1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
         3.3430575583588128105e+4, 2.5090809287301226727e+3},
        {1.0, 4.2313330701600911252e+1, 6.8718700749205790830e+2, 5.3941960214247511077e+3,
         2.1213794301586595867e+4, 3.9307895800092710610e+4, 2.8729085735721942674e+4,
         5.2264952788528545610e+3},
    };
    static const double near[2][8] = {
        {1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
         3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
         2.27238449892691845833e-2, 7.74545014278341407640e-4},
        {1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
         1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
         1.05075007164441684324e-9},
    };
    static const double far[2][8] = {
        {6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
         2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
         2.71155556874348757815e-5, 2.01033439929228813265e-7},
        {1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
         7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
         2.04426310338993978564e-15},
    };
    assert(u > 0 && u < 1);
    double q = u - 0.5;
    if (fabs(q) <= 0.425) {
        double r = 0.180625 - q * q;
        return q * polynomial(middle[0], r) / polynomial(middle[1], r);
    }
    double r = sqrt(-log(q < 0 ? u : 1 - u));
    double z = r <= 5 ? polynomial(near[0], r - 1.6) / polynomial(near[1], r - 1.6)
                      : polynomial(far[0], r - 5) / polynomial(far[1], r - 5);
    return q < 0 ? -z : z;
}

/* ln of B(a, b); lgamma() itself would write a global variable. */
static double log_beta(double a, double b)
{
    int sign;
    return lgamma_r(a, &sign) + lgamma_r(b, &sign) - lgamma_r(a + b, &sign);
}

/* ln of x^a (1-x)^b / B(a, b) */
static double beta_front(double a, double b, double x)
{
    return a * log(x) + b * log1p(-x) - log_beta(a, b);
}

/* The continued fraction of the incomplete beta function, by Lentz's method; it
 * converges fast where x < (a + 1) / (a + b + 2), in O(sqrt(max(a, b))) steps. */
static double beta_fraction(double a, double b, double x)
{
    enum { STEPS_MAX = 20000 };
    const double tiny = 1e-300;
    double c = 1;
    double d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double f = d;
    for (int m = 1; m <= STEPS_MAX; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double factor = 1;
        for (int i = 0; i < 2; i++) {
            double term = i == 0 ? even : odd;
            d = 1 + term * d;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = 1 + term / c;
            c = fabs(c) < tiny ? tiny : c;
            factor = c * d;
            f *= factor;
        }
        if (fabs(factor - 1) < 1e-16)
            break;
    }
    return f;
}

double beta_cdf(double a, double b, double x)
{
    assert(a > 0 && b > 0 && x >= 0 && x <= 1);
    if (x == 0 || x == 1)
        return x;
    double front = exp(beta_front(a, b, x));
    if (x < (a + 1) / (a + b + 2))
        return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

/* Newton's method inside a bracket that shrinks with every step, and bisection
 * where a step would leave it.  The start is exact for small x, where the
 * function is x^a / (a B(a, b)). */
double beta_quantile(double a, double b, double u)
{
    enum { STEPS_MAX = 200 };
    assert(a > 0 && b > 0 && u >= 0 && u <= 1);
    if (u == 0 || u == 1)
        return u;
    double low = 0, high = 1;
    double x = exp((log(u) + log(a) + log_beta(a, b)) / a);
    if (!(x < 0.5))
        x = a / (a + b);
    for (int step = 0; step < STEPS_MAX && x > 0; step++) {
        double error = beta_cdf(a, b, x) - u;
        if (error == 0)
            break;
        if (error < 0)
            low = x;
        else
            high = x;
        double next = x - error / exp(beta_front(a, b, x) - log(x) - log1p(-x));
        if (!(next > low && next < high))
            next = 0.5 * (low + high);
        if (fabs(next - x) <= 1e-16 * x)
            break;
        x = next;
    }
    return x;
}
