#include "tests/unit/privacy/ledger_forge.h"

#include "base/buf.h"
#include "privacy/ledger/base64.h"
#include "privacy/ledger/merkle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

void forge_read(struct forge *f, const char *path)
{
    struct csl_export_reader *r = NULL;
    struct csl_err err = {.code = CSL_OK};
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    memset(f, 0, sizeof(*f));
    must(csl_export_open(&r, in, &err), &err);
    enum csl_code code = CSL_OK;
    while ((code = csl_export_next(r, &f->records[f->count], &err)) == CSL_OK)
        assert_true(++f->count < FORGE_RECORDS_MAX);
    assert_int_equal(code, CSL_E_END);
    struct csl_span text = csl_export_checkpoint(r);
    memcpy(f->checkpoint, text.p, text.n);
    csl_export_close(r);
    fclose(in);
}

struct csl_ledger_entry forge_entry(const struct forge *f, size_t at)
{
    struct csl_ledger_entry e;
    struct csl_err err = {.code = CSL_OK};
    must(csl_ledger_entry_decode(&e, CSL_SPAN(f->records[at].bytes, f->records[at].byte_count),
                                 &err),
         &err);
    return e;
}

void forge_set(struct forge *f, size_t at, const struct csl_ledger_entry *e)
{
    f->records[at].byte_count = csl_ledger_entry_encode(e, f->records[at].bytes);
}

void forge_remove(struct forge *f, size_t at)
{
    f->count--;
    memmove(&f->records[at], &f->records[at + 1], (f->count - at) * sizeof(f->records[0]));
}

void forge_insert(struct forge *f, size_t at, const struct csl_ledger_entry *e)
{
    memmove(&f->records[at + 1], &f->records[at], (f->count - at) * sizeof(f->records[0]));
    f->count++;
    forge_set(f, at, e);
}

void forge_head(struct forge *f, size_t size, const char *origin, const struct csl_sign_key *key,
                struct csl_checkpoint *out)
{
    struct csl_merkle tree = {.size = 0};
    for (size_t i = 0; i < size; i++) {
        uint8_t leaf[CSL_SHA256_BYTES];
        csl_merkle_leaf(f->records[i].bytes, f->records[i].byte_count, leaf);
        csl_merkle_add(&tree, leaf);
    }
    memset(out, 0, sizeof(*out));
    snprintf(out->origin, sizeof(out->origin), "%s", origin);
    out->size = size;
    csl_merkle_root(&tree, out->root);
    csl_checkpoint_sign(out, key);
}

void forge_chain(struct forge *f, size_t from, const char *origin, const struct csl_sign_key *key)
{
    struct csl_checkpoint head;
    for (size_t i = from; i < f->count; i++) {
        struct csl_ledger_entry e = forge_entry(f, i);
        e.index = i;
        if (i > 0) {
            uint8_t leaf[CSL_SHA256_BYTES];
            struct csl_sha256 h;
            csl_merkle_leaf(f->records[i - 1].bytes, f->records[i - 1].byte_count, leaf);
            csl_sha256_init(&h);
            csl_sha256_update(&h, leaf, sizeof(leaf));
            csl_sha256_update(&h, f->records[i - 1].signature, CSL_SIGN_SIGNATURE_BYTES);
            csl_sha256_final(&h, e.link);
        }
        forge_set(f, i, &e);
        if (key == NULL)
            continue;
        forge_head(f, i + 1, origin, key, &head);
        memcpy(f->records[i].signature, head.signature, sizeof(head.signature));
    }
    if (key == NULL)
        return;
    forge_head(f, f->count, origin, key, &head);
    csl_checkpoint_write(&head, key->public_key, f->checkpoint);
}

struct csl_msg forge_text(const struct forge *f)
{
    struct csl_buf b;
    char line[CSL_BASE64_LENGTH(CSL_LEDGER_ENTRY_MAX) + 1];
    csl_buf_init(&b, 1 << 20);
    csl_buf_str(&b, "consilium-ledger-export v1\n");
    for (size_t i = 0; i < f->count; i++) {
        csl_base64_encode(f->records[i].bytes, f->records[i].byte_count, line);
        csl_buf_printf(&b, "%s ", line);
        csl_base64_encode(f->records[i].signature, CSL_SIGN_SIGNATURE_BYTES, line);
        csl_buf_printf(&b, "%s\n", line);
    }
    csl_buf_printf(&b, "\n%s", f->checkpoint);
    assert_int_equal(csl_buf_status(&b, NULL), CSL_OK);
    return csl_buf_take(&b);
}

enum csl_code verify_bytes(struct csl_span bytes, const struct csl_ledger_verify_options *options,
                           struct csl_ledger_verdict *out)
{
    FILE *in = tmpfile();
    assert_non_null(in);
    assert_int_equal(fwrite(bytes.p, 1, bytes.n, in), bytes.n);
    enum csl_code code = csl_ledger_verify(in, options, out, NULL);
    fclose(in);
    return code;
}

static void countersign(struct world *w, const struct csl_sign_key *peer)
{
    struct csl_checkpoint head;
    uint8_t signature[CSL_SIGN_SIGNATURE_BYTES];
    csl_ledger_head(w->l, &head);
    csl_checkpoint_countersign(&head, peer, signature);
    must(csl_ledger_store_countersignature(w->l, "hub", peer->public_key, head.size, signature,
                                           &w->err),
         &w->err);
}

void make_every_kind(struct world *w, const struct csl_sign_key *peer)
{
    struct csl_ledger_study a = study_number(1, 4), b = study_number(2, 2), c = study_number(3, 2);
    struct csl_ledger_policy p = policy_of(10, 1e-3, YEAR);
    struct csl_ledger_request r = request_of(&a, 1, 0);
    struct csl_ledger_charge g = charge_of(&r, &a);
    uint64_t id = 0;
    c.events[0].steps = 1000000;
    must(csl_ledger_set_policy(w->l, &p, &w->err), &w->err);
    world_register(w, &a);
    world_register(w, &b);
    must(csl_ledger_reserve(w->l, &r, &id, &w->err), &w->err);
    must(csl_ledger_charge(w->l, id, &g, &w->err), &w->err);
    must(world_reserve(w, &a, 2, 0, &id), &w->err);
    g.round = 2;
    g.events[0].steps = 3;
    must(csl_ledger_charge(w->l, id, &g, &w->err), &w->err);
    must(csl_ledger_settle(w->l, id, true, &w->err), &w->err);
    countersign(w, peer);
    must(world_reserve(w, &a, 3, 0, &id), &w->err);
    must(csl_ledger_settle(w->l, id, false, &w->err), &w->err);
    r = request_of(&b, 1, 0);
    struct csl_ledger_charge published = charge_of(&r, &b);
    must(csl_ledger_publish(w->l, &published, &w->err), &w->err);
    must(world_reserve(w, &a, 4, 0, &id), &w->err);
    uint64_t other = 0;
    world_register(w, &c);
    assert_int_equal(world_reserve(w, &c, 1, 0, &other), CSL_E_BUDGET);
    must(csl_ledger_stop(w->l, b.digest, CSL_LEDGER_STOP_OPERATOR, &w->err), &w->err);
    g.round = 4;
    g.events[0].steps = 4;
    must(csl_ledger_charge(w->l, id, &g, &w->err), &w->err);
    csl_digest("fewer", 5, c.cohort_digest);
    must(csl_ledger_withdraw(w->l, "ward", c.cohort_digest, csl_ledger_band(119), &w->err),
         &w->err);
    w->now_s += 30 * 86400;
    p.digest[0] ^= 1;
    p.budgets[0].epsilon = 9;
    must(csl_ledger_set_policy(w->l, &p, &w->err), &w->err);
    countersign(w, peer);
    assert_int_equal(csl_ledger_size(w->l), AT_END);
    world_export(w);
}
