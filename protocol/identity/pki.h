/* protocol/identity/pki.h - a federation's own certificate authority: P-256 keys, one authority per
 * trust domain, one certificate per party, named by a SPIFFE id in the URI subject alternative name
 * (github.com/spiffe/spiffe, X509-SVID). Files are PEM; everything written here has mode 0600.
 *
 *     authority    spiffe://<trust-domain>               signs, never serves
 *     coordinator  spiffe://<trust-domain>/coordinator   serves (and may probe itself)
 *     site         spiffe://<trust-domain>/site/<id>     connects; cannot serve
 *
 * Any thread; no state. */
#ifndef CSL_PKI_H
#define CSL_PKI_H
#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CSL_PIN_BYTES         32  /* SHA-256 of the DER SubjectPublicKeyInfo */
#define CSL_SPIFFE_MAX        192 /* bytes of a SPIFFE id, with NUL */
#define CSL_TRUST_DOMAIN_MAX  64  /* bytes of a trust domain, with NUL */
#define CSL_PEM_BYTES_MAX     (64u * 1024u)
#define CSL_COORDINATOR_NAMES "localhost,127.0.0.1"

/* [a-z0-9.-], not empty, at most CSL_TRUST_DOMAIN_MAX - 1 bytes. */
bool csl_trust_domain_valid(const char *trust_domain);

/* days < 0 makes a certificate that is past its end already; for tests of refusal. */
enum csl_code csl_pki_make_authority(const char *trust_domain, int days, const char *key_path,
                                     const char *cert_path, struct csl_err *err) CSL_MUST_CHECK;

struct csl_pki_authority { /* where csl_pki_make_authority put its files */
    const char *key_path, *cert_path;
};
/* names: host names and addresses the sites will dial, separated by commas. */
enum csl_code csl_pki_issue_coordinator(const struct csl_pki_authority *ca,
                                        const char *trust_domain, const char *names, int days,
                                        const char *key_path, const char *chain_path,
                                        struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_pki_issue_site(const struct csl_pki_authority *ca, const char *trust_domain,
                                 const char *site_id, int days, const char *key_path,
                                 const char *chain_path, struct csl_err *err) CSL_MUST_CHECK;

/* What one leaf certificate says. */
struct csl_certificate {
    uint8_t pin[CSL_PIN_BYTES];
    char spiffe_id[CSL_SPIFFE_MAX]; /* "" when there is none */
    int64_t seconds_left;           /* until notAfter; negative when past */
};
/* The first certificate of the PEM text. CSL_E_CRYPTO: not a certificate, or more than one URI
 * name. */
enum csl_code csl_certificate_parse(struct csl_certificate *out, struct csl_span pem,
                                    struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_certificate_read(struct csl_certificate *out, const char *path,
                                   struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_pki_pin_read(uint8_t pin[CSL_PIN_BYTES], const char *cert_path,
                               struct csl_err *err) CSL_MUST_CHECK;
int64_t csl_certificate_days_left(const struct csl_certificate *c); /* whole days, rounded down */

/* Whether key, chain and roots can serve together: the key belongs to the first certificate of the
 * chain, that certificate is within its time and the roots vouch for it. Asked before a reload. */
enum csl_code csl_pki_check_set(struct csl_span key_pem, struct csl_span chain_pem,
                                struct csl_span roots_pem, struct csl_err *err) CSL_MUST_CHECK;

/* "spiffe://<trust_domain>/site/<id>" -> id. CSL_E_UNAUTH on any other text. out: CSL_ID_MAX bytes.
 */
enum csl_code csl_spiffe_site(char *out, const char *spiffe_id, const char *trust_domain,
                              struct csl_err *err) CSL_MUST_CHECK;
bool csl_spiffe_is_coordinator(const char *spiffe_id, const char *trust_domain);

#endif
