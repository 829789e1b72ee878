#include "privacy/secagg/wire.h"

#include "base/le.h"
#include "privacy/crypto/sha256.h"

static const char signature_domain[8] = {'F', 'S', 'A', '1', ' ', 's', 'i', 'g'};

void csl_secagg__fault(struct csl_secagg_reader *r, const char *fault)
{
    if (r->fault == NULL)
        r->fault = fault;
}

const uint8_t *csl_secagg__take(struct csl_secagg_reader *r, size_t n)
{
    if (r->fault != NULL)
        return NULL;
    if (n > r->bytes.n - r->at) {
        r->fault = "it ends too early";
        return NULL;
    }
    const uint8_t *p = r->bytes.p + r->at;
    r->at += n;
    return p;
}

const uint8_t *csl_secagg__take_array(struct csl_secagg_reader *r, uint32_t count,
                                      size_t item_bytes)
{
    if (r->fault == NULL && count > (r->bytes.n - r->at) / item_bytes)
        r->fault = "a count is larger than the message";
    return csl_secagg__take(r, r->fault == NULL ? count * item_bytes : 0);
}

void csl_secagg__get(struct csl_secagg_reader *r, uint8_t *out, size_t n)
{
    const uint8_t *p = csl_secagg__take(r, n);
    if (p == NULL)
        memset(out, 0, n);
    else
        memcpy(out, p, n);
}

uint8_t csl_secagg__u8(struct csl_secagg_reader *r)
{
    const uint8_t *p = csl_secagg__take(r, 1);
    return p == NULL ? 0 : *p;
}

uint16_t csl_secagg__u16(struct csl_secagg_reader *r)
{
    const uint8_t *p = csl_secagg__take(r, 2);
    return p == NULL ? (uint16_t)0 : csl_load_le16(p);
}

uint32_t csl_secagg__u32(struct csl_secagg_reader *r)
{
    const uint8_t *p = csl_secagg__take(r, 4);
    return p == NULL ? 0 : csl_load_le32(p);
}

uint64_t csl_secagg__u64(struct csl_secagg_reader *r)
{
    const uint8_t *p = csl_secagg__take(r, 8);
    return p == NULL ? 0 : csl_load_le64(p);
}

void csl_secagg__get_set(struct csl_secagg_reader *r, uint32_t n, struct csl_secagg_set *out)
{
    memset(out, 0, sizeof(*out));
    if (n > CSL_SECAGG_SITES_MAX) {
        csl_secagg__fault(r, "a bitmap of more sites than there may be");
        return;
    }
    csl_secagg__get(r, out->bits, csl_secagg_set_bytes(n));
    if (n % 8 != 0 && out->bits[n / 8] >> (n % 8) != 0)
        csl_secagg__fault(r, "an unused bit of a bitmap is set");
}

enum csl_code csl_secagg__end(const struct csl_secagg_reader *r, const char *what,
                              struct csl_err *err)
{
    if (r->fault != NULL)
        return CSL_FAIL(err, CSL_E_PROTO, "%s of %zu bytes is malformed: %s", what, r->bytes.n,
                        r->fault);
    if (r->at != r->bytes.n)
        return CSL_FAIL(err, CSL_E_PROTO, "%s has %zu bytes after its end", what,
                        r->bytes.n - r->at);
    return CSL_OK;
}

static void signed_bytes(uint8_t type, struct csl_span body,
                         uint8_t out[sizeof(signature_domain) + 1 + CSL_SHA256_BYTES])
{
    memcpy(out, signature_domain, sizeof(signature_domain));
    out[sizeof(signature_domain)] = type;
    csl_sha256_digest(body.p, body.n, out + sizeof(signature_domain) + 1);
}

void csl_secagg__sign(const struct csl_sign_key *key, uint8_t type, struct csl_span body,
                      uint8_t out[CSL_SIGN_SIGNATURE_BYTES])
{
    uint8_t text[sizeof(signature_domain) + 1 + CSL_SHA256_BYTES];
    signed_bytes(type, body, text);
    csl_sign(key, text, sizeof(text), out);
}

bool csl_secagg__verify(const uint8_t key[CSL_SIGN_PUBLIC_BYTES], uint8_t type,
                        struct csl_span body, const uint8_t *signature)
{
    uint8_t text[sizeof(signature_domain) + 1 + CSL_SHA256_BYTES];
    signed_bytes(type, body, text);
    return csl_sign_verify(key, text, sizeof(text), signature);
}

void csl_secagg__append_signature(struct csl_buf *out, size_t start, uint8_t type,
                                  const struct csl_sign_key *key)
{
    uint8_t signature[CSL_SIGN_SIGNATURE_BYTES] = {0};
    if (out->status == CSL_OK)
        csl_secagg__sign(key, type, CSL_SPAN(out->p + start, out->n - start), signature);
    csl_buf_append(out, signature, sizeof(signature));
}
