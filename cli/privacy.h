/* cli/privacy.h - what the verbs of `consilium privacy` share: flags, bounds, outward rounding.
 *
 * The noise multiplier people give is the standard deviation of the noise over the clip norm. With
 * the sampler fixed-size the unit that is replaced moves the sum by twice the clip, so what is
 * priced is half of it (privacy/dp/rdp.h). One thread. */
#ifndef CSL_CLI_PRIVACY_H
#define CSL_CLI_PRIVACY_H
#include "base/file.h"
#include "cli/cli.h"
#include "privacy/dp/account.h"

struct csl_privacy_flags { /* 0 or "": not given */
    double noise_multiplier, sampling_rate, delta, epsilon;
    uint64_t steps;
    int sampler; /* index; csl_privacy_sampler */
    double noise;
    uint32_t rounds;
    char data[CSL_PATH_MAX], patients[4096], survivors[8192];
    bool json;
};
extern const struct csl_cli_doc csl_doc_privacy;
extern const char *const csl_privacy_samplers[]; /* NULL-terminated, in the order of the enum */
enum csl_dp_sampler csl_privacy_sampler(int index);

enum csl_adjacency { CSL_ADD_REMOVE, CSL_REPLACE_ONE };
const char *csl_adjacency_name(enum csl_adjacency a); /* "add-remove", "replace-one" */

/* One setting as it is priced, and what it costs. NAN: does not apply or is not proven; +inf: not
 * bounded. */
struct csl_bounds {
    enum csl_adjacency adjacency;
    struct csl_dp_event event;
    double epsilon;          /* the one to decide with */
    double rdp, rdp_order;   /* Renyi and the order it was best at */
    double pld, lower;       /* privacy-loss distribution: upper and lower bound */
    double analytic, zcdp;   /* Gaussian without sampling: exact, and by 1/2 mu^2-zCDP */
    double gdp_clt_estimate; /* central limit; can lie below the truth: never to decide with */
};
/* Gaussian noise of the flags' multiplier, sampler, rate, steps and delta. CSL_E_INVAL names what
 * is wrong. */
enum csl_code csl_bounds_make(struct csl_bounds *out, const struct csl_privacy_flags *flags,
                              struct csl_err *err) CSL_MUST_CHECK;
void csl_privacy_setting_json(const struct csl_privacy_flags *flags,
                              struct csl_json *j); /* members */
/* The event of that setting: a shuffled loader is charged once per epoch begun. */
struct csl_dp_event csl_privacy_event(enum csl_dp_sampler sampler, double noise_multiplier,
                                      double sampling_rate, uint64_t steps);
/* Any event that was made for the clip. */
enum csl_code csl_bounds_price(struct csl_bounds *out, const struct csl_dp_event *event,
                               double delta, struct csl_err *err) CSL_MUST_CHECK;
void csl_bounds_json(const struct csl_bounds *b, struct csl_json *j); /* members of an object */
void csl_bounds_text(const struct csl_bounds *b, struct csl_buf *out);

/* "6.1878": decimals for people that are not below (_up) or not above (_down) v; "not bounded";
 * "-" for NAN. */
#define CSL_ROUNDED_MAX 40
void csl_round_up(char out[CSL_ROUNDED_MAX], double v);
void csl_round_down(char out[CSL_ROUNDED_MAX], double v);

/* The verbs. Each returns an exit status. */
int csl_cli_privacy_epsilon(const struct csl_privacy_flags *flags);
int csl_cli_privacy_noise(const struct csl_privacy_flags *flags);
int csl_cli_privacy_steps(const struct csl_privacy_flags *flags);
int csl_cli_privacy_rate(const struct csl_privacy_flags *flags);
int csl_cli_privacy_compose(const struct csl_privacy_flags *flags, const char *path);
int csl_cli_privacy_compare(const struct csl_privacy_flags *flags);
int csl_cli_privacy_plan(const struct csl_privacy_flags *flags, const char *path);
int csl_cli_privacy_audit(const struct csl_privacy_flags *flags, const char *run_dir);

#endif
