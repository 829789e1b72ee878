/* protocol/transport/grpc_tls.c - TLS 1.3 on both sides, certificates that renew, and the name of a
 * caller. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "protocol/transport/grpc_internal.h"

#include <openssl/bio.h>
#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <string.h>

/* gRPC 1.51 has no setting for the lowest TLS version, but the SSL_CTX it makes reads OpenSSL's
 * system-wide section, which can be given in memory before the first one is made. */
enum csl_code csl_grpc__require_tls13(struct csl_err *err)
{
    static const char text[] = "openssl_conf=csl_conf\n"
                               "[csl_conf]\nssl_conf=csl_ssl\n"
                               "[csl_ssl]\nsystem_default=csl_default\n"
                               "[csl_default]\n"
                               "Protocol=-TLSv1,-TLSv1.1,-TLSv1.2\n"
                               "Ciphersuites=TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256\n";
    enum csl_code code = CSL_OK;
    /* Without the machine's openssl.cnf: it must not soften ours. */
    if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
        return CSL_FAIL(err, CSL_E_CRYPTO, "OpenSSL did not start");
    BIO *bio = BIO_new_mem_buf(text, (int)sizeof(text) - 1);
    CONF *conf = NCONF_new(NULL);
    long line = 0;
    if (bio == NULL || conf == NULL || NCONF_load_bio(conf, bio, &line) != 1 ||
        CONF_modules_load(conf, NULL, 0) != 1)
        code =
            CSL_FAIL(err, CSL_E_CRYPTO, "OpenSSL refused the TLS 1.3 settings at line %ld", line);
    NCONF_free(conf);
    BIO_free(bio);
    return code;
}

uint64_t csl_grpc__random(void)
{
    uint64_t v = 0;
    if (RAND_bytes((unsigned char *)&v, (int)sizeof(v)) != 1)
        v = csl_clock_monotonic_ns(); /* for ids and jitter only */
    return v;
}

/* ---- the three files ---- */

struct pem_set {
    struct csl_msg key, chain, roots; /* NUL-terminated; n without the NUL */
};

static void set_release(struct pem_set *s)
{
    if (s->key.p != NULL)
        OPENSSL_cleanse(s->key.p, s->key.n);
    csl_msg_release(&s->key);
    csl_msg_release(&s->chain);
    csl_msg_release(&s->roots);
}

static enum csl_code read_text(struct csl_msg *out, const char *path, struct csl_err *err)
{
    struct csl_msg file = {0};
    enum csl_code code = csl_file_read(&file, path, CSL_PEM_BYTES_MAX, err);
    if (code != CSL_OK)
        return code;
    uint8_t *p = csl_alloc(file.n + 1); /* zeroed: the NUL is there */
    if (p != NULL)
        memcpy(p, file.p, file.n);
    else
        code = CSL_FAIL(err, CSL_E_NOMEM, "%s", path);
    if (file.p != NULL)
        OPENSSL_cleanse(file.p, file.n);
    if (p != NULL)
        *out = (struct csl_msg){p, file.n};
    csl_msg_release(&file);
    return code;
}

static enum csl_code set_read(struct pem_set *out, const struct csl_grpc_tls *tls,
                              struct csl_err *err)
{
    struct pem_set s = {{0}, {0}, {0}};
    enum csl_code code = read_text(&s.key, tls->key_path, err);
    if (code == CSL_OK)
        code = read_text(&s.chain, tls->chain_path, err);
    if (code == CSL_OK)
        code = read_text(&s.roots, tls->roots_path, err);
    if (code == CSL_OK)
        *out = s;
    else
        set_release(&s);
    return code;
}

static bool set_equal(const struct pem_set *a, const struct pem_set *b)
{
    return csl_span_equal(csl_msg_span(&a->key), csl_msg_span(&b->key)) &&
           csl_span_equal(csl_msg_span(&a->chain), csl_msg_span(&b->chain)) &&
           csl_span_equal(csl_msg_span(&a->roots), csl_msg_span(&b->roots));
}

static enum csl_code set_check(const struct pem_set *s, struct csl_err *err)
{
    return csl_pki_check_set(csl_msg_span(&s->key), csl_msg_span(&s->chain),
                             csl_msg_span(&s->roots), err);
}

/* ---- server ---- */

#define COMPLAIN_EVERY_NS (60 * CSL_NS_PER_S)

struct csl_grpc__certificates {
    struct csl_grpc_tls tls;
    struct csl_mutex mu;
    /* guarded by mu */
    struct pem_set current;
    bool was_given; /* current is what gRPC has */
    uint64_t complained_ns;
};

enum csl_code csl_grpc__certificates_new(struct csl_grpc__certificates **out,
                                         const struct csl_grpc_tls *tls, struct csl_err *err)
{
    struct csl_grpc__certificates *c = csl_alloc(sizeof(*c));
    if (c == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "certificates");
    c->tls = *tls;
    csl_mutex_init(&c->mu);
    enum csl_code code = set_read(&c->current, tls, err);
    if (code == CSL_OK)
        code = set_check(&c->current, err);
    if (code == CSL_OK)
        *out = c;
    else
        csl_grpc__certificates_free(c);
    return code;
}

void csl_grpc__certificates_free(struct csl_grpc__certificates *c)
{
    if (c == NULL)
        return;
    set_release(&c->current);
    csl_mutex_release(&c->mu);
    csl_free(c);
}

/* A set that does not fit would break every handshake until the next one: keep the last good one.
 */
static void look_for_newer(struct csl_grpc__certificates *c)
{
    struct pem_set fresh = {{0}, {0}, {0}};
    struct csl_err err;
    enum csl_code code = set_read(&fresh, &c->tls, &err);
    if (code == CSL_OK && set_equal(&fresh, &c->current)) {
        set_release(&fresh);
        return;
    }
    if (code == CSL_OK)
        code = set_check(&fresh, &err);
    if (code == CSL_OK) {
        set_release(&c->current);
        c->current = fresh;
        c->was_given = false;
        csl_log(CSL_LOG_INFO, "tls.reloaded", CSL_STR("chain", c->tls.chain_path));
        return;
    }
    set_release(&fresh);
    uint64_t now = csl_clock_monotonic_ns();
    if (c->complained_ns == 0 || now - c->complained_ns > COMPLAIN_EVERY_NS) {
        csl_log_err(CSL_LOG_ERROR, "tls.reload_refused", &err);
        c->complained_ns = now;
    }
}

/* Called by gRPC for every connection. */
static grpc_ssl_certificate_config_reload_status fetch(void *user_data,
                                                       grpc_ssl_server_certificate_config **config)
{
    struct csl_grpc__certificates *c = user_data;
    grpc_ssl_certificate_config_reload_status status = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    csl_mutex_lock(&c->mu);
    look_for_newer(c);
    if (!c->was_given) {
        grpc_ssl_pem_key_cert_pair pair = {(const char *)c->current.key.p,
                                           (const char *)c->current.chain.p};
        *config =
            grpc_ssl_server_certificate_config_create((const char *)c->current.roots.p, &pair, 1);
        c->was_given = true;
        status = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
    }
    csl_mutex_unlock(&c->mu);
    return status;
}

grpc_server_credentials *csl_grpc__server_credentials(struct csl_grpc__certificates *c)
{
    grpc_ssl_server_credentials_options *options =
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY, fetch, c);
    return options == NULL ? NULL : grpc_ssl_server_credentials_create_with_options(options);
}

/* ---- client ---- */

/* After gRPC has checked chain and host name: is it the coordinator, and not any other party that
 * our authority vouches for? Non-zero refuses. */
static int verify_coordinator(const char *target_name, const char *peer_pem, void *userdata)
{
    const char *trust_domain = userdata;
    struct csl_certificate c;
    struct csl_err err;
    enum csl_code code = csl_certificate_parse(&c, CSL_SPAN(peer_pem, strlen(peer_pem)), &err);
    if (code == CSL_OK && csl_spiffe_is_coordinator(c.spiffe_id, trust_domain))
        return 0;
    csl_log(CSL_LOG_ERROR, "tls.not_the_coordinator", CSL_STR("target", target_name),
            CSL_STR("found", code == CSL_OK ? c.spiffe_id : err.msg),
            CSL_STR("trust_domain", trust_domain));
    return 1;
}

enum csl_code csl_grpc__client_credentials(grpc_channel_credentials **out,
                                           const struct csl_grpc_tls *tls, struct csl_err *err)
{
    struct pem_set s = {{0}, {0}, {0}};
    enum csl_code code = set_read(&s, tls, err);
    if (code != CSL_OK)
        return code;
    grpc_ssl_pem_key_cert_pair pair = {(const char *)s.key.p, (const char *)s.chain.p};
    /* A handshake may end after the transport was freed: gRPC frees this copy when none can. */
    char *domain = csl_strdup(tls->trust_domain);
    if (domain == NULL) {
        set_release(&s);
        return CSL_FAIL(err, CSL_E_NOMEM, "trust domain");
    }
    grpc_ssl_verify_peer_options verify = {.verify_peer_callback = verify_coordinator,
                                           .verify_peer_callback_userdata = domain,
                                           .verify_peer_destruct = csl_free};
    grpc_channel_credentials *c =
        grpc_ssl_credentials_create_ex((const char *)s.roots.p, &pair, &verify, NULL);
    set_release(&s);
    if (c == NULL)
        return CSL_FAIL(err, CSL_E_CRYPTO, "gRPC refused the certificates");
    *out = c;
    return CSL_OK;
}

/* ---- who is calling ---- */

/* The one value of a property. CSL_E_UNAUTH when there is none, or several. */
static enum csl_code only_value(const grpc_auth_context *ctx, const char *name,
                                struct csl_span *out, struct csl_err *err)
{
    grpc_auth_property_iterator it = grpc_auth_context_find_properties_by_name(ctx, name);
    const grpc_auth_property *first = grpc_auth_property_iterator_next(&it);
    if (first == NULL)
        return CSL_FAIL(err, CSL_E_UNAUTH, "connection shows no %s", name);
    if (grpc_auth_property_iterator_next(&it) != NULL)
        return CSL_FAIL(err, CSL_E_UNAUTH, "connection shows more than one %s", name);
    if (strlen(first->value) != first->value_length)
        return CSL_FAIL(err, CSL_E_UNAUTH, "%s holds a NUL", name);
    *out = CSL_SPAN(first->value, first->value_length);
    return CSL_OK;
}

static enum csl_code identify(const grpc_auth_context *ctx, const char *trust_domain,
                              struct csl_peer *out, bool *is_operator, struct csl_err *err)
{
    static const char wanted[] = "TSI_PRIVACY_AND_INTEGRITY";
    struct csl_span level, id, pem;
    struct csl_certificate c;
    if (!grpc_auth_context_peer_is_authenticated(ctx))
        return CSL_FAIL(err, CSL_E_UNAUTH, "peer is not authenticated");
    enum csl_code code = only_value(ctx, GRPC_TRANSPORT_SECURITY_LEVEL_PROPERTY_NAME, &level, err);
    if (code == CSL_OK && !csl_span_equal(level, CSL_SPAN(wanted, sizeof(wanted) - 1)))
        return CSL_FAIL(err, CSL_E_UNAUTH, "connection is not encrypted");
    if (code == CSL_OK)
        code = only_value(ctx, GRPC_PEER_SPIFFE_ID_PROPERTY_NAME, &id, err);
    if (code == CSL_OK)
        code = only_value(ctx, GRPC_X509_PEM_CERT_PROPERTY_NAME, &pem, err);
    if (code != CSL_OK)
        return code;
    if (csl_certificate_parse(&c, pem, err) != CSL_OK)
        return CSL_E_UNAUTH;
    if (!csl_span_equal(id, CSL_SPAN(c.spiffe_id, strlen(c.spiffe_id))))
        return CSL_FAIL(err, CSL_E_UNAUTH, "certificate and connection disagree on the SPIFFE id");
    if (c.seconds_left <= 0) /* it may have run out since the handshake */
        return CSL_FAIL(err, CSL_E_UNAUTH, "certificate of %s expired %lld s ago", c.spiffe_id,
                        (long long)-c.seconds_left);
    *is_operator = csl_spiffe_is_coordinator(c.spiffe_id, trust_domain);
    if (*is_operator)
        return CSL_OK;
    code = csl_spiffe_site(out->site_id, c.spiffe_id, trust_domain, err);
    if (code == CSL_OK)
        memcpy(out->spki_sha256, c.pin, sizeof(out->spki_sha256));
    return code;
}

enum csl_code csl_grpc__identify(grpc_call *call, const char *trust_domain, struct csl_peer *out,
                                 bool *is_operator, struct csl_err *err)
{
    grpc_auth_context *ctx = grpc_call_auth_context(call);
    if (ctx == NULL)
        return CSL_FAIL(err, CSL_E_UNAUTH, "connection has no security context");
    enum csl_code code = identify(ctx, trust_domain, out, is_operator, err);
    grpc_auth_context_release(ctx);
    return code;
}
