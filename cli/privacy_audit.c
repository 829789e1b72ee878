/* cli/privacy_audit.c - `consilium privacy audit`: what an attacker was seen to learn, beside what
 * the ledger says at most can be learnt. */
#include "base/str.h"
#include "cli/privacy.h"
#include "simulations/run.h"

enum verdict { NOT_AUDITED, HOLDS, BROKEN };

static enum verdict judge(const struct csl_result_privacy *p)
{
    if (!p->is_present || p->canaries == 0)
        return NOT_AUDITED;
    return p->audit_epsilon_lower > p->epsilon ? BROKEN : HOLDS;
}

static void put_site_json(const struct csl_result_site *s, struct csl_json *j)
{
    static const char *const names[] = {"not-audited", "holds", "broken"};
    const struct csl_result_privacy *p = &s->privacy;
    enum verdict v = judge(p);

    csl_json_object(j);
    csl_json_put_str(j, "id", s->id);
    csl_json_put_str(j, "verdict", names[v]);
    if (p->is_present) {
        csl_json_put_f64(j, "epsilon_upper", p->epsilon);
        csl_json_put_f64(j, "delta", p->delta);
    }
    if (v != NOT_AUDITED) {
        csl_json_put_f64(j, "epsilon_lower", p->audit_epsilon_lower);
        csl_json_put_f64(j, "confidence", p->audit_confidence);
        csl_json_put_u64(j, "canaries", p->canaries);
        csl_json_put_u64(j, "guesses", p->guesses);
        csl_json_put_u64(j, "correct", p->correct);
    }
    csl_json_end(j);
}

static void put_json(const struct csl_result *r, uint32_t audited, uint32_t broken,
                     struct csl_buf *out)
{
    struct csl_json j;

    csl_json_init(&j, out, true);
    csl_json_object(&j);
    csl_json_put_str(&j, "format", "consilium.privacy-audit/1");
    csl_json_put_str(&j, "study", r->study);
    csl_json_put_u64(&j, "audited", audited);
    csl_json_put_u64(&j, "broken", broken);
    csl_json_key(&j, "sites");
    csl_json_array(&j);
    for (uint32_t i = 0; i < r->site_count; i++)
        put_site_json(&r->sites[i], &j);
    csl_json_end(&j);
    csl_json_end(&j);
    csl_buf_str(out, "\n");
}

static void put_site_text(const struct csl_result_site *s, struct csl_buf *out)
{
    const struct csl_result_privacy *p = &s->privacy;
    char lower[CSL_ROUNDED_MAX], upper[CSL_ROUNDED_MAX];

    csl_buf_printf(out, "%-20s ", s->id);
    if (judge(p) == NOT_AUDITED) {
        csl_buf_str(out, "not audited\n");
        return;
    }
    csl_round_down(lower, p->audit_epsilon_lower);
    csl_round_up(upper, p->epsilon);
    csl_buf_printf(out, "%12s %12s %9.4g %% %10u %9u %9u  %s\n", lower, upper,
                   100 * p->audit_confidence, p->canaries, p->guesses, p->correct,
                   judge(p) == HOLDS ? "holds" : "BROKEN");
}

static void put_text(const struct csl_result *r, uint32_t broken, struct csl_buf *out)
{
    csl_buf_printf(out,
                   "study %s: what was seen to leak, and what can leak at most\n\n%-20s %12s "
                   "%12s %11s %10s %9s %9s\n",
                   r->study, "site", "epsilon >=", "epsilon <=", "confidence", "canaries",
                   "guesses", "correct");
    for (uint32_t i = 0; i < r->site_count; i++)
        put_site_text(&r->sites[i], out);
    if (broken > 0)
        csl_buf_printf(out,
                       "\nThe mechanism does not keep its promise at %u site%s: more was learnt "
                       "than its ledger allows.\nStop the study and look for the mistake.\n",
                       broken, csl_str_plural(broken));
    else
        csl_buf_str(out, "\nNo audit contradicts its ledger. A lower bound far below the upper one "
                         "is normal: it says what this\nattacker saw, not what there is to see.\n");
}

static int not_audited(const struct csl_result *r, bool is_json)
{
    struct csl_err err = {0};

    (void)CSL_FAIL(&err, CSL_E_STATE,
                   "this run of study %s was not audited: no site has canaries, so nothing can be "
                   "said beside the ledger's upper bound; a run with an audit would be right",
                   r->study);
    (void)csl_cli_fail_as(&csl_doc_privacy, &err, is_json);
    return CSL_EXIT_NEGATIVE;
}

int csl_cli_privacy_audit(const struct csl_privacy_flags *flags, const char *run_dir)
{
    struct csl_result r = {0};
    struct csl_err err = {0};
    struct csl_buf out;
    uint32_t audited = 0, broken = 0;

    if (csl_run_read_files(&r, run_dir, &err) != CSL_OK)
        return csl_cli_fail_as(&csl_doc_privacy, &err, flags->json);
    for (uint32_t i = 0; i < r.site_count; i++) {
        audited += judge(&r.sites[i].privacy) != NOT_AUDITED;
        broken += judge(&r.sites[i].privacy) == BROKEN;
    }
    int status = broken > 0 ? CSL_EXIT_NEGATIVE : CSL_EXIT_DONE;
    if (audited == 0) {
        status = not_audited(&r, flags->json);
    } else {
        csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
        if (flags->json)
            put_json(&r, audited, broken, &out);
        else
            put_text(&r, broken, &out);
        status = csl_cli_print(&out, status);
    }
    csl_result_release(&r);
    return status;
}
