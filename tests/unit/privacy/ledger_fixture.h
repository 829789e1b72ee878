/* A ledger in a folder of its own with a clock that the test turns, one kind of study, and the
 * textbook price of full-batch Gaussian steps. */
#ifndef CSL_TESTS_LEDGER_FIXTURE_H
#define CSL_TESTS_LEDGER_FIXTURE_H
#include "base/file.h"
#include "privacy/ledger/ledger.h"

#include <stdio.h>

#define SIGMA 8.0
#define DELTA 1e-6
#define YEAR  (UINT64_C(365) * 86400)

struct world {
    char dir[64], path[CSL_PATH_MAX], key[CSL_PATH_MAX], head[CSL_PATH_MAX], out[CSL_PATH_MAX];
    uint64_t now_s;
    struct csl_ledger_config config;
    struct csl_ledger *l;
    struct csl_err err;
};

/* rho = steps / (2 sigma^2) each, epsilon = rho + 2 sqrt(rho ln(1/delta)) (Bun, Steinke 2016). */
enum csl_code zcdp_price(const struct csl_dp_event *events, size_t count, double delta,
                         double *epsilon, struct csl_err *err);
double zcdp_epsilon(double steps, double delta); /* at SIGMA */

void world_make(struct world *w); /* a folder; nothing is opened */
void world_remove(struct world *w);
void world_open(struct world *w); /* must succeed */
enum csl_code world_try_open(struct world *w);
void world_close(struct world *w);
void world_export(struct world *w);               /* to w->out; must succeed */
void copy_file(const char *from, const char *to); /* with -wal beside it; absent: removed */
void must(enum csl_code code, const struct csl_err *err);

/* Study number n: digest of n, cohort "ward", one full-batch event with `steps` a round. */
struct csl_ledger_study study_number(uint32_t n, uint64_t steps);
struct csl_ledger_request request_of(const struct csl_ledger_study *s, uint64_t round,
                                     uint32_t attempt);
struct csl_ledger_charge charge_of(const struct csl_ledger_request *r,
                                   const struct csl_ledger_study *s);
/* One budget for cohort "ward". */
struct csl_ledger_policy policy_of(double epsilon, double delta, uint64_t window_s);
/* register, reserve, charge, settle as released; all must succeed. Returns the reservation. */
uint64_t run_round(struct world *w, const struct csl_ledger_study *s, uint64_t round,
                   uint32_t attempt);

void world_register(struct world *w, const struct csl_ledger_study *s); /* must succeed */
enum csl_code world_reserve(struct world *w, const struct csl_ledger_study *s, uint64_t round,
                            uint32_t attempt, uint64_t *reservation);
struct csl_ledger_entry world_last(struct world *w); /* the last entry */
struct csl_ledger_spent world_spent(struct world *w, const struct csl_ledger_study *s);

#endif
