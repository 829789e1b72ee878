#include "privacy/ledger/verify.h"

#include "base/mem.h"
#include "privacy/ledger/export.h"
#include "privacy/ledger/rules.h"

#include <string.h>

struct pass {
    const struct csl_ledger_verify_options *options;
    struct csl_rules *rules;
    struct csl_export_reader *reader;
    struct csl_export_record record;
    uint8_t last_signature[CSL_SIGN_SIGNATURE_BYTES];
    bool checks_every_head;
    struct csl_ledger_verdict verdict;
};

static struct csl_checkpoint head_of(const struct pass *p, const uint8_t *signature)
{
    struct csl_checkpoint head = {.size = p->rules->count};
    memcpy(head.origin, p->rules->origin, sizeof(head.origin));
    csl_merkle_root(&p->rules->tree.tree, head.root);
    memcpy(head.signature, signature, sizeof(head.signature));
    return head;
}

static enum csl_code check_countersigner(struct pass *p, const struct csl_ledger_entry *e,
                                         struct csl_err *err)
{
    for (size_t i = 0; i < p->options->peer_count; i++) {
        const struct csl_ledger_peer *peer = &p->options->peers[i];
        if (strcmp(peer->id, e->u.countersign.peer) != 0)
            continue;
        if (memcmp(peer->public_key, e->u.countersign.public_key, sizeof(peer->public_key)) != 0)
            return CSL_FAIL(err, CSL_E_CORRUPT,
                            "a countersignature in the name of %s by another's "
                            "key",
                            peer->id);
        p->verdict.countersignatures++;
        if (e->u.countersign.size > p->verdict.countersigned_size)
            p->verdict.countersigned_size = e->u.countersign.size;
        return CSL_OK;
    }
    p->verdict.countersignatures_unknown++;
    return CSL_OK;
}

/* What this entry is beyond the rules that the ledger itself keeps. */
static enum csl_code check_outside(struct pass *p, const struct csl_ledger_entry *e,
                                   struct csl_err *err)
{
    p->verdict.charges += e->kind == CSL_LEDGER_CHARGE || e->kind == CSL_LEDGER_PUBLISH ? 1 : 0;
    p->verdict.refusals += e->kind == CSL_LEDGER_REFUSE ? 1 : 0;
    p->verdict.recoveries += e->kind == CSL_LEDGER_RECOVER ? 1 : 0;
    if (e->kind == CSL_LEDGER_OPEN &&
        memcmp(e->u.open.public_key, p->options->public_key, CSL_SIGN_PUBLIC_BYTES) != 0)
        return CSL_FAIL(err, CSL_E_CORRUPT, "opened with another key than the site's");
    return e->kind == CSL_LEDGER_COUNTERSIGN ? check_countersigner(p, e, err) : CSL_OK;
}

static enum csl_code check_heads(const struct pass *p, struct csl_err *err)
{
    if (p->checks_every_head) {
        struct csl_checkpoint head = head_of(p, p->record.signature);
        if (!csl_checkpoint_verify(&head, p->options->public_key))
            return CSL_FAIL(err, CSL_E_CORRUPT,
                            "the site's key did not sign a ledger that ends "
                            "with this entry");
    }
    for (size_t i = 0; i < p->options->known_head_count; i++) {
        const struct csl_checkpoint *known = &p->options->known_heads[i];
        if (known->size != p->rules->count)
            continue;
        struct csl_checkpoint head = head_of(p, p->record.signature);
        if (strcmp(head.origin, known->origin) != 0 ||
            memcmp(head.root, known->root, sizeof(head.root)) != 0)
            return CSL_FAIL(err, CSL_E_CORRUPT,
                            "another history than the one in a head of size "
                            "%llu that the site signed before",
                            (unsigned long long)known->size);
    }
    return CSL_OK;
}

static enum csl_code check_entry(struct pass *p, struct csl_err *err)
{
    struct csl_ledger_entry e;
    uint8_t leaf[CSL_SHA256_BYTES];
    struct csl_span bytes = CSL_SPAN(p->record.bytes, p->record.byte_count);
    enum csl_code code = csl_ledger_entry_decode(&e, bytes, err);
    if (code == CSL_OK)
        code = csl_rules__check(p->rules, &e, err);
    if (code == CSL_OK)
        code = check_outside(p, &e, err);
    if (code != CSL_OK)
        return code;
    csl_merkle_leaf(bytes.p, bytes.n, leaf);
    csl_rules__apply(p->rules, &e, leaf, p->record.signature);
    memcpy(p->last_signature, p->record.signature, sizeof(p->last_signature));
    code = check_heads(p, err);
    if (code != CSL_OK)
        return code;
    p->verdict.entries++;
    const struct csl_ledger_visitor *v = p->options->visitor;
    if (v != NULL && v->entry != NULL && !p->checks_every_head)
        v->entry(v->ctx, &e);
    return CSL_OK;
}

static void visit_sums(const struct pass *p)
{
    const struct csl_ledger_visitor *v = p->options->visitor;
    const struct csl_rules *s = p->rules;
    if (v == NULL)
        return;
    for (size_t i = 0; v->study != NULL && i < s->study_count; i++) {
        const struct csl_rules_study *t = s->studies[i];
        const struct csl_ledger_spent spent = {.epsilon = t->epsilon,
                                               .delta = t->epsilon > 0 ? t->plan.delta : 0,
                                               .studies = 1,
                                               .charges = t->charges,
                                               .steps_charged = t->steps_charged,
                                               .is_stopped = t->is_stopped};
        v->study(v->ctx, &t->plan, &spent);
    }
    for (uint32_t i = 0; v->budget != NULL && s->has_policy && i < s->policy.budget_count; i++) {
        struct csl_ledger_spent spent;
        csl_rules__sum(s, &s->policy.budgets[i], v->now_s > s->time_s ? v->now_s : s->time_s, NULL,
                       0, &spent);
        v->budget(v->ctx, &s->policy.budgets[i], &spent);
    }
}

static enum csl_code check_end(struct pass *p, struct csl_err *err)
{
    struct csl_checkpoint stated, head = head_of(p, p->last_signature);
    enum csl_code code =
        csl_checkpoint_read(&stated, csl_export_checkpoint(p->reader), p->options->public_key, err);
    if (code != CSL_OK)
        return code;
    if (p->rules->count == 0 || strcmp(stated.origin, head.origin) != 0 ||
        stated.size != head.size || memcmp(stated.root, head.root, sizeof(head.root)) != 0 ||
        memcmp(stated.signature, head.signature, sizeof(head.signature)) != 0)
        return CSL_FAIL(err, CSL_E_CORRUPT,
                        "the signed head is of another ledger: %llu entries, here are %llu",
                        (unsigned long long)stated.size, (unsigned long long)head.size);
    for (size_t i = 0; i < p->options->known_head_count; i++)
        if (p->options->known_heads[i].size > head.size)
            return CSL_FAIL(err, CSL_E_CORRUPT,
                            "entries are missing: the site signed a head of size %llu before",
                            (unsigned long long)p->options->known_heads[i].size);
    p->verdict.head = head;
    memcpy(p->verdict.site, p->rules->site, sizeof(p->verdict.site));
    return CSL_OK;
}

/* CSL_E_CORRUPT and *at: unsound. */
static enum csl_code run(struct pass *p, FILE *in, struct csl_err *err)
{
    p->verdict.bad_entry = CSL_LEDGER_NONE;
    enum csl_code code = csl_export_open(&p->reader, in, err);
    if (code != CSL_OK)
        return code;
    while (code == CSL_OK) {
        code = csl_export_next(p->reader, &p->record, err);
        if (code == CSL_OK)
            code = check_entry(p, err);
    }
    if (code == CSL_E_END)
        code = check_end(p, err);
    if (code == CSL_OK)
        visit_sums(p);
    p->verdict.bad_entry = p->verdict.entries;
    return code;
}

static enum csl_code one_pass(FILE *in, const struct csl_ledger_verify_options *options,
                              bool checks_every_head, struct csl_ledger_verdict *out,
                              struct csl_err *err)
{
    struct pass *p = csl_alloc(sizeof(*p));
    if (p == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to verify");
    struct csl_err why = {.msg = ""};
    p->options = options;
    p->checks_every_head = checks_every_head;
    p->rules = csl_rules__new(options->price);
    enum csl_code code =
        p->rules != NULL ? run(p, in, &why) : CSL_FAIL(&why, CSL_E_NOMEM, "no memory to verify");
    bool is_unsound =
        code == CSL_E_CORRUPT || code == CSL_E_PROTO || code == CSL_E_CRYPTO || code == CSL_E_LIMIT;
    struct csl_ledger_verdict v = p->verdict;
    csl_export_close(p->reader);
    csl_rules__free(p->rules);
    csl_free(p);
    if (code == CSL_OK) {
        v.bad_entry = CSL_LEDGER_NONE;
        *out = v;
        return CSL_OK;
    }
    if (!is_unsound)
        return CSL_FAIL(err, code, "%s", why.msg);
    memcpy(v.why, why.msg, sizeof(v.why));
    *out = v;
    if (v.bad_entry == CSL_LEDGER_NONE)
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s", v.why);
    return CSL_FAIL(err, CSL_E_CORRUPT, "entry %llu: %s", (unsigned long long)v.bad_entry, v.why);
}

enum csl_code csl_ledger_verify(FILE *in, const struct csl_ledger_verify_options *options,
                                struct csl_ledger_verdict *out, struct csl_err *err)
{
    for (size_t i = 0; i < options->known_head_count; i++)
        if (!csl_checkpoint_verify(&options->known_heads[i], options->public_key))
            return CSL_FAIL(err, CSL_E_INVAL, "known head %zu is not signed by the site's key", i);
    enum csl_code code = one_pass(in, options, false, out, err);
    if (code != CSL_E_CORRUPT || out->bad_entry == CSL_LEDGER_NONE)
        return code;
    struct csl_ledger_verdict first;
    enum csl_code again = one_pass(in, options, true, &first, err);
    if (again == CSL_OK) /* cannot be: the second pass checks all that the first does */
        return CSL_FAIL(err, CSL_E_IO, "the export changed while it was read");
    if (again == CSL_E_CORRUPT)
        *out = first;
    return again;
}
