#include "coordinator/heads.h"

#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

struct head {
    char site[CSL_ID_MAX];
    char text[CSL_CHECKPOINT_TEXT_MAX]; /* "": none yet */
    uint8_t key[CSL_SIGN_PUBLIC_BYTES];
    struct csl_checkpoint checkpoint;
};
struct csl_heads {
    struct csl_sign_key key;
    char dir[CSL_PATH_MAX]; /* "": in memory */
    struct head *heads;     /* [count] */
    uint32_t count;
};

static enum csl_code open_key(struct csl_heads *h, const char *state_dir, struct csl_err *err)
{
    char path[CSL_PATH_MAX];
    if (state_dir == NULL) {
        csl_sign_keygen(&h->key);
        return CSL_OK;
    }
    enum csl_code code = csl_path_join(path, sizeof(path), state_dir, "ledger.key", err);
    if (code == CSL_OK && csl_file_exists(path))
        return csl_sign_load(&h->key, path, err);
    if (code != CSL_OK)
        return code;
    csl_sign_keygen(&h->key);
    return csl_sign_store(&h->key, path, err);
}

/* heads/SITE: 64 hexadecimal digits, a line end, the checkpoint. */
static enum csl_code load_head(const struct csl_heads *h, struct head *head, struct csl_err *err)
{
    const size_t digits = (size_t)2 * CSL_SIGN_PUBLIC_BYTES;
    char path[CSL_PATH_MAX], hex[2 * CSL_SIGN_PUBLIC_BYTES + 1];
    struct csl_msg bytes = {NULL, 0};
    enum csl_code code = csl_path_join(path, sizeof(path), h->dir, head->site, err);
    if (code != CSL_OK || !csl_file_exists(path))
        return code;
    code = csl_file_read(&bytes, path, digits + 1 + sizeof(head->text), err);
    if (code != CSL_OK)
        return code;
    struct csl_err why = {.code = CSL_OK};
    bool is_good = bytes.n > digits + 1 && bytes.n - digits - 1 < sizeof(head->text);
    if (is_good) {
        memcpy(hex, bytes.p, digits);
        hex[digits] = '\0';
        memcpy(head->text, bytes.p + digits + 1, bytes.n - digits - 1);
        head->text[bytes.n - digits - 1] = '\0';
        is_good = bytes.p[digits] == '\n' && csl_unhex(hex, head->key, sizeof(head->key)) &&
                  csl_checkpoint_read(&head->checkpoint, CSL_SPAN(head->text, strlen(head->text)),
                                      head->key, &why) == CSL_OK;
    }
    csl_msg_release(&bytes);
    return is_good ? CSL_OK
                   : CSL_FAIL(err, CSL_E_CORRUPT, "%s: not the head of a ledger%s%s", path,
                              why.code != CSL_OK ? ": " : "", why.msg);
}

enum csl_code csl_heads_open(struct csl_heads **out, const char *state_dir,
                             const char (*sites)[CSL_ID_MAX], uint32_t count, struct csl_err *err)
{
    struct csl_heads *h = csl_alloc(sizeof(*h));
    enum csl_code code = CSL_OK;
    if (h == NULL || (h->heads = csl_alloc_array(count, sizeof(*h->heads))) == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory for the ledger heads of %u sites", count);
    if (code == CSL_OK)
        code = open_key(h, state_dir, err);
    if (code == CSL_OK && state_dir != NULL)
        code = csl_path_join(h->dir, sizeof(h->dir), state_dir, "heads", err);
    if (code == CSL_OK && state_dir != NULL)
        code = csl_dir_make(h->dir, err);
    for (uint32_t i = 0; code == CSL_OK && i < count; i++, h->count++) {
        CSL_ASSERT(csl_str_copy(h->heads[i].site, sizeof(h->heads[i].site), sites[i]));
        if (state_dir != NULL)
            code = load_head(h, &h->heads[i], err);
    }
    if (code == CSL_OK)
        *out = h;
    else
        csl_heads_close(h);
    return code;
}

void csl_heads_close(struct csl_heads *h)
{
    if (h == NULL)
        return;
    csl_sign_wipe(&h->key);
    csl_free(h->heads);
    csl_free(h);
}

static enum csl_code save_head(const struct csl_heads *h, const struct head *head,
                               struct csl_err *err)
{
    char path[CSL_PATH_MAX], hex[2 * CSL_SIGN_PUBLIC_BYTES + 1];
    char text[sizeof(hex) + CSL_CHECKPOINT_TEXT_MAX];
    if (h->dir[0] == '\0')
        return CSL_OK;
    enum csl_code code = csl_path_join(path, sizeof(path), h->dir, head->site, err);
    csl_hex(head->key, sizeof(head->key), hex);
    int n = snprintf(text, sizeof(text), "%s\n%s", hex, head->text);
    CSL_ASSERT(n > 0 && (size_t)n < sizeof(text));
    return code == CSL_OK ? csl_file_write_atomic(path, CSL_SPAN(text, (size_t)n), 0600, err)
                          : code;
}

/* Of the right site, signed by the right key. */
static enum csl_code read_claim(struct head *fresh, const struct head *known,
                                const struct csl_heads_claim *claim, struct csl_err *err)
{
    char origin[CSL_ORIGIN_MAX];
    if (known->text[0] != '\0' && memcmp(known->key, claim->key, sizeof(known->key)) != 0)
        return CSL_FAIL(err, CSL_E_CRYPTO, "the ledger of %s has another key than before",
                        known->site);
    memcpy(fresh->key, claim->key, sizeof(fresh->key));
    if (!csl_str_copy(fresh->text, sizeof(fresh->text), claim->text))
        return CSL_FAIL(err, CSL_E_CRYPTO, "the ledger head of %s is too long", known->site);
    enum csl_code code = csl_checkpoint_read(
        &fresh->checkpoint, CSL_SPAN(claim->text, strlen(claim->text)), fresh->key, err);
    if (code != CSL_OK)
        return CSL_E_CRYPTO;
    /* else a head of this site could pass for one of another's ledger */
    snprintf(origin, sizeof(origin), "consilium-ledger/%s", known->site);
    if (strcmp(fresh->checkpoint.origin, origin) != 0)
        return CSL_FAIL(err, CSL_E_CRYPTO, "%s announced a head of %s", known->site,
                        fresh->checkpoint.origin);
    return CSL_OK;
}

enum csl_code csl_heads_offer(struct csl_heads *h, uint32_t site,
                              const struct csl_heads_claim *claim,
                              uint8_t countersignature[CSL_SIGN_SIGNATURE_BYTES],
                              struct csl_err *err)
{
    CSL_ASSERT(site < h->count);
    struct head *known = &h->heads[site];
    struct head fresh = *known;
    enum csl_code code = read_claim(&fresh, known, claim, err);
    if (code != CSL_OK)
        return code;
    const struct csl_checkpoint *old = &known->checkpoint, *offered = &fresh.checkpoint;
    bool is_first = known->text[0] == '\0';
    if (!is_first &&
        !csl_merkle_verify_consistency(old->size, old->root, offered->size, offered->root,
                                       claim->proof, claim->proof_count))
        return CSL_FAIL(err, CSL_E_STATE,
                        "the head of %llu entries that %s announced is not proven to continue the "
                        "head of %llu entries that is remembered",
                        (unsigned long long)offered->size, known->site,
                        (unsigned long long)old->size);
    if (is_first || offered->size != old->size)
        code = save_head(h, &fresh, err);
    if (code != CSL_OK)
        return code;
    *known = fresh;
    csl_checkpoint_countersign(&known->checkpoint, &h->key, countersignature);
    return CSL_OK;
}

const char *csl_heads_last(const struct csl_heads *h, uint32_t site)
{
    CSL_ASSERT(site < h->count);
    return h->heads[site].text;
}

const uint8_t *csl_heads_public_key(const struct csl_heads *h)
{
    return h->key.public_key;
}
