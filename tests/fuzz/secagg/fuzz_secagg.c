/* Every decoder of privacy/secagg on arbitrary bytes. What decodes is encoded again and must give
 * the same bytes (there is one encoding), and its parts must be readable. */
#include "base/check.h"
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "privacy/secagg/config.h"
#include "privacy/secagg/derive.h"
#include "privacy/secagg/messages.h"
#include "privacy/secagg/roster.h"
#include "tests/fuzz/fuzz.h"

/* The encoder signs; what it is compared on is all but the signature. */
static void check_same(const struct csl_secagg_message *m, const struct csl_sign_key *key)
{
    struct csl_buf out;
    csl_buf_init(&out, CSL_SECAGG_MESSAGE_BYTES_MAX);
    CSL_ASSERT(csl_secagg_encode(m, m->signature != NULL ? key : NULL, &out, NULL) == CSL_OK);
    CSL_ASSERT(out.n == m->whole.n);
    CSL_ASSERT(memcmp(out.p, m->body.p, m->body.n) == 0);
    size_t after = m->body.n + (m->signature != NULL ? (size_t)CSL_SIGN_SIGNATURE_BYTES : 0);
    if (out.n > after)
        CSL_ASSERT(memcmp(out.p + after, m->whole.p + after, out.n - after) == 0);
    csl_buf_release(&out);
}

static void look_inside(const struct csl_secagg_message *m)
{
    struct csl_secagg_message part;
    uint8_t sid[32];
    if (m->type == CSL_SECAGG_ROUND_KEYS)
        csl_secagg_sid(m, sid);
    bool is_delivery = m->type == CSL_SECAGG_DELIVERY || m->type == CSL_SECAGG_SPARSE_DELIVERY;
    bool is_senders = m->type == CSL_SECAGG_SENDERS || m->type == CSL_SECAGG_SPARSE_SENDERS;
    for (uint32_t i = 0; is_delivery && i < m->u.delivery.count; i++)
        csl_secagg_delivery_at(m, i, &part);
    for (uint32_t i = 0; is_senders && i < m->u.senders.opening_count; i++)
        csl_secagg_opening_at(&m->u.senders, i, &part);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct csl_sign_key key;
    static const uint8_t seed[CSL_SIGN_SEED_BYTES] = {1};
    static struct csl_secagg_roster roster; /* 100 KB: not on the stack */
    struct csl_secagg_message m;
    struct csl_secagg_config c;
    struct csl_span bytes = CSL_SPAN(data, size);
    CSL_ASSERT(csl_crypto_init(NULL) == CSL_OK);
    csl_sign_from_seed(&key, seed);
    (void)csl_mem_fail_after(0);
    enum csl_code code = csl_secagg_decode(&m, bytes, NULL);
    CSL_ASSERT(csl_mem_fail_after(0) == 0); /* nothing is allocated for what a peer claims */
    if (code == CSL_OK) {
        check_same(&m, &key);
        look_inside(&m);
    }
    if (csl_secagg_config_decode(&c, bytes, NULL) == CSL_OK) {
        struct csl_buf out;
        csl_buf_init(&out, CSL_SECAGG_CONFIG_BYTES_MAX);
        CSL_ASSERT(csl_secagg_config_encode(&c, &key, &out, NULL) == CSL_OK);
        CSL_ASSERT(out.n == size && memcmp(out.p, data, size - CSL_SIGN_SIGNATURE_BYTES) == 0);
        csl_buf_release(&out);
        for (uint32_t b = 0; b < csl_secagg_block_total(&c); b++)
            CSL_ASSERT(csl_secagg_block_words(&c, b) > 0 && csl_secagg_block_chunks(&c, b) > 0);
    }
    if (csl_secagg_roster_decode(&roster, bytes, key.public_key, 0, NULL) == CSL_OK)
        for (uint32_t i = 0; i < roster.count; i++)
            CSL_ASSERT(csl_secagg_roster_find(&roster, roster.sites[i].id) == i &&
                       csl_secagg_roster_find_name(&roster, roster.sites[i].name) == i);
    return 0;
}
