/* In what a plan differs from the one that was registered, for the console of the site. Numbers of
 * patients, and figures that give them away, are named and not shown. */
#include "privacy/ledger/ledger_internal.h"

#include "base/str.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_MAX  140
#define DIGEST_MAX 13   /* twelve digits tell two digests apart for a reader */
#define LAST_DIGIT 1e-6 /* relative; noise is searched no finer than 1e-5 */

struct difference {
    char text[SHOWN_MAX];
    uint32_t count;
};

static void add(struct difference *d, const char *fmt, ...) CSL_PRINTF(2, 3);
static void add(struct difference *d, const char *fmt, ...)
{
    char item[SHOWN_MAX];
    size_t used = strlen(d->text);
    va_list values;
    va_start(values, fmt);
    int n = vsnprintf(item, sizeof(item), fmt, values);
    va_end(values);
    bool fits = n >= 0 && (size_t)n < sizeof(item) && used + (size_t)n + 8 < sizeof(d->text);
    if (fits || d->count == 0)
        snprintf(d->text + used, sizeof(d->text) - used, "%s%s", d->count > 0 ? ", " : "", item);
    else if (strstr(d->text, "...") == NULL)
        snprintf(d->text + used, sizeof(d->text) - used, ", ...");
    d->count++;
}

/* As they are written down: 0 and -0 are two numbers. */
static bool is_same(double a, double b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

static void add_f64(struct difference *d, const char *name, double known, double offered)
{
    if (!is_same(known, offered))
        add(d, "%s (registered %.17g, offered %.17g)", name, known, offered);
}

static void add_u64(struct difference *d, const char *name, uint64_t known, uint64_t offered)
{
    if (known != offered)
        add(d, "%s (registered %llu, offered %llu)", name, (unsigned long long)known,
            (unsigned long long)offered);
}

static bool is_near(double a, double b)
{
    return fabs(a - b) <= LAST_DIGIT * fmax(fabs(a), fabs(b));
}

static void add_noise(struct difference *d, const struct csl_dp_event *known,
                      const struct csl_dp_event *offered)
{
    const double a[] = {known->noise_multiplier, known->std_units, known->l1_units,
                        known->l2_units};
    const double b[] = {offered->noise_multiplier, offered->std_units, offered->l1_units,
                        offered->l2_units};
    bool differs = false, is_close = true;
    for (size_t i = 0; i < sizeof(a) / sizeof(a[0]); i++) {
        differs = differs || !is_same(a[i], b[i]);
        is_close = is_close && is_near(a[i], b[i]);
    }
    if (differs)
        add(d, "noise%s", is_close ? " in its last digits (another processor or build)" : "");
}

static void add_event(struct difference *d, const struct csl_dp_event *known,
                      const struct csl_dp_event *offered)
{
    if (known->mechanism != offered->mechanism)
        add(d, "mechanism (registered %s, offered %s)", csl_dp_mechanism_name(known->mechanism),
            csl_dp_mechanism_name(offered->mechanism));
    if (known->sampler != offered->sampler)
        add(d, "sampler");
    if (!is_same(known->sampling_rate, offered->sampling_rate))
        add(d, "sampling rate");
    add_noise(d, known, offered);
    add_u64(d, "steps of a round", known->steps, offered->steps);
    add_u64(d, "dimensions", known->dimensions, offered->dimensions);
}

static void add_all_but_digest(struct difference *d, const struct csl_ledger_study *known,
                               const struct csl_ledger_study *offered)
{
    if (strcmp(known->cohort, offered->cohort) != 0)
        add(d, "cohort (registered %s, offered %s)", known->cohort, offered->cohort);
    add_u64(d, "events of a round", known->event_count, offered->event_count);
    for (uint32_t i = 0; i < known->event_count && known->event_count == offered->event_count; i++)
        add_event(d, &known->events[i], &offered->events[i]);
    add_u64(d, "rounds", known->rounds, offered->rounds);
    add_f64(d, "delta", known->delta, offered->delta);
    add_f64(d, "clip", known->clip, offered->clip);
    if (!is_same(known->normaliser, offered->normaliser))
        add(d, "normaliser");
    if (known->is_rehearsal != offered->is_rehearsal)
        add(d, "rehearsal (registered %s, offered %s)", known->is_rehearsal ? "yes" : "no",
            offered->is_rehearsal ? "yes" : "no");
}

enum csl_code csl_ledger__other_plan(const struct csl_ledger_study *known,
                                     const struct csl_ledger_study *offered, struct csl_err *err)
{
    struct difference d = {.text = ""};
    char hex[2 * CSL_DIGEST_BYTES + 1], was[DIGEST_MAX], now[DIGEST_MAX];
    csl_hex(known->cohort_digest, DIGEST_MAX / 2, was);
    csl_hex(offered->cohort_digest, DIGEST_MAX / 2, now);
    bool is_same_cohort =
        memcmp(known->cohort_digest, offered->cohort_digest, CSL_DIGEST_BYTES) == 0;
    if (!is_same_cohort)
        add(&d, "cohort digest (registered %s, offered %s)", was, now);
    add_all_but_digest(&d, known, offered);
    if (!is_same_cohort && d.count == 1) {
        csl_hex(offered->cohort_digest, CSL_DIGEST_BYTES, hex);
        return CSL_FAIL(
            err, CSL_E_EXISTS,
            "the study is registered with another plan: %s. Bring the former records back; if "
            "patients left: `consilium ledger withdraw DATABASE --cohort %s "
            "--cohort-digest %s --patients LEFT`",
            d.text, known->cohort, hex);
    }
    csl_hex(known->digest, CSL_DIGEST_BYTES, hex);
    return CSL_FAIL(
        err, CSL_E_EXISTS,
        "the study is registered with another plan: %s. Bring back the records, settings and "
        "program of then, or end the study here: `consilium ledger stop DATABASE "
        "--study %s`",
        d.text, hex);
}
