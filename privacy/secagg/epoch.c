#include "privacy/secagg/epoch.h"

#include "base/le.h"
#include "privacy/crypto/sha256.h"

static void update_site(struct csl_sha256 *h, uint32_t site, const uint8_t r[32])
{
    uint8_t id[4];
    csl_store_le32(id, site);
    csl_sha256_update(h, id, sizeof(id));
    csl_sha256_update(h, r, 32);
}

static void commitment(const struct csl_secagg_roster *roster, uint32_t site, const uint8_t r[32],
                       uint8_t out[32])
{
    struct csl_sha256 h;
    csl_sha256_init(&h);
    csl_sha256_update(&h, "FSA1 epoch", 10);
    csl_sha256_update(&h, roster->hash, 32);
    update_site(&h, site, r);
    csl_sha256_final(&h, out);
}

void csl_secagg_epoch_init(struct csl_secagg_epoch *e, const struct csl_secagg_roster *roster)
{
    memset(e, 0, sizeof(*e));
    e->roster = roster;
    for (uint32_t i = 0; i < roster->count; i++)
        if (roster->sites[i].is_active)
            csl_secagg_set_put(&e->active, i);
}

static bool is_committed(const struct csl_secagg_epoch *e)
{
    return csl_secagg_set_equal(&e->committed, &e->active);
}

static enum csl_code take_reveal(struct csl_secagg_epoch *e, uint32_t row, const uint8_t r[32],
                                 struct csl_err *err)
{
    uint8_t expected[32];
    uint32_t site = e->roster->sites[row].id;
    if (!is_committed(e))
        return CSL_FAIL(err, CSL_E_STATE, "site %u reveals before all have committed", site);
    commitment(e->roster, site, r, expected);
    if (memcmp(expected, e->commitments[row], 32) != 0)
        return CSL_FAIL(err, CSL_E_CRYPTO, "site %u reveals something else than it committed to",
                        site);
    memcpy(e->reveals[row], r, 32);
    csl_secagg_set_put(&e->revealed, row);
    return CSL_OK;
}

enum csl_code csl_secagg_epoch_take(struct csl_secagg_epoch *e, struct csl_span bytes,
                                    struct csl_err *err)
{
    struct csl_secagg_message m;
    enum csl_code code = csl_secagg_decode(&m, bytes, err);
    if (code != CSL_OK)
        return code;
    if (m.type != CSL_SECAGG_EPOCH_COMMIT && m.type != CSL_SECAGG_EPOCH_REVEAL)
        return CSL_FAIL(err, CSL_E_PROTO, "a message of type %u", m.type);
    uint32_t row = csl_secagg_roster_find(e->roster, m.site);
    if (memcmp(m.id, e->roster->hash, 32) != 0 || row == UINT32_MAX ||
        !csl_secagg_set_has(&e->active, row))
        return CSL_FAIL(err, CSL_E_DENIED, "site %u is not an active site of this roster", m.site);
    if (!csl_secagg_is_signed(&m, e->roster->sites[row].key))
        return CSL_FAIL(err, CSL_E_CRYPTO, "not signed by site %u", m.site);
    if (m.type == CSL_SECAGG_EPOCH_REVEAL)
        return take_reveal(e, row, m.u.epoch.value, err);
    if (csl_secagg_set_has(&e->committed, row) &&
        memcmp(e->commitments[row], m.u.epoch.value, 32) != 0)
        return CSL_FAIL(err, CSL_E_DENIED, "site %u committed to two values", m.site);
    memcpy(e->commitments[row], m.u.epoch.value, 32);
    csl_secagg_set_put(&e->committed, row);
    return CSL_OK;
}

enum csl_code csl_secagg_epoch_take_all(struct csl_secagg_epoch *e, struct csl_span bytes,
                                        struct csl_err *err)
{
    if (bytes.n % CSL_SECAGG_EPOCH_MESSAGE_BYTES != 0)
        return CSL_FAIL(err, CSL_E_PROTO,
                        "found %zu bytes; messages of %d bytes, one after the other, would be "
                        "right",
                        bytes.n, CSL_SECAGG_EPOCH_MESSAGE_BYTES);
    enum csl_code code = CSL_OK;
    for (size_t at = 0; code == CSL_OK && at < bytes.n; at += CSL_SECAGG_EPOCH_MESSAGE_BYTES)
        code =
            csl_secagg_epoch_take(e, CSL_SPAN(bytes.p + at, CSL_SECAGG_EPOCH_MESSAGE_BYTES), err);
    return code;
}

static enum csl_code say(const struct csl_secagg_epoch *e, uint8_t type, uint32_t site,
                         const uint8_t value[32], const struct csl_sign_key *key,
                         struct csl_buf *out, struct csl_err *err)
{
    struct csl_secagg_message m = {.type = type, .site = site};
    memcpy(m.id, e->roster->hash, 32);
    memcpy(m.u.epoch.value, value, 32);
    return csl_secagg_encode(&m, key, out, err);
}

enum csl_code csl_secagg_epoch_commit(const struct csl_secagg_epoch *e, uint32_t site,
                                      const uint8_t r[32], const struct csl_sign_key *key,
                                      struct csl_buf *out, struct csl_err *err)
{
    uint8_t value[32];
    commitment(e->roster, site, r, value);
    return say(e, CSL_SECAGG_EPOCH_COMMIT, site, value, key, out, err);
}

enum csl_code csl_secagg_epoch_reveal(const struct csl_secagg_epoch *e, uint32_t site,
                                      const uint8_t r[32], const struct csl_sign_key *key,
                                      struct csl_buf *out, struct csl_err *err)
{
    uint8_t value[32];
    uint32_t row = csl_secagg_roster_find(e->roster, site);
    if (!is_committed(e))
        return CSL_FAIL(err, CSL_E_STATE, "not all sites have committed: r stays here");
    commitment(e->roster, site, r, value);
    if (row == UINT32_MAX || memcmp(value, e->commitments[row], 32) != 0)
        return CSL_FAIL(err, CSL_E_CRYPTO, "the others hold another commitment of site %u", site);
    return say(e, CSL_SECAGG_EPOCH_REVEAL, site, r, key, out, err);
}

enum csl_code csl_secagg_epoch_seed(const struct csl_secagg_epoch *e, uint8_t seed[32],
                                    struct csl_err *err)
{
    struct csl_sha256 h;
    csl_sha256_init(&h);
    csl_sha256_update(&h, "FSA1 seed", 9);
    csl_sha256_update(&h, e->roster->hash, 32);
    for (uint32_t i = 0; i < e->roster->count; i++) {
        if (!csl_secagg_set_has(&e->active, i))
            continue;
        if (!csl_secagg_set_has(&e->revealed, i))
            return CSL_FAIL(err, CSL_E_STATE,
                            "site %u has not revealed; it leaves the roster, and all begin anew",
                            e->roster->sites[i].id);
        update_site(&h, e->roster->sites[i].id, e->reveals[i]);
    }
    csl_sha256_final(&h, seed);
    return CSL_OK;
}
