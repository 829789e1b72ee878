#include "site-agent/config.h"

#include "base/buf.h"
#include "base/str.h"

#include <string.h>

#define CONFIG_BYTES_MAX ((size_t)64 * 1024)
#define AT(member)                                                                                 \
    offsetof(struct csl_site_config, member), sizeof(((struct csl_site_config *)0)->member)
#define IN(section, member)                                                                        \
    offsetof(struct csl_site_config, section.member) - offsetof(struct csl_site_config, section),  \
        sizeof(((struct csl_site_config *)0)->section.member)

static const char *const log_formats[] = {"logfmt", "json", NULL};
static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const approvals[] = {"required", "automatic", NULL};
const char *const csl_site_backends[] = {"auto", "cpu-ref", "cpu-dnnl", NULL};

static const struct csl_option tls_options[] = {
    {"key", CSL_OPT_PATH, IN(tls, key), 0, 0, NULL, NULL, NULL, NULL,
     "private key of this site, PEM"},
    {"chain", CSL_OPT_PATH, IN(tls, chain), 0, 0, NULL, NULL, NULL, NULL,
     "certificate of this site, then its issuers, PEM"},
    {"roots", CSL_OPT_PATH, IN(tls, roots), 0, 0, NULL, NULL, NULL, NULL,
     "certificates of the authority that vouches for the coordinator, PEM"},
    {"trust_domain", CSL_OPT_STR, IN(tls, trust_domain), 0, 0, NULL, NULL, NULL, NULL,
     "SPIFFE trust domain of the federation"},
    CSL_OPTION_END};

static const struct csl_option secagg_options[] = {
    {"key", CSL_OPT_PATH, IN(secagg, key), 0, 0, NULL, NULL, NULL, NULL,
     "this site's signing key (secret), made by `consilium enrol site`"},
    {"roster", CSL_OPT_PATH, IN(secagg, roster), 0, 0, NULL, NULL, NULL, NULL,
     "the roster that the federation signed; one older than what was used before is refused"},
    {"root", CSL_OPT_PATH, IN(secagg, root), 0, 0, NULL, NULL, NULL, NULL,
     "public key of the federation's root, handed over by the federation, not the coordinator"},
    {"epoch", CSL_OPT_PATH, IN(secagg, epoch), 0, 0, "", NULL, NULL, NULL,
     "what the sites said to draw the seed of sparse graphs, by `consilium enrol epoch close`"},
    CSL_OPTION_END};

static const struct csl_option policy_options[] = {
    {"approval", CSL_OPT_ENUM, IN(policy_rows, approval), 0, 0, "required", NULL, approvals, NULL,
     "whether a study must be listed below before anything runs"},
    {"approved_studies", CSL_OPT_NODE, IN(policy_rows, approved_studies), 0, 0, NULL, NULL, NULL,
     NULL, "list of study digests (64 hexadecimal digits, from `consilium study show`)"},
    {"minimum_sites", CSL_OPT_U32, IN(policy_rows, minimum_sites), 1, CSL_SITES_MAX, "2", "sites",
     NULL, NULL, "a study that would aggregate fewer sites in a round is refused"},
    {"strategies", CSL_OPT_NODE, IN(policy_rows, strategies), 0, 0, NULL, NULL, NULL, NULL,
     "list of aggregation strategies this site allows; without it all are allowed"},
    {"privacy_modes", CSL_OPT_NODE, IN(policy_rows, privacy_modes), 0, 0, NULL, NULL, NULL, NULL,
     "list of privacy modes this site allows: none, local, site, joint; without it all but none"},
    {"cohort", CSL_OPT_ID, IN(policy_rows, cohort), 0, 0, "records", NULL, NULL, NULL,
     "name of the patients in the record file; each agent has a ledger of its own, so two agents "
     "on "
     "the same patients spend the budget twice, and neither notices: run one"},
    {"budgets", CSL_OPT_NODE, IN(policy_rows, budgets), 0, 0, NULL, NULL, NULL, NULL,
     "list of {cohort, group, epsilon, delta, window_days}: what may be spent on these patients by "
     "all studies together; without one no study with privacy runs"},
    {"allow_large_delta", CSL_OPT_BOOL, IN(policy_rows, allow_large_delta), 0, 0, "false", NULL,
     NULL, NULL, "accept a delta that is not below one over the number of patients"},
    {"masked_only", CSL_OPT_BOOL, IN(policy_rows, masked_only), 0, 0, "false", NULL, NULL, NULL,
     "refuse studies without secure aggregation"},
    {"noised_statistics_only", CSL_OPT_BOOL, IN(policy_rows, noised_statistics_only), 0, 0, "false",
     NULL, NULL, NULL, "refuse studies that publish statistics without noise"},
    {"masked_colluding", CSL_OPT_STR, IN(policy_rows, masked_colluding), 0, 0, "third", NULL, NULL,
     NULL,
     "how many sites may work with the coordinator, at least: a study that assumes fewer is "
     "refused; a number, or third: of the active sites in the signed roster, rounded down"},
    {"masked_minimum_sites", CSL_OPT_U32, IN(policy_rows, masked_minimum_sites), 2,
     CSL_SECAGG_SITES_MAX, "3", "sites", NULL, NULL,
     "a study that opens sums of fewer sites is refused"},
    {"masked_minimum_honest", CSL_OPT_U32, IN(policy_rows, masked_minimum_honest), 2,
     CSL_SECAGG_SITES_MAX, "2", "sites", NULL, NULL,
     "sites in every sum beyond those that may collude"},
    {"masked_largest_share", CSL_OPT_U32, IN(policy_rows, masked_largest_share), 1, 1000, "500",
     "permille", NULL, NULL, "most that one site may weigh in a sum"},
    {"masked_audit_chunks", CSL_OPT_U32, IN(policy_rows, masked_audit_chunks), 0,
     CSL_SECAGG_AUDITS_MAX, "0", "chunks", NULL, NULL,
     "a study in which the sites check fewer chunks of each sum is refused"},
    CSL_OPTION_END};

struct raw_budget {
    char cohort[CSL_ID_MAX], group[CSL_LEDGER_GROUP_MAX];
    double epsilon, delta;
    uint32_t window_days;
};
#define BUDGET(member) offsetof(struct raw_budget, member), sizeof(((struct raw_budget *)0)->member)
static const struct csl_option budget_options[] = {
    {"cohort", CSL_OPT_STR, BUDGET(cohort), 0, 0, "*", NULL, NULL, NULL,
     "the cohort it is for; * for all of them together"},
    {"group", CSL_OPT_STR, BUDGET(group), 0, 0, "", NULL, NULL, NULL,
     "a group of patients, attribute=value, for which this stricter budget holds; every study of "
     "the cohort counts against it in full"},
    {"epsilon", CSL_OPT_F64, BUDGET(epsilon), 0, 1000, NULL, NULL, NULL, NULL,
     "the most that may be spent"},
    {"delta", CSL_OPT_F64, BUDGET(delta), 0, 0.1, NULL, NULL, NULL, NULL,
     "the most that the studies' deltas may sum to"},
    {"window_days", CSL_OPT_U32, BUDGET(window_days), 0, 36500, "0", "days", NULL, NULL,
     "what was spent longer ago does not count; 0: everything counts for ever"},
    CSL_OPTION_END};

static const struct csl_option reconnect_options[] = {
    {"minimum", CSL_OPT_MS, IN(reconnect, minimum_ms), 0, 0, "1s", NULL, NULL, NULL,
     "first wait before dialling again"},
    {"maximum", CSL_OPT_MS, IN(reconnect, maximum_ms), 0, 0, "5m", NULL, NULL, NULL,
     "longest wait before dialling again"},
    CSL_OPTION_END};

static const struct csl_option log_options[] = {
    {"format", CSL_OPT_ENUM, IN(log, format), 0, 0, "logfmt", NULL, log_formats, NULL,
     "form of a log line"},
    {"level", CSL_OPT_ENUM, IN(log, level), 0, 0, "info", NULL, log_levels, NULL,
     "least important event that is logged"},
    CSL_OPTION_END};

const struct csl_option csl_site_options[] = {
    {"site", CSL_OPT_ID, AT(site), 0, 0, NULL, NULL, NULL, NULL,
     "this site's id, as in its certificate"},
    {"coordinator", CSL_OPT_STR, AT(coordinator), 0, 0, NULL, NULL, NULL, NULL,
     "host and port of the coordinator"},
    {"server_name", CSL_OPT_STR, AT(server_name), 0, 0, "", NULL, NULL, NULL,
     "name the coordinator's certificate must carry, when it is not the host above"},
    {"http_proxy", CSL_OPT_STR, AT(http_proxy), 0, 0, "", NULL, NULL, NULL,
     "HTTP CONNECT proxy on the way out, as http://host:port"},
    {"records", CSL_OPT_PATH, AT(records), 0, 0, NULL, NULL, NULL, NULL,
     "HDF5 record file made by `consilium data import`; opened for reading only"},
    {"state", CSL_OPT_PATH, AT(state), 0, 0, NULL, NULL, NULL, NULL,
     "folder for this site's journal and outbox"},
    {"initial_model", CSL_OPT_PATH, AT(initial_model), 0, 0, "", NULL, NULL, NULL,
     "weights of frozen blocks of a study, the file that the coordinator has, and what local "
     "blocks "
     "begin with; studies with frozen blocks are declined without it"},
    {"tls", CSL_OPT_SECTION, AT(tls), 0, 0, NULL, NULL, NULL, tls_options, "keys and certificates"},
    {"secure_aggregation", CSL_OPT_SECTION, AT(secagg), 0, 0, NULL, NULL, NULL, secagg_options,
     "what studies with secure aggregation take; without it they are declined"},
#ifdef CSL_TEST_SEEDS
    {"test_only_noise_seed", CSL_OPT_U64, AT(test_only_noise_seed), 0, 0, "0", NULL, NULL, NULL,
     "test-only: noise that can be repeated and protects nobody; policy.approval must be "
     "automatic"},
#endif
    {"backend", CSL_OPT_ENUM, AT(backend), 0, 0, "auto", NULL, csl_site_backends, NULL,
     "where training runs"},
    {"training_threads", CSL_OPT_U32, AT(training_threads), 1, 2, "1", NULL, NULL, NULL,
     "2: private steps on a CPU draw their noise beside the gradients; the same model"},
    {"policy", CSL_OPT_SECTION, AT(policy_rows), 0, 0, NULL, NULL, NULL, policy_options,
     "what this site refuses, whatever the coordinator asks"},
    {"reconnect", CSL_OPT_SECTION, AT(reconnect), 0, 0, NULL, NULL, NULL, reconnect_options,
     "full-jitter back-off of the outbound connection"},
    {"log", CSL_OPT_SECTION, AT(log), 0, 0, NULL, NULL, NULL, log_options,
     "logging to standard error"},
    CSL_OPTION_END};

static enum csl_code check_list(const struct csl_yaml *y, const struct csl_yaml_node *node,
                                struct csl_err *err)
{
    if (node->kind != CSL_YAML_SEQUENCE || node->child_count > CSL_POLICY_LIST_MAX)
        return csl_yaml_fail(err, y, node, "%s: a list of at most %d entries would be right",
                             node->key, CSL_POLICY_LIST_MAX);
    for (const struct csl_yaml_node *n = node->first_child; n != NULL; n = n->next)
        if (n->kind != CSL_YAML_SCALAR)
            return csl_yaml_fail(err, y, n, "%s: plain text would be right", node->key);
    return CSL_OK;
}

/* What the ledger would refuse to write down is refused here, where the line is known. */
static enum csl_code check_budget(const struct raw_budget *b, const struct csl_yaml *y,
                                  const struct csl_yaml_node *n, struct csl_err *err)
{
    bool is_text = true;
    for (const char *t = b->group; *t != '\0'; t++)
        is_text = is_text && *t > 0x20 && *t < 0x7f;
    if (strcmp(b->cohort, "*") != 0 && !csl_id_valid(b->cohort))
        return csl_yaml_fail(err, y, csl_yaml_get(n, "cohort"),
                             "cohort: an id or * would be right");
    if (b->group[0] != '\0' && (!is_text || strchr(b->group, '=') == NULL))
        return csl_yaml_fail(err, y, csl_yaml_get(n, "group"),
                             "group: attribute=value without blanks would be right");
    return CSL_OK;
}

static enum csl_code read_budgets(struct csl_ledger_policy *p, const struct csl_yaml *y,
                                  const struct csl_yaml_node *list, struct csl_err *err)
{
    if (list->kind != CSL_YAML_SEQUENCE || list->child_count > CSL_LEDGER_BUDGETS_MAX)
        return csl_yaml_fail(err, y, list, "budgets: a list of at most %d mappings would be right",
                             CSL_LEDGER_BUDGETS_MAX);
    for (const struct csl_yaml_node *n = list->first_child; n != NULL; n = n->next) {
        struct raw_budget raw = {.epsilon = 0};
        struct csl_ledger_budget *b = &p->budgets[p->budget_count];
        if (n->kind != CSL_YAML_MAPPING)
            return csl_yaml_fail(err, y, n,
                                 "budgets: {epsilon: 1, delta: 1e-5} or the like would be right");
        enum csl_code code = csl_option_read_yaml(budget_options, &raw, y, n, err);
        if (code == CSL_OK)
            code = check_budget(&raw, y, n, err);
        if (code != CSL_OK)
            return code;
        csl_str_copy(b->cohort, sizeof(b->cohort), raw.cohort);
        csl_str_copy(b->group, sizeof(b->group), raw.group);
        b->epsilon = raw.epsilon;
        b->delta = raw.delta;
        b->window_s = (uint64_t)raw.window_days * 86400u;
        p->budget_count++;
    }
    return CSL_OK;
}

static enum csl_code read_modes(struct csl_site_policy *p, const struct csl_yaml *y,
                                const struct csl_yaml_node *list, struct csl_err *err)
{
    p->refuses_privacy[CSL_PRIVACY_NONE] = true;
    if (list == NULL)
        return CSL_OK;
    for (int m = 0; m <= CSL_PRIVACY_JOINT; m++)
        p->refuses_privacy[m] = true;
    enum csl_code code = check_list(y, list, err);
    for (const struct csl_yaml_node *n = list->first_child; code == CSL_OK && n != NULL;
         n = n->next) {
        bool is_known = false;
        for (int m = 0; m <= CSL_PRIVACY_JOINT; m++)
            if (strcmp(n->text, csl_privacy_mode_name((enum csl_privacy_mode)m)) == 0) {
                is_known = true;
                p->refuses_privacy[m] = false;
            }
        if (!is_known)
            code = csl_yaml_fail(err, y, n,
                                 "privacy_modes: none, local, site or joint would be right");
    }
    return code;
}

/* Names the policy in the ledger: the bytes of everything it says about privacy. */
static enum csl_code digest_policy(struct csl_site_policy *p, struct csl_err *err)
{
    struct csl_buf b;
    csl_buf_init(&b, (size_t)64 * 1024);
    csl_buf_printf(&b, "consilium site policy 2\n%s\n%d%d%d%d%d\n", p->cohort,
                   p->refuses_privacy[CSL_PRIVACY_NONE], p->refuses_privacy[CSL_PRIVACY_LOCAL],
                   p->refuses_privacy[CSL_PRIVACY_SITE], p->refuses_privacy[CSL_PRIVACY_JOINT],
                   p->allows_large_delta);
    csl_buf_printf(&b, "%d%d %u %u %u %u\n", p->masked_only, p->masked.has_colluding,
                   p->masked.colluding, p->masked.minimum_sites, p->masked.minimum_honest,
                   p->masked.largest_share_permille);
    if (p->masked.audit_chunks > 0)
        csl_buf_printf(&b, "audit %u\n", p->masked.audit_chunks);
    if (p->refuses_exact_statistics)
        csl_buf_printf(&b, "noised statistics only\n");
    for (uint32_t i = 0; i < p->ledger.budget_count; i++) {
        const struct csl_ledger_budget *g = &p->ledger.budgets[i];
        csl_buf_printf(&b, "%s\n%s\n%.17g %.17g %llu\n", g->cohort, g->group, g->epsilon, g->delta,
                       (unsigned long long)g->window_s);
    }
    enum csl_code code = csl_buf_status(&b, err);
    if (code == CSL_OK)
        csl_digest(b.p, b.n, p->ledger.digest);
    csl_buf_release(&b);
    return code;
}

static enum csl_code read_masked(struct csl_site_config *c, struct csl_err *err)
{
    struct csl_masked_floors *f = &c->policy.masked;
    const char *text = c->policy_rows.masked_colluding;
    uint64_t colluding = 0;
    bool is_third = strcmp(text, "third") == 0;
    if (!is_third && (!csl_parse_u64(text, &colluding) || colluding >= CSL_SECAGG_SITES_MAX))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "policy.masked_colluding: found '%s'; third, or a whole number below %d, "
                        "would be right",
                        text, CSL_SECAGG_SITES_MAX);
    c->policy.masked_only = c->policy_rows.masked_only;
    c->policy.refuses_exact_statistics = c->policy_rows.noised_statistics_only;
    *f = (struct csl_masked_floors){.has_colluding = !is_third,
                                    .colluding = (uint32_t)colluding,
                                    .minimum_sites = c->policy_rows.masked_minimum_sites,
                                    .minimum_honest = c->policy_rows.masked_minimum_honest,
                                    .audit_chunks = c->policy_rows.masked_audit_chunks,
                                    .largest_share_permille = c->policy_rows.masked_largest_share};
    return CSL_OK;
}

static enum csl_code read_privacy(struct csl_site_config *c, const struct csl_yaml *y,
                                  struct csl_err *err)
{
    struct csl_site_policy *p = &c->policy;
    csl_str_copy(p->cohort, sizeof(p->cohort), c->policy_rows.cohort);
    p->allows_large_delta = c->policy_rows.allow_large_delta;
    p->ledger.composition = CSL_LEDGER_BASIC;
    enum csl_code code = read_modes(p, y, c->policy_rows.privacy_modes, err);
    if (code == CSL_OK && c->policy_rows.budgets != NULL)
        code = read_budgets(&p->ledger, y, c->policy_rows.budgets, err);
    if (code == CSL_OK)
        code = read_masked(c, err);
    return code == CSL_OK ? digest_policy(p, err) : code;
}

static enum csl_code read_policy(struct csl_site_config *c, const struct csl_yaml *y,
                                 struct csl_err *err)
{
    struct csl_site_policy *p = &c->policy;
    p->approval = (enum csl_approval)c->policy_rows.approval;
    p->minimum_sites = c->policy_rows.minimum_sites;
    const struct csl_yaml_node *studies = c->policy_rows.approved_studies;
    const struct csl_yaml_node *strategies = c->policy_rows.strategies;
    enum csl_code code = studies == NULL ? CSL_OK : check_list(y, studies, err);
    if (code == CSL_OK && strategies != NULL)
        code = check_list(y, strategies, err);
    if (code != CSL_OK)
        return code;
    for (const struct csl_yaml_node *n = studies == NULL ? NULL : studies->first_child; n != NULL;
         n = n->next)
        if (!csl_unhex(n->text, p->approved[p->approved_count++], CSL_DIGEST_BYTES))
            return csl_yaml_fail(err, y, n,
                                 "approved_studies: 64 hexadecimal digits would be right");
    for (const struct csl_yaml_node *n = strategies == NULL ? NULL : strategies->first_child;
         n != NULL; n = n->next)
        if (!csl_str_copy(p->strategies[p->strategy_count++], CSL_ID_MAX, n->text))
            return csl_yaml_fail(err, y, n, "strategies: a shorter name would be right");
    return read_privacy(c, y, err);
}

enum csl_code csl_site_config_read(struct csl_site_config *out, const char *path,
                                   struct csl_err *err)
{
    struct csl_yaml *y = NULL;
    struct csl_site_config c = {.backend = 0};
    enum csl_code code = csl_yaml_read(&y, path, CONFIG_BYTES_MAX, err);
    if (code != CSL_OK)
        return code;
    code = csl_option_read_yaml(csl_site_options, &c, y, csl_yaml_root(y), err);
    if (code == CSL_OK)
        code = read_policy(&c, y, err);
    csl_yaml_free(y);
    c.policy_rows.approved_studies = c.policy_rows.strategies = NULL;
    c.policy_rows.privacy_modes = c.policy_rows.budgets = NULL;
    if (code == CSL_OK && (c.tls.key[0] == '\0' || c.tls.trust_domain[0] == '\0'))
        code = CSL_FAIL(err, CSL_E_INVAL,
                        "%s: the section tls (key, chain, roots, trust_domain) is missing", path);
#ifdef CSL_TEST_SEEDS
    if (code == CSL_OK && c.test_only_noise_seed != 0 &&
        c.policy.approval != CSL_APPROVAL_AUTOMATIC)
        code =
            CSL_FAIL(err, CSL_E_INVAL, "%s: test_only_noise_seed where studies are approved", path);
#endif
    char *const paths[] = {c.records,     c.state,         c.tls.key,    c.tls.chain,
                           c.tls.roots,   c.initial_model, c.secagg.key, c.secagg.roster,
                           c.secagg.root, c.secagg.epoch};
    for (size_t i = 0; code == CSL_OK && i < sizeof(paths) / sizeof(paths[0]); i++)
        code = paths[i][0] == '\0' ? CSL_OK : csl_path_beside(paths[i], path, err);
    if (code == CSL_OK)
        *out = c;
    return code;
}
