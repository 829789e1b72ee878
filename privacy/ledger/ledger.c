#include "privacy/ledger/ledger.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/init.h"
#include "privacy/ledger/ledger_internal.h"

#include <stdio.h>
#include <string.h>

#define CLOCK_AHEAD_S  (7 * 86400) /* a longer pause, or a clock that jumped: the log says so */
#define CLOCK_BEHIND_S 3600

enum csl_code csl_ledger__ready(const struct csl_ledger *l, struct csl_err *err)
{
    if (l->is_read_only)
        return CSL_FAIL(err, CSL_E_STATE, "the ledger is open for reading only");
    if (l->is_broken)
        return CSL_FAIL(err, CSL_E_STATE, "a write to the ledger failed; open it again");
    if (l->trouble[0] != '\0')
        return CSL_FAIL(err, CSL_E_STATE, "%s", l->trouble);
    return CSL_OK;
}

uint64_t csl_ledger__time(const struct csl_ledger *l)
{
    uint64_t wall = l->now_s != NULL ? l->now_s(l->now_ctx) : 0;
    return wall > l->rules->time_s ? wall : l->rules->time_s;
}

void csl_ledger_head(const struct csl_ledger *l, struct csl_checkpoint *out)
{
    struct csl_checkpoint c = {.size = l->rules->count};
    memcpy(c.origin, l->rules->origin, sizeof(c.origin));
    csl_merkle_root(&l->rules->tree.tree, c.root);
    memcpy(c.signature, l->signature, sizeof(c.signature));
    *out = c;
}

enum csl_code csl_ledger__write_head(struct csl_ledger *l, struct csl_err *err)
{
    struct csl_checkpoint head;
    char text[CSL_CHECKPOINT_TEXT_MAX];
    if (l->head_path[0] == '\0') /* in memory */
        return CSL_OK;
    csl_ledger_head(l, &head);
    csl_checkpoint_write(&head, l->key.public_key, text);
    enum csl_code code =
        csl_file_write_atomic(l->head_path, CSL_SPAN(text, strlen(text)), 0600, err);
    if (code != CSL_OK)
        l->is_broken = true;
    return code;
}

static void sign_next_head(const struct csl_ledger *l, const struct csl_ledger_entry *e,
                           const uint8_t leaf[CSL_SHA256_BYTES],
                           uint8_t signature[CSL_SIGN_SIGNATURE_BYTES])
{
    struct csl_merkle tree = l->rules->tree.tree;
    struct csl_checkpoint head = {.size = tree.size + 1};
    if (e->kind == CSL_LEDGER_OPEN)
        snprintf(head.origin, sizeof(head.origin), "consilium-ledger/%s", e->u.open.site);
    else
        memcpy(head.origin, l->rules->origin, sizeof(head.origin));
    csl_merkle_add(&tree, leaf);
    csl_merkle_root(&tree, head.root);
    csl_checkpoint_sign(&head, &l->key);
    memcpy(signature, head.signature, CSL_SIGN_SIGNATURE_BYTES);
}

/* Database, then memory, then head file: the head file never knows of an entry that is not
 * durable, and nobody is told of an entry before the head file knows of it. */
static enum csl_code append_one(struct csl_ledger *l, struct csl_ledger_entry *e, uint64_t time_s,
                                struct csl_err *err)
{
    uint8_t bytes[CSL_LEDGER_ENTRY_MAX], leaf[CSL_SHA256_BYTES];
    uint8_t signature[CSL_SIGN_SIGNATURE_BYTES];
    e->index = l->rules->count;
    e->time_s = time_s;
    memcpy(e->link, l->rules->link, sizeof(e->link));
    struct csl_err why = {.code = CSL_OK};
    enum csl_code code = csl_rules__check(l->rules, e, &why);
    if (code == CSL_E_CORRUPT) /* an entry of our own that our own rules refuse */
        return CSL_FAIL(err, CSL_E_BUG, "the ledger would break its own rule: %s", why.msg);
    if (code != CSL_OK)
        return CSL_FAIL(err, code, "%s", why.msg);
    size_t n = csl_ledger_entry_encode(e, bytes);
    csl_merkle_leaf(bytes, n, leaf);
    sign_next_head(l, e, leaf, signature);
    code = csl_ledger_store__append(l->store, e, CSL_SPAN(bytes, n), signature, err);
    if (code != CSL_OK) {
        l->is_broken = true;
        return code;
    }
    csl_rules__apply(l->rules, e, leaf, signature);
    memcpy(l->signature, signature, sizeof(l->signature));
    bool keeps_head = l->trouble[0] != '\0' && e->kind != CSL_LEDGER_RECOVER;
    return keeps_head ? CSL_OK : csl_ledger__write_head(l, err);
}

enum csl_code csl_ledger__append(struct csl_ledger *l, struct csl_ledger_entry *e, uint64_t time_s,
                                 struct csl_err *err)
{
    uint64_t wall = l->now_s(l->now_ctx), last = l->rules->time_s;
    bool is_behind = last > CLOCK_BEHIND_S && wall < last - CLOCK_BEHIND_S;
    bool is_ahead = wall > last && wall - last > CLOCK_AHEAD_S;
    if (l->rules->count > 0 && ((is_behind && !l->is_clock_behind) || is_ahead)) {
        struct csl_ledger_entry clock = {.kind = CSL_LEDGER_CLOCK, .u.clock.wall_s = wall};
        enum csl_code code = append_one(l, &clock, time_s, err);
        if (code != CSL_OK)
            return code;
    }
    l->is_clock_behind = is_behind;
    return append_one(l, e, time_s, err);
}

void csl_ledger__set_trouble(struct csl_ledger *l, uint64_t size,
                             const uint8_t root[CSL_SHA256_BYTES], const char *what)
{
    char hex[2 * CSL_SHA256_BYTES + 1];
    csl_hex(root, CSL_SHA256_BYTES, hex);
    snprintf(l->trouble, sizeof(l->trouble),
             "%s; the ledger has %llu entries. Nothing can be reserved until an operator recovers, "
             "giving up the head of size %llu and root %s",
             what, (unsigned long long)l->rules->count, (unsigned long long)size, hex);
    l->trouble_size = size;
    memcpy(l->trouble_root, root, sizeof(l->trouble_root));
}

/* What the head file says. *has_head false: nothing that can be used; *what says why. */
static enum csl_code read_head_file(const struct csl_ledger *l, struct csl_checkpoint *head,
                                    bool *has_head, const char **what, struct csl_err *err)
{
    struct csl_msg text = {.n = 0};
    *has_head = false;
    if (l->head_path[0] == '\0')
        return CSL_OK;
    enum csl_code code = csl_file_read(&text, l->head_path, CSL_CHECKPOINT_TEXT_MAX, err);
    *what = code == CSL_E_NOTFOUND ? "the head file is missing" : "the head file is damaged";
    if (code == CSL_E_NOTFOUND || code == CSL_E_LIMIT)
        return CSL_OK;
    if (code != CSL_OK)
        return code;
    *has_head = csl_checkpoint_read(head, csl_msg_span(&text), l->key.public_key, NULL) == CSL_OK;
    csl_msg_release(&text);
    return CSL_OK;
}

static enum csl_code replay_one(struct csl_ledger *l, struct csl_span bytes,
                                const uint8_t signature[CSL_SIGN_SIGNATURE_BYTES],
                                struct csl_err *err)
{
    struct csl_ledger_entry e;
    struct csl_err why = {.code = CSL_OK};
    uint8_t leaf[CSL_SHA256_BYTES];
    enum csl_code code = csl_ledger_entry_decode(&e, bytes, &why);
    if (code == CSL_OK)
        code = csl_rules__check(l->rules, &e, &why);
    if (code != CSL_OK)
        return CSL_FAIL(err, code == CSL_E_PROTO ? CSL_E_CORRUPT : code, "ledger entry %llu: %s",
                        (unsigned long long)l->rules->count, why.msg);
    csl_merkle_leaf(bytes.p, bytes.n, leaf);
    csl_rules__apply(l->rules, &e, leaf, signature);
    memcpy(l->signature, signature, sizeof(l->signature));
    return CSL_OK;
}

/* `known`: the head file's head; *is_known whether the log, at that size, has that root. */
static enum csl_code replay(struct csl_ledger *l, const struct csl_checkpoint *known,
                            bool *is_known, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    csl_ledger_store__seek(l->store, 0);
    while (code == CSL_OK) {
        struct csl_span bytes;
        uint8_t signature[CSL_SIGN_SIGNATURE_BYTES], root[CSL_SHA256_BYTES];
        code = csl_ledger_store__next(l->store, &bytes, signature, err);
        if (code == CSL_OK)
            code = replay_one(l, bytes, signature, err);
        if (code == CSL_OK && l->rules->count == known->size) {
            csl_merkle_root(&l->rules->tree.tree, root);
            *is_known = memcmp(root, known->root, sizeof(root)) == 0;
        }
    }
    if (code != CSL_E_END)
        return code;
    struct csl_checkpoint head;
    csl_ledger_head(l, &head);
    if (head.size > 0 && !csl_checkpoint_verify(&head, l->rules->public_key))
        return CSL_FAIL(err, CSL_E_CORRUPT, "the signature of the ledger's last head is not right");
    return CSL_OK;
}

static enum csl_code load_key(struct csl_ledger *l, const struct csl_ledger_config *c,
                              struct csl_err *err)
{
    if (c->path == NULL) {
        csl_sign_keygen(&l->key);
        return CSL_OK;
    }
    enum csl_code code = csl_sign_load(&l->key, c->key_path, err);
    if (code != CSL_E_NOTFOUND)
        return code;
    if (csl_file_exists(c->path))
        return CSL_FAIL(err, CSL_E_DENIED, "%s is missing, and the ledger %s exists", c->key_path,
                        c->path);
    csl_sign_keygen(&l->key);
    return csl_sign_store(&l->key, c->key_path, err);
}

static enum csl_code open_for_writing(struct csl_ledger *l, const struct csl_ledger_config *c,
                                      struct csl_err *err)
{
    struct csl_checkpoint known = {.size = 0};
    bool has_head = false, is_known = false;
    const char *what = NULL;
    enum csl_code code = read_head_file(l, &known, &has_head, &what, err);
    if (code == CSL_OK)
        code = replay(l, &known, &is_known, err);
    if (code != CSL_OK)
        return code;
    if (l->rules->count > 0 && strcmp(l->rules->site, c->site) != 0)
        return CSL_FAIL(err, CSL_E_INVAL, "%s is the ledger of site %s", c->path, l->rules->site);
    if (l->rules->count > 0 && memcmp(l->rules->public_key, l->key.public_key, 32) != 0)
        return CSL_FAIL(err, CSL_E_DENIED, "%s is not the key of the ledger %s", c->key_path,
                        c->path);
    bool is_missing = !has_head && l->head_path[0] != '\0' && csl_file_exists(l->head_path);
    /* Without a head file only a log that never got further than its first entry is believed. */
    if (has_head && !is_known)
        csl_ledger__set_trouble(l, known.size, known.root,
                                known.size > l->rules->count
                                    ? "the ledger is behind its head file (an old copy?)"
                                    : "the ledger is not the one its head file knows");
    else if (!has_head && (is_missing || l->rules->count > 1)) {
        struct csl_checkpoint own;
        csl_ledger_head(l, &own);
        csl_ledger__set_trouble(l, own.size, own.root, what);
    }
    if (l->rules->count > 0)
        return l->trouble[0] == '\0' ? csl_ledger__write_head(l, err) : CSL_OK;
    struct csl_ledger_entry e = {.kind = CSL_LEDGER_OPEN};
    CSL_ASSERT(csl_str_copy(e.u.open.site, sizeof(e.u.open.site), c->site));
    memcpy(e.u.open.public_key, l->key.public_key, sizeof(e.u.open.public_key));
    return csl_ledger__append(l, &e, csl_ledger__time(l), err);
}

static enum csl_code open_all(struct csl_ledger *l, const struct csl_ledger_config *c,
                              struct csl_err *err)
{
    l->is_read_only = c->is_read_only;
    l->now_s = c->now_s;
    l->now_ctx = c->now_ctx;
    l->rules = csl_rules__new(NULL);
    if (l->rules == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the ledger");
    enum csl_code code = csl_crypto_init(err);
    if (code == CSL_OK && !c->is_read_only)
        code = load_key(l, c, err);
    if (code == CSL_OK)
        code = csl_ledger_store__open(&l->store,
                                      c->path != NULL ? c->path : ":memory:", c->is_read_only, err);
    if (code != CSL_OK)
        return code;
    if (c->is_read_only) {
        bool is_known = false;
        return replay(l, &(struct csl_checkpoint){.size = 0}, &is_known, err);
    }
    code = open_for_writing(l, c, err);
    l->rules->price = c->price; /* recorded prices were taken as they are: they were its own */
    return code;
}

enum csl_code csl_ledger_open(struct csl_ledger **out, const struct csl_ledger_config *config,
                              struct csl_err *err)
{
    bool has_path = config->path != NULL, has_key = config->key_path != NULL;
    bool is_consistent = has_path == has_key && has_path == (config->head_path != NULL);
    bool is_whole = config->is_read_only ? has_path
                                         : is_consistent && config->site != NULL &&
                                               config->price != NULL && config->now_s != NULL;
    if (!is_whole || (!config->is_read_only && !csl_id_valid(config->site)))
        return CSL_FAIL(err, CSL_E_INVAL, "ledger: a path, a site's id or a function is missing");
    struct csl_ledger *l = csl_alloc(sizeof(*l));
    if (l == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the ledger");
    enum csl_code code = CSL_OK;
    if (!config->is_read_only && has_path &&
        !csl_str_copy(l->head_path, sizeof(l->head_path), config->head_path))
        code = CSL_FAIL(err, CSL_E_LIMIT, "the path of the head file is too long");
    if (code == CSL_OK)
        code = open_all(l, config, err);
    if (code != CSL_OK) {
        csl_ledger_close(l);
        return code;
    }
    *out = l;
    return CSL_OK;
}

void csl_ledger_close(struct csl_ledger *l)
{
    if (l == NULL)
        return;
    csl_ledger_store__close(l->store);
    csl_rules__free(l->rules);
    csl_sign_wipe(&l->key);
    csl_free(l);
}
