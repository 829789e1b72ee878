/* privacy/secagg/wire.h - internal: reading fixed layouts, and what every signature covers. */
#ifndef CSL_SECAGG_WIRE_H
#define CSL_SECAGG_WIRE_H
#include "base/buf.h"
#include "privacy/crypto/sign.h"
#include "privacy/secagg/set.h"

/* The first fault sticks; later reads give zeros, or NULL for a run of bytes. */
struct csl_secagg_reader {
    struct csl_span bytes; /* borrowed */
    size_t at;
    const char *fault; /* static text; NULL: none */
};
void csl_secagg__fault(struct csl_secagg_reader *r, const char *fault);
const uint8_t *csl_secagg__take(struct csl_secagg_reader *r, size_t n); /* NULL: not there */
/* count items of item_bytes each; NULL, and a fault, when they are not there. */
const uint8_t *csl_secagg__take_array(struct csl_secagg_reader *r, uint32_t count,
                                      size_t item_bytes);
void csl_secagg__get(struct csl_secagg_reader *r, uint8_t *out, size_t n);
uint8_t csl_secagg__u8(struct csl_secagg_reader *r);
uint16_t csl_secagg__u16(struct csl_secagg_reader *r);
uint32_t csl_secagg__u32(struct csl_secagg_reader *r);
uint64_t csl_secagg__u64(struct csl_secagg_reader *r);
/* The bitmap of a list of n (at most CSL_SECAGG_SITES_MAX); unused bits must be zero. */
void csl_secagg__get_set(struct csl_secagg_reader *r, uint32_t n, struct csl_secagg_set *out);
enum csl_code csl_secagg__end(const struct csl_secagg_reader *r, const char *what,
                              struct csl_err *err) CSL_MUST_CHECK;

/* Ed25519 over "FSA1 sig" || type || SHA-256(body). */
void csl_secagg__sign(const struct csl_sign_key *key, uint8_t type, struct csl_span body,
                      uint8_t out[CSL_SIGN_SIGNATURE_BYTES]);
bool csl_secagg__verify(const uint8_t key[CSL_SIGN_PUBLIC_BYTES], uint8_t type,
                        struct csl_span body, const uint8_t *signature) CSL_MUST_CHECK;
/* Appends the signature of what `out` holds from `start` on. */
void csl_secagg__append_signature(struct csl_buf *out, size_t start, uint8_t type,
                                  const struct csl_sign_key *key);

#endif
