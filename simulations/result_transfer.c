/* simulations/result_transfer.c - members "personalisation" and "leave_one_out" of summary.json. */
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "simulations/result_parts.h"

#include <string.h>

#include "base/banned.h"

typedef const struct csl_json_value *json;

const uint32_t csl_few_levels[CSL_FEW_LEVELS] = {8, 32, 64};

static const char *const names[CSL_TRANSFER_COUNT] = {"whole",    "head",    "ditto",   "left_out",
                                                      "head_8",   "head_32", "head_64", "local_8",
                                                      "local_32", "local_64"};
static const char *const titles[CSL_TRANSFER_COUNT] = {
    "Fine-tuned",         "Head fine-tuned",  "Ditto",
    "Trained without it", "Head fitted to 8", "Head fitted to 32",
    "Head fitted to 64",  "Alone on 8",       "Alone on 32",
    "Alone on 64"};

const char *csl_transfer_title(enum csl_transfer t)
{
    return titles[t];
}

void csl_result_transfer_release(struct csl_result_transfer *t)
{
    for (int i = 0; i < CSL_TRANSFER_COUNT; i++)
        csl_evaluation_release(&t->models[i]);
    csl_free(t->labelled);
    csl_free(t->keeps);
    memset(t, 0, sizeof(*t));
}

/* --- writing --- */

static void put_models(struct csl_json *j, const struct csl_result *r, int from, int to)
{
    csl_json_key(j, "models");
    csl_json_object(j);
    for (int i = from; i < to; i++) {
        if (r->transfer.models[i].pooled == NULL)
            continue;
        csl_json_key(j, names[i]);
        csl_json_object(j);
        csl_result__put_evaluation(j, r, &r->transfer.models[i]);
        csl_json_end(j);
    }
    csl_json_end(j);
}

static void put_keeps(struct csl_json *j, const struct csl_result *r)
{
    csl_json_key(j, "keeps_released");
    csl_json_array(j);
    for (uint32_t i = 0; i < r->site_count * r->domain_count; i++) {
        if (!r->transfer.keeps[i])
            continue;
        csl_json_object(j);
        csl_json_put_str(j, "site", r->sites[i / r->domain_count].id);
        csl_json_put_str(j, "domain", r->domains[i % r->domain_count].id);
        csl_json_end(j);
    }
    csl_json_end(j);
}

static void put_personal(struct csl_json *j, const struct csl_result *r)
{
    const struct csl_result_transfer *t = &r->transfer;
    csl_json_key(j, "personalisation");
    csl_json_object(j);
    csl_json_put_str(j, "privacy", CSL_PERSONAL_WORDS);
    csl_json_put_str(j, "training", t->training);
    if (t->lambda > 0)
        csl_json_put_f64(j, "lambda", t->lambda);
    if (t->personal_reason[0] != 0)
        csl_json_put_str(j, "absent", t->personal_reason);
    put_keeps(j, r);
    put_models(j, r, 0, CSL_TRANSFER_LEFT_OUT);
    csl_json_end(j);
}

static void put_labelled(struct csl_json *j, const struct csl_result *r)
{
    csl_json_key(j, "labelled");
    csl_json_array(j);
    for (uint32_t l = 0; l < CSL_FEW_LEVELS; l++) {
        for (uint32_t s = 0; s < r->site_count; s++) {
            for (uint32_t d = 0; d < r->domain_count; d++) {
                csl_json_object(j);
                csl_json_put_u64(j, "per_class", csl_few_levels[l]);
                csl_json_put_str(j, "site", r->sites[s].id);
                csl_json_put_str(j, "domain", r->domains[d].id);
                csl_json_put_u64(j, "patients", *csl_result__labelled(r, l, s, d));
                csl_json_end(j);
            }
        }
    }
    csl_json_end(j);
}

static void put_left_out(struct csl_json *j, const struct csl_result *r)
{
    const struct csl_result_transfer *t = &r->transfer;
    csl_json_key(j, "leave_one_out");
    csl_json_object(j);
    csl_json_put_str(j, "note",
                     "each site judged by the model of the same study without that site");
    if (t->left_out_reason[0] != 0)
        csl_json_put_str(j, "absent", t->left_out_reason);
    if (t->asks_few) {
        csl_json_put_str(j, "training", t->training);
        put_labelled(j, r);
    }
    put_models(j, r, CSL_TRANSFER_LEFT_OUT, CSL_TRANSFER_COUNT);
    csl_json_end(j);
}

uint32_t *csl_result__labelled(const struct csl_result *r, uint32_t level, uint32_t site,
                               uint32_t domain)
{
    CSL_ASSERT(level < CSL_FEW_LEVELS && site < r->site_count && domain < r->domain_count);
    return &r->transfer.labelled[((size_t)level * r->site_count + site) * r->domain_count + domain];
}

void csl_result__put_transfer(struct csl_json *j, const struct csl_result *r)
{
    if (r->transfer.asks_personal)
        put_personal(j, r);
    if (r->transfer.asks_left_out)
        put_left_out(j, r);
}

void csl_result__put_transfer_repeats(struct csl_json *j, const struct csl_result *r,
                                      const struct csl_repeats *p)
{
    bool is_open = false;
    for (int i = 0; i < CSL_TRANSFER_COUNT; i++) {
        if (p->transfer[i].pooled == NULL)
            continue;
        if (!is_open) {
            csl_json_key(j, "transfer");
            csl_json_object(j);
        }
        is_open = true;
        csl_result__put_evaluation_spread(j, r, names[i], &p->transfer[i]);
    }
    if (is_open)
        csl_json_end(j);
}

/* --- reading --- */

static enum csl_code read_text(const struct csl_result_reader *rd, json object, const char *key,
                               char out[160])
{
    const char *text;
    if (csl_json_get(object, key) == NULL)
        return CSL_OK;
    if (!csl_json_as_str(csl_json_get(object, key), &text) || !csl_str_copy(out, 160, text))
        return csl_result__bad(rd, key, "a text of bounded length");
    return CSL_OK;
}

static enum csl_code read_models(const struct csl_result_reader *rd, json object, int from, int to)
{
    json models = csl_json_get(object, "models");
    enum csl_code code = CSL_OK;
    for (int i = from; i < to && code == CSL_OK; i++) {
        struct csl_evaluation *e = &rd->r->transfer.models[i];
        if (csl_json_get(models, names[i]) == NULL)
            continue;
        code = csl_result__read_evaluation(rd, csl_json_get(models, names[i]), e);
        if (code == CSL_OK && e->cells == NULL)
            code = csl_result__bad(rd, names[i], "a model for each site");
    }
    return code;
}

static enum csl_code read_keeps(const struct csl_result_reader *rd, json list)
{
    struct csl_result *r = rd->r;
    enum csl_code code = csl_result_transfer_init_personal(r, rd->err);
    for (size_t i = 0; i < csl_json_count(list) && code == CSL_OK; i++) {
        uint32_t site, domain;
        if (!csl_result__find_site(r, csl_json_at(list, i), "site", &site) ||
            !csl_result__find_domain(r, csl_json_at(list, i), "domain", &domain))
            return csl_result__bad(rd, "keeps_released", "sites and domains of the run");
        r->transfer.keeps[site * r->domain_count + domain] = true;
    }
    return code;
}

static enum csl_code read_personal(const struct csl_result_reader *rd, json v)
{
    struct csl_result_transfer *t = &rd->r->transfer;
    enum csl_code code = read_keeps(rd, csl_json_get(v, "keeps_released"));
    if (code == CSL_OK)
        code = read_text(rd, v, "training", t->training);
    if (code == CSL_OK)
        code = read_text(rd, v, "absent", t->personal_reason);
    if (code == CSL_OK && csl_json_get(v, "lambda") != NULL &&
        !csl_json_as_f64(csl_json_get(v, "lambda"), &t->lambda))
        code = csl_result__bad(rd, "lambda", "a number");
    return code == CSL_OK ? read_models(rd, v, 0, CSL_TRANSFER_LEFT_OUT) : code;
}

static bool find_level(json v, uint32_t *level)
{
    uint64_t per_class;
    if (!csl_json_as_u64(csl_json_get(v, "per_class"), &per_class))
        return false;
    for (*level = 0; *level < CSL_FEW_LEVELS; (*level)++)
        if (csl_few_levels[*level] == per_class)
            return true;
    return false;
}

static enum csl_code read_labelled(const struct csl_result_reader *rd, json list)
{
    struct csl_result *r = rd->r;
    enum csl_code code = csl_result_transfer_init_few(r, rd->err);
    for (size_t i = 0; i < csl_json_count(list) && code == CSL_OK; i++) {
        json at = csl_json_at(list, i);
        uint32_t level, site, domain;
        uint64_t patients;
        if (!find_level(at, &level) || !csl_result__find_site(r, at, "site", &site) ||
            !csl_result__find_domain(r, at, "domain", &domain) ||
            !csl_json_as_u64(csl_json_get(at, "patients"), &patients) || patients > UINT32_MAX)
            return csl_result__bad(rd, "labelled", "'per_class', 'site', 'domain' and 'patients'");
        *csl_result__labelled(r, level, site, domain) = (uint32_t)patients;
    }
    return code;
}

static enum csl_code read_left_out(const struct csl_result_reader *rd, json v)
{
    struct csl_result_transfer *t = &rd->r->transfer;
    json labelled = csl_json_get(v, "labelled");
    t->asks_left_out = true;
    enum csl_code code = read_text(rd, v, "training", t->training);
    if (code == CSL_OK)
        code = read_text(rd, v, "absent", t->left_out_reason);
    if (code == CSL_OK && labelled != NULL)
        code = read_labelled(rd, labelled);
    return code == CSL_OK ? read_models(rd, v, CSL_TRANSFER_LEFT_OUT, CSL_TRANSFER_COUNT) : code;
}

enum csl_code csl_result_transfer_init_personal(struct csl_result *r, struct csl_err *err)
{
    size_t cells = (size_t)r->site_count * r->domain_count;
    CSL_ASSERT(r->transfer.keeps == NULL);
    r->transfer.keeps = csl_alloc_array(cells, sizeof(*r->transfer.keeps));
    if (r->transfer.keeps == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the own models of %u sites",
                        r->site_count);
    r->transfer.asks_personal = true;
    return CSL_OK;
}

enum csl_code csl_result_transfer_init_few(struct csl_result *r, struct csl_err *err)
{
    CSL_ASSERT(r->transfer.labelled == NULL);
    r->transfer.labelled = csl_alloc_array((size_t)CSL_FEW_LEVELS * r->site_count * r->domain_count,
                                           sizeof(*r->transfer.labelled));
    if (r->transfer.labelled == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the few patients of %u sites",
                        r->site_count);
    r->transfer.asks_few = true;
    return CSL_OK;
}

enum csl_code csl_result__read_transfer(const struct csl_result_reader *rd, json root)
{
    json personal = csl_json_get(root, "personalisation");
    json left_out = csl_json_get(root, "leave_one_out");
    enum csl_code code = personal != NULL ? read_personal(rd, personal) : CSL_OK;
    return code == CSL_OK && left_out != NULL ? read_left_out(rd, left_out) : code;
}

enum csl_code csl_result__read_transfer_repeats(const struct csl_result_reader *rd, json v,
                                                struct csl_repeats *p)
{
    enum csl_code code = CSL_OK;
    for (int i = 0; i < CSL_TRANSFER_COUNT && code == CSL_OK; i++)
        if (csl_json_get(v, names[i]) != NULL)
            code =
                csl_result__read_evaluation_spread(rd, csl_json_get(v, names[i]), &p->transfer[i]);
    return code;
}
