/* Pitfall 31 for the machine of a site: what an attempt's secret z and everything made of it leave
 * in memory when the machine is gone. */
#include "privacy/crypto/init.h"
#include "privacy/crypto/secret.h"
#include "tests/unit/crypto/scan.h"
#include "tests/unit/secagg/attack.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { THRESHOLD = 4 }; /* of 5 sites, c = 1 */

/* The record of the configuration begins with z. */
static uint8_t *z_of(struct world_site *s)
{
    for (uint32_t i = 0; i < s->journal.count; i++)
        if (s->journal.items[i].record == CSL_SECAGG_SJ_CONFIG)
            return s->journal.items[i].bytes.p;
    return NULL;
}

static void __attribute__((noinline)) look_for_secrets_of(struct world_site *s)
{
    struct csl_scalar f[THRESHOLD];
    uint8_t e[32], public_key[32], prk[32];
    const uint8_t *z = z_of(s);
    assert_non_null(z);
    scan_begin();
    scan_for(z);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(csl_vss_polynomial(z, i == 0 ? "b" : "s", THRESHOLD, f, NULL), CSL_OK);
        for (uint32_t k = 0; k < THRESHOLD; k++)
            scan_for(&f[k]);
        if (i == 0)
            assert_int_equal(csl_agree_self(&f[0], csl_secagg_site_sid(s->machine), prk, NULL),
                             CSL_OK);
    }
    scan_for(prk); /* the key of its self mask */
    assert_int_equal(csl_agree_channel_keys(z, "e", 0, e, public_key, NULL), CSL_OK);
    scan_for(e);
    csl_wipe(f, sizeof(f));
    csl_wipe(e, sizeof(e));
    csl_wipe(prk, sizeof(prk));
}

/* What the simulation itself holds: the journal, the masked file, and the coordinator, which
 * rightly learned b of every survivor. */
static void __attribute__((noinline)) forget_for(struct world *w, struct world_site *s)
{
    uint8_t flushed[2048];
    for (uint32_t i = 0; i < s->journal.count; i++)
        csl_wipe(s->journal.items[i].bytes.p, s->journal.items[i].bytes.n);
    csl_secagg_coordinator_free(w->coordinator);
    w->coordinator = NULL;
    csl_rng_bytes(&w->rng, flushed, sizeof(flushed)); /* z came from this buffer */
}

static void test_secagg_pitfall_31__machine_gone__nothing_of_its_secrets_left(void **state)
{
    struct world w;
    (void)state;
#ifdef __SANITIZE_THREAD__ /* its shadow memory takes minutes to search */
    skip();
#endif
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_VOTING);
    world_run(&w);
    assert_true(world_sum_is_exact(&w));
    world_run(&w);
    struct world_site *s = &w.sites[0];
    assert_int_equal(csl_secagg_site_phase(s->machine), CSL_SECAGG_REVEALED);
    look_for_secrets_of(s);
    assert_true(scan_count() >= 2 * THRESHOLD + 2); /* the search finds what is there */
    forget_for(&w, s);
    csl_secagg_site_free(s->machine);
    s->machine = NULL;
    assert_int_equal(scan_count(), 0);
    world_remove(&w);
}

int main(void)
{
    if (csl_crypto_init(NULL) != CSL_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secagg_pitfall_31__machine_gone__nothing_of_its_secrets_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
