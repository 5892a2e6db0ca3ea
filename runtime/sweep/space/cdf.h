/* cdf.h - distribution functions that libm lacks.  Pure. */
#ifndef COVEY_SWEEP_CDF_H
#define COVEY_SWEEP_CDF_H

/* Of the standard normal distribution. */
double normal_cdf(double z);
/* @u in (0, 1); relative error below 1e-15. */
double normal_quantile(double u);

/* Of the beta distribution with a, b > 0: the regularised incomplete beta
 * function, for @x in [0, 1]; error below 1e-9 while a and b are below 1e5. */
double beta_cdf(double a, double b, double x);
/* @u in [0, 1]; as exact as beta_cdf(). */
double beta_quantile(double a, double b, double u);

#endif
