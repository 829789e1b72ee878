#include "privacy/secagg/roster.h"

#include "base/str.h"
#include "privacy/secagg/config.h"
#include "privacy/secagg/wire.h"

enum { TYPE_ROSTER = 255 };
static const uint8_t domain[11] = {'F', 'S', 'A', '1', ' ', 'r', 'o', 's', 't', 'e', 'r'};

void csl_secagg_federation_id(const uint8_t root_key[CSL_SIGN_PUBLIC_BYTES], uint8_t out[16])
{
    static const char label[] = "FSA1 federation";
    struct csl_sha256 hash;
    uint8_t digest[CSL_SHA256_BYTES];
    csl_sha256_init(&hash);
    csl_sha256_update(&hash, label, sizeof(label) - 1);
    csl_sha256_update(&hash, root_key, CSL_SIGN_PUBLIC_BYTES);
    csl_sha256_final(&hash, digest);
    memcpy(out, digest, 16);
}

enum csl_code csl_secagg_roster_encode(const struct csl_secagg_roster *r,
                                       const struct csl_sign_key *root, struct csl_buf *out,
                                       struct csl_err *err)
{
    size_t start = out->n;
    uint8_t federation_id[16];
    csl_secagg_federation_id(root->public_key, federation_id);
    csl_buf_append(out, domain, sizeof(domain));
    csl_buf_u8(out, CSL_SECAGG_VERSION);
    csl_buf_append(out, federation_id, sizeof(federation_id));
    csl_buf_le64(out, r->epoch);
    csl_buf_append(out, r->coordinator_key, sizeof(r->coordinator_key));
    csl_buf_le32(out, r->count);
    for (uint32_t i = 0; i < r->count; i++) {
        csl_buf_le32(out, r->sites[i].id);
        size_t length = strlen(r->sites[i].name);
        csl_buf_u8(out, (uint8_t)length);
        csl_buf_append(out, r->sites[i].name, length);
        csl_buf_append(out, r->sites[i].key, sizeof(r->sites[i].key));
        csl_buf_u8(out, r->sites[i].is_active ? 1 : 0);
    }
    csl_secagg__append_signature(out, start, TYPE_ROSTER, root);
    return csl_buf_status(out, err);
}

static void read_name(struct csl_secagg_reader *r, struct csl_secagg_roster_site *s)
{
    uint8_t length = csl_secagg__u8(r);
    if (r->fault == NULL && length >= sizeof(s->name))
        csl_secagg__fault(r, "a name that is too long");
    csl_secagg__get(r, (uint8_t *)s->name, r->fault == NULL ? length : 0);
    if (r->fault == NULL && (strlen(s->name) != length || !csl_id_valid(s->name)))
        csl_secagg__fault(r, "a name that is no site's id");
}

static void read_sites(struct csl_secagg_reader *r, struct csl_secagg_roster *out)
{
    out->count = csl_secagg__u32(r);
    if (out->count == 0 || out->count > CSL_SECAGG_SITES_MAX)
        csl_secagg__fault(r, "the number of sites");
    for (uint32_t i = 0; r->fault == NULL && i < out->count; i++) {
        struct csl_secagg_roster_site *s = &out->sites[i];
        s->id = csl_secagg__u32(r);
        read_name(r, s);
        csl_secagg__get(r, s->key, sizeof(s->key));
        uint8_t is_active = csl_secagg__u8(r);
        s->is_active = is_active == 1;
        if (s->id == 0 || (i > 0 && s->id <= out->sites[i - 1].id) || is_active > 1)
            csl_secagg__fault(r, "site ids that do not ascend, or a status that is none");
        if (memcmp(s->key, out->coordinator_key, sizeof(s->key)) == 0)
            csl_secagg__fault(r, "a site with the coordinator's key");
        for (uint32_t j = 0; j < i; j++)
            if (memcmp(s->key, out->sites[j].key, sizeof(s->key)) == 0 ||
                strcmp(s->name, out->sites[j].name) == 0)
                csl_secagg__fault(r, "a key or a name that two sites have");
    }
}

enum csl_code csl_secagg_roster_decode(struct csl_secagg_roster *out, struct csl_span bytes,
                                       const uint8_t root_key[CSL_SIGN_PUBLIC_BYTES],
                                       uint64_t epoch_min, struct csl_err *err)
{
    struct csl_secagg_reader r = {.bytes = bytes};
    const uint8_t *p = csl_secagg__take(&r, sizeof(domain));
    if (p != NULL && memcmp(p, domain, sizeof(domain)) != 0)
        csl_secagg__fault(&r, "not a roster");
    if (csl_secagg__u8(&r) != CSL_SECAGG_VERSION)
        csl_secagg__fault(&r, "an unknown version");
    uint8_t federation[16], expected[16];
    csl_secagg_federation_id(root_key, expected);
    csl_secagg__get(&r, federation, sizeof(federation));
    uint64_t epoch = csl_secagg__u64(&r);
    /* The signature first: nothing of an unsigned roster is worth a look, but where it ends. */
    if (r.fault == NULL && bytes.n > r.at + CSL_SIGN_SIGNATURE_BYTES) {
        size_t n = bytes.n - CSL_SIGN_SIGNATURE_BYTES;
        if (!csl_secagg__verify(root_key, TYPE_ROSTER, CSL_SPAN(bytes.p, n), bytes.p + n))
            return CSL_FAIL(err, CSL_E_CRYPTO,
                            "the roster is not signed by the federation's root; only the root says "
                            "who takes part");
        if (memcmp(federation, expected, sizeof(federation)) != 0)
            csl_secagg__fault(&r, "a federation id that is not the root's");
        if (epoch < epoch_min)
            return CSL_FAIL(err, CSL_E_DENIED,
                            "the roster is of epoch %llu, and one of epoch %llu was seen before; "
                            "the newest would be right",
                            (unsigned long long)epoch, (unsigned long long)epoch_min);
    }
    struct csl_secagg_roster read = {.epoch = epoch};
    memcpy(read.federation_id, federation, sizeof(federation));
    csl_secagg__get(&r, read.coordinator_key, sizeof(read.coordinator_key));
    read_sites(&r, &read);
    size_t n = r.at;
    (void)csl_secagg__take(&r, CSL_SIGN_SIGNATURE_BYTES);
    enum csl_code code = csl_secagg__end(&r, "the roster", err);
    if (code != CSL_OK)
        return code;
    csl_sha256_digest(bytes.p, n, read.hash);
    *out = read;
    return CSL_OK;
}

uint32_t csl_secagg_roster_find(const struct csl_secagg_roster *r, uint32_t site)
{
    uint32_t lo = 0, hi = r->count;
    while (lo < hi) {
        uint32_t middle = lo + (hi - lo) / 2;
        if (r->sites[middle].id < site)
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo < r->count && r->sites[lo].id == site ? lo : UINT32_MAX;
}

uint32_t csl_secagg_roster_find_name(const struct csl_secagg_roster *r, const char *name)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (strcmp(r->sites[i].name, name) == 0)
            return i;
    return UINT32_MAX;
}

enum csl_code csl_secagg_roster_member(const struct csl_secagg_roster *r, const char *name,
                                       uint32_t *place, struct csl_err *err)
{
    uint32_t i = csl_secagg_roster_find_name(r, name);
    if (i == UINT32_MAX || !r->sites[i].is_active)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "site %s is %s the signed roster (epoch %llu); a roster that the "
                        "federation signed with this site active would be right",
                        name, i == UINT32_MAX ? "not in" : "revoked in",
                        (unsigned long long)r->epoch);
    *place = i;
    return CSL_OK;
}

uint32_t csl_secagg_roster_active(const struct csl_secagg_roster *r)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->count; i++)
        n += r->sites[i].is_active;
    return n;
}
