/* tests/vectors/dp/reference.h - tests/vectors/privacy/privacy_reference.json: values of
 * differential privacy computed for this project in high precision and independently of its code
 * (contour integration of the moment generating function, checked with 34 digits; 80-bit
 * transforms; 30-digit quadrature), with figures published by other libraries beside them. Its own
 * key "tolerances" says how close is right. */
#ifndef CSL_TESTS_VECTORS_DP_REFERENCE_H
#define CSL_TESTS_VECTORS_DP_REFERENCE_H
#include "base/json.h"
#include "privacy/dp/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* cmocka's group setup and teardown: *state is the parsed document. */
int reference_setup(void **state);
int reference_teardown(void **state);

const struct csl_json_value *group_of(void *const *state, const char *name);
/* A member that must be there. */
double number_of(const struct csl_json_value *object, const char *key);
const struct csl_json_value *member_of(const struct csl_json_value *object, const char *key);

/* |found - right| <= tolerance * |right|; otherwise fails and says both. */
void assert_close(const char *what, double found, double right, double tolerance);
/* low <= found <= high */
void assert_between(const char *what, double found, double low, double high);

/* A Gaussian event, Poisson-sampled at q, or of the full batch where q is 1. */
struct csl_dp_event gaussian_event(double sigma, double q, double steps);

#endif
